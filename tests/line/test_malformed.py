"""A worker that is sent what is no ring draws the next job all the same, and goes on hearing."""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.supervise import WorkerProcess
from storage import doorbell
from storage.domain import JobState
from tests.fakes import malformed
from tests.fakes.house import House
from tests.line.test_crashes import LONG, in_mid_step
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
    assert malformed.SECRET not in house.worker_log


@pytest.mark.parametrize("house", [on("rabbitmq")], indirect=True)
async def test_a_message_that_breaks_the_client(house: House, broker: malformed.RabbitMQ) -> None:
    with house.worker() as worker:
        await house.ask("a cat")
        for header in malformed.UNREADABLE_HEADERS:
            broker.send_unreadable(header)
        assert (await house.ask("a dog")).state is JobState.MADE
        await until(lambda: not broker.left(), "it comes again and again")
        await until(house.line.doorbell.control.inspect(timeout=1.0).ping, "it hears no more")
        broker.send_unreadable(header)
        await until(lambda: not broker.left(), "it comes again and again")
        assert (await house.ask("a bird")).state is JobState.MADE
        assert worker.poll() is None


async def test_remote_control_is_no_way_in(house: House, broker: malformed.Broker) -> None:
    with house.worker() as worker:
        await house.ask("a cat")
        broker.broadcast(f"easel-{worker.pid}@{socket.gethostname()}")
        await asyncio.sleep(1)
        await until(house.line.doorbell.control.inspect(timeout=1.0).ping, "it hears no more")
        assert worker.poll() is None
        assert (await house.ask("a dog")).state is JobState.MADE


@pytest.mark.parametrize("house", [on("redis")], indirect=True)
async def test_a_key_that_is_no_queue_is_set_aside(house: House, broker: malformed.Redis) -> None:
    broker.client.delete(QUEUE, f"{QUEUE}.set-aside")
    broker.client.set(QUEUE, "somebody's")
    waiting = await house.submit("a cat")
    with house.worker() as worker:
        await house.until(waiting, lambda entry: entry.state.finished)
        await until(lambda: broker.client.get(f"{QUEUE}.set-aside"), "it is still there")
        assert broker.client.get(f"{QUEUE}.set-aside") == b"somebody's"
        broker.client.set(QUEUE, "another's")
        assert (await house.ask("a dog")).state is JobState.MADE
        await until(lambda: broker.client.type(QUEUE) != b"string", "it is there again")
        assert worker.poll() is None
    broker.client.delete(QUEUE, f"{QUEUE}.set-aside")


def lose_the_folder(house: House) -> None:
    folder = house.settings.data_folder / "broker" / "messages"
    folder.rename(folder.with_name("lost"))


def shut_the_door(house: House) -> None:
    """As where somebody has put another thing there, or taken a right away."""
    folder = house.settings.data_folder / "broker" / "messages"
    folder.rename(folder.with_name("lost"))
    folder.write_text("not a folder")


@pytest.mark.parametrize("house", [EMBEDDED], indirect=True)
@pytest.mark.parametrize("harm", [lose_the_folder, shut_the_door])
async def test_who_hears_no_more_leaves_with_a_status(
    house: House, harm: Callable[[House], None]
) -> None:
    """And hands back what is in hand, so that it counts as no crash of the job's."""
    with house.worker() as worker:
        job = await house.submit(LONG)
        await house.until(job, in_mid_step)
        harm(house)
        assert await asyncio.to_thread(worker.wait, 30) == 1
    entry = await house.until(job, lambda e: e.state is JobState.WAITING)
    assert entry.attempts == 0


@pytest.mark.parametrize("house", [on("redis"), on("rabbitmq")], indirect=True)
async def test_a_broker_that_refuses_ends_the_worker(
    house: House, broker: malformed.Redis | malformed.RabbitMQ
) -> None:
    """A queue that is somebody else's by its form: the worker cannot listen at all."""
    broker.occupy()
    try:
        with house.worker() as worker:
            assert await asyncio.to_thread(worker.wait, 60) == 1
    finally:
        broker.vacate()
    with house.worker():
        assert (await house.ask("a cat")).state is JobState.MADE


@pytest.mark.parametrize("house", [EMBEDDED], indirect=True)
async def test_its_supervisor_starts_it_again(house: House) -> None:
    async with WorkerProcess(house.settings) as worker:
        await house.ask("a cat")
        first = worker.pid
        lose_the_folder(house)
        entry = await house.ask("a dog")
        await until(lambda: worker.pid != first, "nobody started it again")
        assert entry.state is JobState.MADE
        assert (await house.ask("a bird")).state is JobState.MADE


async def test_celerys_own_shutdown_is_an_order(house: House) -> None:
    with house.worker() as worker:
        await house.ask("a cat")
        await asyncio.to_thread(house.line.doorbell.control.shutdown)
        assert await asyncio.to_thread(worker.wait, 30) == 0
