"""What an adapter heard: written down before anybody is told, acted on, and never lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from bot.core import inbox as inbox_module
from bot.core.inbox import MOST_TRIES, Inbox, Unanswered
from storage import inbox as rows
from storage import migrate
from storage.blobs import NotStored
from storage.database import Database
from storage.domain import Platform, RawCommand
from storage.inbox import Sealed
from storage.tables import InboxRow
from tests.fakes.nouns import FakeClock
from tests.servers import needs_postgres
from tests.storage.test_inbox import command

LEASE_SECONDS = 15.0


class Adapter:
    """Remembers what it did; `then` is what happens to who asks it."""

    def __init__(self, then: Callable[[RawCommand], object] = lambda _: None) -> None:
        self.done: list[str] = []
        self.apologised: list[str] = []
        self._then = then

    async def act(self, raw: RawCommand) -> bool:
        self.done.append(raw.event.id)
        result = self._then(raw)
        if isinstance(result, asyncio.Event):
            await result.wait()
        return False

    async def apologise(self, raw: RawCommand) -> None:
        self.apologised.append(raw.event.id)

    def passes(self, error: Exception) -> bool:
        return isinstance(error, RuntimeError)


@asynccontextmanager
async def process(
    database: Database,
    adapter: Adapter,
    fernet: Fernet | None = None,
    lease_seconds: float = LEASE_SECONDS,
) -> AsyncIterator[Inbox]:
    it = Inbox(database, Platform.DISCORD, adapter, fernet=fernet, lease_seconds=lease_seconds)
    it.application = "app"
    yield it
    await it.close()


def untaken(database: Database) -> list[str]:
    with database.read() as session:
        left = select(InboxRow.event_key).where(InboxRow.body != "").order_by(InboxRow.event_key)
        return [key.rpartition(":")[2] for key in session.scalars(left)]


def raises(error: Exception) -> Callable[[RawCommand], object]:
    def then(_: RawCommand) -> object:
        raise error

    return then


async def test_heard_acted_on_and_emptied(database: Database) -> None:
    adapter = Adapter()
    async with process(database, adapter) as inbox:
        assert await inbox.hear(command())
        assert untaken(database) == ["1"]
        await inbox.act(command())
        assert (adapter.done, untaken(database)) == (["1"], [])
        assert not await inbox.hear(command()), "it comes again"


async def test_who_is_asked_now_is_whose_events_these_are(database: Database) -> None:
    """An app may take the place of another while this process lives."""
    async with process(database, Adapter()) as it:
        await it.hear(replace(command("1"), application="another"))
        assert it.application == "another"
        await it.hear(replace(command("2"), application=""))
        assert it.application == "another"


async def test_what_fifty_say_at_once_is_few_transactions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, calls = rows.put, []
    monkeypatch.setattr(rows, "put", lambda s, heard, **g: calls.append(1) or put(s, heard, **g))
    async with process(database, Adapter()) as inbox:
        heard = await asyncio.gather(*(inbox.hear(command(str(n))) for n in range(50)))
    assert all(heard)
    assert len(calls) < 10
    assert len(untaken(database)) == 50


async def test_an_event_that_comes_five_times_at_once_is_taken_once(database: Database) -> None:
    async with process(database, Adapter()) as inbox:
        heard = await asyncio.gather(*(inbox.hear(command()) for _ in range(5)))
    assert sorted(heard) == [False, False, False, False, True]


async def test_who_died_over_it_is_followed_by_another(
    database: Database, clock: FakeClock
) -> None:
    async with process(database, Adapter()) as dead:
        await dead.hear(command())
        # It dies: nothing is released.
        adapter = Adapter()
        async with process(database, adapter) as inbox:
            assert await inbox.step() == 0, "the other one may live"
            clock.advance(seconds=LEASE_SECONDS + 1)
            assert await inbox.step() == 1
            await inbox.drain()
        assert (adapter.done, untaken(database)) == (["1"], [])


async def test_a_stop_leaves_what_is_under_way_to_the_next(
    database: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "STOP_SECONDS", 0.01)
    slow = Adapter(lambda _: asyncio.Event())
    async with process(database, slow) as inbox:
        await inbox.hear(command())
        under_way = asyncio.create_task(inbox.act(command()))
        await asyncio.sleep(0)
        await inbox.close()
        with pytest.raises(asyncio.CancelledError):
            await under_way
        with pytest.raises(Unanswered):
            await inbox.hear(command("2"))
    assert slow.apologised == []
    clock.advance(seconds=0.1)
    adapter = Adapter()
    async with process(database, adapter) as following:
        assert await following.step() == 1, "at once"
        await following.drain()
    assert adapter.done == ["1"]


async def test_a_stop_waits_for_what_takes_a_moment(database: Database) -> None:
    moment = asyncio.Event()
    adapter = Adapter(lambda _: moment)
    async with process(database, adapter) as inbox:
        await inbox.hear(command())
        under_way = asyncio.create_task(inbox.act(command()))
        asyncio.get_running_loop().call_later(0.05, moment.set)
        await asyncio.sleep(0)
    await under_way
    assert untaken(database) == []


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("", {}, Exception()),
        InternalError("read-only", {}, Exception()),
        InterfaceError("closed", {}, Exception()),
        PoolTimeout("no connection is free"),
        NotStored("full"),
        TimeoutError(),
        OSError(),
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__name__}",
)
async def test_what_passes_is_tried_again(
    database: Database, clock: FakeClock, error: Exception
) -> None:
    failing = Adapter(raises(error))
    async with process(database, failing) as inbox:
        await inbox.hear(command())
        await inbox.act(command())
        assert (failing.apologised, untaken(database)) == ([], ["1"])
        for _ in range(MOST_TRIES):
            clock.advance(seconds=61)
            assert await inbox.step() == 1
            await inbox.drain()
        assert (failing.apologised, untaken(database)) == (["1"], [])


async def test_a_defect_is_told_at_once(database: Database) -> None:
    broken = Adapter(raises(KeyError("prompt")))
    async with process(database, broken) as inbox:
        await inbox.hear(command())
        await inbox.act(command())
    assert (broken.apologised, untaken(database)) == (["1"], [])


@pytest.mark.parametrize("defect", [True, False])
async def test_what_cannot_be_apologised_for_is_not_done_again(
    database: Database, clock: FakeClock, defect: bool
) -> None:
    """Neither at once nor after the last try."""

    class Speechless(Adapter):
        async def apologise(self, raw: RawCommand) -> None:
            await super().apologise(raw)
            raise KeyError("token")

    speechless = Speechless(raises(KeyError("prompt") if defect else OSError()))
    async with process(database, speechless) as inbox:
        await inbox.hear(command())
        await inbox.act(command())
        for _ in range(MOST_TRIES + 2):
            clock.advance(seconds=61)
            await inbox.step()
            await inbox.drain()
    assert (speechless.apologised, untaken(database)) == (["1"], [])
    assert len(speechless.done) == (1 if defect else MOST_TRIES + 1)


async def test_what_processes_die_over_ends(database: Database, clock: FakeClock) -> None:
    """A command that kills whoever acts on it, each time without a word."""
    async with process(database, Adapter()) as inbox:
        await inbox.hear(command())
    for number in range(MOST_TRIES):
        clock.advance(seconds=LEASE_SECONDS + 1)
        now = database.clock()
        with database.write() as session:
            found = rows.take_up(
                session, Platform.DISCORD, "app", owner=str(number), until=now, now=now
            )
        assert len(found) == 1
    clock.advance(seconds=LEASE_SECONDS + 1)
    adapter = Adapter()
    async with process(database, adapter) as inbox:
        await inbox.step()
        await inbox.drain()
    assert (adapter.done, adapter.apologised, untaken(database)) == ([], ["1"], [])


async def test_a_database_that_says_nothing_is_told_within_half_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it takes all the same afterwards is dropped: the person was told otherwise."""
    monkeypatch.setattr(inbox_module, "ANSWER_SECONDS", 0.5)
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    migrate.upgrade(database)
    free, locked = threading.Event(), threading.Event()

    def hold() -> None:
        with database.write() as session:
            session.execute(text("select 1"))
            locked.set()
            free.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait()
    async with process(database, Adapter()) as inbox:
        began = time.monotonic()
        with pytest.raises(Unanswered):
            await inbox.hear(command())
        assert time.monotonic() - began < 2 * inbox_module.ANSWER_SECONDS
        free.set()
        holder.join()
        assert await inbox.hear(command("2")), "the next one is taken"
    assert untaken(database) == ["2"]
    database.close()


