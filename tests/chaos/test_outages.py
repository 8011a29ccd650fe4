"""Broker and database go away at each station of the line and come back: nothing is lost, nothing
doubled, nobody dies of it.

An outage lasts longer than a lease: 3 s on each run, 10 s with EASEL_CHAOS.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from bot.showing import PictureReader, Shown
from storage.database import BUSY_TIMEOUT_MS
from storage.domain import Card, Delivery, JobState, RawCommand
from storage.tables import JobRow
from tests.chaos.harness import locked
from tests.chaos.proxy import Proxy
from tests.chaos.workshop import OUTAGE_SECONDS, Workshop, times, until
from tests.fakes.house import Wall
from tests.servers import ON_SERVERS

Outage = Callable[[], AbstractContextManager[None]]
STATIONS = ("submit", "claim", "drawing", "finish", "show")
LOCK_SECONDS = max(OUTAGE_SECONDS, BUSY_TIMEOUT_MS / 1000 + 1)
"""Longer than anybody waits for SQLite's lock at once."""

pytestmark = pytest.mark.timeout(400)


class SlowWall(Wall):
    """A chat that takes its time to show pictures while it is held."""

    held = False
    busy = False

    async def show(self, delivery: Delivery, card: Card, read: PictureReader) -> Shown:
        shown = await super().show(delivery, card, read)
        while self.held and card.pictures:
            self.busy = True
            await asyncio.sleep(0.01)
        return shown


class Servers:
    """A workshop that reaches its servers through proxies."""

    def __init__(self, folder: Path, database_url: str, broker_url: str) -> None:
        self.database = Proxy(database_url, 5432)
        self.broker = Proxy(broker_url, 6379 if broker_url.startswith("redis") else 5672)
        self.shop = Workshop(
            folder,
            truth_url=database_url,
            database_url=self.database.url,
            broker_url=self.broker.url,
        )
        self.shop.wall = SlowWall()

    def close(self) -> None:
        self.shop.close()
        self.database.close()
        self.broker.close()


@pytest.fixture
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path, request.getfixturevalue("empty_postgres_url"), request.param)
    yield servers
    servers.close()


async def through(shop: Workshop, station: str, outage: Outage, seconds: float, turn: int) -> UUID:
    """A job that is at this station when the outage begins."""
    raw = shop.heard(f"a cat --seed {turn} --steps 3")
    if station == "submit":
        with outage():
            asking = asyncio.create_task(insist(shop, raw))
            await asyncio.sleep(seconds)
        return await asking
    wall = shop.wall
    assert isinstance(wall, SlowWall)
    if station == "show":
        wall.held, wall.busy = True, False
    else:
        shop.gates.hold(station)
    job = await insist(shop, raw)
    await until(lambda: wall.busy or shop.gates.waiting(station), f"nobody came to {station}")
    with outage():
        if station == "show":
            wall.held = False
        else:
            shop.gates.let_go(station)
        await asyncio.sleep(seconds)
    return job


async def insist(shop: Workshop, raw: RawCommand) -> UUID:
    """Ask until it is taken, as people do; each time it is the same event."""
    while True:
        try:
            job = await shop.line.submit(raw, {})
        except OperationalError:
            await asyncio.sleep(0.2)
        else:
            assert isinstance(job, UUID)
            return job


def check(shop: Workshop, job: UUID) -> None:
    """One picture of the first attempt, in one message: it may have been shown again there, but
    no other one."""
    entry = shop.entry(job)
    assert (entry.state, entry.attempts) == (JobState.MADE, 1)
    assert shop.usage_entries(job) == 1
    assert shop.said("job.finished", job=str(job), written=True) == 1
    first, *again = [[i.tobytes() for i in images] for images in shop.wall.pictures[job]]
    assert all(images == first for images in again)
    assert len(first) == len(entry.pictures) == 1


@pytest.mark.parametrize("servers", ON_SERVERS, indirect=True)
async def test_the_broker_goes_away(servers: Servers) -> None:
    shop = servers.shop
    async with shop.serving(), shop.supervised() as workers:
        await shop.shown(await shop.submit("a cat"))
        for turn, station in enumerate(STATIONS):
            job = await through(shop, station, servers.broker.gone, OUTAGE_SECONDS, turn)
            await shop.shown(job)
            check(shop, job)
            assert len(shop.wall.pictures[job]) == 1
        await shop.shown(await shop.submit("a cat"))
        assert [worker.exitcode for worker in workers] == [None]


@pytest.mark.parametrize("servers", ON_SERVERS, indirect=True)
async def test_a_broker_that_falls_silent_keeps_nobody(servers: Servers) -> None:
    """Its connections stay open, as when its machine loses power."""
    shop = servers.shop
    async with shop.serving(), shop.supervised():
        await shop.shown(await shop.submit("a cat"))
        with servers.broker.silent():
            asked = [await shop.submit(f"a cat --seed {seed} --steps 3") for seed in (2, 3)]
        for job in asked:
            await shop.shown(job)
            check(shop, job)


@pytest.mark.parametrize("servers", ON_SERVERS[:1], indirect=True)
async def test_the_database_goes_away(servers: Servers) -> None:
    shop = servers.shop
    async with shop.serving(), shop.supervised() as workers:
        await shop.shown(await shop.submit("a cat"))
        for turn, station in enumerate(STATIONS):
            job = await through(shop, station, servers.database.gone, OUTAGE_SECONDS, turn)
            await shop.shown(job)
            check(shop, job)
        assert [worker.exitcode for worker in workers] == [None]
        assert jobs(shop) == 1 + len(STATIONS)


def jobs(shop: Workshop) -> int:
    return shop.look(lambda session: session.scalar(select(func.count()).select_from(JobRow)) or 0)


@pytest.mark.parametrize("servers", ON_SERVERS[:1], indirect=True)
async def test_a_commit_that_is_cut_off_is_asked_again(servers: Servers) -> None:
    """Nobody knows whether it was written; the same event again makes no second job."""
    shop, chance = servers.shop, random.Random(1)
    rounds = times(10)
    for turn in range(rounds):
        raw = shop.heard(f"a cat --seed {turn}")
        asking = asyncio.create_task(insist(shop, raw))
        await asyncio.sleep(chance.uniform(0, 0.05))
        with servers.database.gone():
            await asyncio.sleep(0.1)
        job = await asking
        assert await insist(shop, raw) == job
    assert jobs(shop) == rounds


async def test_sqlite_is_locked_by_another_process(tmp_path: Path) -> None:
    shop, path = Workshop(tmp_path), tmp_path / "easel.db"
    shop.wall = SlowWall()
    async with shop.serving(), shop.supervised() as workers:
        await shop.shown(await shop.submit("a cat"))
        for turn, station in enumerate(STATIONS):
            job = await through(shop, station, partial(locked, path), LOCK_SECONDS, turn)
            await shop.shown(job)
            check(shop, job)
        with locked(path):
            asking = asyncio.create_task(shop.submit("a cat"))
            await asyncio.sleep(1)
        await shop.shown(await asking)  # It has waited, and was taken without an error.
        assert [worker.exitcode for worker in workers] == [None]
        assert jobs(shop) == len(STATIONS) + 2
    shop.close()
