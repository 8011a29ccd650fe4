"""Masks mean what people painted, in whatever way they painted it."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from bot.i18n import LOCALES, say
from bot.references import Fetcher, Gathered, gather
from bot.references.decode import Decoded, Unreadable, decode
from bot.references.masks import erased, painted
from storage.blobs import Blobs
from storage.catalog import Catalog, ModelEntry
from storage.domain import Complaint, ImageRequest, ReferenceUse
from tests.fakes.attachments import attached, read

SIZE = (128, 96)
SQUARE = (48, 32, 80, 64)
PART = 1 / 12
"""Of the picture, the square."""


def saved(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def photo(size: tuple[int, int] = SIZE) -> Image.Image:
    """Every colour somewhere."""
    across = Image.linear_gradient("L").rotate(90)
    bands = (across, Image.linear_gradient("L"), Image.radial_gradient("L"))
    return Image.merge("RGB", bands).resize(size)


def square(mode: str, on: Any, of: Any, size: tuple[int, int] = SIZE) -> Image.Image:
    image = Image.new(mode, size, on)
    scale = size[0] / SIZE[0]
    left, top, right, bottom = (round(side * scale) for side in SQUARE)
    ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), fill=of)
    return image


def indexed(transparent: bool) -> bytes:
    image = square("P", 0, 1)
    image.putpalette([0, 0, 0, 255, 255, 255])
    return saved(image, **({"transparency": 0} if transparent else {}))


def turned() -> bytes:
    """Lying on its side, and a line of EXIF that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(square("L", 0, 255).transpose(Image.Transpose.ROTATE_90), exif=exif)


def with_a_frame() -> bytes:
    """White on black, the black not quite as large as the mask."""
    image = square("RGBA", (0, 0, 0, 255), "white")
    image.paste((0, 0, 0, 0), (0, 0, 10, 96))
    return saved(image)


def soft() -> bytes:
    """A brush with a soft edge, that reaches half its strength at the square's."""
    brush = Image.new("RGBA", SIZE, (255, 255, 255, 0))
    brush.putalpha(square("L", 0, 255).filter(ImageFilter.GaussianBlur(3)))
    return saved(brush)


def erased_copy() -> bytes:
    """The picture itself with a part erased, as some programs want their masks."""
    image = photo().convert("RGBA")
    image.paste((0, 0, 0, 0), SQUARE)
    return saved(image)


CLEAR = (0, 0, 0, 0)
MASKS: dict[str, Callable[[], bytes]] = {
    "white on black": lambda: saved(square("L", 0, 255)),
    "white on black, in colours": lambda: saved(square("RGB", "black", "white")),
    "white on black, opaque": lambda: saved(square("RGBA", (0, 0, 0, 255), "white")),
    "white on nothing": lambda: saved(square("RGBA", CLEAR, "white")),
    "white on white that is clear": lambda: saved(square("RGBA", (255, 255, 255, 0), "white")),
    "black on nothing": lambda: saved(square("RGBA", CLEAR, (0, 0, 0, 255))),
    "black on white that is clear": lambda: saved(
        square("RGBA", (255, 255, 255, 0), (0, 0, 0, 255))
    ),
    "red on nothing": lambda: saved(square("RGBA", CLEAR, "red")),
    "dark blue on nothing": lambda: saved(square("RGBA", CLEAR, "navy")),
    "a thin colour on nothing": lambda: saved(square("RGBA", CLEAR, (255, 0, 0, 100))),
    "white on black with a clear frame": with_a_frame,
    "blue on black": lambda: saved(square("RGB", "black", "blue")),
    "grey on black": lambda: saved(square("L", 0, 100)),
    "white on grey": lambda: saved(square("L", 120, 255)),
    "grey and clear": lambda: saved(square("LA", (0, 0), (90, 255))),
    "black and white": lambda: saved(square("1", 0, 1)),
    "a palette": lambda: indexed(transparent=False),
    "a palette with a clear colour": lambda: indexed(transparent=True),
    "a colour that counts as clear": lambda: saved(
        square("RGB", "lime", "black"), transparency=(0, 255, 0)
    ),
    "16 bits": lambda: saved(square("I;16", 0, 65_535)),
    "16 bits, one of which counts as clear": lambda: saved(
        square("I;16", 500, 30_000), transparency=500
    ),
    "a JPEG": lambda: saved(square("L", 0, 255), "JPEG", quality=30),
    "a WebP": lambda: saved(square("RGBA", CLEAR, "white"), "WEBP", quality=50),
    "on its side": turned,
    "soft": soft,
    "twice the size": lambda: saved(square("L", 0, 255, (256, 192))),
    "a third of the size": lambda: saved(square("RGBA", CLEAR, "red", (512, 384))),
    "a copy with a part erased": erased_copy,
}