class LosesAnswers(Database):
    """Commits, and does not get to know it, as often as it is told to."""

    lost = 0

    @contextmanager
    def write(self) -> Iterator[Session]:
        with super().write() as session:
            yield session
        if self.lost:
            self.lost -= 1
            raise OperationalError("", {}, Exception())


@pytest.fixture
def forgetful(tmp_path: Path, clock: FakeClock) -> Iterator[LosesAnswers]:
    database = LosesAnswers(f"sqlite:///{tmp_path / 'test.db'}", clock)
    migrate.upgrade(database)
    yield database
    database.close()


async def test_nothing_comes_of_what_was_refused_over_a_lost_answer(
    forgetful: LosesAnswers, clock: FakeClock
) -> None:
    adapter = Adapter()
    async with process(forgetful, adapter) as inbox:
        forgetful.lost = 1
        with pytest.raises(Unanswered):
            await inbox.hear(command())
        assert untaken(forgetful) == ["1"], "it is there all the same"
        clock.advance(seconds=LEASE_SECONDS + 1)
        await inbox.step()
        await inbox.drain()
        assert await inbox.hear(command("2"))
        assert untaken(forgetful) == ["2"]
    assert adapter.done == []


async def test_what_was_refused_and_comes_again_is_taken(forgetful: LosesAnswers) -> None:
    """As Slack's events do."""
    async with process(forgetful, Adapter()) as inbox:
        forgetful.lost = 1
        with pytest.raises(Unanswered):
            await inbox.hear(command())
        assert await inbox.hear(command())
        assert untaken(forgetful) == ["1"]


