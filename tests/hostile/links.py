"""Links of people who mean harm, and the servers behind them, through the real download.

The attacker is a real TLS server on loopback, which alone counts as public. An audit hook hears of
every connection that this process opens, whatever library opens it.
"""

import asyncio
import contextlib
import gzip
import ssl
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import trustme
from aiohttp.abc import ResolveResult

from bot.i18n import LOCALES, say
from bot.references import Fetcher, Unavailable, fetch
from tests.bot.test_references import HOST, Names
from tests.hostile.files import jpeg
from tests.hostile.measuring import Result, measured, report

NOT_A_LINK = "not a link I can use"
NOT_THERE = "I may not fetch pictures from there"
NO_PICTURE = "I can't get the picture behind that link"
TOO_SLOW = "took too long"
TOO_LARGE = "larger than 10 MiB"
PATIENCE_SECONDS = 0.5
"""The limit that slow servers are given here, in place of `TIMEOUT_SECONDS`."""
ATTACKER = "127.0.0.1"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Link:
    says: str
    """Part of the English answer; "" where the bytes are to come."""
    url: str = f"https://{HOST}/a.png"
    addresses: tuple[str, ...] | None = (ATTACKER,)
    """What the name leads to; None where nobody may even ask."""
    answer: Answer | None = None
    """What the attacker's server does; without it, it is not to be reached."""
    connections: int = 0
    """How often the attacker is connected to; nobody else ever."""
    slow: bool = False
    later: str = ""
    """What the name leads to when it is asked again (DNS rebinding)."""


class Fickle(Names):
    """A name that leads elsewhere from the second question on."""

    def __init__(self, link: Link) -> None:
        super().__init__(*link.addresses or ())
        self._later = link.later

    async def resolve(self, *args: Any, **given: Any) -> list[ResolveResult]:
        found = await super().resolve(*args, **given)
        if self._later:
            self.addresses = (self._later,)
        return found


def never(says: str, url: str) -> Link:
    return Link(says, url, addresses=None)


def points_to(*addresses: str) -> Link:
    return Link(NO_PICTURE, addresses=addresses)


def sent(data: bytes, says: str = NO_PICTURE, connections: int = 1) -> Link:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return Link(says, answer=answer, connections=connections)


def body(data: bytes, *headers: str, says: str = NO_PICTURE, status: str = "200 OK") -> Link:
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers])
    return sent(head.encode("latin-1") + b"\r\n\r\n" + data, says)


