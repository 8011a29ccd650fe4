"""Grounds: simple backgrounds drawn by rule, each in several variants."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw, ImageFilter

from generation.builtin.words import GROUNDS, RGB

VARIANTS: Final = 12  # of each ground

_Pen = ImageDraw.ImageDraw


def draw_grounds(size: int, series: str = "") -> list[Image.Image]:
    """VARIANTS pictures of each ground in the order of GROUNDS, RGB of `size` x `size` pixels.

    Another `series` has other variants.
    """
    return [
        draw_ground(ground, size, random.Random(f"{series}{ground} {number}"))  # noqa: S311
        for ground in GROUNDS
        for number in range(VARIANTS)
    ]


def draw_ground(ground: str, size: int, rng: random.Random) -> Image.Image:
    """One variant, drawn at 256 pixels and resized."""
    look = _LOOKS[ground]
    page = _gradient(_near(look.above, rng), _near(look.at_the_horizon, rng))
    pen = ImageDraw.Draw(page)
    line = round(256 * (look.horizon + rng.uniform(-0.02, 0.02)))
    look.behind(pen, line, rng)
    if look.below:
        pen.rectangle((0, line, 256, 256), fill=_near(look.below, rng))
    look.before(pen, line, rng)
    return page.filter(ImageFilter.GaussianBlur(0.6)).resize((size, size), Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class _Look:
    """What a ground is made of."""

    above: RGB
    at_the_horizon: RGB
    below: RGB | None = None  # None: sky all over
    horizon: float = 0.62  # part of the height
    behind: Callable[[_Pen, int, random.Random], None] = lambda pen, line, rng: None
    before: Callable[[_Pen, int, random.Random], None] = lambda pen, line, rng: None


def _near(colour: RGB, rng: random.Random) -> RGB:
    red, green, blue = (min(max(c + rng.randint(-5, 5), 0), 255) for c in colour)
    return red, green, blue


def _gradient(top: RGB, bottom: RGB) -> Image.Image:
    mask = Image.linear_gradient("L")  # 256 x 256, black above
    return Image.composite(
        Image.new("RGB", (256, 256), bottom), Image.new("RGB", (256, 256), top), mask
    )


def _stars(pen: _Pen, line: int, rng: random.Random) -> None:
    for _ in range(26):
        x, y, r = rng.randint(4, 252), rng.randint(4, line - 4), rng.choice((1, 1, 2))
        pen.ellipse((x - r, y - r, x + r, y + r), fill=(255, 250, 215))


def _moon(pen: _Pen, line: int, rng: random.Random) -> None:
    _stars(pen, line, rng)
    x, y = rng.choice((36, 220)), rng.randint(30, 44)
    pen.ellipse((x - 17, y - 17, x + 17, y + 17), fill=(250, 240, 190))


def _planet(pen: _Pen, line: int, rng: random.Random) -> None:
    _stars(pen, 256, rng)
    x, y = rng.choice((34, 222)), rng.choice((34, 222))
    pen.ellipse(
        (x - 15, y - 15, x + 15, y + 15), fill=rng.choice(((200, 120, 90), (120, 150, 220)))
    )


def _clouds(pen: _Pen, line: int, rng: random.Random) -> None:
    for _ in range(3):
        x, y = rng.randint(10, 246), rng.randint(16, max(line - 30, 30))
        for step in (-16, 0, 16):
            r = 11 if step else 15
            pen.ellipse((x + step - r, y - r, x + step + r, y + r), fill=(250, 252, 255))


def _sun(pen: _Pen, line: int, rng: random.Random) -> None:
    x = rng.randint(60, 196)
    pen.ellipse((x - 34, line - 40, x + 34, line + 28), fill=(255, 226, 120))


def _blades(pen: _Pen, line: int, rng: random.Random) -> None:
    for _ in range(34):
        x, y = rng.randint(0, 255), rng.randint(line + 6, 250)
        pen.line((x, y, x + rng.randint(-3, 3), y - 7), fill=(58, 142, 58), width=2)


def _waves(pen: _Pen, line: int, rng: random.Random) -> None:
    for y in range(line + 10, 256, 18):
        for x in range(rng.randint(-24, 0), 256, 44):
            pen.arc((x, y, x + 26, y + 9), 0, 180, fill=(150, 205, 245), width=2)


def _surf(pen: _Pen, line: int, rng: random.Random) -> None:
    pen.rectangle((0, line - 26, 256, line), fill=(52, 140, 205))
    pen.rectangle((0, line - 4, 256, line), fill=(235, 246, 250))


def _flakes(pen: _Pen, line: int, rng: random.Random) -> None:
    for _ in range(40):
        x, y = rng.randint(2, 253), rng.randint(2, 253)
        pen.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(255, 255, 255))


def _window(pen: _Pen, line: int, rng: random.Random) -> None:
    x = rng.choice((22, 178))
    pen.rectangle((x, 26, x + 56, 92), fill=(176, 220, 248), outline=(150, 104, 62), width=5)
    pen.line((x + 28, 26, x + 28, 92), fill=(150, 104, 62), width=4)
    pen.line((x, 59, x + 56, 59), fill=(150, 104, 62), width=4)


def _planks(pen: _Pen, line: int, rng: random.Random) -> None:
    pen.rectangle((0, line, 256, line + 6), fill=(120, 78, 44))
    for y in range(line + 24, 256, 22):
        pen.line((0, y, 256, y), fill=(158, 106, 62), width=2)


def _trees(pen: _Pen, line: int, rng: random.Random) -> None:
    for x in range(rng.randint(-10, 10), 270, 34):
        top = rng.randint(12, 60)
        pen.rectangle((x - 4, line - 30, x + 4, line), fill=(98, 70, 44))
        pen.polygon(((x - 25, line - 18), (x + 25, line - 18), (x, top)), fill=(44, 106, 66))


def _houses(pen: _Pen, line: int, rng: random.Random) -> None:
    x = rng.randint(-20, 0)
    while x < 256:
        wide, high = rng.randint(34, 52), rng.randint(60, 130)
        grey = rng.randint(128, 168)
        pen.rectangle((x, line - high, x + wide, line), fill=(grey, grey + 8, grey + 26))
        for row in range(line - high + 10, line - 10, 18):
            for column in range(x + 7, x + wide - 9, 14):
                pen.rectangle((column, row, column + 6, row + 8), fill=(250, 236, 170))
        x += wide + 3


def _road(pen: _Pen, line: int, rng: random.Random) -> None:
    for x in range(rng.randint(0, 30), 256, 50):
        pen.rectangle((x, line + 44, x + 24, line + 49), fill=(240, 240, 240))


def _dunes(pen: _Pen, line: int, rng: random.Random) -> None:
    for x in (rng.randint(10, 70), rng.randint(150, 230)):
        pen.ellipse((x - 90, line - 22, x + 90, line + 40), fill=(226, 172, 98))


_LOOKS: Final = {
    "grass": _Look((150, 210, 250), (205, 235, 252), (96, 182, 84), before=_blades),
    "sea": _Look((165, 215, 250), (220, 240, 252), (44, 122, 204), before=_waves),
    "night": _Look((14, 20, 62), (38, 48, 112), (24, 34, 44), horizon=0.86, behind=_moon),
    "snow": _Look((178, 200, 226), (214, 226, 240), (246, 249, 253), before=_flakes),
    "room": _Look(
        (246, 224, 190), (242, 214, 176), (186, 130, 80), 0.7, behind=_window, before=_planks
    ),
    "beach": _Look((120, 200, 245), (200, 235, 250), (240, 218, 162), behind=_surf),
    "sunset": _Look((92, 62, 132), (252, 152, 82), (70, 48, 78), horizon=0.75, behind=_sun),
    "space": _Look((8, 6, 26), (34, 14, 58), behind=_planet),
    "forest": _Look((150, 205, 170), (205, 232, 205), (92, 140, 70), behind=_trees),
    "city": _Look(
        (175, 210, 238), (226, 232, 240), (98, 100, 108), 0.7, behind=_houses, before=_road
    ),
    "desert": _Look((250, 206, 130), (253, 232, 184), (238, 190, 116), behind=_dunes),
    "sky": _Look((96, 172, 240), (190, 224, 250), horizon=1.0, behind=_clouds),
}
