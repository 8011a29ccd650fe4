"""References of people who may not ask, of one person who asks much, and of many at once."""

import asyncio
import io
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image
from sqlalchemy import select

import bot.references
from bot.core.line import Line
from bot.i18n import say
from bot.references import Reader, turns
from bot.references.decode import Decoded, decode, pixels
from storage import doorbell, forget, inbox, places, sanctions, sweep
from storage.domain import (
    Attached,
    Complaint,
    EventKey,
    Kept,
    Linked,
    Place,
    Platform,
    RawCommand,
    Requester,
    Source,
)
from storage.places import WorkspaceRules
from storage.settings import Settings
from storage.tables import InboxRow, JobRow
from tests.conftest import make_settings
from tests.fakes.attachments import attached, read
from tests.fakes.fresh import empty_database, line

__all__ = ["empty_database", "line"]

HERE = Place(platform=Platform.DISCORD, workspace_id="1", channel_id="1")
Change = Callable[[WorkspaceRules], WorkspaceRules]
Fall = Callable[[Line, UUID], None]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path, broker_url="memory://", daily_pictures=20)


def asked(
    person: str = "greedy", text: str = "a fox", event: str | None = None, **given: Any
) -> RawCommand:
    return RawCommand(
        event=EventKey(platform=Platform.DISCORD, kind="interaction", id=event or str(uuid4())),
        requester=Requester(platform=Platform.DISCORD, user_id=person),
        place=HERE,
        text=text,
        **given,
    )


def picture(colour: str = "teal", size: tuple[int, int] = (40, 20)) -> Attached:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return attached(out.getvalue())


def rules(line: Line, to: Change) -> None:
    with line.database.write() as session:
        places.change(session, HERE.platform, HERE.workspace_id, to)


def paused(line: Line, _: UUID) -> None:
    rules(line, lambda rules: replace(rules, paused=True))


def elsewhere_only(line: Line, _: UUID) -> None:
    rules(line, lambda rules: replace(rules, channels=("2",)))


def over_quota(line: Line, _: UUID) -> None:
    rules(line, lambda rules: replace(rules, daily_pictures=1))


def banned(line: Line, job: UUID) -> None:
    with line.database.write() as session:
        sanctions.ban(session, job, by="mod", now=line.database.clock())


def there(line: Line) -> set[str]:
    return {stored.sha256 for stored in line.blobs.all()}


async def taken(line: Line, raw: RawCommand, read: Reader = read) -> UUID:
    job = await line.submit(raw, {}, read)
    assert isinstance(job, UUID), job
    return job


async def refused(line: Line, raw: RawCommand, read: Reader = read) -> str:
    told = await line.submit(raw, {}, read)
    assert isinstance(told, Complaint), told
    return say("en", told.text, **told.values)


async def never(_: Attached) -> bytes:
    raise AssertionError("nobody may read that")


SOURCES: dict[str, dict[str, Source]] = {
    "a file": {"reference": picture()},
    "a file and a mask": {"reference": picture(), "mask": picture("white")},
    "an earlier picture": {"reference": Kept(sha256="0" * 64)},
    "a link": {"reference": Linked(url="https://nowhere.example/a.png")},
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("fallen", "says"),
    [
        (banned, "barred"),
        (paused, "paused"),
        (elsewhere_only, "may not draw in this channel"),
        (over_quota, "your limit is 1"),
    ],
)
async def test_standing_is_asked_before_a_byte_is_read(
    line: Line, fallen: Fall, says: str, source: str
) -> None:
    fallen(line, await taken(line, asked()))
    assert says in await refused(line, asked(**SOURCES[source]), never)
    assert there(line) == set()


async def test_a_prompt_that_is_refused_brings_no_reference(line: Line) -> None:
    await taken(line, asked(text="a naked woman", reference=picture()), never)
    assert there(line) == set()


def falling(line: Line, job: UUID, fall: Fall) -> Reader:
    """Who reads loses their standing over it."""

    async def read_and_fall(file: Attached) -> bytes:
        fall(line, job)
        return await read(file)

    return read_and_fall


@pytest.mark.parametrize("fall", [banned, paused, over_quota])
async def test_what_a_refusal_leaves_behind_goes_at_once(line: Line, fall: Fall) -> None:
    job = await taken(line, asked())
    raw = asked(reference=picture(), mask=picture("white"))
    await refused(line, raw, falling(line, job, fall))
    assert there(line) == set()


async def test_but_not_what_another_row_refers_to(line: Line) -> None:
    job = await taken(line, asked("honest", reference=picture()))
    kept = there(line)
    await refused(line, asked(reference=picture()), falling(line, job, paused))
    assert there(line) == kept != set()


async def test_nor_what_somebody_else_has_just_stored(line: Line) -> None:
    """Another process, whose row is yet to be written."""
    job = await taken(line, asked())
    kept = line.blobs.put(decode(await read(picture())).png)
    await refused(line, asked(reference=picture()), falling(line, job, paused))
    assert there(line) == {kept}


