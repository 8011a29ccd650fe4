"""Scenes become pixels, a batch at a time, on the device that trains.

On a GPU the 16 processors beside it compose 256-pixel pictures ten times too slowly; tables of
numbers (`Plans`) are all that worker processes make.
"""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, Self

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from generation.builtin.scenes import layout
from generation.builtin.words import COLOURS, GROUNDS, PAPER, RGB, STYLES, Scene

THINGS: Final = 3  # at most in a picture
_LEVELS: Final = (1.0, 0.625, 0.5, 0.375)  # sizes that each drawing is kept in, largest first
_BACKGROUND_JITTER: Final = 6
_GREY: Final = (0.299, 0.587, 0.114)


class Plans(NamedTuple):
    """What a batch of pictures is to show."""

    things: torch.Tensor  # int64 [batch, THINGS], concepts; -1: none
    places: torch.Tensor  # float32 [batch, THINGS, 3]: x, y, side as parts of the picture's side
    tints: torch.Tensor  # float32 [batch, THINGS, 3], RGB 0 to 255; negative: as drawn
    paper: torch.Tensor  # float32 [batch, 3], RGB 0 to 255
    grounds: torch.Tensor  # int64 [batch], into `draw_grounds`; -1: paper
    styles: torch.Tensor  # int64 [batch], into STYLES; -1: as drawn

    def to(self, device: torch.device) -> Self:
        return type(self)(*(table.to(device, non_blocking=True) for table in self))


def plan(scenes: Sequence[Scene], rng: random.Random, variants: int) -> Plans:
    """One row a scene; places, shades and variants of grounds are drawn from `rng`."""
    count = len(scenes)
    things = np.full((count, THINGS), -1, np.int64)
    places = np.zeros((count, THINGS, 3), np.float32)
    tints = np.full((count, THINGS, 3), -1, np.float32)
    paper = np.empty((count, 3), np.float32)
    grounds, styles = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    for row, scene in enumerate(scenes):
        order = reversed(list(zip(scene.things, layout(scene, rng), strict=True)))
        for slot, (thing, place) in enumerate(order):  # the first thing lies in front
            things[row, slot], places[row, slot] = thing.concept, place
            if thing.colour:
                tints[row, slot] = COLOURS[thing.colour]
        paper[row] = _paper(scene.background, rng)
        if scene.ground:
            grounds[row] = GROUNDS.index(scene.ground) * variants + rng.randrange(variants)
        if scene.style:
            styles[row] = STYLES.index(scene.style)
    arrays = (things, places, tints, paper, grounds, styles)
    return Plans(*(torch.from_numpy(array) for array in arrays))


def _paper(colour: str | None, rng: random.Random) -> RGB:
    if colour is None:
        return PAPER
    red, green, blue = (
        min(max(channel + rng.randint(-_BACKGROUND_JITTER, _BACKGROUND_JITTER), 0), 255)
        for channel in COLOURS[colour]
    )
    return red, green, blue


