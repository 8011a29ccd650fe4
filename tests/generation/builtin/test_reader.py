"""Reading captions: what was learnt before stays while more is learnt."""

import copy
from pathlib import Path

import pytest
import torch

from generation.builtin import reader
from generation.builtin.dataset import Batches, Drawings
from generation.builtin.networks import Networks, new_networks
from generation.builtin.scenes import Mix
from generation.builtin.stage import Budget, Session
from generation.builtin.train import Recipe, tokenizer_for

STEPS, BATCH = 60, 8


def strayed(networks: Networks, drawings: Drawings, work: Path) -> float:
    """How far what is told of single things moves while the networks learn further."""
    words = [name for concept in drawings.concepts for name in concept.names["en"]]

    @torch.no_grad()
    def told() -> torch.Tensor:
        pooled: torch.Tensor = networks.unet.add_embedding(networks.read(words))
        return pooled

    before = told()
    session = Session(work=work, say=lambda line: None)
    batches = Batches(drawings, BATCH, 0, Mix(pair=0.5))
    budget = Budget(samples=STEPS * BATCH)
    assert reader.train_reader(networks, batches, 3, session, budget, further=True)
    return float((told() - before).square().mean())


def test_learning_further_keeps_what_single_things_are_told_as(
    recipe: Recipe, drawings: Drawings, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    tokenizer = tokenizer_for(drawings, recipe, work / "tokenizer")
    networks = new_networks(tokenizer, recipe.size // 4, recipe.shape)
    kept = strayed(copy.deepcopy(networks), drawings, work / "kept")
    monkeypatch.setattr(reader, "_KEEP", 0.0)
    assert kept < strayed(networks, drawings, work / "free") / 2
