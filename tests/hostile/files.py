"""Image files of people who mean harm, made here, through the real way of a reference."""

import asyncio
import io
import os
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bot.i18n import LOCALES, say
from bot.references import Fetcher, Gathered, gather
from storage.blobs import Blobs
from storage.catalog import Catalog, ModelEntry
from storage.domain import Complaint, ImageRequest, ReferenceUse
from tests.fakes.attachments import attached, read
from tests.hostile.measuring import MAX_SECONDS, Result, measured, report

CANARY = "48.8584N-canary5309"
"""Where somebody lives, as metadata tell it."""
PNG = b"\x89PNG\r\n\x1a\n"
UNREADABLE = "I can't read that picture"
TOO_MANY = "megapixels"
ANIMATED = "animated"


@dataclass(frozen=True)
class File:
    make: Callable[[], bytes]
    says: str = ""
    """Part of the English answer; empty where a picture is to come of it."""
    pixel: tuple[int, int, int] | None = None
    """What the middle of that picture looks like."""
    cpu_seconds: float = MAX_SECONDS


def saved(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def red(width: int = 40, height: int = 20, mode: str = "RGB") -> Image.Image:
    return Image.new("RGB", (width, height), "red").convert(mode)


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, depth: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    values = (width, height, depth, colour, 0, 0, interlace)
    return PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", *values))


DOT = chunk(b"IDAT", zlib.compress(b"\0\0\0\0"))
"""The pixels of a picture of 1×1."""
END = chunk(b"IEND")


def flat_png(width: int, height: int, depth: int, colour: int, row: int) -> bytes:
    """All zero, `row` bytes a row."""
    squeeze = zlib.compressobj(1)
    rows = b"".join(squeeze.compress(bytes(row + 1)) for _ in range(height)) + squeeze.flush()
    return header(width, height, depth, colour) + chunk(b"IDAT", rows) + END


def squeezed(mib: int) -> bytes:
    return zlib.compress(bytes(mib << 20))


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


@cache
def jpeg() -> bytes:
    return saved(red(), "JPEG")


def jpeg_with(inserted: bytes) -> bytes:
    return jpeg()[:2] + inserted + jpeg()[2:]


def scans(count: int, side: int = 4096) -> bytes:
    """A progressive JPEG in which each of `count` scans of some forty bytes passes over every
    block: runs of 32,767 empty ones (ITU-T T.81, G.1.2.2)."""
    blocks = (side // 8) ** 2
    one_code = bytes([1, *[0] * 15])
    runs = -(-blocks // 32_767)
    bits = ("0" + "1" * 14) * runs
    bits += "1" * (-len(bits) % 8)
    run = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")
    return b"".join(
        [
            b"\xff\xd8",
            segment(0xDB, b"\0" + bytes([1] * 64)),
            segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\x01\x11\x00"),
            segment(0xC4, b"\x00" + one_code + b"\x00"),
            segment(0xC4, b"\x10" + one_code + b"\xe0"),
            segment(0xDA, b"\x01\x01\x00\x00\x00\x00") + bytes(blocks // 8),
            (segment(0xDA, b"\x01\x01\x00\x01\x3f\x00") + run) * count,
            b"\xff\xd9",
        ]
    )


def riff(*parts: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in parts
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def canvas(width: int, height: int, flags: int) -> tuple[bytes, bytes]:
    sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return b"VP8X", bytes([flags, 0, 0, 0]) + sides


def webp_frames(count: int, side: int) -> bytes:
    dot = saved(red(1, 1), "WEBP", lossless=True)[12:]
    frame = (b"ANMF", bytes(12) + b"\x01\0\0\0" + dot)
    return riff(canvas(side, side, 2), (b"ANIM", bytes(6)), *[frame] * count)


def noise(width: int, height: int, form: str, **options: Any) -> bytes:
    small = Image.frombytes("RGB", (1024, 1024), os.urandom(3 << 20))
    return saved(small.resize((width, height), Image.Resampling.NEAREST), form, **options)


def where_i_live() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010E] = CANARY
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 30.0), 0x1D: CANARY}
    return exif


def texts() -> PngInfo:
    info = PngInfo()
    info.add_text("Comment", CANARY)
    info.add_text("Hidden", CANARY, zip=True)
    info.add_itxt("XML:com.adobe.xmp", f"<x>{CANARY}</x>")
    return info


def loop_of_directories() -> bytes:
    """EXIF whose next directory is itself, and whose entries are larger than any file."""
    entries = [(0x0112, 3, 1, 1), (0x010E, 2, 2**32 - 1, 2**31), (0x8769, 4, 1, 8)]
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 3) + body + struct.pack("<I", 8)


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("evil.sh", CANARY)
    return out.getvalue()


def ico() -> bytes:
    return saved(red(256, 256), "ICO")


WMF = (
    b"\xd7\xcd\xc6\x9a"
    + bytes(6)
    + b"\xff\x7f\xff\x7f\x60"
    + bytes(7)
    + b"\1\0\t\0\0\3"
    + bytes(99)
)
SVG = b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg>&a;</svg>'
LAUGHS = b'<!DOCTYPE svg [<!ENTITY a "ha">' + b"".join(
    b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10)
)

