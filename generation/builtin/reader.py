"""Stage two: the text encoder learns to read captions, before there is a picture to draw.

A linear layer, thrown away afterwards, must find in the pooled vector, through which the U-Net
hears of the whole prompt, what the caption asks for: the thing, a second one, the thing's colour,
the background's, and whether it is small. Captions cost little, and a U-Net that is told from its
first step which thing is meant learns shapes as one does that is given classes; left to find the
words by itself it drew coloured blobs (model/README.md). Many of the captions name two things:
with a fifth of them the second one was read right in 14%, and nobody draws what they are not told.
"""

from typing import Final, NamedTuple

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import CLIPTokenizer

from generation.builtin.compose import THINGS
from generation.builtin.dataset import Feed, Scenes, encoded
from generation.builtin.networks import Networks
from generation.builtin.stage import (
    Budget,
    Session,
    Stateful,
    autocast,
    cosine,
    run_stage,
    set_rate,
)
from generation.builtin.words import COLOURS, GROUNDS, RELATIONS, STYLES, Scene, caption

_RATE: Final = 2e-3
_WARM_UP_STEPS: Final = 100
_COLOURS: Final = tuple(COLOURS)
_SIZES: Final = ("small", "big")


class Saying(NamedTuple):
    tokens: torch.Tensor  # int64 [batch, tokens]
    answers: torch.Tensor  # int64 [batch, questions]


class Sayings(Dataset[Saying]):
    """Item n: the captions of step n, none dropped, and what they ask for."""

    def __init__(self, scenes: Scenes, tokenizer: CLIPTokenizer) -> None:
        self._scenes = scenes
        self._tokenizer = tokenizer

    def __getitem__(self, step: int) -> Saying:
        rng = self._scenes.rng(step, "said ")
        concepts = self._scenes.concepts
        scenes = list(self._scenes.at(step, rng))
        captions = [caption(scene, concepts, rng) for scene in scenes]
        answers = torch.tensor([_answers(scene, len(concepts)) for scene in scenes])
        return Saying(encoded(self._tokenizer, captions), answers)


def train_reader(
    networks: Networks, feed: Feed[Saying], concepts: int, session: Session, budget: Budget
) -> bool:
    """Train the text encoder and the U-Net's pooling; True when complete."""
    device, pooling = networks.text.device, networks.unet.add_embedding
    asked = _sizes(concepts)
    head = nn.Linear(pooling.proj.out_features, sum(asked)).to(device)
    trained = nn.ModuleList([networks.text, pooling, head])
    optimizer = torch.optim.AdamW(
        trained.parameters(), lr=_RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )

    def step(number: int, done: float) -> tuple[torch.Tensor, int]:
        set_rate(optimizer, _RATE * cosine(done) * min(1.0, (number + 1) / _WARM_UP_STEPS))
        tokens, answers = (part.to(device, non_blocking=True) for part in feed.at(number))
        with autocast(device):
            hidden = networks.text(tokens).last_hidden_state
            told = head(pooling(hidden)).float().split(asked, dim=1)
        loss = torch.stack(
            [functional.cross_entropy(said, answers[:, k]) for k, said in enumerate(told)]
        ).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach(), len(tokens)

    parts: dict[str, Stateful] = {"trained": trained, "optimizer": optimizer}
    return run_stage("reader", session, budget, parts, step)


def _sizes(concepts: int) -> list[int]:
    """How many answers each question has; the last answer is always "none"."""
    of_a_thing = [concepts + 1, len(COLOURS) + 1, len(_SIZES) + 1]
    return [*of_a_thing * THINGS, *(len(k) + 1 for k in (RELATIONS, COLOURS, GROUNDS, STYLES))]


def _answers(scene: Scene, concepts: int) -> list[int]:
    """Which things in which colours and sizes, how they stand, on what, where, in which style?"""
    answers = []
    for thing in scene.things:
        answers += [
            thing.concept, _which(_COLOURS, thing.colour), _which(_SIZES, thing.size)
        ]  # fmt: skip
    missing = THINGS - len(scene.things)
    answers += [concepts, len(COLOURS), len(_SIZES)] * missing
    return [
        *answers,
        _which(RELATIONS, scene.relation),
        _which(_COLOURS, scene.background),
        _which(GROUNDS, scene.ground),
        _which(STYLES, scene.style),
    ]


def _which(names: tuple[str, ...], name: str | None) -> int:
    return len(names) if name is None else names.index(name)
