"""Bots, workers and people under faults that a seed decides: 200 seeds on each run, others by
EASEL_SEEDS, as a number or as first..last."""

from __future__ import annotations

import os

import pytest

from tests.simulation.conftest import Simulate
from tests.simulation.town import EVERYTHING

GIVEN = os.environ.get("EASEL_SEEDS", "200")
FIRST, LAST = map(int, GIVEN.split("..")) if ".." in GIVEN else (1, int(GIVEN))


@pytest.mark.timeout(300 + 5 * (LAST - FIRST))
def test_the_promises_hold_for_every_seed(simulate: Simulate) -> None:
    met: set[str] = set()
    for seed in range(FIRST, LAST + 1):
        met |= simulate(seed).met
    if LAST - FIRST >= 100:
        assert met >= EVERYTHING, "a storm in which too little happens"


def test_a_seed_repeats_itself(simulate: Simulate) -> None:
    assert simulate(5).chat.trace == simulate(5).chat.trace
