"""Stage two: the text encoder learns to read captions, before there is a picture to draw.

A linear layer, thrown away afterwards, must find in the pooled vector, through which the U-Net
hears of the whole prompt, what the caption asks for: the thing, a second one, the thing's colour,
the background's, and whether it is small. Captions cost little, and a U-Net that is told from its
first step which thing is meant learns shapes as one does that is given classes; left to find the
words by itself it drew coloured blobs (model/README.md). Half of the captions name two things:
with a fifth of them the second one was read right in 14%, and nobody draws what they are not told.
"""

from typing import Final

import torch
from torch import nn
from torch.nn import functional

from generation.builtin.dataset import Batches
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
from generation.builtin.words import COLOURS, Scene

_RATE: Final = 2e-3
_WARM_UP_STEPS: Final = 100
_COLOURS: Final = {name: place for place, name in enumerate(COLOURS, start=1)}


def train_reader(
    networks: Networks,
    batches: Batches,
    concepts: int,
    session: Session,
    budget: Budget,
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
        captions, scenes = batches.sayings(number)
        answers = torch.tensor([_answers(scene, concepts) for scene in scenes], device=device)
        with autocast(device):
            told = head(pooling(networks.read(captions))).float().split(asked, dim=1)
        loss = torch.stack(
            [functional.cross_entropy(said, answers[:, k]) for k, said in enumerate(told)]
        ).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach(), len(captions)

    parts: dict[str, Stateful] = {"trained": trained, "optimizer": optimizer}
    return run_stage("reader", session, budget, parts, step)


def _sizes(concepts: int) -> list[int]:
    """How many answers each question has."""
    return [concepts, concepts + 1, len(COLOURS) + 1, len(COLOURS) + 1, 2]


def _answers(scene: Scene, concepts: int) -> list[int]:
    """What is there, what is there on the right, in which colour, on which, is it small?"""
    first, *others = scene.things
    return [
        first.concept,
        others[0].concept if others else concepts,
        _COLOURS.get(first.colour or "", 0),
        _COLOURS.get(scene.background or "", 0),
        int(scene.small),
    ]
