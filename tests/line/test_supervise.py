"""The worker process beside a chat process: restarted when it dies, gone when we go."""

import asyncio
import os
import signal
from datetime import timedelta
from pathlib import Path

import psutil

from bot.supervise import WorkerProcess
from storage import places
from storage.domain import JobState
from tests.fakes.house import House


async def alive(house: House, pid: int) -> bool:
    now = house.line.database.clock()
    within = timedelta(seconds=60)
    workers = await house.line.read(lambda s: places.live_workers(s, now, within))
    return any(worker.name.endswith(f":{pid}") for worker in workers)


async def test_a_killed_worker_is_replaced_and_none_is_left(tmp_path: Path) -> None:
    house = House(tmp_path)
    async with WorkerProcess(house.settings) as worker:
        first = worker.pid
        assert first is not None
        await _until_alive(house, first)
        os.kill(first, signal.SIGKILL)
        entry = await house.ask("a cat")
        second = worker.pid
    assert entry.state is JobState.MADE
    assert second is not None
    assert second != first
    assert not psutil.pid_exists(second)


async def _until_alive(house: House, pid: int) -> None:
    for _ in range(600):
        if await alive(house, pid):
            return
        await asyncio.sleep(0.1)
    raise TimeoutError(f"worker {pid} never said that it lives")
