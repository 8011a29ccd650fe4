"""Download from hosts on the allow-list, at addresses of the public internet, and nowhere else."""

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Callable, Collection, Mapping
from urllib.parse import quote, urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from storage.domain import Complaint

MAX_BYTES = 10 * 1024 * 1024
TIMEOUT_SECONDS = 10
MAX_REDIRECTS = 3

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {
    "User-Agent": "Mozilla/5.0 (compatible; Easel)",
    "Accept": "image/*",
    "Accept-Encoding": "identity",
}
_ASCII = "".join(map(chr, range(128)))
# The last label begins with a letter, as in every name; "127.0.0.1" and "0x7f.1" are addresses.
_HOST = re.compile(r"(?:[a-z0-9-]{1,63}\.)+[a-z][a-z0-9-]{0,62}", re.ASCII)

# All of IPv6 that is given out for the public internet (IANA, IPv6 global unicast address
# assignments). Outside of it are NAT64 (RFC 6052), IPv4-mapped, -translated and -compatible
# addresses and old site-local ones (RFC 3879), some of which `is_global` lets pass.
_GIVEN_OUT = ipaddress.IPv6Network("2000::/3")
# Inside of it, and `is_global` too, although they lead to other addresses or to none: 6to4 and its
# relays (RFC 3056, RFC 7526), Teredo (RFC 4380), protocol assignments (RFC 6890), documentation
# (RFC 9637).
_ELSEWHERE = tuple(
    ipaddress.ip_network(network)
    for network in ("2002::/16", "192.88.99.0/24", "2001::/23", "192.0.0.0/24", "3fff::/20")
)


class Unavailable(Exception):
    """The file cannot be had; `complaint` says so without naming addresses."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint.text)
        self.complaint = complaint


def is_public(address: str) -> bool:
    """Whether an IP address lies on the public internet, whichever way it is written."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _GIVEN_OUT:
        return False
    if any(ip in network for network in _ELSEWHERE):
        return False
    return ip.is_global and not ip.is_multicast


class PublicResolver(AbstractResolver):
    """Names to addresses, of which every one must be public.

    The connector connects to what this returns and asks nobody again, so that a name cannot point
    elsewhere by the time of the connection (DNS rebinding).
    """

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not found or not all(is_public(result["host"]) for result in found):
            raise OSError("not a public address")
        return found

    async def close(self) -> None:
        await self._inner.close()


class Fetcher:
    """Usage: `Fetcher(hosts=settings.reference_hosts)`, then `await fetcher.fetch(url)`.

    `resolver`, `tls` and `port` are for tests against a server of their own. Makes one connection
    for each hop and keeps none, so it needs no closing.
    """

    def __init__(
        self,
        *,
        hosts: Collection[str],
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
        port: int = 443,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._resolver = resolver
        self._tls = tls
        self._port = port
        self._timeout_seconds = timeout_seconds

    async def fetch(self, url: str) -> bytes:
        """The file behind a link, at most 10 MiB. Raises Unavailable, and nothing else."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                for _ in range(MAX_REDIRECTS + 1):
                    answer = await self._hop(self._checked(url))
                    if isinstance(answer, bytes):
                        return answer
                    url = urljoin(url, answer)
        except TimeoutError:
            raise Unavailable(
                Complaint(
                    text="The picture behind that link took too long to come. Try again, or attach "
                    "the picture itself."
                )
            ) from None
        # ValueError: a redirect to what is no URL at all.
        except (aiohttp.ClientError, OSError, ValueError):
            raise _unavailable() from None
        raise _unavailable()

    def _checked(self, url: str) -> str:
        """The URL without its fragment, if it may be asked for; letters that URLs lack are
        escaped (RFC 3987, 3.1). Those in hosts are not: they may look like others."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise _not_a_link() from None
        clean = url.isprintable() and "\\" not in url and " " not in url and parts.netloc.isascii()
        if parts.scheme != "https" or not clean or not _HOST.fullmatch(host):
            raise _not_a_link()
        if parts.username is not None or parts.password is not None or port not in (None, 443):
            raise _not_a_link()
        if host not in self._hosts:
            raise Unavailable(
                Complaint(
                    text="I may not fetch pictures from there, only from: {hosts}. Attach the "
                    "picture instead.",
                    values={"hosts": ", ".join(sorted(self._hosts))},
                )
            )
        query = f"?{parts.query}" if parts.query else ""
        return quote(f"https://{host}:{self._port}{parts.path or '/'}{query}", safe=_ASCII)

    async def _hop(self, url: str) -> bytes | str:
        """The body of one answer, or the address that it redirects to."""
        connector = aiohttp.TCPConnector(
            resolver=PublicResolver(self._resolver or aiohttp.ThreadedResolver()),
            ssl=self._tls or True,
            use_dns_cache=False,
            force_close=True,
        )
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                headers=_HEADERS,
            ) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status in _REDIRECTS and "Location" in response.headers:
                return response.headers["Location"]
            if response.status != 200:
                raise _unavailable()
            return await _body(response)


async def download(
    url: str, *, otherwise: Callable[[], Unavailable], headers: Mapping[str, str] | None = None
) -> bytes:
    """A file of the platform's own, at most 10 MiB; no redirect is followed. Raises what
    `otherwise` makes when the platform refuses, Unavailable when it fails or the file is too large,
    and aiohttp.ClientError or TimeoutError."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.get(url, headers=headers, allow_redirects=False) as response,
    ):
        if response.status != 200:
            raise otherwise() if response.status < 429 else unfetched()
        return await _body(response)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Read at most MAX_BYTES, whatever the headers promise."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > MAX_BYTES:
            raise Unavailable(too_large())
    return bytes(body)


def unfetched() -> Unavailable:
    return Unavailable(
        Complaint(text="I couldn't fetch your attachment. Send it once more, please.")
    )


def too_large() -> Complaint:
    return Complaint(
        text="That file is larger than {limit} MiB. Send a smaller picture.",
        values={"limit": MAX_BYTES // 2**20},
    )


def _unavailable() -> Unavailable:
    return Unavailable(
        Complaint(
            text="I can't get the picture behind that link. Check it in a browser, or attach the "
            "picture itself."
        )
    )


def _not_a_link() -> Unavailable:
    return Unavailable(
        Complaint(
            text="That is not a link I can use. It begins with https:// and names a host and a "
            "path, for example https://upload.wikimedia.org/apple.png."
        )
    )