class Composer:
    """Turns plans into pictures of `size` x `size` pixels.

    `drawings` are square RGBA pictures, one a concept, best `size` pixels wide; `grounds` are RGB.
    """

    def __init__(
        self,
        drawings: Sequence[Image.Image],
        grounds: Sequence[Image.Image],
        size: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self._size = size
        self._device = torch.device(device)
        self._sides = [max(round(level * size), 1) for level in _LEVELS]
        self._levels = [self._atlas(drawings, side) for side in self._sides]
        self._grounds = self._stack([ground.convert("RGB") for ground in grounds])
        self._light = torch.cat([_mean_light(part) for part in torch.split(self._levels[0], 256)])
        middles = (torch.arange(size, device=self._device) + 0.5) / size
        self._middles = middles[None]  # [1, size]: the centres of columns, and of rows

    def compose(self, plans: Plans, random: torch.Generator | None = None) -> torch.Tensor:
        """Pictures as float32 [batch, 3, size, size] in [-1, 1]; `random` is of styles only."""
        plans = plans.to(self._device)
        shape = (len(plans.things), 3, self._size, self._size)
        pages = plans.paper[:, :, None, None].expand(shape).clone()
        on_ground = (plans.grounds >= 0).nonzero()[:, 0]
        pages[on_ground] = self._grounds[plans.grounds[on_ground]].float()
        for slot in range(THINGS):
            self._paste(pages, plans, slot)
        for number, style in enumerate(STYLES):
            rows = (plans.styles == number).nonzero()[:, 0]
            if len(rows):
                pages[rows] = _STYLED[style](pages[rows], random)
        return (
            pages.clamp_(0, 255).div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)
        )

    def _paste(self, pages: torch.Tensor, plans: Plans, slot: int) -> None:
        """Lay the things of one slot on the pages, level by level."""
        wanted = plans.places[:, slot, 2] * self._size
        level = sum(((wanted <= side + 0.5).long() for side in self._sides[1:]), start=wanted * 0)
        for number, atlas in enumerate(self._levels):
            rows = ((plans.things[:, slot] >= 0) & (level == number)).nonzero()[:, 0]
            if not len(rows):
                continue
            concepts = plans.things[rows, slot]
            drawn = self._placed(atlas[concepts], plans.places[rows, slot])
            alpha = drawn[:, 3:] / 255
            tints = plans.tints[rows, slot, :, None, None]
            tinted = _tint(drawn[:, :3], alpha, tints, self._light[concepts, None, None, None])
            colour = torch.where(tints >= 0, tinted, drawn[:, :3])
            pages[rows] = pages[rows] * (1 - alpha) + colour

    def _placed(self, drawings: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """RGBA with the alpha multiplied in, moved to their places; float32, 0 to 255."""
        x, y, side = (places[:, k, None] for k in range(3))
        across, down = ((self._middles - centre) * 2 / side for centre in (x, y))
        shape = (len(places), self._size, self._size)
        grid = torch.stack(
            [across[:, None, :].expand(shape), down[:, :, None].expand(shape)], dim=-1
        )
        return functional.grid_sample(drawings.float(), grid, align_corners=False)

    def _atlas(self, drawings: Sequence[Image.Image], side: int) -> torch.Tensor:
        """uint8 [drawings, 4, side, side], the alpha multiplied in."""

        def resized(drawing: Image.Image) -> Image.Image:
            size = (side, side)
            return drawing.resize(size, Image.Resampling.LANCZOS, reducing_gap=3).convert("RGBa")

        with ThreadPoolExecutor() as pool:  # Pillow resizes without the interpreter's lock
            return self._stack(list(pool.map(resized, drawings)))

    def _stack(self, pictures: list[Image.Image]) -> torch.Tensor:
        arrays = np.stack([np.asarray(picture) for picture in pictures])
        return torch.from_numpy(arrays).to(self._device).permute(0, 3, 1, 2).contiguous()


def to_images(pictures: torch.Tensor) -> list[Image.Image]:
    """[-1, 1] floats [batch, 3, height, width] -> pictures."""
    pixels = ((pictures + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(array) for array in pixels]


def _luminance(rgb: torch.Tensor) -> torch.Tensor:
    """[batch, 3, height, width] -> [batch, 1, height, width]"""
    weights = torch.tensor(_GREY, device=rgb.device)[:, None, None]
    return (rgb * weights).sum(1, keepdim=True)


def _mean_light(drawings: torch.Tensor) -> torch.Tensor:
    """The mean brightness of what is not transparent, 0 to 1; [drawings]."""
    light, weight = _luminance(drawings[:, :3].float()), drawings[:, 3:].float()
    return (light.sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp(min=1)).clamp(0, 1)


def _tint(
    rgb: torch.Tensor, alpha: torch.Tensor, tints: torch.Tensor, mean: torch.Tensor
) -> torch.Tensor:
    """Repaint in shades of the tint: the drawing's mean brightness becomes the tint itself.

    Darker parts go towards black, lighter ones towards white. `rgb` has its alpha multiplied in,
    and so has the result.
    """
    light = _luminance(rgb) / 255 / alpha.clamp(min=1 / 255)
    shade = (0.5 + 0.9 * (light - mean)).clamp(0, 1)
    dark = tints * (2 * shade).clamp(max=1)
    return alpha * (dark + (255 - tints) * (2 * shade - 1).clamp(min=0))


def _outlined(pages: torch.Tensor, random: torch.Generator | None) -> torch.Tensor:
    """Dark lines on white where the brightness or a colour changes."""
    soft = functional.avg_pool2d(pages, 3, 1, 1, count_include_pad=False) / 255
    right, down = soft.diff(dim=3), soft.diff(dim=2)
    edges = functional.pad(right.abs(), (0, 1)) + functional.pad(down.abs(), (0, 0, 0, 1))
    edges = functional.max_pool2d(edges.amax(1, keepdim=True), 3, 1, 1)
    return (255 - 225 * (6 * edges - 0.3).clamp(0, 1)).expand_as(pages)


def _pixelled(pages: torch.Tensor, random: torch.Generator | None) -> torch.Tensor:
    """Thirty-two squares in a row, each of one colour."""
    square = max(pages.shape[-1] // 32, 1)
    return functional.interpolate(functional.avg_pool2d(pages, square), scale_factor=square)


def _washed(pages: torch.Tensor, random: torch.Generator | None) -> torch.Tensor:
    """Pale colours that run at wavering edges, uneven as on rough paper."""
    count, side = len(pages), pages.shape[-1]
    noise = torch.rand(count, 3, 12, 12, generator=random, device=pages.device) - 0.5
    noise = functional.interpolate(noise, side, mode="bicubic")
    identity = torch.eye(2, 3, device=pages.device).expand(count, 2, 3)
    grid = functional.affine_grid(identity, list(pages.shape), align_corners=False)
    moved = functional.grid_sample(
        pages, grid + 0.06 * noise[:, :2].permute(0, 2, 3, 1), padding_mode="border",
        align_corners=False,
    )  # fmt: skip
    width = 2 * round(side / 128) + 1

    def blurred(washed: torch.Tensor) -> torch.Tensor:
        return functional.avg_pool2d(washed, width, 1, width // 2, count_include_pad=False)

    soft = blurred(moved)
    wet = soft - 0.5 * (blurred(soft) - soft).abs()
    return 255 - (255 - wet) * (0.72 + 0.5 * noise[:, 2:])


_STYLED: Final = {"outline": _outlined, "pixel art": _pixelled, "watercolour": _washed}
