"""Reference images: a real HTTPS server on loopback, hostile links and hostile files."""

import asyncio
import io
import socket
import ssl
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
import trustme
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from PIL import Image

from bot.i18n import say
from bot.references import Fetcher, Gathered, Unavailable, fetch, gather
from bot.references.decode import decode
from bot.references.masks import erased
from storage.blobs import Blobs
from storage.catalog import Catalog, ModelEntry
from storage.domain import (
    Attached,
    Complaint,
    ImageRequest,
    Kept,
    Linked,
    Mode,
    ReferenceUse,
    Source,
)
from tests.fakes.attachments import attached, read

CATALOG = Catalog(models={"builtin": ModelEntry(source="nowhere", width=64, height=64)})
HOST = "pictures.example.org"
ELSEWHERE = "elsewhere.example.org"


def png(mode: str = "RGB", size: tuple[int, int] = (40, 20), color: object = "red") -> bytes:
    return saved(Image.new(mode, size, color))  # type: ignore[arg-type]


def saved(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


class Names(AbstractResolver):
    """A resolver that says what the test tells it to."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        return [
            ResolveResult(
                hostname=host, host=address, port=port, proto=0, flags=0,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
            )
            for address in self.addresses
        ]  # fmt: skip

    async def close(self) -> None:
        pass


Route = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """A server with a certificate for both hosts, and what it was asked."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.port = 0
        self.closing = asyncio.Event()
        self.authority = trustme.CA()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        path = request.path
        if path.startswith("/to/"):
            return web.Response(status=302, headers={"Location": request.query["url"]})
        if path.startswith("/loop/"):
            step = int(path.rsplit("/", 1)[1])
            target = f"/loop/{step - 1}" if step else "/a.png"
            return web.Response(status=307, headers={"Location": target})
        if path == "/endless":
            return await self.endless(request)
        if path == "/slow":
            await self.closing.wait()
        if path == "/cookie":
            return web.Response(
                status=302, headers={"Location": "/a.png", "Set-Cookie": "id=1; Path=/"}
            )
        if path != "/a.png":
            raise web.HTTPNotFound
        return web.Response(body=png(), content_type="text/html")

    async def endless(self, request: web.Request) -> web.StreamResponse:
        """Chunked, so that no header tells the size."""
        response = web.StreamResponse()
        await response.prepare(request)
        chunk = bytes(1 << 20)
        for _ in range(64):
            await response.write(chunk)
        return response

    def fetcher(
        self, *, timeout_seconds: float = 10, addresses: tuple[str, ...] = ("127.0.0.1",)
    ) -> Fetcher:
        tls = ssl.create_default_context()
        self.authority.configure_trust(tls)
        return Fetcher(
            hosts=(HOST,), resolver=Names(*addresses), tls=tls, port=self.port,
            timeout_seconds=timeout_seconds,
        )  # fmt: skip


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_get("/{path:.*}", site.answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    site.authority.issue_cert(HOST, ELSEWHERE).configure_cert(tls)
    listener = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await listener.start()
    site.port = runner.addresses[0][1]
    yield site
    site.closing.set()
    await runner.cleanup()


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of these tests counts as public; every other private address does not."""
    real = fetch.is_public
    monkeypatch.setattr(fetch, "is_public", lambda address: address == "127.0.0.1" or real(address))


async def refused(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(Unavailable) as caught:
        await fetcher.fetch(url)
    text = say("en", caught.value.complaint.text, **caught.value.complaint.values)
    assert "127.0.0.1" not in text
    return text


@pytest.mark.usefixtures("loopback")
class TestFetch:
    async def test_a_picture_comes(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        assert await site.fetcher().fetch(f"https://{HOST}/a.png?x=1#top") == png()
        (request,) = site.requests
        assert "Cookie" not in request.headers
        assert "python" not in request.headers["User-Agent"].lower()
        assert request.path_qs == "/a.png?x=1"

    @pytest.mark.parametrize(
        ("path", "asked"),
        [
            ("Crème_brûlée.jpg", "Cr%C3%A8me_br%C3%BBl%C3%A9e.jpg"),
            ("Cr%C3%A8me é.jpg".replace(" ", "_"), "Cr%C3%A8me_%C3%A9.jpg"),
            ("りんご.png?größe=1", "%E3%82%8A%E3%82%93%E3%81%94.png?gr%C3%B6%C3%9Fe=1"),
        ],
    )
    async def test_letters_that_urls_lack(self, site: Site, path: str, asked: str) -> None:
        await refused(site.fetcher(), f"https://{HOST}/no/{path}")
        [request] = site.requests
        assert request.raw_path == f"/no/{asked}"

    async def test_three_redirects_and_no_more(self, site: Site) -> None:
        assert await site.fetcher().fetch(f"https://{HOST}/loop/2") == png()
        assert len(site.requests) == 4
        assert "can't get the picture" in await refused(site.fetcher(), f"https://{HOST}/loop/3")

    async def test_cookies_are_not_carried_along(self, site: Site) -> None:
        await site.fetcher().fetch(f"https://{HOST}/cookie")
        assert all("Cookie" not in request.headers for request in site.requests)

    @pytest.mark.parametrize(
        "target",
        [
            f"https://{ELSEWHERE}/a.png",
            f"http://{HOST}/a.png",
            f"https://{HOST}:8443/a.png",
            "https://127.0.0.1/a.png",
            "//169.254.169.254/latest",
            "file:///etc/passwd",
            "https://[",
            "https://user@pictures.example.org/a.png",
        ],
    )
    async def test_redirects_off_the_list_end_there(self, site: Site, target: str) -> None:
        url = f"https://{HOST}/to/?url={target.replace('&', '%26')}"
        await refused(site.fetcher(), url)
        assert len(site.requests) == 1

    async def test_the_size_is_counted_not_believed(self, site: Site) -> None:
        assert "larger than 10 MiB" in await refused(site.fetcher(), f"https://{HOST}/endless")

    async def test_what_is_slow_is_given_up(self, site: Site) -> None:
        text = await refused(site.fetcher(timeout_seconds=0.2), f"https://{HOST}/slow")
        assert "took too long" in text

    async def test_not_found(self, site: Site) -> None:
        assert "can't get the picture" in await refused(site.fetcher(), f"https://{HOST}/no")

    async def test_a_certificate_that_nobody_vouches_for(self, site: Site) -> None:
        stranger = Fetcher(hosts=(HOST,), resolver=Names("127.0.0.1"), port=site.port)
        assert "can't get the picture" in await refused(stranger, f"https://{HOST}/a.png")
        assert site.requests == []

    @pytest.mark.parametrize("second", ["10.0.0.1", "::1", "169.254.169.254"])
    async def test_every_address_of_a_name_must_be_public(self, site: Site, second: str) -> None:
        fetcher = site.fetcher(addresses=("127.0.0.1", second))
        assert "can't get the picture" in await refused(fetcher, f"https://{HOST}/a.png")
        assert site.requests == []


async def test_loopback_is_not_public(site: Site) -> None:
    await refused(site.fetcher(), f"https://{HOST}/a.png")
    assert site.requests == []


@pytest.mark.parametrize(
    "url",
    [
        f"http://{HOST}/a.png", f"ftp://{HOST}/a.png", f"https://{HOST}:444/a.png",
        f"https://{HOST}:99999/a.png", f"https://{HOST}:x/a.png", f"https://me@{HOST}/a.png",
        f"https://me:pw@{HOST}/a.png", f"https://{HOST}@evil.example/a.png", f"https://@{HOST}/a",
        f"https://evil.example/{HOST}", f"https://{HOST}.evil.example/", f"https://evil{HOST}/",
        f"https://sub.{HOST}/a.png", f"https://{HOST}./a.png", f"https:\\\\{HOST}\\a.png",
        f"https://evil.example\\@{HOST}/", f"https://{HOST}\\@evil.example/", f"https://{HOST} /a",
        f"https://{HOST}/\r\nX: y", "https://127.0.0.1/", "https://2130706433/", "https://0x7f.1/",
        "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://localhost/", "https:///a.png",
        "https://pісtures.example.org/",
        "https://pictures。example.org/", "//pictures.example.org/a",
        "https:pictures.example.org/a", "javascript:alert(1)",
        "data:image/png;base64,AAAA", "", "https://",
        "file:///etc/passwd", "https://[",
        f"https://{HOST}%00.evil.example/", "https://%70ictures.example.org/",
    ],
)  # fmt: skip
async def test_hostile_links_are_not_even_looked_up(url: str) -> None:
    names = Names("93.184.216.34")
    await refused(Fetcher(hosts=(HOST,), resolver=names), url)
    assert names.asked == 0


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False), ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False),
        ("255.255.255.255", False), ("::", False),
        ("::1", False), ("fe80::1%eth0", False), ("fd00::1", False),
        ("ff02::1", False), ("ff0e::1", False),
        ("::ffff:93.184.216.34", False), ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False), ("64:ff9b:1::1", False), ("2002:7f00:1::", False),
        ("2001:0:4136:e378::1", False), ("::7f00:1", False),
        ("2001:db8::1", False), ("nonsense", False),
    ],
)  # fmt: skip
def test_public_addresses(address: str, public: bool) -> None:
    assert fetch.is_public(address) is public


# From here on without a network: what was sent is in the request.


def request(
    source: Source | None, mask: Source | None = None, use: ReferenceUse | None = None
) -> ImageRequest:
    return ImageRequest(
        prompt="x", model="tiny", width=64, height=64, steps=1, guidance_scale=1, seed=1,
        source=source, mask_source=mask, use=use or ReferenceUse.RESTYLE, strength=0.5,
    )  # fmt: skip


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(f"file://{tmp_path}")


NOWHERE = Fetcher(hosts=(), resolver=Names())


async def gathered(blobs: Blobs, wanted: ImageRequest) -> tuple[ImageRequest, Image.Image]:
    result = await gather(wanted, read=read, fetcher=NOWHERE, blobs=blobs, catalog=CATALOG)
    assert isinstance(result, Gathered), result
    assert result.request.reference is not None
    image = Image.open(io.BytesIO(blobs.get(result.request.reference.sha256)))
    image.load()
    return result.request, image


async def said(blobs: Blobs, wanted: ImageRequest) -> str:
    result = await gather(wanted, read=read, fetcher=NOWHERE, blobs=blobs, catalog=CATALOG)
    assert isinstance(result, Complaint), result
    return say("en", result.text, **result.values)


async def test_nothing_to_gather(blobs: Blobs) -> None:
    plain = request(None)
    result = await gather(plain, read=read, fetcher=NOWHERE, blobs=blobs, catalog=CATALOG)
    assert result == Gathered(request=plain)


async def test_restyle_is_re_encoded_and_upright_without_metadata(blobs: Blobs) -> None:
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees
    exif[0x010E] = "where I live"
    data = saved(image, "JPEG", exif=exif, quality=95)
    result, kept = await gathered(blobs, request(attached(data)))
    assert (kept.format, kept.mode, kept.size) == ("PNG", "RGB", (20, 40))
    blue, red = (kept.crop((5, y, 15, y + 4)).resize((1, 1)).tobytes() for y in (2, 34))
    assert blue[2] > 200 > blue[0]
    assert red[0] > 200 > red[2]
    assert not kept.getexif()
    assert kept.info == {}
    assert result.mode is Mode.IMAGE_TO_IMAGE


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
async def test_every_kind_of_png(blobs: Blobs, mode: str) -> None:
    _, kept = await gathered(blobs, request(attached(png(mode, color=0))))
    assert (kept.mode, kept.size) == ("RGB", (40, 20))


async def test_webp_and_long_sides(blobs: Blobs) -> None:
    _, kept = await gathered(
        blobs, request(attached(saved(Image.new("RGB", (4096, 1024)), "WEBP", quality=1)))
    )
    assert kept.size == (2048, 512)


def mask_of(blobs: Blobs, result: ImageRequest) -> Image.Image:
    assert result.reference is not None
    assert result.reference.mask_sha256 is not None
    mask = Image.open(io.BytesIO(blobs.get(result.reference.mask_sha256)))
    assert mask.mode == "L"
    return mask


async def test_edit_with_a_mask(blobs: Blobs) -> None:
    grey = Image.new("L", (20, 10), 127)
    grey.paste(128, (0, 0, 10, 10))
    wanted = request(attached(png()), attached(saved(grey)), ReferenceUse.EDIT)
    result, kept = await gathered(blobs, wanted)
    assert result.mode is Mode.INPAINT
    mask = mask_of(blobs, result)
    assert mask.size == kept.size
    assert {value for value, count in enumerate(mask.histogram()) if count} == {0, 255}
    assert (mask.getpixel((5, 10)), mask.getpixel((35, 10))) == (255, 0)


async def test_edit_takes_the_transparent_part(blobs: Blobs) -> None:
    picture = Image.new("RGBA", (40, 20), (255, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 20, 20))
    result, kept = await gathered(blobs, request(attached(saved(picture)), use=ReferenceUse.EDIT))
    mask = mask_of(blobs, result)
    assert (mask.getpixel((5, 5)), mask.getpixel((35, 5))) == (255, 0)
    assert kept.getpixel((35, 5)) == (255, 0, 0)
    restyled, _ = await gathered(blobs, request(attached(saved(picture))))
    assert restyled.mode is Mode.IMAGE_TO_IMAGE


async def test_kept_pictures(blobs: Blobs) -> None:
    sha256 = blobs.put(png())
    result, _ = await gathered(blobs, request(Kept(sha256=sha256)))
    assert result.reference is not None
    assert "not kept any more" in await said(blobs, request(Kept(sha256="0" * 64)))


async def test_edit_needs_something_to_repaint(blobs: Blobs) -> None:
    edit = ReferenceUse.EDIT
    assert "Attach a mask" in await said(blobs, request(attached(png()), use=edit))
    black = attached(png("L", color=0))
    assert "black all over" in await said(blobs, request(attached(png()), black, edit))


async def test_an_attachment_that_cannot_be_had(blobs: Blobs) -> None:
    async def gone(_: Attached) -> bytes:
        raise RuntimeError("secret address")

    wanted = request(attached(png()))
    result = await gather(wanted, read=gone, fetcher=NOWHERE, blobs=blobs, catalog=CATALOG)
    assert isinstance(result, Complaint)
    text = result.text
    assert "couldn't fetch your attachment" in text
    assert "secret" not in text
    assert "larger than" in await said(blobs, request(attached(b"", size_bytes=10 * 2**20 + 1)))
    assert "larger than" in await said(
        blobs, request(attached(bytes(10 * 2**20 + 1), size_bytes=1))
    )


async def test_a_link_off_the_list(blobs: Blobs) -> None:
    assert "I may not fetch" in await said(blobs, request(Linked(url="https://a.example/b.png")))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes which says that it is this large."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def animated(form: str) -> bytes:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    return saved(frames[0], form, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "can't read that picture"),
        (b"hello", "can't read that picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "can't read that picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "can't read that picture"),
        (saved(Image.new("RGB", (8, 8)), "GIF"), "can't read that picture"),
        (saved(Image.new("RGB", (8, 8)), "BMP"), "can't read that picture"),
        (saved(Image.new("RGB", (8, 8)), "TIFF"), "can't read that picture"),
        (png(size=(300, 300))[:-40], "can't read that picture"),
        (saved(Image.effect_noise((300, 300), 90), "JPEG")[:2000], "can't read that picture"),
        (saved(Image.effect_noise((300, 300), 90), "WEBP")[:2000], "can't read that picture"),
        (bomb(5000, 5000), "16.8 megapixels"),
        (bomb(60000, 60000), "megapixels"),
        (bomb(2**31 - 1, 2**31 - 1), "megapixels"),
        (bomb(100, 100), "can't read that picture"),
        (animated("PNG"), "animated"),
        (animated("WEBP"), "animated"),
    ],
)  # fmt: skip
async def test_hostile_files(blobs: Blobs, data: bytes, says: str) -> None:
    assert says in await said(blobs, request(attached(data)))
    assert says in await said(blobs, request(attached(png()), attached(data), ReferenceUse.EDIT))


def test_a_photo_with_another_behind_it() -> None:
    """What many telephones save: a JPEG whose file holds a second picture (CIPA DC-007)."""
    photo = animated("MPO")
    assert Image.open(io.BytesIO(photo)).n_frames == 2  # type: ignore[attr-defined]
    decoded = decode(photo)
    red, _, blue = Image.open(io.BytesIO(decoded.png)).getpixel((4, 4))  # type: ignore[misc]
    assert red > 200 > 50 > blue


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(inserted: bytes, *, at_the_end: bool = False) -> bytes:
    """A valid PNG of 64×64 with more chunks: behind its header, or before its end."""
    plain = png(size=(64, 64))
    at = len(plain) - 12 if at_the_end else 33
    return plain[:at] + inserted + plain[at:]


def jpeg_with(marker: int, body: bytes, times: int = 1) -> bytes:
    plain = saved(Image.new("RGB", (64, 64), "red"), "JPEG")
    segment = bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body
    return plain[:2] + segment * times + plain[2:]


MANY = bytes(2 << 20)
SQUEEZED = zlib.compress(MANY)
BESIDE_PIXELS = {
    "a text": png_with(chunk(b"tEXt", b"Comment\0" + MANY)),
    "a squeezed text": png_with(chunk(b"zTXt", b"Comment\0\0" + SQUEEZED)),
    "a squeezed text at the end": png_with(
        chunk(b"zTXt", b"Comment\0\0" + SQUEEZED), at_the_end=True
    ),
    "a text of all scripts": png_with(chunk(b"iTXt", b"Comment\0\0\0\0\0" + MANY)),
    "the same squeezed": png_with(chunk(b"iTXt", b"Comment\0\1\0\0\0" + SQUEEZED)),
    "90 texts": png_with(chunk(b"zTXt", b"Comment\0\0" + zlib.compress(MANY[:900_000])) * 90),
    "a profile": png_with(chunk(b"iCCP", b"sRGB\0\0" + SQUEEZED)),
    "a profile that is none": png_with(chunk(b"iCCP")),
    "EXIF": png_with(chunk(b"eXIf", b"II*\0" + MANY)),
    "somebody's own chunk": png_with(chunk(b"prVt", MANY)),
    "a text with a wrong checksum": png_with(chunk(b"tEXt", b"Comment\0hello")[:-4] + bytes(4)),
    "a size on paper that is none": png_with(chunk(b"pHYs")),
    "EXIF of a JPEG": jpeg_with(0xE1, b"Exif\0\0II*\0" + MANY[:65_000], times=32),
    "XMP of a JPEG": jpeg_with(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + MANY[:65_000], times=32),
    "a comment of a JPEG": jpeg_with(0xFE, MANY[:65_000], times=32),
    "a profile of a JPEG": jpeg_with(0xE2, b"ICC_PROFILE\0\1\1" + MANY[:65_000], times=32),
    "a profile of a JPEG that is none": jpeg_with(0xE2, b"ICC_PROFILE\0"),
    "EXIF of a WebP": saved(
        Image.new("RGB", (64, 64), "red"), "WEBP", lossless=True, exif=b"Exif\0\0II*\0" + MANY
    ),
    "a profile of a WebP": saved(
        Image.new("RGB", (64, 64), "red"), "WEBP", lossless=True, icc_profile=MANY
    ),
}


@pytest.mark.parametrize("beside", BESIDE_PIXELS)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_what_comes_beside_the_pixels_is_dropped_whatever_it_is(beside: str) -> None:
    decoded = decode(BESIDE_PIXELS[beside])
    kept = Image.open(io.BytesIO(decoded.png))
    assert (kept.size, kept.info, dict(kept.getexif())) == ((64, 64), {}, {})
    red, green, blue = kept.getpixel((32, 32))  # type: ignore[misc]
    assert red > 250
    assert max(green, blue) < 5
    assert len(decoded.png) < 1000


def test_what_a_png_says_of_its_side_and_its_transparency_is_kept() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees
    image = Image.new("P", (40, 20), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (0, 0, 20, 20))
    decoded, mask = erased(saved(image, exif=exif, transparency=1))
    assert (decoded.width, decoded.height) == (20, 40)
    clear = Image.open(io.BytesIO(mask))
    assert [clear.getpixel((10, y)) for y in (5, 35)] == [255, 0]
