"""Scenes: drawn at random for training, held out for judging, and composed into pixels."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from generation.builtin.words import COLOURS, PAPER, RGB, Scene, Thing

Pixels = npt.NDArray[np.uint8]

_HELD_OUT_ONE_IN: Final = 10
_SINGLE: Final = (0.9, 0.95)  # side of a single thing, as a part of the picture's
_PAIRED: Final = (0.46, 0.48)
_SMALL: Final = (0.42, 0.46)
_OFF_CENTRE: Final = 1 / 64  # at most, as a part of the picture's side
"""Sizes and places vary little: a blurred average of many is what a short training would learn."""
_BACKGROUND_JITTER: Final = 6


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How often each kind of scene is drawn; the rest are plain things on paper."""

    pair: float = 0.25
    small: float = 0.04
    tint: float = 0.12
    background: float = 0.22


def held_out_colour(code: str, colour: str) -> bool:
    """True for the tenth of things x colours that training never draws."""
    return _tenth(f"{code} {colour}")


def held_out_pair(left: str, right: str) -> bool:
    """True for the tenth of ordered pairs that training never draws."""
    return _tenth(f"{left} beside {right}")


def _tenth(key: str) -> bool:
    return hashlib.sha256(key.encode()).digest()[0] % _HELD_OUT_ONE_IN == 0


def draw_scene(
    concept: int, codes: Sequence[str], rng: random.Random, mix: Mix, style: str | None = None
) -> Scene:
    """A scene of the given concept (and perhaps a second one) that is not held out."""
    background = rng.choice(list(COLOURS)) if rng.random() < mix.background else None
    scene = Scene(things=(Thing(concept=concept),), background=background, style=style)
    kind = rng.random()
    if kind < mix.pair:
        other = rng.randrange(len(codes))
        if other == concept or held_out_pair(codes[concept], codes[other]):
            return scene
        return replace(scene, things=(*scene.things, Thing(concept=other)))
    if kind < mix.pair + mix.small:
        return replace(scene, small=True)
    if kind < mix.pair + mix.small + mix.tint:
        colour = rng.choice([name for name in COLOURS if name != background])
        if not held_out_colour(codes[concept], colour):
            return replace(scene, things=(Thing(concept=concept, colour=colour),))
    return scene


class Composer:
    """Turns scenes into pictures of `size` x `size` pixels.

    `drawings` are RGBA pictures by style and concept index, at least `size` pixels wide; a style
    may lack a concept.
    """

    def __init__(self, drawings: dict[str, list[Image.Image | None]], size: int) -> None:
        self._drawings = drawings
        self._size = size
        self._default = next(iter(drawings))
        self._resized = lru_cache(maxsize=40_000)(self._resize)

    def compose(self, scene: Scene, rng: random.Random) -> Pixels:
        """The picture as uint8 [height, width, 3]."""
        canvas = np.empty((self._size, self._size, 3), np.float32)
        canvas[:] = _background(scene.background, rng)
        if len(scene.things) == 2:
            half = self._size // 2
            for thing, left in zip(scene.things, (0, self._size - half), strict=True):
                self._paste(canvas, thing, scene.style, rng.uniform(*_PAIRED), left, half, rng)
        else:
            scale = rng.uniform(*(_SMALL if scene.small else _SINGLE))
            self._paste(canvas, scene.things[0], scene.style, scale, 0, self._size, rng)
        return canvas.round().astype(np.uint8)

    def _paste(
        self,
        canvas: npt.NDArray[np.float32],
        thing: Thing,
        style: str | None,
        scale: float,
        left: int,
        width: int,
        rng: random.Random,
    ) -> None:
        side = min(round(scale * self._size), width)
        rgb, alpha = self._resized(style or self._default, thing.concept, side)
        if thing.colour:
            rgb = tint(rgb, alpha, COLOURS[thing.colour])
        across, down = (width - side) // 2, (self._size - side) // 2
        reach = max(round(_OFF_CENTRE * self._size), 1)
        x = left + across + rng.randint(-min(reach, across), min(reach, across))
        y = down + rng.randint(-min(reach, down), min(reach, down))
        under = canvas[y : y + side, x : x + side]
        under += alpha * (rgb - under)

    def _resize(
        self, style: str, concept: int, side: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        drawing = self._drawings[style][concept]
        if drawing is None:
            raise LookupError(f"style {style} has no drawing of concept {concept}")
        rgba = np.asarray(drawing.resize((side, side), Image.Resampling.LANCZOS), np.float32)
        return rgba[..., :3], rgba[..., 3:] / np.float32(255)


def _background(colour: str | None, rng: random.Random) -> RGB:
    if colour is None:
        return PAPER
    red, green, blue = (
        min(max(channel + rng.randint(-_BACKGROUND_JITTER, _BACKGROUND_JITTER), 0), 255)
        for channel in COLOURS[colour]
    )
    return red, green, blue


def tint(
    rgb: npt.NDArray[np.float32], alpha: npt.NDArray[np.float32], colour: RGB
) -> npt.NDArray[np.float32]:
    """Repaint in shades of `colour`: its mean brightness becomes the colour itself.

    Darker parts go towards black, lighter ones towards white. Shapes: [h, w, 3], [h, w, 1].
    """
    light = rgb @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    weight = alpha[..., 0]
    mean = float((light * weight).sum() / max(float(weight.sum()), 1.0))
    shade = np.clip(0.5 + 0.9 * (light - mean), 0, 1)[..., None]
    flat = np.array(colour, np.float32)
    dark = flat * np.minimum(2 * shade, 1)
    return dark + (255 - flat) * np.maximum(2 * shade - 1, 0)
