"""A worker that is sent what is no ring draws the next job all the same, and goes on hearing."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage import doorbell
from storage.domain import JobState
from tests.fakes import malformed
from tests.fakes.house import House
from tests.servers import EMBEDDED, needs

QUEUE = doorbell.queue_name("builtin")
MESSAGES = 100


def on(broker: str) -> object:
    variable = f"EASEL_TEST_{broker.upper()}_URL"
    return pytest.param(os.environ.get(variable, ""), id=broker, marks=needs(variable))


ALL_BROKERS = (EMBEDDED, on("redis"), on("rabbitmq"))


@pytest.fixture(params=ALL_BROKERS)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    changes = {"broker_url": request.param} if request.param else {}
    house = House(tmp_path, **changes)
    yield house
    house.line.database.close()


@pytest.fixture
def broker(house: House) -> Iterator[malformed.Broker]:
    url = house.settings.broker_url or ""
    it = malformed.broker(str(url), house.settings.data_folder, QUEUE)
    yield it
    it.close()


async def until(found: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not await asyncio.to_thread(found):
        assert time.monotonic() < end, what
        await asyncio.sleep(0.05)


async def test_the_next_job_is_drawn(house: House, broker: malformed.Broker) -> None:
    kinds = dict(malformed.MESSAGES) | (malformed.RAW if broker.raw else {})
    assert len(kinds) > 20
    with house.worker() as worker:
        await house.ask("a cat")
        makers = list(kinds.values())
        for number in range(max(MESSAGES, len(makers))):
            broker.send(makers[number % len(makers)]())
        entry = await house.ask("a dog")
        assert entry.state is JobState.MADE
        await until(lambda: not broker.left(), f"{broker.left()} messages were never heard")
        inspect = house.line.doorbell.control.inspect(timeout=5.0)
        [answer] = (await asyncio.to_thread(inspect.ping) or {}).values()
        assert answer == {"ok": "pong"}
        assert worker.poll() is None
