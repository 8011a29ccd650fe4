"""From the bytes that somebody sent to a picture that is safe to keep. Blocking: use a thread."""

import contextlib
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image, ImageOps

from bot.references.fetch import MAX_BYTES, too_large
from bot.references.pieces import pixels_only
from storage.domain import Complaint

MAX_PIXELS = 16_800_000
MAX_LENGTH_PX = 16_383
"""Of one side, before anything is made smaller: as far as WebP goes."""
MAX_SIDE_PX = 2048

T = TypeVar("T")
_FORMATS = ("PNG", "JPEG", "WEBP")


class Unreadable(Exception):
    """Not a picture that can be used; `complaint` says what to send instead."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint.text)
        self.complaint = complaint


@dataclass(frozen=True, kw_only=True)
class Decoded:
    png: bytes
    """RGB, longest side at most 2048 pixels, without metadata."""
    width: int
    height: int
    sent: tuple[int, int]
    """Width and height of the file, upright."""


def pixels(data: bytes) -> int:
    """How many pixels the file says that it has. Raises Unreadable."""
    return opened(data, lambda image: image.width * image.height)


def decode(data: bytes) -> Decoded:
    """Decode a reference: PNG, JPEG or WebP, one frame, at most 10 MiB and 16.8 megapixels. What
    is transparent lies on white, as a page would show it.

    Raises Unreadable.
    """
    image, sent = opened(data, shrunk)
    if image.mode == "RGBA":
        page = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(page, image).convert("RGB")
    return decoded(image, sent)


def decoded(image: Image.Image, sent: tuple[int, int]) -> Decoded:
    return Decoded(png=png(image), width=image.width, height=image.height, sent=sent)


def opened(data: bytes, look: Callable[[Image.Image], T]) -> T:
    """What `look` finds in the picture. Raises Unreadable."""
    if len(data) > MAX_BYTES:
        raise Unreadable(too_large())
    try:
        with Image.open(io.BytesIO(pixels_only(data)), formats=_FORMATS) as image:
            return look(image)
    except Unreadable:
        raise
    # Pillow's own bounds, far above MAX_PIXELS.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels() from None
    # Decoders of damaged files raise nearly anything, SyntaxError and struct.error included.
    except Exception:
        raise _no_picture() from None


def shrunk(image: Image.Image) -> tuple[Image.Image, tuple[int, int]]:
    """As `upright`, at most 2048 pixels a side; and the size that it had."""
    _check(image)
    sent = image.size
    if image.format == "JPEG":
        image.draft("RGB", (MAX_SIDE_PX, MAX_SIDE_PX))
    drafted = image.size
    picture = upright(image)
    if picture.size != drafted:
        sent = (sent[1], sent[0])
    # The gap lets most of the way be done by averaging, which takes a tenth of the time.
    size = (MAX_SIDE_PX, MAX_SIDE_PX)
    # Beside what is transparent Lanczos overshoots, and makes lighter what is kept.
    smooth = Image.Resampling.LANCZOS if picture.mode == "RGB" else Image.Resampling.BILINEAR
    picture.thumbnail(size, smooth, reducing_gap=1.0)
    return picture, sent


def upright(image: Image.Image) -> Image.Image:
    """In mode RGB or RGBA. Decoded after what the header says has been checked. Every copy of the
    largest picture is 67 MB, so none is made that can be done without."""
    _check(image)
    picture = _loaded(image)
    clear = "A" in picture.getbands() or "transparency" in picture.info
    mode = "RGBA" if clear else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)


def _check(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _too_many_pixels()
    if max(image.size) > MAX_LENGTH_PX:
        raise _too_long()
    if getattr(image, "n_frames", 1) != 1:
        raise Unreadable(Complaint(text="That picture is animated. Send one with a single frame."))


def _loaded(image: Image.Image) -> Image.Image:
    """Upright, without what the decoder holds, and with 8 bits a channel."""
    image.load()
    with contextlib.suppress(Exception):  # EXIF that cannot be read turns nothing.
        ImageOps.exif_transpose(image, in_place=True)
    picture = image.copy()
    image.close()
    if picture.mode.startswith("I"):  # 16 bits of grey, which Pillow cuts off at 255
        picture = picture.point(lambda grey: grey * (1 / 256)).convert("L")
    return picture


def png(image: Image.Image) -> bytes:
    clean = Image.new(image.mode, image.size)
    clean.paste(image)
    out = io.BytesIO()
    clean.save(out, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return out.getvalue()


def _too_many_pixels() -> Unreadable:
    return Unreadable(
        Complaint(
            text="That picture has more than {limit} megapixels. Send a smaller one.",
            values={"limit": MAX_PIXELS / 1e6},
        )
    )


def _too_long() -> Unreadable:
    return Unreadable(
        Complaint(
            text="One side of that picture is longer than {limit} pixels. Send a smaller one.",
            values={"limit": MAX_LENGTH_PX},
        )
    )


def _no_picture() -> Unreadable:
    return Unreadable(Complaint(text="I can't read that picture. Send a PNG, JPEG or WebP file."))
