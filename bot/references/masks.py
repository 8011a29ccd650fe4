"""Where an edit repaints: what somebody painted in a mask, or erased from the picture itself.
Blocking: use a thread."""

import io

from PIL import Image, ImageChops, ImageFilter, ImageStat

from bot.i18n import mark
from bot.references.decode import Decoded, Unreadable, decoded, opened, png, shrunk, upright
from storage.domain import Complaint

HALF = 128
CONTRAST = 64
"""Between the darkest and the lightest grey of a mask in which there are two."""
DARK, LIGHT = 64, 192
MANY_TONES = 64
"""Of 256, each of a thousandth of what is opaque: not strokes, but a photo."""
LIKENESS_PX = 64
ALIKE, VARIED = 8.0, 16.0
"""Grey values, of 255: how far a copy may be from the picture, and how much of a picture there must
be for it to be known by."""

UNCLEAR = mark(
    "I can't tell what is painted in that mask. Paint white on black, or on a transparent layer."
)


def painted(data: bytes, picture: Decoded) -> bytes:
    """A mask as PNG in mode L, of the picture's size: white is repainted.

    Painted is what is light on dark. Where the mask has transparent parts, it is what is not
    transparent, whatever its colour; of black and white there, the white. A copy of the picture
    with a part erased means that part. Raises Unreadable: for another shape than the picture's, and
    where nothing is painted, or it cannot be told what.
    """
    image = opened(data, upright)
    if not _same_shape(image.size, picture.sent):
        raise _another_shape(image.size, picture.sent)
    mask = _covering(_painted(image, picture), (picture.width, picture.height))
    if mask.getbbox() is None:
        raise Unreadable(
            Complaint(
                text="The mask is empty or black all over, so there is nothing to repaint. Paint "
                "white what should change."
            )
        )
    return png(mask)


def erased(data: bytes) -> tuple[Decoded, bytes]:
    """A picture, and a mask of what is more transparent than not. There the picture goes on from
    around it, so that nothing from under an eraser gets into what is kept, however it is scaled.

    Raises Unreadable where nothing is transparent.
    """
    image, sent = opened(data, shrunk)
    clear = image.getchannel("A").point(_below_half) if image.mode == "RGBA" else None
    if clear is None or clear.getbbox() is None:
        raise Unreadable(
            Complaint(
                text="To edit, I must know where. Attach a mask (white is repainted, black "
                "stays), or erase that part of the picture and save it as PNG."
            )
        )
    image.putalpha(ImageChops.invert(clear))
    return decoded(_filled(image), sent), png(clear)


def is_cut_off(mask: bytes, size: tuple[int, int]) -> bool:
    """Whether nothing painted is left of a mask in a picture of another aspect, which is cut evenly
    at the sides."""
    with Image.open(io.BytesIO(mask), formats=["PNG"]) as image:
        scale = max(size[0] / image.width, size[1] / image.height)
        left, top = ((old - new / scale) / 2 for old, new in zip(image.size, size, strict=True))
        box = (int(left), int(top), round(image.width - left), round(image.height - top))
        return image.crop(box).getbbox() is None


def _same_shape(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether one is the other scaled, to whole pixels."""
    return abs(first[0] * second[1] - first[1] * second[0]) <= max(*first, *second)


def _another_shape(mask: tuple[int, int], picture: tuple[int, int]) -> Unreadable:
    return Unreadable(
        Complaint(
            text="The mask has {mask} pixels and the picture {picture}, which is another shape. "
            "Paint the mask on a copy of the picture.",
            values={"mask": "{}×{}".format(*mask), "picture": "{}×{}".format(*picture)},
        )
    )


def _painted(mask: Image.Image, picture: Decoded) -> Image.Image:
    """255 where it is painted, else 0; of the mask's own size."""
    red, green, blue = mask.split()[:3]
    light = ImageChops.lighter(red, ImageChops.lighter(green, blue))
    alpha = mask.getchannel("A") if mask.mode == "RGBA" else None
    if alpha is None or _ends(alpha)[0] >= HALF:
        dark = ImageChops.darker(red, ImageChops.darker(green, blue))
        if _ends(light)[0] >= HALF > CONTRAST > _ends(dark)[0]:
            raise Unreadable(Complaint(text=UNCLEAR))  # Colours on white: all of it is light.
        return _upper_half(light)
    strokes = _upper_half(alpha)
    if _is_copy(mask, strokes, picture):
        return ImageChops.invert(strokes)
    # The rim of a stroke may have any colour.
    tones = light.histogram(strokes.filter(ImageFilter.MinFilter(3)))
    if sum(1000 * count > sum(tones) for count in tones) > MANY_TONES:
        raise Unreadable(Complaint(text=UNCLEAR))
    if any(tones[:DARK]) and any(tones[LIGHT:]):
        return ImageChops.multiply(strokes, _upper_half(light))
    return strokes


def _upper_half(band: Image.Image) -> Image.Image:
    """255 where it is nearer to its greatest value than to its least, or without two such from
    half of what there could be."""
    least, greatest = _ends(band)
    half = (least + greatest + 1) // 2 if greatest - least >= CONTRAST else HALF
    return band.point([0] * half + [255] * (256 - half))


def _ends(band: Image.Image) -> tuple[int, int]:
    """The least value that is there, and the greatest."""
    there = [value for value, count in enumerate(band.histogram()) if count]
    return there[0], there[-1]


def _below_half(alpha: int) -> int:
    return 255 if alpha < HALF else 0


def _is_copy(mask: Image.Image, strokes: Image.Image, picture: Decoded) -> bool:
    """Whether what is not transparent is the picture itself. One without features is known by
    nothing."""
    size = (LIKENESS_PX, LIKENESS_PX)
    with Image.open(io.BytesIO(picture.png), formats=["PNG"]) as image:
        original = image.resize(size)
    there = strokes.resize(size, Image.Resampling.BOX).point([0] * 255 + [255])
    if there.getbbox() is None:
        return False
    difference = ImageChops.difference(mask.resize(size).convert("RGB"), original)
    unlike = ImageStat.Stat(difference, there).mean
    return max(unlike) < ALIKE and max(ImageStat.Stat(original, there).stddev) > VARIED


def _covering(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scaled so that a stroke never vanishes, however thin: 255 where anything is painted."""
    if mask.size == size:
        return mask
    share = mask.convert("F").resize(size, Image.Resampling.BOX)
    return share.point(lambda painted: painted * 1e6).convert("L").point([0] + [255] * 255)


def _filled(image: Image.Image) -> Image.Image:
    """RGBA with an alpha of 0 or 255 to RGB, colours spread into what is transparent from around it
    (the pyramid of Gortler et al., The Lumigraph, 1996, 3.4)."""
    levels = [image]
    while max(levels[-1].size) > 1:
        smaller = levels[-1].reduce(2)
        smaller.putalpha(smaller.getchannel("A").point([0] + [255] * 255))
        levels.append(smaller)
    filled = levels.pop()
    for level in reversed(levels):
        filled = filled.resize(level.size, Image.Resampling.BILINEAR)
        filled.putalpha(255)
        filled.alpha_composite(level)
    return filled.convert("RGB")