async def test_a_stop_leaves_nothing_that_was_refused(forgetful: LosesAnswers) -> None:
    async with process(forgetful, Adapter()) as inbox:
        forgetful.lost = 1
        with pytest.raises(Unanswered):
            await inbox.hear(command())
    assert untaken(forgetful) == []


@pytest.mark.parametrize("acting", [True, False])
async def test_what_is_in_hand_stays_when_it_comes_again(
    forgetful: LosesAnswers, acting: bool
) -> None:
    """And nobody is told that nothing comes of it."""
    busy = asyncio.Event()
    adapter = Adapter(lambda raw: busy if raw.event.id == "1" else None)
    async with process(forgetful, adapter) as inbox:
        assert await inbox.hear(command())
        under_way = [asyncio.create_task(inbox.act(command()))] if acting else []
        await asyncio.sleep(0)
        forgetful.lost = 1
        assert not await inbox.hear(command())
        assert await inbox.hear(command("2"))
        assert untaken(forgetful) == ["1", "2"]
        busy.set()
        await asyncio.gather(*under_way)
        await inbox.act(command("2"))
        assert not await inbox.hear(command()), "its key stays"


async def test_what_another_process_has_in_hand_is_not_dropped(forgetful: LosesAnswers) -> None:
    """Two clients hear the same event, and one of them cannot know what became of its row."""
    async with process(forgetful, Adapter()) as one, process(forgetful, Adapter()) as other:
        assert await one.hear(command())
        forgetful.lost = 1
        with pytest.raises(Unanswered):
            await other.hear(command())
        assert await other.hear(command("2"))
        assert untaken(forgetful) == ["1", "2"]


async def test_with_another_key_it_waits_for_the_right_one(
    database: Database, clock: FakeClock
) -> None:
    right, wrong = (Fernet(Fernet.generate_key()) for _ in range(2))
    async with process(database, Adapter(), right) as inbox:
        await inbox.hear(command())
    for key, done in ((wrong, []), (None, []), (right, ["1"])):
        clock.advance(seconds=LEASE_SECONDS + 1)
        adapter = Adapter()
        async with process(database, adapter, key) as inbox:
            await inbox.step()
            await inbox.drain()
        assert adapter.done == done


async def test_what_it_takes_may_be_sealed_too(database: Database, clock: FakeClock) -> None:
    """It is no failure that passes: it waits, and nobody counts how often."""
    sealed = Adapter(raises(Sealed()))
    async with process(database, sealed) as inbox:
        await inbox.hear(command())
        await inbox.act(command())
        for _ in range(2 * MOST_TRIES):
            clock.advance(seconds=LEASE_SECONDS + 1)
            await inbox.step()
            await inbox.drain()
    assert (sealed.apologised, untaken(database)) == ([], ["1"])
    clock.advance(seconds=LEASE_SECONDS + 1)
    adapter = Adapter()
    async with process(database, adapter) as inbox:
        await inbox.step()
        await inbox.drain()
    assert (adapter.done, untaken(database)) == (["1"], [])


async def test_what_nobody_has_in_hand_comes_again_while_others_are_at_work(
    database: Database, clock: FakeClock
) -> None:
    """It failed, and that could not be written either: its lease runs out all the same."""
    busy = asyncio.Event()
    adapter = Adapter(lambda raw: busy if raw.event.id == "1" else None)
    async with process(database, adapter) as inbox:
        await inbox.hear(command("1"))
        await inbox.hear(command("2"))
        inbox._awaited.clear()  # Whoever heard the second one has given up.
        under_way = asyncio.create_task(inbox.act(command("1")))
        await asyncio.sleep(0)
        clock.advance(seconds=LEASE_SECONDS - 1)
        await inbox._in_thread(partial(inbox._renew, inbox._in_hand()))
        clock.advance(seconds=2)
        await inbox.step()
        busy.set()
        await under_way
        await inbox.drain()
    assert adapter.done == ["1", "2"]


