"""Workers die and leave; what was accepted is drawn all the same, and shown once."""

import signal
from pathlib import Path

from storage.domain import JobState
from storage.domain.job import Phase
from tests.fakes.house import House

LONG = "a cat --seed 7 --steps 50 --count 2"


def in_mid_step(entry: object) -> bool:
    return getattr(entry, "phase", None) is Phase.DRAWING and getattr(entry, "step", 0) > 2


async def test_killed_in_mid_step(lone_house: House) -> None:
    house = lone_house
    with house.worker() as first:
        job = await house.submit(LONG)
        await house.until(job, in_mid_step)
        first.kill()
    with house.worker():
        entry = await house.until(job, lambda e: e.state.finished)
    assert (entry.state, entry.attempts) == (JobState.MADE, 2)
    assert len(house.wall.pictures[job]) == 1


async def test_told_to_stop_in_mid_step(lone_house: House) -> None:
    house = lone_house
    with house.worker() as first:
        job = await house.submit(LONG)
        await house.until(job, in_mid_step)
        first.send_signal(signal.SIGTERM)
        assert first.wait(20) == 0
    entry = await house.until(job, lambda e: e.state is JobState.WAITING)
    assert entry.attempts == 0, "handed back in good order"
    with house.worker():
        entry = await house.until(job, lambda e: e.state.finished)
    assert (entry.state, entry.attempts) == (JobState.MADE, 1)
    assert len(house.wall.pictures[job]) == 1


async def test_cancelled_in_mid_step(lone_house: House) -> None:
    house = lone_house
    with house.worker():
        job = await house.submit(LONG)
        await house.until(job, in_mid_step)
        from storage import jobs

        now = house.line.database.clock()
        assert await house.line.write(lambda s: jobs.cancel(s, job, now))
        entry = await house.until(job, lambda e: e.state.finished)
    assert entry.state is JobState.CANCELLED
    assert entry.device_seconds > 0, "it costs what it took"
    assert job not in house.wall.pictures


async def test_a_broker_that_forgets(tmp_path: Path) -> None:
    """Workers look by themselves; the reaper would ring again ten minutes later."""
    house = House(tmp_path, lease_seconds=300.0)
    job = await house.submit("a cat")
    for message in (house.settings.data_folder / "broker" / "messages").iterdir():
        message.unlink()
    with house.worker():
        entry = await house.until(job, lambda e: e.state.finished)
    assert entry.state is JobState.MADE
