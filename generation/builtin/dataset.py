"""Batches for training: what pictures show and the tokens of their captions, by the step's number.

Nothing here holds a pixel, so that worker processes can make batches for a GPU (`compose.py` draws
them there).
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Generic, NamedTuple, TypeVar

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from transformers import CLIPTokenizer

from generation.builtin.compose import Plans, plan
from generation.builtin.concepts import Concept
from generation.builtin.grounds import VARIANTS
from generation.builtin.scenes import Mix, draw_scene
from generation.builtin.words import Scene, caption

_CAPTION_DROPOUT: Final = 0.1

Item = TypeVar("Item")


class Batch(NamedTuple):
    plans: Plans
    tokens: torch.Tensor  # int64 [batch, tokens]; those of "" where the caption was dropped
    shown: torch.Tensor  # int64: the concepts that the pictures show, one entry per exposure


@dataclass(frozen=True, kw_only=True)
class Drawings:
    """The concepts and what they look like."""

    concepts: list[Concept]
    pictures: list[Image.Image]  # RGBA, square, in the order of `concepts`
    size: int  # side in pixels of the pictures composed from them


class Scenes:
    """The scenes of every step: each concept comes equally often, in shuffled rounds."""

    def __init__(self, concepts: list[Concept], batch: int, seed: int, mix: Mix) -> None:
        self.concepts = concepts
        self._batch = batch
        self._seed = seed
        self._mix = mix
        self._codes = [concept.code for concept in concepts]
        self._round = lru_cache(maxsize=4)(self._shuffled)

    def rng(self, step: int, of: str = "") -> random.Random:
        return random.Random(f"{self._seed} {of}{step}")  # noqa: S311

    def at(self, step: int, rng: random.Random) -> Iterator[Scene]:
        for place in range(step * self._batch, (step + 1) * self._batch):
            number, index = divmod(place, len(self._codes))
            yield draw_scene(self._round(number)[index], self._codes, rng, self._mix)

    def _shuffled(self, number: int) -> list[int]:
        order = list(range(len(self._codes)))
        random.Random(f"{self._seed} round {number}").shuffle(order)  # noqa: S311
        return order


class Batches(Dataset[Batch]):
    """Item n is the batch of step n."""

    def __init__(
        self,
        concepts: list[Concept],
        tokenizer: CLIPTokenizer,
        batch: int,
        seed: int,
        mix: Mix | None = None,
    ) -> None:
        self._scenes = Scenes(concepts, batch, seed, mix or Mix())
        self._tokenizer = tokenizer

    def __getitem__(self, step: int) -> Batch:
        rng = self._scenes.rng(step)
        scenes = list(self._scenes.at(step, rng))
        captions = [
            "" if rng.random() < _CAPTION_DROPOUT else caption(scene, self._scenes.concepts, rng)
            for scene in scenes
        ]
        shown = [thing.concept for scene in scenes for thing in scene.things]
        return Batch(
            plan(scenes, rng, VARIANTS), encoded(self._tokenizer, captions), torch.tensor(shown)
        )


def encoded(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    """int64 [captions, tokens], padded and cut to the text encoder's window."""
    told: Any = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    tokens: torch.Tensor = told.input_ids
    return tokens


class Feed(Generic[Item]):
    """The items of a dataset in the order of steps, prepared by worker processes if there are."""

    def __init__(self, items: Dataset[Item], workers: int) -> None:
        self._items = items
        self._workers = workers
        self._ahead: Any = None
        self._next = -1

    def at(self, number: int) -> Item:
        if not self._workers:
            return self._items[number]
        if number != self._next:
            loader = DataLoader(
                self._items,
                batch_size=None,
                sampler=range(number, 2**40),
                num_workers=self._workers,
                prefetch_factor=8,
                pin_memory=torch.cuda.is_available(),
                generator=torch.Generator(),  # the seed of workers is not to cost a step's chance
            )
            self._ahead = iter(loader)
        self._next = number + 1
        item: Item = next(self._ahead)
        return item