def mask_of(data: bytes, picture: Decoded) -> Image.Image:
    mask = Image.open(io.BytesIO(painted(data, picture)))
    assert (mask.mode, mask.size) == ("L", (picture.width, picture.height))
    assert {value for value, count in enumerate(mask.histogram()) if count} <= {0, 255}
    return mask


def white(mask: Image.Image) -> float:
    return mask.histogram()[255] / (mask.width * mask.height)


@pytest.mark.parametrize("name", MASKS)
def test_what_is_painted_is_repainted(name: str) -> None:
    mask = mask_of(MASKS[name](), decode(saved(photo())))
    box = mask.getbbox()
    assert box is not None
    assert max(abs(side - wanted) for side, wanted in zip(box, SQUARE, strict=True)) <= 1
    assert white(mask) == pytest.approx(PART, rel=0.1)


@pytest.mark.parametrize("length", [400, 4000])
@pytest.mark.parametrize("on", ["black", CLEAR])
def test_a_stroke_stays_however_thin(length: int, on: Any) -> None:
    large = Image.new("RGBA", (length, length * 3 // 4), on)
    ImageDraw.Draw(large).line((0, length // 2, length, length // 2), fill="white")
    mask = mask_of(saved(large), decode(saved(photo())))
    assert mask.getbbox() == (0, 64, 128, 65)


def complained(act: Callable[[], object]) -> str:
    with pytest.raises(Unreadable) as caught:
        act()
    complaint = caught.value.complaint
    said = [say(locale, complaint.text, **complaint.values) for locale in LOCALES]
    assert len(set(said)) == len(LOCALES), "in words of each language"
    return said[0]


@pytest.mark.parametrize("size", [(300, 96), (96, 128), (128, 98), (64, 64)])
def test_a_mask_of_another_shape_is_refused(size: tuple[int, int]) -> None:
    picture = decode(saved(photo()))
    said = complained(lambda: painted(saved(Image.new("L", size, 255)), picture))
    assert f"{size[0]}×{size[1]}" in said
    assert "128×96" in said


@pytest.mark.parametrize("size", [(64, 48), (43, 32), (42, 32), (127, 95), (4032, 3024), (4, 3)])
def test_but_not_one_of_the_same_shape(size: tuple[int, int]) -> None:
    assert white(mask_of(saved(Image.new("L", size, 255)), decode(saved(photo())))) == 1.0


def test_shapes_are_those_of_the_files_as_people_see_them() -> None:
    """A photo larger than what is kept, lying on its side."""
    exif = Image.Exif()
    exif[0x0112] = 8
    picture = decode(saved(photo((4032, 3000)), "JPEG", exif=exif))
    assert (picture.width, picture.height) == (1524, 2048)
    assert "4032×3000 pixels and the picture 3000×4032" in complained(
        lambda: painted(saved(Image.new("L", (4032, 3000), 255)), picture)
    )
    mask_of(saved(Image.new("L", (3000, 4032), 255)), picture)


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (Image.new("L", SIZE, 0), "empty or black all over"),
        (Image.new("RGBA", SIZE, CLEAR), "empty or black all over"),
        (Image.new("RGBA", SIZE, (255, 255, 255, 0)), "empty or black all over"),
        (Image.new("RGBA", SIZE, (0, 0, 0, 255)), "empty or black all over"),
        (square("RGB", "white", "red"), "can't tell"),
    ],
)
def test_where_nothing_can_be_seen_to_be_painted(mask: Image.Image, says: str) -> None:
    assert says in complained(lambda: painted(saved(mask), decode(saved(photo()))))


def test_a_photo_of_something_else_is_no_mask() -> None:
    other = photo().transpose(Image.Transpose.ROTATE_180).convert("RGBA")
    other.paste(CLEAR, SQUARE)
    assert "can't tell" in complained(lambda: painted(saved(other), decode(saved(photo()))))


def eraser(softness: float, under: str, size: tuple[int, int]) -> Image.Image:
    """A photo with a round hole, and under it what the program left there."""
    hole = Image.new("L", size, 255)
    middle, radius = size[0] // 2, size[0] // 5
    box = (middle - radius, middle - radius, middle + radius, middle + radius)
    ImageDraw.Draw(hole).ellipse(box, fill=0)
    hole = hole.filter(ImageFilter.GaussianBlur(softness))
    image = Image.composite(photo(size), Image.new("RGB", size, under), hole.point(_any))
    image.putalpha(hole)
    return image


def _any(alpha: int) -> int:
    return 255 if alpha else 0


@pytest.mark.parametrize("smaller", [1, 3, 8, 16])
@pytest.mark.parametrize("under", ["white", "black", "magenta"])
@pytest.mark.parametrize("softness", [0, 12])
def test_nothing_from_under_an_eraser_gets_into_what_is_kept(
    softness: float, under: str, smaller: int
) -> None:
    """Also where the picture is made smaller afterwards, which mixes neighbours."""
    size = (512, 512)
    picture, hole = erased(saved(eraser(softness, under, size)))
    with Image.open(io.BytesIO(picture.png)) as image, Image.open(io.BytesIO(hole)) as mask:
        target = (size[0] // smaller, size[1] // smaller)
        drawn = image.resize(target, Image.Resampling.LANCZOS)
        expected = photo(size).resize(target, Image.Resampling.LANCZOS)
        kept = mask.resize(target, Image.Resampling.BOX).point(lambda share: 0 if share else 255)
    assert 0.5 < kept.histogram()[255] / (target[0] * target[1]) < 0.95
    difference = ImageChops.difference(drawn, expected)
    nothing = Image.new("RGB", target)
    leaked = Image.composite(difference, nothing, kept).getextrema()
    assert max(most for _, most in leaked) <= (0 if smaller == 1 else 1)  # type: ignore[misc]


@pytest.mark.parametrize("softness", [0, 12])
def test_nor_where_the_picture_is_larger_than_what_is_kept(softness: float) -> None:
    size = (2600, 2600)
    picture, hole = erased(saved(eraser(softness, "white", size), compress_level=1))
    expected = photo(size).resize((2048, 2048), Image.Resampling.LANCZOS)
    with Image.open(io.BytesIO(picture.png)) as image, Image.open(io.BytesIO(hole)) as mask:
        nothing = Image.new("RGB", image.size)
        difference = ImageChops.difference(image, expected)
        leaked = Image.composite(nothing, difference, mask).getextrema()
    assert max(most for _, most in leaked) <= 4  # type: ignore[misc]


def request(**changes: Any) -> ImageRequest:
    return ImageRequest(
        prompt="x", model="tiny", steps=1, guidance_scale=1, seed=1, use=ReferenceUse.EDIT,
        **{"width": 64, "height": 64, **changes},
    )  # fmt: skip


@pytest.mark.parametrize(("width", "fits"), [(64, False), (128, True)])
async def test_what_is_painted_outside_of_the_shape_that_was_asked_for_is_said(
    width: int, fits: bool, tmp_path: Any
) -> None:
    """A square cut out of the middle of a wide picture that is to be repainted at its left."""
    wide = Image.new("L", (256, 64), 0)
    wide.paste(255, (0, 0, 60, 64))
    wanted = request(
        width=width,
        height=32,
        source=attached(saved(photo((256, 64)))),
        mask_source=attached(saved(wide)),
    )
    catalog = Catalog(models={"tiny": ModelEntry(source="nowhere", width=64, height=64)})
    blobs = Blobs(f"file://{tmp_path}")
    got = await gather(wanted, read=read, fetcher=Fetcher(hosts=()), blobs=blobs, catalog=catalog)
    assert isinstance(got, Gathered if fits else Complaint)
    if isinstance(got, Complaint):
        assert "cut off" in got.text
        assert not list(tmp_path.rglob("*.png"))