async def test_who_waits_for_an_acknowledgement_keeps_what_it_heard(
    database: Database, clock: FakeClock
) -> None:
    adapter = Adapter()
    async with process(database, adapter) as inbox:
        await inbox.hear(command())
        clock.advance(seconds=LEASE_SECONDS + 1)
        await inbox.step()
        await inbox.act(command())
        assert adapter.done == ["1"]


async def test_after_a_stop_it_is_the_next_process_s(database: Database, clock: FakeClock) -> None:
    late = Adapter()
    async with process(database, late) as inbox:
        await inbox.hear(command())
    await inbox.act(command())
    clock.advance(seconds=0.1)
    adapter = Adapter()
    async with process(database, adapter) as following:
        await following.step()
        await following.drain()
    assert (late.done, adapter.done) == ([], ["1"])


@pytest.mark.parametrize("body", ["{}", '{"more": 1}', "[]", '{"event": 5}', "{", "nothing"])
async def test_what_another_release_wrote_ends_nobody(
    database: Database, clock: FakeClock, body: str
) -> None:
    adapter = Adapter()
    async with process(database, adapter) as inbox:
        await inbox.hear(command("1"))
        await inbox.hear(command("2"))
        with database.write() as session:
            rows_of_it = update(InboxRow).where(InboxRow.event_key == str(command("1").event))
            session.execute(rows_of_it.values(body=body))
        inbox._awaited.clear()
        for _ in range(MOST_TRIES + 2):
            clock.advance(seconds=LEASE_SECONDS + 1)
            await inbox.step()
            await inbox.drain()
    assert (adapter.done, adapter.apologised, untaken(database)) == (["2"], [], ["1"])


async def test_what_the_platform_says_passes_is_tried_again(
    database: Database, clock: FakeClock
) -> None:
    failing = Adapter(raises(RuntimeError()))
    async with process(database, failing) as inbox:
        await inbox.hear(command())
        await inbox.act(command())
    assert (failing.apologised, untaken(database)) == ([], ["1"])


async def test_leases_are_kept_while_the_threads_of_all_are_busy(
    database: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they are when many people export or forget at once."""
    monkeypatch.setattr(inbox_module, "LOOK_SECONDS", 0.01)
    free, moment = threading.Event(), asyncio.Event()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    async with process(database, Adapter(lambda _: moment), lease_seconds=0.04) as inbox:
        await inbox.hear(command())
        under_way = asyncio.create_task(inbox.act(command()))
        busy = asyncio.create_task(asyncio.to_thread(free.wait, 60))
        running = asyncio.create_task(inbox.run())
        for _ in range(3):
            until = clock.advance(seconds=1)
            await eventually(lambda until=until: lease_of(database) > until)
        assert not busy.done()
        free.set()
        running.cancel()
        moment.set()
        await asyncio.gather(under_way, busy)


def lease_of(database: Database) -> datetime:
    with database.read() as session:
        return session.scalars(select(InboxRow.lease_until)).one()


async def eventually(is_so: Callable[[], bool]) -> None:
    for _ in range(2000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never")


@needs_postgres
async def test_postgresql_that_takes_no_writes_for_a_while_ends_nobody(
    empty_postgres_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a failover: whoever asks is told so, and what waits is done afterwards."""
    monkeypatch.setattr(inbox_module, "LOOK_SECONDS", 0.01)
    database, name = Database(empty_postgres_url, clock), make_url(empty_postgres_url).database
    migrate.upgrade(database)

    def says(setting: str) -> None:
        with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as admin:
            admin.execute(text("set default_transaction_read_only = off"))
            admin.execute(text(f"alter database {name} {setting}"))
        database.engine.dispose()

    adapter = Adapter()
    async with process(database, adapter) as inbox:
        await inbox.hear(command())
        inbox._awaited.clear()  # Whoever heard it has given up.
        clock.advance(seconds=LEASE_SECONDS + 1)
        says("set default_transaction_read_only = on")
        try:
            with pytest.raises(Unanswered):
                await inbox.hear(command("2"))
            with pytest.raises(InternalError):
                await inbox.step()
            running = asyncio.create_task(inbox.run())
            await asyncio.wait([running], timeout=0.5)
            assert not running.done()
        finally:
            says("reset default_transaction_read_only")
        await eventually(lambda: adapter.done == ["1"])
        running.cancel()
        await inbox.drain()
        assert untaken(database) == []
    database.close()
