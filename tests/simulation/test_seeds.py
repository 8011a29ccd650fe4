"""Seeds that once found something, in Easel or in a copy that was broken on purpose. A seed stands
for one order of events only as long as nothing on its way waits more or less often than it did."""

import pytest

from tests.simulation.conftest import Simulate

SEEDS = {
    2: "what was shown too late counted as the newest",
    6: "a message was taken down, and shown again by one who came too late",
    27: "the result of a worker that came too late was written",
}


@pytest.mark.parametrize("seed", SEEDS, ids=SEEDS.values())
def test_it_finds_nothing_any_more(simulate: Simulate, seed: int) -> None:
    simulate(seed)