def bomb(kind: str, squeeze: Callable[[bytes], bytes]) -> Link:
    """What a client that unpacks would unpack: here the bytes come as they are."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + f"Content-Encoding: {kind}\r\n\r\n".encode() + squeeze(bytes(32 << 20)))
        await writer.drain()

    return Link("", answer=answer, connections=1)


def redirects(target: str, says: str = NOT_A_LINK, connections: int = 1) -> Link:
    head = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
    return sent(head.encode("latin-1"), says, connections)


def endless(head: bytes, again: bytes, says: str, *, slow: bool = False) -> Link:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for _ in range(20_000):  # Long after everybody has left; a lost connection may not raise.
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(0.05 if slow else 0)
            if writer.is_closing():
                return

    return Link(says, answer=answer, connections=1, slow=slow)


def silent(head: bytes = b"") -> Link:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await reader.read()

    return Link(TOO_SLOW, answer=answer, connections=1, slow=True)


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

LINKS: dict[str, Link] = {
    # Other schemes.
    "http": never(NOT_A_LINK, f"http://{HOST}/a.png"),
    "ftp": never(NOT_A_LINK, f"ftp://{HOST}/a.png"),
    "file": never(NOT_A_LINK, "file:///etc/passwd"),
    "file with a host": never(NOT_A_LINK, f"file://{HOST}/etc/passwd"),
    "gopher": never(NOT_A_LINK, f"gopher://{HOST}:6379/_FLUSHALL"),
    "dict": never(NOT_A_LINK, f"dict://{HOST}:11211/stat"),
    "data": never(NOT_A_LINK, "data:image/png;base64,iVBORw0KGgo="),
    "javascript": never(NOT_A_LINK, "javascript:alert(1)"),
    "jar": never(NOT_A_LINK, f"jar:https://{HOST}/a.zip!/a.png"),
    "no scheme": never(NOT_A_LINK, f"//{HOST}/a.png"),
    # Userinfo and ports.
    "a name before the host": never(NOT_A_LINK, f"https://me@{HOST}/a.png"),
    "a host before the host": never(NOT_A_LINK, f"https://{HOST}@127.0.0.1/a.png"),
    "a password that is a host": never(NOT_A_LINK, f"https://me:{HOST}@[::1]/a.png"),
    "an escaped at sign": never(NOT_A_LINK, f"https://{HOST}%40127.0.0.1/a.png"),
    "two at signs": never(NOT_A_LINK, f"https://a@127.0.0.1@{HOST}/a.png"),
    "backslash and at sign": never(NOT_A_LINK, f"https://127.0.0.1\\@{HOST}/a.png"),
    "the port of Redis": never(NOT_A_LINK, f"https://{HOST}:6379/"),
    "port 0": never(NOT_A_LINK, f"https://{HOST}:0/"),
    "a port that is none": never(NOT_A_LINK, f"https://{HOST}:65979/"),
    "a port with a host in it": never(NOT_A_LINK, f"https://{HOST}:443@127.0.0.1/"),
    # Addresses in all spellings.
    "dotted": never(NOT_A_LINK, "https://127.0.0.1/"),
    "decimal": never(NOT_A_LINK, "https://2130706433/"),
    "octal": never(NOT_A_LINK, "https://0177.0.0.01/"),
    "hex": never(NOT_A_LINK, "https://0x7f.0.0.0x1/"),
    "hex in one": never(NOT_A_LINK, "https://0x7f000001/"),
    "short": never(NOT_A_LINK, "https://127.1/"),
    "nothing but zeros": never(NOT_A_LINK, "https://0.0.0.0/"),
    "zero": never(NOT_A_LINK, "https://0/"),
    "cloud metadata": never(NOT_A_LINK, "https://169.254.169.254/latest/meta-data/"),
    "IPv6 loopback": never(NOT_A_LINK, "https://[::1]/"),
    "IPv6 unspecified": never(NOT_A_LINK, "https://[::]/"),
    "IPv4-mapped": never(NOT_A_LINK, "https://[::ffff:169.254.169.254]/"),
    "NAT64": never(NOT_A_LINK, "https://[64:ff9b::a9fe:a9fe]/"),
    "a zone id": never(NOT_A_LINK, "https://[fe80::1%25eth0]/"),
    "an open bracket": never(NOT_A_LINK, "https://[::1/"),
    "the future of addresses": never(NOT_A_LINK, "https://[v1.::1]/"),
    # Hosts.
    "localhost": never(NOT_A_LINK, "https://localhost/"),
    "a name for an address": never(NOT_THERE, "https://127.0.0.1.nip.io/"),
    "the name of cloud metadata": never(NOT_THERE, "https://metadata.google.internal/"),
    "a host that ends like ours": never(NOT_THERE, f"https://evil-{HOST}/"),
    "a host that begins like ours": never(NOT_THERE, f"https://{HOST}.evil.example/"),
    "a dot at the end": never(NOT_A_LINK, f"https://{HOST}./a.png"),
    "circled letters": never(NOT_A_LINK, "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/"),
    "full width digits": never(NOT_A_LINK, "https://１２７．０．０．１/"),
    "a Cyrillic letter": never(NOT_A_LINK, f"https://{HOST.replace('c', 'с')}/a.png"),
    "an ideographic full stop": never(NOT_A_LINK, f"https://{HOST.replace('.', '。')}/a.png"),
    "a soft hyphen": never(NOT_A_LINK, f"https://{HOST.replace('.', '.­')}/a.png"),
    "punycode": never(NOT_THERE, "https://xn--pictures-7nf.example.org/a.png"),
    "an escaped host": never(NOT_A_LINK, f"https://{HOST.replace('i', '%69')}/a.png"),
    "a label of 64": never(NOT_A_LINK, f"https://{'a' * 64}.example.org/"),
    "no host": never(NOT_A_LINK, "https:///a.png"),
    # Signs that split lines or end strings.
    "a line break": never(NOT_A_LINK, f"https://{HOST}/a\r\nX-Evil: 1"),
    "a tab in the host": never(NOT_A_LINK, f"https://127.0\t.0.1.{HOST}/"),
    "a NUL": never(NOT_A_LINK, f"https://{HOST}\0.evil.example/"),
    "a space": never(NOT_A_LINK, f"https://{HOST}/a b.png"),
    "backslashes": never(NOT_A_LINK, f"https:\\\\{HOST}\\a.png"),
    # Names that lead inside.
    "a name of loopback": points_to("127.0.0.2"),
    "a name of 0.0.0.0": points_to("0.0.0.0"),
    "a name of cloud metadata": points_to("169.254.169.254"),
    "a name of a private network": points_to("10.0.0.1"),
    "a name of carrier NAT": points_to("100.64.0.1"),
    "a name of IPv6 loopback": points_to("::1"),
    "a name of IPv4-mapped": points_to("::ffff:127.0.0.1"),
    "a name of IPv4-translated": points_to("::ffff:0:127.0.0.1"),
    "a name of NAT64": points_to("64:ff9b::7f00:1"),
    "a name of local NAT64": points_to("64:ff9b:1::7f00:1"),
    "a name of 6to4": points_to("2002:7f00:1::1"),
    "a name of Teredo": points_to("2001:0:4136:e378::1"),
    "a name of link-local with a zone": points_to("fe80::1%1"),
    "a name of unique local": points_to("fd00:ec2::254"),
    "a name of site-local": points_to("fec0::1"),
    "a name of two places": points_to(ATTACKER, "10.0.0.1"),
    "a name of nothing": points_to(),
    "a name of nonsense": points_to("0x7f.1"),
    "a name that changes its mind": replace(
        redirects("/b.png", NO_PICTURE), later="169.254.169.254"
    ),
    "a name that would change its mind": replace(
        body(jpeg(), f"Content-Length: {len(jpeg())}", says=""), later="127.0.0.2"
    ),
    # Redirects.
    "a redirect to loopback": redirects("https://127.0.0.1/"),
    "a redirect to plain http": redirects(f"http://{HOST}/"),
    "a redirect to cloud metadata": redirects("//169.254.169.254/latest"),
    "a redirect to IPv6": redirects("https://[::1]/"),
    "a redirect to a file": redirects("file:///etc/passwd"),
    "a redirect to another host": redirects("https://evil.example/a.png", NOT_THERE),
    "a redirect with a name": redirects(f"https://me@{HOST}/"),
    "a redirect to no URL": redirects("https://[", NO_PICTURE),
    "a redirect in another script": redirects("https://１２７.0.0.1/".encode().decode("latin-1")),
    "a redirect to itself": redirects("/a.png", NO_PICTURE, connections=4),
    "a redirect of 100 kB": redirects("/" + "a" * 100_000, NO_PICTURE),
    "a redirect to nowhere": body(b"", "Content-Length: 0", status="302 Found"),
    # Bodies.
    "no end of chunks": endless(CHUNKED, b"10000\r\n" + bytes(65_536) + b"\r\n", TOO_LARGE),
    "no end of bytes": endless(OK + b"\r\n", bytes(65_536), TOO_LARGE),
    "more than it said": body(jpeg() + bytes(999), f"Content-Length: {len(jpeg())}"),
    "less than it said": body(jpeg(), "Content-Length: 999999"),
    "a length below zero": body(b"", "Content-Length: -1"),
    "a length that is no number": body(b"", "Content-Length: 1e9"),
    "two lengths": body(jpeg(), "Content-Length: 5", "Content-Length: 6"),
    "length and chunks": body(
        b"0\r\n\r\n", "Content-Length: 9", "Transfer-Encoding: chunked"
    ),
    "a chunk of 2^64": sent(CHUNKED + b"ffffffffffffffff\r\n" + bytes(99)),
    "a chunk of -1": sent(CHUNKED + b"-1\r\n\r\n"),
    "a page instead": body(b"no", "Content-Length: 2", status="404 Not Found"),
    "part of it": body(b"no", "Content-Length: 2", status="206 Partial Content"),
    "a bomb of gzip": bomb("gzip", gzip.compress),
    "a bomb of deflate": bomb("deflate", zlib.compress),
    "what is no brotli": bomb("br", lambda _: b"\xcf\xff" * 99),
    # Headers and other things than HTTP.
    "no end of headers": endless(OK, b"X-A: " + b"a" * 1000 + b"\r\n", NO_PICTURE),
    "a header without end": endless(OK + b"X-A: ", b"a" * 65_536, NO_PICTURE),
    "no end of 100 Continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 99, TOO_SLOW,
                                      slow=True),
    "a status without end": endless(b"HTTP/1.1 200 ", b"a" * 65_536, NO_PICTURE),
    "another protocol": sent(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "a switch of protocols": body(b"", "Upgrade: websocket", status="101 Switching Protocols"),
    # aiohttp asks once more, and looks the name up anew.
    "nothing": Link(NO_PICTURE, answer=hang_up, connections=2),
    # Slow ones, up to the limit of the download.
    "no answer": silent(),
    "half a status": silent(b"HTTP/1."),
    "headers and no body": silent(OK + b"Content-Length: 9\r\n\r\n"),
    "a byte now and then": endless(OK + b"Content-Length: 9999999\r\n\r\n", b"a", TOO_SLOW,
                                   slow=True),
    "a header now and then": endless(OK, b"X-A: a\r\n", TOO_SLOW, slow=True),
}  # fmt: skip


class Ears:
    """What this process connects to and looks up, as Python's audit events tell it. Such a hook
    stays for the life of the process, so this is for processes of their own."""

    def __init__(self) -> None:
        self.connected: list[Any] = []
        self.asked: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            self.connected.append(given[1])
        elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
            self.asked.append(str(given[0]))

    def forget(self) -> None:
        self.connected.clear()
        self.asked.clear()


class Attacker:
    """A TLS server with a certificate for the host, which does what the link of the hour says."""

    def __init__(self) -> None:
        self.authority, self.port = trustme.CA(), 0
        self.answer: Answer = hang_up

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(HOST).configure_cert(tls)
        server = await asyncio.start_server(self._met, ATTACKER, 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            await self.answer(reader, writer)
        writer.close()

    def fetcher(self, names: Names, seconds: float) -> Fetcher:
        tls = ssl.create_default_context()
        self.authority.configure_trust(tls)
        return Fetcher(
            hosts=(HOST,), resolver=names, tls=tls, port=self.port, timeout_seconds=seconds
        )


async def _fetched(fetcher: Fetcher, url: str) -> dict[str, Any]:
    try:
        data = await fetcher.fetch(url)
    except Unavailable as error:
        complaint = error.complaint
        return {"says": [say(locale, complaint.text, **complaint.values) for locale in LOCALES]}
    return {"bytes": len(data)}


def run() -> Iterator[Result]:
    real = fetch.is_public
    fetch.is_public = lambda address: address == ATTACKER or real(address)
    ears, attacker = Ears(), Attacker()
    with asyncio.Runner() as runner:
        listening = attacker.listening()
        runner.run(listening.__aenter__())
        warm = attacker.fetcher(Names(ATTACKER), 9)
        runner.run(_fetched(warm, f"https://{HOST}/"))
        for name, link in LINKS.items():
            attacker.answer = link.answer or hang_up
            names = Fickle(link)
            seconds = PATIENCE_SECONDS if link.slow else fetch.TIMEOUT_SECONDS
            fetcher = attacker.fetcher(names, seconds)
            ears.forget()
            result = measured(name, lambda f=fetcher, u=link.url: runner.run(_fetched(f, u)))  # type: ignore[misc]
            heard = {
                "asked": names.asked,
                "looked_up": [a for a in ears.asked if a != ATTACKER],
                "elsewhere": [str(a) for a in ears.connected if a != (ATTACKER, attacker.port)],
                "connections": len(ears.connected),
            }
            yield replace(result, answer=result.answer | heard)
        runner.run(listening.__aexit__(None, None, None))


if __name__ == "__main__":
    report(run())
