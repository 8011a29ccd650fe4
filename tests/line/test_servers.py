"""The same line with the servers of many machines in place of the embedded parts."""

import os
from pathlib import Path

import pytest

from storage.domain import JobState
from tests.fakes.house import House
from tests.line.test_crashes import LONG, in_mid_step


def server(name: str) -> object:
    wanted = ("EASEL_TEST_POSTGRES_URL", f"EASEL_TEST_{name.upper()}_URL")
    missing = [variable for variable in wanted if not os.environ.get(variable)]
    skip = pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not set")
    return pytest.param(os.environ.get(wanted[1], ""), id=name, marks=skip)


@pytest.mark.parametrize("broker_url", [server("redis"), server("rabbitmq")])
async def test_a_killed_worker_on_postgresql(
    tmp_path: Path, request: pytest.FixtureRequest, broker_url: str
) -> None:
    database_url = request.getfixturevalue("empty_postgres_url")
    house = House(tmp_path, database_url=database_url, broker_url=broker_url)
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
