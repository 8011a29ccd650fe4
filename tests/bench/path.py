"""The straight line without its painter: what it adds to a picture, how long a worker idles between
two jobs, and how soon a small server is served beside a large one."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

from bot.deliver import Deliverer
from bot.showing import PictureReader, Shown
from storage import log, places, queue
from storage.domain import Card, Delivery, Place, Platform, Tone
from tests.bench import million
from tests.bench.figures import Figure, p99
from tests.fakes.house import PATIENCE_SECONDS, House

JOBS = 100
QUEUED = 60
CROWD = 200
COST_SECONDS = 0.05
FAIR_COST_SECONDS = 0.2
ROOT = Path(__file__).parents[2]


class Timed:
    """A chat that remembers when it was shown the end of each job."""

    platform = Platform.TERMINAL
    application = ""

    def __init__(self) -> None:
        self.done: dict[UUID, float] = {}
        self.changed = asyncio.Condition()

    async def show(self, delivery: Delivery, card: Card, _read: PictureReader) -> Shown:
        if card.tone is Tone.DONE:
            async with self.changed:
                self.done.setdefault(delivery.job_id, time.monotonic())
                self.changed.notify_all()
        return Shown(address=delivery.address, pictures=bool(card.pictures))

    async def tell(self, *_: object) -> None:
        """Nobody listens."""

    async def wait_for(self, jobs: set[UUID]) -> None:
        async with self.changed:
            there = self.changed.wait_for(lambda: jobs <= self.done.keys())
            await asyncio.wait_for(there, PATIENCE_SECONDS)


class Bench:
    """A line with one worker of fixed cost, and the deliverer of this process."""

    def __init__(
        self,
        folder: Path,
        cost_seconds: float,
        settings: Mapping[str, Any],
    ) -> None:
        folder.mkdir()
        self.house = House(
            folder,
            person_queue_limit=10_000,
            daily_pictures=100_000,
            lease_seconds=15.0,
            heartbeat_seconds=0.5,
            **settings,
        )
        self.chat = Timed()
        self._events = folder / "events"
        self._cost = cost_seconds

    @contextmanager
    def worker(self) -> Iterator[None]:
        environment = os.environ | self.house._environment
        environment |= {
            "EASEL_DATA_FOLDER": str(self.house.settings.data_folder),
            "EASEL_BENCH_EVENTS": str(self._events),
            "EASEL_BENCH_COST": str(self._cost),
            "EASEL_PARENT_PID": str(os.getpid()),
            "EASEL_LOG_LEVEL": "WARNING",
        }
        with (self.house.settings.data_folder / "worker.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.stub_worker"],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=output,
            )
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with self.worker():
            deliverer = asyncio.create_task(Deliverer(self.house.line, self.chat).run())
            try:
                await self._ready()
                # Connections are opened, modules imported and code warmed by the first few.
                for _ in range(5):
                    await self.chat.wait_for({await self.house.submit("a red apple")})
                yield
            finally:
                deliverer.cancel()
                await asyncio.gather(deliverer, return_exceptions=True)
                self.house.line.doorbell.control.purge()
                self.house.line.database.close()

    async def _ready(self) -> None:
        line = self.house.line
        for _ in range(int(PATIENCE_SECONDS * 10)):
            now = line.database.clock()
            if await line.read(lambda s: places.live_workers(s, now, timedelta(minutes=1))):  # noqa: B023
                return
            await asyncio.sleep(0.1)
        raise TimeoutError(self.house.worker_log)

    def events(self, kind: str) -> list[float]:
        lines = self._events.read_text("utf-8").splitlines()
        return [float(line.split()[1]) for line in lines if line.startswith(kind)]


async def whole_path(bench: Bench) -> tuple[list[float], list[float]]:
    """Seconds that each of JOBS pictures took beyond its drawing; and those of the drawings."""
    async with bench.running():
        begun = len(bench.events("begin"))
        took = []
        for _ in range(JOBS):
            started = time.monotonic()
            job = await bench.house.submit("a red apple")
            await bench.chat.wait_for({job})
            took.append(bench.chat.done[job] - started)
        begin, drawn = bench.events("begin")[begun:], bench.events("drawn")[begun:]
    bare = [end - start for start, end in zip(begin, drawn, strict=True)]
    return [whole - one for whole, one in zip(took, bare, strict=True)], bare


async def gaps(bench: Bench) -> list[float]:
    """Seconds from the end of each queued job to the first step of the next; less than nothing
    where that began before the other was finished."""
    async with bench.running():
        begun = len(bench.events("begin"))
        jobs = {await bench.house.submit("a red apple") for _ in range(QUEUED)}
        await bench.chat.wait_for(jobs)
        begin, finished = bench.events("begin")[begun:], bench.events("finished")[begun:]
    return [start - end for end, start in zip(finished, begin[1:], strict=False)]


async def fairness(bench: Bench) -> tuple[float, float]:
    """How long the one request of a small server waited for its first step behind CROWD of a
    large one; and the time of a job, both in seconds."""
    async with bench.running():
        for _ in range(CROWD):
            await bench.house.line.submit(_from(bench.house, "large"), {})
        job = await bench.house.line.submit(_from(bench.house, "small"), {})
        assert isinstance(job, UUID)
        await bench.chat.wait_for({job})
        entry = await bench.house.line.read(lambda s: log.entry(s, job))
        left = await bench.house.line.read(queue.length)
        begin = bench.events("begin")
    assert entry is not None
    assert left > CROWD / 2, "the crowd must still be waiting"
    return entry.queue_seconds, statistics.median(b - a for a, b in pairwise(begin[5:]))


def _from(house: House, server: str) -> Any:
    raw = house.heard("a red apple")
    place = Place(platform=Platform.TERMINAL, workspace_id=server)
    person = replace(raw.requester, user_id=f"{server} person")
    return replace(raw, place=place, requester=person)


NOTE = f"baseline: the bare call of {COST_SECONDS * 1e3:.0f} ms"
Ways = Mapping[str, Mapping[str, Any]]


@contextmanager
def ways(servers: Mapping[str, str]) -> Iterator[Ways]:
    """Settings by the broker's name. `servers`: URLs of PostgreSQL, Redis and RabbitMQ, of those
    that there are; a broker of its own comes with PostgreSQL."""
    with ExitStack() as stack:
        found: dict[str, Mapping[str, Any]] = {"embedded": {}}
        if "postgres" in servers:
            url = stack.enter_context(million.postgres(servers["postgres"]))
            for name in ("redis", "rabbitmq"):
                if name in servers:
                    found[name] = {"database_url": url, "broker_url": servers[name]}
        yield found


async def path_figures(folder: Path, servers: Mapping[str, str]) -> AsyncIterator[Figure]:
    with ways(servers) as found:
        for name, settings in found.items():
            added, bare = await whole_path(Bench(folder / name, COST_SECONDS, settings))
            base, what = statistics.median(bare), f"{name}: whole path less the call"
            median, worst = (0.060, None) if name == "embedded" else (0.030, 0.100)
            yield Figure(f"{what}, median", statistics.median(added), base, median, NOTE)
            yield Figure(f"{what}, p99", p99(added), base, worst, NOTE)


async def gap_figures(folder: Path, servers: Mapping[str, str]) -> AsyncIterator[Figure]:
    with ways(servers) as found:
        for name, settings in found.items():
            median, worst = (None, None) if name == "embedded" else (0.005, 0.100)
            between = await gaps(Bench(folder / name, COST_SECONDS, settings))
            what = f"{name}: gap between jobs"
            yield Figure(f"{what}, median", statistics.median(between), COST_SECONDS, median, NOTE)
            yield Figure(f"{what}, worst", max(between), COST_SECONDS, worst, NOTE)


async def fairness_figures(folder: Path, servers: Mapping[str, str]) -> AsyncIterator[Figure]:
    with ways(servers) as found:
        for name, settings in found.items():
            waited, each = await fairness(Bench(folder / name, FAIR_COST_SECONDS, settings))
            yield Figure(
                f"{name}: 1 request beside {CROWD} of another server, until it starts",
                waited,
                each,
                2 * each,
                "baseline: the time of one job; aim: two of them",
            )
