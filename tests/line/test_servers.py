"""The same line with the servers of many machines in place of the embedded parts."""

from pathlib import Path

import pytest

from storage.domain import JobState
from tests.fakes.house import House
from tests.line.test_crashes import LONG, in_mid_step
from tests.servers import ON_SERVERS, server_settings


@pytest.mark.parametrize("broker_url", ON_SERVERS)
async def test_a_killed_worker_on_postgresql(
    tmp_path: Path, request: pytest.FixtureRequest, broker_url: str
) -> None:
    house = House(tmp_path, **server_settings(request, broker_url))
    with house.worker() as first:
        assert (await house.ask("a cat")).state is JobState.MADE
        job = await house.submit(LONG)
        await house.until(job, in_mid_step)
        first.kill()
    with house.worker():
        entry = await house.until(job, lambda e: e.state.finished)
    house.line.database.close()
    assert (entry.state, entry.attempts) == (JobState.MADE, 2)
    assert len(house.wall.pictures[job]) == 1
