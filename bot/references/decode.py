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
MASK_THRESHOLD = 128
"""From this grey value on a mask is white."""

T = TypeVar("T")
_FORMATS = ("PNG", "JPEG", "WEBP")


class Unreadable(Exception):
    """Not a picture that can be used; `complaint` says what to send instead."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint.text)
        self.complaint = complaint


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """PNG files without metadata."""

    png: bytes
    """RGB, longest side at most 2048 pixels."""
    width: int
    height: int
    transparent_png: bytes | None
    """Mode L, of the same size: white where the picture was transparent. None if nowhere."""


def pixels(data: bytes) -> int:
    """How many pixels the file says that it has. Raises Unreadable."""
    return _opened(data, lambda image: image.width * image.height)


def decode(data: bytes) -> Decoded:
    """Decode a reference: PNG, JPEG or WebP, one frame, at most 10 MiB and 16.8 megapixels.

    Raises Unreadable.
    """
    image = _opened(data, _pixels)
    alpha = image.getchannel("A").point(_white_if_clear) if "A" in image.getbands() else None
    if alpha is not None and alpha.getbbox() is None:
        alpha = None
    width, height = image.size
    return Decoded(
        png=_png(_flat(image)),
        width=width,
        height=height,
        transparent_png=_png(alpha) if alpha is not None else None,
    )


def decode_mask(data: bytes, width: int, height: int) -> bytes:
    """A mask as PNG in mode L, of the reference's size: white is repainted.

    Raises Unreadable, also when there is no white in it.
    """
    mask = _flat(_opened(data, _pixels)).convert("L")
    mask = mask.resize((width, height), Image.Resampling.BILINEAR)
    mask = mask.point(_white_if_light)
    if mask.getbbox() is None:
        raise Unreadable(
            Complaint(
                text="The mask is black all over, so there is nothing to repaint. Paint white what "
                "should change."
            )
        )
    return _png(mask)


def _white_if_clear(alpha: int) -> int:
    return 255 if alpha < MASK_THRESHOLD else 0


def _white_if_light(grey: int) -> int:
    return 255 if grey >= MASK_THRESHOLD else 0


def _opened(data: bytes, look: Callable[[Image.Image], T]) -> T:
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


def _pixels(image: Image.Image) -> Image.Image:
    """Upright, at most 2048 pixels a side, mode RGB or RGBA. Decoded after what the header says
    has been checked. Every copy of the largest picture is 67 MB, so none is made that can be done
    without."""
    if image.width * image.height > MAX_PIXELS:
        raise _too_many_pixels()
    if max(image.size) > MAX_LENGTH_PX:
        raise _too_long()
    if getattr(image, "n_frames", 1) != 1:
        raise Unreadable(Complaint(text="That picture is animated. Send one with a single frame."))
    if image.format == "JPEG":
        image.draft("RGB", (MAX_SIDE_PX, MAX_SIDE_PX))
    picture = _loaded(image)
    clear = "A" in picture.getbands() or "transparency" in picture.info
    mode = "RGBA" if clear else "RGB"
    if picture.mode != mode:
        picture = picture.convert(mode)
    # The gap lets most of the way be done by averaging, which takes a tenth of the time.
    size = (MAX_SIDE_PX, MAX_SIDE_PX)
    picture.thumbnail(size, Image.Resampling.LANCZOS, reducing_gap=1.0)
    return picture


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


def _flat(image: Image.Image) -> Image.Image:
    """Without transparency: on white, as a page would show it."""
    if image.mode == "RGB":
        return image
    page = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(page, image).convert("RGB")


def _png(image: Image.Image) -> bytes:
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