async def test_who_is_stopped_while_it_is_written_down_keeps_the_reference(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended, go = asyncio.Event(), asyncio.Event(), threading.Event()
    loop, real = asyncio.get_running_loop(), Line._accept

    def slowly(*given: Any) -> UUID | Complaint:
        loop.call_soon_threadsafe(begun.set)
        go.wait()
        answer = real(*given)
        loop.call_soon_threadsafe(ended.set)
        return answer

    monkeypatch.setattr(Line, "_accept", slowly)
    asking = asyncio.create_task(line.submit(asked(reference=picture()), {}, read))
    await begun.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    go.set()
    await ended.wait()
    with line.database.read() as session:
        wanted = {sha256 for sha256, _ in sweep.expected(session)}
    assert there(line) == wanted != set()


async def test_one_event_five_times_is_read_once(line: Line) -> None:
    heard: list[str] = []

    async def count(file: Attached) -> bytes:
        heard.append(file.name)
        return await read(file)

    raw = asked(reference=picture())
    jobs = await asyncio.gather(*(taken(line, raw, count) for _ in range(5)))
    assert len(set(jobs)) == len(heard) == len(there(line)) == 1


class Gate:
    """A way to files that lets nobody through until it is opened, and counts who stands in it."""

    def __init__(self) -> None:
        self.open, self.entered = asyncio.Event(), asyncio.Condition()
        self.inside = self.most = 0

    async def read(self, file: Attached) -> bytes:
        async with self.entered:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.entered.notify_all()
        await self.open.wait()
        self.inside -= 1
        return await read(file)

    async def until(self, inside: int) -> None:
        async with self.entered:
            await self.entered.wait_for(lambda: self.inside == inside)


async def test_nobody_waits_behind_one_person(line: Line) -> None:
    gate = Gate()
    crowd = [asyncio.create_task(taken(line, asked(reference=picture()), gate.read)) for _ in "123"]
    await gate.until(1)
    await taken(line, asked("honest", reference=picture("red")))
    assert not any(task.done() for task in crowd)
    gate.open.set()
    await asyncio.gather(*crowd)
    assert gate.most == 1


async def test_the_same_name_elsewhere_is_another_person(line: Line) -> None:
    gate = Gate()
    raw = asked(reference=picture())
    other = replace(raw.requester, platform=Platform.SLACK, tenant="T1")
    crowd = [
        asyncio.create_task(taken(line, given, gate.read))
        for given in (raw, replace(asked(reference=picture()), requester=other))
    ]
    await gate.until(2)
    gate.open.set()
    await asyncio.gather(*crowd)


async def test_a_process_has_few_in_hand(line: Line) -> None:
    gate = Gate()
    people = [f"person {number}" for number in range(3 * turns.AT_ONCE)]
    crowd = [
        asyncio.create_task(taken(line, asked(name, reference=picture()), gate.read))
        for name in people
    ]
    await gate.until(turns.AT_ONCE)
    gate.open.set()
    await asyncio.gather(*crowd)
    assert gate.most == turns.AT_ONCE


async def test_who_never_ends_loses_the_turn(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bot.references, "TIMEOUT_SECONDS", 0.01)
    assert "couldn't fetch" in await refused(line, asked(reference=picture()), Gate().read)
    await taken(line, asked(reference=picture()))


async def test_small_pictures_do_not_wait_for_large_ones(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slowly(data: bytes) -> Decoded:
        if pixels(data) > bot.references.SMALL_PIXELS:
            loop.call_soon_threadsafe(begun.set)
            go.wait()
        return decode(data)

    monkeypatch.setattr(bot.references, "decode", slowly)
    large = asked("greedy", reference=picture(size=(2500, 2000)))
    waiting = asyncio.create_task(taken(line, large))
    await begun.wait()
    await taken(line, asked("honest", reference=picture()))
    go.set()
    await waiting


async def test_a_broker_that_is_away_holds_nobody_s_turn(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two references of one person: both rings are under way at once."""
    both = threading.Barrier(2)
    monkeypatch.setattr(doorbell, "ring", lambda *_: both.wait(30))
    await asyncio.gather(*(taken(line, asked(reference=picture())) for _ in range(2)))


def heard(line: Line, raw: RawCommand) -> None:
    with line.database.write() as session:
        now = line.database.clock()
        until = now + timedelta(minutes=1)
        inbox.put(session, [(raw, "body")], owner="me", until=until, now=now)


def body(line: Line) -> str:
    with line.database.read() as session:
        return session.scalars(select(InboxRow.body)).one()


@pytest.mark.parametrize("source", [None, *SOURCES])
async def test_what_is_taken_already_is_no_more_in_the_inbox(
    line: Line, source: str | None
) -> None:
    """Its row may have come after it: a release without an inbox took it, or a commit was slow."""
    raw = asked()
    job = await taken(line, raw)
    heard(line, raw)
    assert await taken(line, replace(raw, **SOURCES.get(source or "", {})), never) == job
    assert body(line) == ""


@pytest.mark.parametrize("source", [None, *SOURCES])
async def test_of_a_second_press_the_placeholder_is_still_to_go(
    line: Line, source: str | None
) -> None:
    job = await taken(line, asked(press="again"))
    heard(line, raw := asked(press="again", **SOURCES.get(source or "", {})))
    assert await taken(line, raw, never) == job
    assert body(line) == "body"


@pytest.mark.parametrize("text", ["a fox", "a naked woman"])
@pytest.mark.parametrize("source", [None, "a file"])
async def test_of_who_is_forgotten_nothing_is_taken_that_is_in_hand(
    line: Line, monkeypatch: pytest.MonkeyPatch, text: str, source: str | None
) -> None:
    heard(line, raw := asked(text=text, **SOURCES.get(source or "", {})))

    def forgotten() -> None:
        account, keep = raw.requester.account, timedelta(days=30)
        forget.forget(line.database, line.blobs, account, keep=keep)

    async def read_meanwhile(file: Attached) -> bytes:
        await asyncio.to_thread(forgotten)
        return await read(file)

    if source is None or text != "a fox":  # Nothing is read of it.
        forgotten()
    assert "I have forgotten this request" in await refused(line, raw, read_meanwhile)
    with line.database.read() as session:
        assert session.scalars(select(JobRow.id)).all() == []
    assert there(line) == set()
