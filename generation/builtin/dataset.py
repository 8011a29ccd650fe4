"""Batches for training: scenes, their pictures and their captions, all from the step's number."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from generation.builtin.concepts import Concept
from generation.builtin.scenes import Composer, Mix, draw_scene
from generation.builtin.words import Scene, caption

_CAPTION_DROPOUT: Final = 0.1


class Batch(NamedTuple):
    pixels: torch.Tensor  # uint8 [batch, 3, height, width]
    captions: list[str]  # empty where dropped, for classifier-free guidance
    shown: torch.Tensor  # int64: the concepts that the pictures show, one entry per exposure


class Sayings(NamedTuple):
    captions: list[str]
    scenes: list[Scene]  # that they ask for


@dataclass(frozen=True, kw_only=True)
class Drawings:
    """The concepts and what they look like."""

    concepts: list[Concept]
    by_style: dict[str, list[Image.Image | None]]  # RGBA, in the order of `concepts`
    size: int  # side in pixels, of the drawings and of the pictures composed from them


class Batches(Dataset[Batch]):
    """Item n is the batch of step n: every concept comes equally often, in shuffled rounds."""

    def __init__(self, drawings: Drawings, batch: int, seed: int, mix: Mix | None = None) -> None:
        self._drawings = drawings
        self._batch = batch
        self._seed = seed
        self._mix = mix or Mix()
        self._codes = [concept.code for concept in drawings.concepts]
        self._composer = Composer(drawings.by_style, drawings.size)
        self._round = lru_cache(maxsize=4)(self._shuffled)

    def __getitem__(self, step: int) -> Batch:
        rng = random.Random(f"{self._seed} {step}")  # noqa: S311
        pictures, captions, shown = [], [], []
        for scene in self._scenes(step, rng):
            pictures.append(self._composer.compose(scene, rng))
            words = caption(scene, self._drawings.concepts, rng)
            captions.append("" if rng.random() < _CAPTION_DROPOUT else words)
            shown += [thing.concept for thing in scene.things]
        pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
        return Batch(pixels, captions, torch.tensor(shown))

    def sayings(self, step: int) -> Sayings:
        """Captions alone, none dropped; their scenes are not those of the step's batch."""
        rng = random.Random(f"{self._seed} said {step}")  # noqa: S311
        scenes = list(self._scenes(step, rng))
        return Sayings([caption(s, self._drawings.concepts, rng) for s in scenes], scenes)

    def _scenes(self, step: int, rng: random.Random) -> Iterator[Scene]:
        for place in range(step * self._batch, (step + 1) * self._batch):
            number, index = divmod(place, len(self._codes))
            concept = self._round(number)[index]
            scene = draw_scene(concept, self._codes, rng, self._mix, self._style(concept, rng))
            if scene.style and not self._drawn(scene.things[-1].concept, scene.style):
                scene = replace(scene, things=scene.things[:1])
            yield scene

    def _drawn(self, concept: int, style: str) -> bool:
        return self._drawings.by_style[style][concept] is not None

    def _style(self, concept: int, rng: random.Random) -> str | None:
        if len(self._drawings.by_style) == 1:
            return None
        return rng.choice(
            [style for style in self._drawings.by_style if self._drawn(concept, style)]
        )

    def _shuffled(self, number: int) -> list[int]:
        order = list(range(len(self._codes)))
        random.Random(f"{self._seed} round {number}").shuffle(order)  # noqa: S311
        return order


def to_unit(pixels: torch.Tensor, device: torch.device) -> torch.Tensor:
    """uint8 pixels -> float [-1, 1] on the device, channels last."""
    moved = pixels.to(device, non_blocking=True).float() / 127.5 - 1
    return moved.contiguous(memory_format=torch.channels_last)
