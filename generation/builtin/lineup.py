"""A judge for scenes: which of many composed pictures looks most like the one that was drawn?

The candidates differ in one point alone: which thing lies in a place, which ground or which style
it is. So things may overlap and grounds may be anything, where `judge.Bank` needs plain paper.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from PIL import Image

from generation.builtin.compose import Composer, plan, to_images
from generation.builtin.grounds import VARIANTS
from generation.builtin.judge import Floats, describe
from generation.builtin.scenes import Placement, layout
from generation.builtin.words import GROUNDS, Scene

_BATCH: Final = 128
_ASIDE: Final = 0.02  # of the picture's side: how far off a thing may have been drawn
_VIEWS: Final = ((0.0, 0.0), (_ASIDE, 0.0), (-_ASIDE, 0.0), (0.0, _ASIDE), (0.0, -_ASIDE))


class _Middle(random.Random):
    """A source of chance that always gives the middle, so that all candidates lie alike."""

    def random(self) -> float:
        return 0.5


class Lineup:
    """Compares pictures with the scenes that `composer` draws on the variants of its grounds."""

    def __init__(self, composer: Composer) -> None:
        self._composer = composer

    def scores(
        self,
        picture: Image.Image,
        scenes: Sequence[Scene],
        *,
        thing: int | None = None,
        variant: int = 0,
    ) -> Floats:
        """Cosine similarity of the picture to each scene, [scenes].

        Of the whole, or of the square in which the thing of that number lies in the first scene.
        `variant` is of the grounds.
        """
        place = None if thing is None else layout(scenes[0], _Middle())[thing]
        views = _VIEWS if place else _VIEWS[:1]
        seen = np.stack([_described(picture, place, view) for view in views])
        parts: list[Floats] = []
        for start in range(0, len(scenes), _BATCH):
            drawn = self._composed(scenes[start : start + _BATCH], variant)
            parts += [_described(candidate, place, _VIEWS[0]) for candidate in drawn]
        best: Floats = (np.stack(parts) @ seen.T).max(axis=1)
        return best

    def ground(self, picture: Image.Image, scene: Scene) -> tuple[str, int]:
        """On which ground, in which variant, the scene's things look most like the picture."""
        scenes = [replace(scene, ground=ground) for ground in GROUNDS]
        scores = np.stack(
            [self.scores(picture, scenes, variant=variant) for variant in range(VARIANTS)]
        )
        variant, place = np.unravel_index(int(scores.argmax()), scores.shape)
        return GROUNDS[place], int(variant)

    def _composed(self, scenes: Sequence[Scene], variant: int) -> list[Image.Image]:
        plans = plan(scenes, _Middle(), VARIANTS)
        first = plans.grounds // VARIANTS * VARIANTS
        plans = plans._replace(grounds=torch.where(plans.grounds < 0, -1, first + variant))
        return to_images(self._composer.compose(plans, torch.Generator().manual_seed(0)))


def _described(picture: Image.Image, place: Placement | None, aside: tuple[float, float]) -> Floats:
    if place is None:
        return describe(picture)
    left, top = (
        min(max(centre + off - place.side / 2, 0.0), 1 - place.side)
        for centre, off in zip(place[:2], aside, strict=True)
    )
    left, top, side = (picture.width * part for part in (left, top, place.side))
    return describe(picture, (left, top, left + side, top + side))
