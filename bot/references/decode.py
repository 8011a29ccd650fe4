"""From the bytes that somebody sent to a picture that is safe to keep. Blocking: use a thread."""

import io
import threading
from dataclasses import dataclass

from PIL import Image, ImageOps

from bot.references.fetch import MAX_BYTES, too_large
from storage.domain import Complaint

MAX_PIXELS = 16_800_000
MAX_SIDE_PX = 2048
MASK_THRESHOLD = 128
"""From this grey value on a mask is white."""

_FORMATS = ("PNG", "JPEG", "WEBP")

# The largest picture takes some 200 MB while it is turned and converted, so few at a time.
_AT_ONCE = threading.Semaphore(2)


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


def decode(data: bytes) -> Decoded:
    """Decode a reference: PNG, JPEG or WebP, one frame, at most 10 MiB and 16.8 megapixels.

    Raises Unreadable.
    """
    image = _open(data)
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
    mask = _flat(_open(data)).convert("L").resize((width, height), Image.Resampling.BILINEAR)
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


def _open(data: bytes) -> Image.Image:
    """Upright, at most 2048 pixels a side, mode RGB or RGBA."""
    if len(data) > MAX_BYTES:
        raise Unreadable(too_large())
    try:
        with _AT_ONCE, Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return _pixels(image)
    except Unreadable:
        raise
    # Pillow's own bounds, far above MAX_PIXELS.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels() from None
    # Decoders of damaged files raise nearly anything, SyntaxError and struct.error included.
    except Exception:
        raise Unreadable(
            Complaint(text="I can't read that picture. Send a PNG, JPEG or WebP file.")
        ) from None


def _pixels(image: Image.Image) -> Image.Image:
    """Decode, after what the header says has been checked."""
    if image.width * image.height > MAX_PIXELS:
        raise _too_many_pixels()
    if getattr(image, "n_frames", 1) != 1:
        raise Unreadable(Complaint(text="That picture is animated. Send one with a single frame."))
    if image.format == "JPEG":
        image.draft("RGB", (MAX_SIDE_PX, MAX_SIDE_PX))
    image.load()
    upright = ImageOps.exif_transpose(image)
    clear = "A" in upright.getbands() or "transparency" in upright.info
    upright = upright.convert("RGBA" if clear else "RGB")
    upright.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.LANCZOS)
    return upright


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
    clean.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _too_many_pixels() -> Unreadable:
    return Unreadable(
        Complaint(
            text="That picture has more than {limit} megapixels. Send a smaller one.",
            values={"limit": MAX_PIXELS / 1e6},
        )
    )
