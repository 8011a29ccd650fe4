"""Seeds that once found something, in Easel or in a copy that was broken on purpose. A seed stands
for one order of events only as long as nothing on its way waits more or less often than it did."""

import pytest

from tests.simulation.conftest import Simulate

SEEDS = {
    1: "an event heard again failed; a 502 counted as shown; a job was tried for ever",
    7: "the reaper did not ring for a job whose ring was lost",
    8: "a message that a moderator took down stayed",
}


@pytest.mark.parametrize("seed", SEEDS, ids=SEEDS.values())
def test_it_finds_nothing_any_more(simulate: Simulate, seed: int) -> None:
    simulate(seed)
