"""Workers are stopped, crash, hang, fill the disk, run out of memory and leave. What was accepted
is drawn all the same and shown once, and who is innocent does not suffer.

Each run tries a few times; the environment variable EASEL_CHAOS says how often instead.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from storage.domain import JobState
from storage.domain.job import FailureReason
from tests.chaos.gates import Fault
from tests.chaos.workshop import Workshop, process_of, times, until
from tests.servers import EMBEDDED, ON_SERVERS

STOPS = times(5)
STATIONS = (
    ("drawing", True),
    ("finish", True),
    ("anywhere", False),
    ("finish", False),
    ("drawing", False),
)
"""Where a worker is stopped, and whether it goes on while another one still draws its job."""

OUT_OF_MEMORY_ERRORS = times(10)

pytestmark = pytest.mark.timeout(400)

on_all_parts = pytest.mark.parametrize("shop", [EMBEDDED, *ON_SERVERS], indirect=True)


def asked(seed: int, steps: int = 3) -> str:
    return f"a cat --seed {seed} --steps {steps}"


@on_all_parts
@pytest.mark.timeout(300 + 30 * STOPS)
async def test_a_stopped_worker_writes_nothing(shop: Workshop) -> None:
    """SIGSTOP in mid step, before the last transaction or anywhere; SIGCONT while another worker
    draws the job, or when it is finished."""
    late = 0
    async with shop.serving():
        with shop.hand(), shop.hand():
            for turn in range(STOPS):
                station, early = STATIONS[turn % len(STATIONS)]
                job, stopped = await stop_one(shop, station, turn)
                before = None
                try:
                    if early:
                        shop.gates.hold("drawn", but=stopped)
                        await until(lambda: shop.gates.waiting("drawn"), "nobody took it over")
                    else:
                        before = await shop.shown(job)
                finally:
                    os.kill(stopped, signal.SIGCONT)
                await until(lambda turn=turn: refused(shop) > turn, "the late worker said nothing")
                if early:
                    assert shop.entry(job).state is JobState.RUNNING
                    shop.gates.let_go("drawn")
                entry = await shop.shown(job)
                assert before in (None, entry)
                late += station == "finish"
                assert shop.said("job.finished", written=False) >= late
                assert (entry.state, entry.attempts) == (JobState.MADE, 2)
                assert process_of(entry) != stopped
                assert (len(shop.wall.pictures[job]), shop.usage_entries(job)) == (1, 1)
                assert shop.said("job.finished", job=str(job), written=True) == 1
    print(f"{STOPS} stops: {refused(shop)} late results refused, 0 written")


def refused(shop: Workshop) -> int:
    return shop.said("job.lost") + shop.said("job.finished", written=False)


async def stop_one(shop: Workshop, station: str, turn: int) -> tuple[UUID, int]:
    """A job, and the process that was stopped while it held it and no lock."""
    if station != "anywhere":
        shop.gates.hold(station)
        job = await shop.submit(asked(turn))
        process = await until(lambda: shop.gates.waiting(station), f"nobody came to {station}")
        await until(lambda: stop(shop, job, process), "always in a transaction")
        shop.gates.let_go(station)
        return job, process
    chance = random.Random(turn)
    while True:
        job = await shop.submit(asked(turn, steps=6))
        await until(lambda job=job: shop.entry(job).attempts, "nobody claimed it")
        process = process_of(shop.entry(job))
        await asyncio.sleep(chance.uniform(0, 1))
        if await asyncio.to_thread(stop, shop, job, process):
            return job, process
        await shop.shown(job)


def stop(shop: Workshop, job: UUID, process: int) -> bool:
    """False, and nothing stopped, when it was in the middle of a transaction, whose locks keep
    everybody waiting until it goes on; or when it had finished."""
    os.kill(process, signal.SIGSTOP)
    while not still(process):
        time.sleep(0.01)
    if not shop.locked(job) and shop.entry(job).state is JobState.RUNNING:
        return True
    os.kill(process, signal.SIGCONT)
    return False


def still(process: int) -> bool:
    """Threads that are in a system call finish it before they stop, which may take a lock."""
    threads = Path(f"/proc/{process}/task").glob("*/stat")
    return all(thread.read_text().rpartition(") ")[2][0] == "T" for thread in threads)


async def test_a_job_that_kills_its_worker_stops(shop: Workshop) -> None:
    """Also when others are in the hands of the same process."""
    seeds = (1, 2, Fault.CRASHES, 3, 4)
    async with shop.serving(), shop.supervised(concurrency=3) as processes:
        jobs = [await shop.submit(asked(seed)) for seed in seeds]
        entries = [await shop.shown(job) for job in jobs]
        poison, card = entries.pop(2), shop.wall.cards[jobs.pop(2)][-1]
    assert (poison.state, poison.attempts) == (JobState.FAILED, 3)
    assert poison.failure is FailureReason.CRASHED
    assert "The worker stopped several times while drawing this." in card.text
    assert [process.exitcode for process in processes[:3]] == [-signal.SIGKILL] * 3
    assert {entry.state for entry in entries} == {JobState.MADE}
    assert [len(shop.wall.pictures[job]) for job in jobs] == [1, 1, 1, 1]


async def test_a_hung_step_ends_its_worker(tmp_path: Path) -> None:
    shop = Workshop(tmp_path, step_limit_seconds=5.0)
    async with shop.serving():
        with shop.hand() as hung:
            job = await shop.submit(asked(Fault.HANGS_ONCE))
            await asyncio.to_thread(hung.join, 120)
            assert hung.exitcode == -signal.SIGKILL
            with shop.hand():
                entry = await shop.shown(job)
    shop.close()
    assert (entry.state, entry.attempts) == (JobState.MADE, 2)
    assert len(shop.wall.pictures[job]) == 1
    assert shop.said("worker.hung") == 1


async def test_a_full_disk(shop: Workshop) -> None:
    """The file system fails in the middle of the picture."""
    async with shop.serving():
        with shop.hand() as worker:
            passing = await shop.submit(asked(Fault.DISK_FULL_ONCE))
            full = await shop.submit(asked(Fault.DISK_FULL))
            after = await shop.submit(asked(1))
            entries = [await shop.shown(job) for job in (passing, full, after)]
            assert worker.exitcode is None
    assert [e.state for e in entries] == [JobState.MADE, JobState.FAILED, JobState.MADE]
    assert entries[1].failure is FailureReason.NOT_STORED
    assert full not in shop.wall.pictures
    assert "could not be stored" in shop.wall.cards[full][-1].text
    shown = {picture.sha256 for entry in entries for picture in entry.pictures}
    assert {stored.sha256 for stored in shop.line.blobs.all()} == shown


async def test_out_of_memory_fails_the_guilty_alone(shop: Workshop) -> None:
    async with shop.serving():
        with shop.hand() as worker:
            memory = psutil.Process(worker.pid).memory_info
            await out_of_memory(shop, 5)
            baseline = memory().rss
            await out_of_memory(shop, OUT_OF_MEMORY_ERRORS)
            grown = memory().rss / baseline
            assert worker.exitcode is None
    print(f"{OUT_OF_MEMORY_ERRORS} out-of-memory errors: {baseline} bytes grew {grown:.4f} times")
    assert grown < 1.02


async def out_of_memory(shop: Workshop, errors: int) -> None:
    """Jobs that run out of memory, and an innocent one after every fifth."""
    guilty, innocent = [], []
    for turn in range(errors):
        guilty.append(await shop.submit(asked(Fault.OUT_OF_MEMORY + turn, steps=1)))
        if turn % 5 == 4:
            innocent.append(await shop.submit(asked(turn, steps=1)))
    for job in guilty:
        assert (await shop.shown(job)).failure is FailureReason.OUT_OF_MEMORY
        assert "needs more memory" in shop.wall.cards[job][-1].text
    for job in innocent:
        entry = await shop.shown(job)
        assert (entry.state, entry.attempts) == (JobState.MADE, 1)


@on_all_parts
async def test_a_worker_that_leaves_hands_back_what_it_has(shop: Workshop) -> None:
    async with shop.serving():
        with shop.hand(concurrency=3) as leaving:
            jobs = [await shop.submit(asked(seed, steps=40)) for seed in range(4)]
            await until(lambda: states(shop, jobs).count(JobState.RUNNING) == 3, "three at work")
            leaving.terminate()
            await asyncio.to_thread(leaving.join, 120)
            assert leaving.exitcode == 0
            assert states(shop, jobs) == [JobState.WAITING] * 4
            assert [shop.entry(job).attempts for job in jobs] == [0] * 4
        with shop.hand():
            entries = [await shop.shown(job) for job in jobs]
    assert [(e.state, e.attempts) for e in entries] == [(JobState.MADE, 1)] * 4
    assert [len(shop.wall.pictures[job]) for job in jobs] == [1] * 4


def states(shop: Workshop, jobs: list[UUID]) -> list[JobState]:
    return [shop.entry(job).state for job in jobs]