FILES: dict[str, File] = {
    # Not there, or not whole.
    "no bytes": File(lambda: b"", UNREADABLE),
    "only a signature": File(lambda: PNG, UNREADABLE),
    "a PNG cut off": File(lambda: saved(red(400, 400))[:-40], UNREADABLE),
    "a JPEG cut off": File(lambda: jpeg()[: len(jpeg()) // 2], UNREADABLE),
    "a WebP cut off": File(lambda: saved(red(), "WEBP")[:-9], UNREADABLE),
    "a PNG without pixels": File(lambda: header(1, 1) + END, UNREADABLE),
    "a PNG with a wrong checksum": File(
        lambda: saved(red()).replace(b"IDAT", b"IDAU"), UNREADABLE
    ),
    "a chunk longer than the file": File(
        lambda: header(1, 1) + b"\x7f\xff\xff\xffIDAT" + bytes(9), UNREADABLE
    ),
    "a chunk of no name": File(lambda: header(1, 1) + chunk(b"\0\xff\n\r") + DOT + END, UNREADABLE),
    "pixels that are no zlib": File(
        lambda: header(9, 9) + chunk(b"IDAT", b"x" * 99) + END, UNREADABLE
    ),
    "random bytes": File(lambda: os.urandom(1 << 20), UNREADABLE),
    # Sizes.
    "a PNG of no size": File(lambda: header(0, 0) + DOT + END, UNREADABLE),
    "a JPEG of no size": File(
        lambda: jpeg().replace(struct.pack(">HH", 20, 40), bytes(4)), UNREADABLE
    ),
    "one pixel": File(lambda: saved(red(1, 1)), pixel=(255, 0, 0)),
    "64 megapixels in some kilobytes": File(lambda: saved(Image.new("1", (8000, 8000))), TOO_MANY),
    "a PNG of 2^31 by 2^31": File(lambda: header(2**31 - 1, 2**31 - 1) + DOT + END, TOO_MANY),
    "a JPEG that says 65535 by 65535": File(
        lambda: jpeg().replace(struct.pack(">HH", 20, 40), b"\xff" * 4), TOO_MANY
    ),
    "16 million by 1": File(lambda: saved(Image.new("L", (16_000_000, 1))), "longer than 16383"),
    "1 by 16 million": File(lambda: saved(Image.new("L", (1, 16_000_000))), "longer than 16383"),
    "a WebP canvas of 16383 by 16383": File(lambda: webp_frames(1, 16_383), TOO_MANY),
    "11 MiB": File(lambda: saved(red()) + bytes(11 << 20), "larger than 10 MiB"),
    "the largest PNG, 16 bits and alpha": File(lambda: flat_png(4096, 4096, 16, 6, 8 * 4096)),
    "the largest JPEG, progressive": File(
        lambda: saved(red(4096, 4096), "JPEG", progressive=True, subsampling=0), pixel=(254, 0, 0)
    ),
    "the largest WebP, lossless": File(
        lambda: saved(red(4096, 4096), "WEBP", lossless=True, method=0), pixel=(255, 0, 0)
    ),
    "the largest WebP, noise": File(
        # The slowest of what is allowed: half of it goes to libwebp, half to the PNG that is kept.
        lambda: noise(4096, 4096, "WEBP", quality=30, method=0),
        cpu_seconds=1.5,
    ),
    # Bombs.
    "800,000 empty chunks": File(
        lambda: header(1, 1) + chunk(b"teXt") * 800_000 + DOT + END, UNREADABLE
    ),
    "600,000 text chunks": File(
        lambda: header(1, 1) + chunk(b"tEXt", b"a\0b") * 600_000 + DOT + END, UNREADABLE
    ),
    "a text of 64 MiB in 64 kB": File(
        lambda: header(1, 1) + chunk(b"zTXt", b"a\0\0" + squeezed(64)) + DOT + END, pixel=(0, 0, 0)
    ),
    "a colour profile of 64 MiB in 64 kB": File(
        lambda: header(1, 1) + chunk(b"iCCP", b"a\0\0" + squeezed(64)) + DOT + END, pixel=(0, 0, 0)
    ),
    "pixels for 64 MiB in a picture of one": File(
        lambda: header(1, 1) + chunk(b"IDAT", squeezed(64)) + END, pixel=(0, 0, 0)
    ),
    "2 million JPEG segments": File(lambda: jpeg_with(b"\xff\xe9\0\2" * 2_000_000), UNREADABLE),
    "10 million fill bytes": File(lambda: jpeg_with(b"\xff" * 10_000_000), UNREADABLE),
    "10 million bytes between segments": File(lambda: jpeg_with(b"\0" * 10_000_000), UNREADABLE),
    "100,000 pieces of EXIF": File(
        lambda: jpeg_with(segment(0xE1, b"Exif\0\0AA") * 100_000), UNREADABLE
    ),
    "2,000 scans": File(lambda: scans(2000), UNREADABLE),
    "90 scans of the largest picture": File(lambda: scans(90)),
    "a million WebP chunks": File(
        lambda: riff(canvas(1, 1, 0), *[(b"junk", b"")] * 1_000_000), UNREADABLE
    ),
    # More than one picture.
    "150,000 WebP frames": File(lambda: webp_frames(150_000, 1), ANIMATED),
    "an animated PNG": File(
        lambda: saved(red(), save_all=True, append_images=[red(mode="L")]), ANIMATED
    ),
    "a PNG that says 4 billion frames": File(
        lambda: header(1, 1) + chunk(b"acTL", b"\xff" * 4 + bytes(4)) + DOT + END, pixel=(0, 0, 0)
    ),
    # Metadata.
    "a JPEG that says where I live": File(
        lambda: saved(red(), "JPEG", exif=where_i_live(), comment=CANARY, xmp=CANARY.encode()),
        pixel=(254, 0, 0),
    ),
    "a PNG that says where I live": File(
        lambda: saved(red(), exif=where_i_live(), pnginfo=texts()), pixel=(255, 0, 0)
    ),
    "a WebP that says where I live": File(
        lambda: saved(red(), "WEBP", exif=where_i_live(), xmp=CANARY.encode(), lossless=True),
        pixel=(255, 0, 0),
    ),
    "a colour profile that says where I live": File(
        lambda: saved(red(), icc_profile=CANARY.encode() * 99), pixel=(255, 0, 0)
    ),
    "EXIF that leads to itself": File(
        lambda: jpeg_with(segment(0xE1, loop_of_directories())), pixel=(254, 0, 0)
    ),
    # Two things at once, and other things.
    "PNG and ZIP": File(lambda: saved(red()) + zipped(), pixel=(255, 0, 0)),
    "JPEG and script": File(
        lambda: jpeg() + b"<?php system($_GET['c']); ?><script>" + CANARY.encode(),
        pixel=(254, 0, 0),
    ),
    "ZIP and PNG": File(lambda: zipped() + saved(red()), UNREADABLE),
    "a GIF under the name of a PNG": File(lambda: saved(red(), "GIF"), UNREADABLE),
    "a BMP": File(lambda: saved(red(), "BMP"), UNREADABLE),
    "a TIFF": File(lambda: saved(red(), "TIFF"), UNREADABLE),
    "an icon": File(ico, UNREADABLE),
    "a WMF": File(lambda: WMF, UNREADABLE),
    "PostScript": File(
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n", UNREADABLE
    ),
    "a PDF": File(lambda: saved(red(), "PDF"), UNREADABLE),
    "an SVG with an entity": File(lambda: SVG, UNREADABLE),
    "an SVG of a billion laughs": File(lambda: LAUGHS + b"]><svg>&a9;</svg>", UNREADABLE),
    "a page": File(lambda: b"<html><img src=x onerror=alert(1)></html>", UNREADABLE),
    # Pictures that are all right, of kinds that are rare.
    "CMYK": File(lambda: saved(red(mode="CMYK"), "JPEG", quality=95), pixel=(254, 0, 0)),
    "grey with 16 bits": File(
        lambda: saved(Image.new("I;16", (40, 20), 128 << 8)), pixel=(128, 128, 128)
    ),
    "a palette with transparency": File(
        lambda: saved(red(mode="P"), transparency=bytes([255] * 256)), pixel=(255, 0, 0)
    ),
    "black and white": File(lambda: saved(Image.new("1", (40, 20), 1)), pixel=(255, 255, 255)),
    "a palette index that is not there": File(
        lambda: header(1, 1, 8, 3) + chunk(b"PLTE", b"\xff\0\0")
        + chunk(b"IDAT", zlib.compress(b"\0\xff")) + END
    ),
}  # fmt: skip


def request(data: bytes) -> ImageRequest:
    return ImageRequest(
        prompt="x", model="tiny", width=64, height=64, own_size=False, steps=1, guidance_scale=1,
        seed=1, source=attached(data, size_bytes=0),
        use=ReferenceUse.RESTYLE, strength=0.5,
    )  # fmt: skip


def run() -> Iterator[Result]:
    warnings.simplefilter("ignore")  # as Pillow's are met outside of tests
    catalog = Catalog(models={"tiny": ModelEntry(source="nowhere", width=64, height=64)})
    with tempfile.TemporaryDirectory() as folder:
        blobs = Blobs(f"file://{folder}")

        def take(data: bytes) -> Any:
            fetcher = Fetcher(hosts=())
            wanted = gather(request(data), read=read, fetcher=fetcher, blobs=blobs, catalog=catalog)
            return asyncio.run(wanted)

        # Libraries that are loaded at first use are not the first file's doing.
        take(jpeg())
        for name, file in FILES.items():
            data = file.make()
            result = measured(name, lambda data=data: take(data))  # type: ignore[misc]
            answer = _answer(result.answer, blobs)
            yield Result(**{**vars(result), "answer": answer})


def _answer(taken: Gathered | Complaint, blobs: Blobs) -> dict[str, Any]:
    if isinstance(taken, Complaint):
        return {"says": [say(locale, taken.text, **taken.values) for locale in LOCALES]}
    assert taken.request.reference is not None
    kept = blobs.get(taken.request.reference.sha256)
    with Image.open(io.BytesIO(kept)) as image:
        image.load()
        return {
            "form": image.format,
            "mode": image.mode,
            "size": image.size,
            "info": sorted(map(str, image.info)),
            "exif": len(image.getexif()),
            "canary": CANARY.encode() in kept,
            "pixel": image.getpixel((image.width // 2, image.height // 2)),
        }


if __name__ == "__main__":
    report(run())
