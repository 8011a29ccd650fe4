"""The deliverer and the reaper against a chat that misbehaves on order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import event

from bot.compose import build_line
from bot.core import mine
from bot.core.line import Line
from bot.deliver import Deliverer, Gone, PictureReader, RetryLater, Shown
from bot.reaper import Reaper
from storage import deliveries, jobs, leases, log
from storage.domain import Card, Delivery, JobState, Platform, StepReport, Tone
from storage.domain.job import Phase
from storage.tables import DeliveryRow
from tests.conftest import make_settings
from tests.fakes.nouns import FakeClock, recorded
from tests.fakes.painter import Painter

LEASE = timedelta(seconds=15)


class Chat:
    """Does with each card what the next of `orders` says; shows it when there is none."""

    platform = Platform.DISCORD

    def __init__(self) -> None:
        self.orders: list[Exception] = []
        self.shown: list[Card] = []
        self.gate: asyncio.Event | None = None
        """Set by a test that wants showings to take until it is opened."""

    async def show(self, delivery: Delivery, card: Card, read: PictureReader) -> Shown:
        if self.gate is not None:
            await self.gate.wait()
        if self.orders:
            raise self.orders.pop(0)
        for picture in card.pictures:
            assert await read(picture)
        self.shown.append(card)
        return Shown(address=delivery.address, pictures=bool(card.pictures))


class Office:
    def __init__(self, line: Line, clock: FakeClock) -> None:
        self.line, self.clock, self.chat = line, clock, Chat()
        self.deliverer, self.reaper = Deliverer(line, self.chat), Reaper(line)
        self.painter = Painter(line.database, line.blobs, tuple(line.catalog.models))

    def job(self) -> UUID:
        with self.line.database.write() as session:
            return recorded(session, now=self.clock())

    async def deliver(self) -> list[Tone]:
        """One round; the tones of what was shown in it."""
        before = len(self.chat.shown)
        await self.deliverer.step()
        await self.deliverer.drain()
        return [card.tone for card in self.chat.shown[before:]]

    def row(self, job: UUID) -> DeliveryRow:
        with self.line.database.read() as session:
            return session.get_one(DeliveryRow, job)


@pytest.fixture
def office(tmp_path: Path, clock: FakeClock) -> Iterator[Office]:
    line = build_line(make_settings(tmp_path, broker_url="memory://"), clock=clock)
    yield Office(line, clock)
    line.database.close()


async def test_from_waiting_to_the_picture(office: Office) -> None:
    office.job()
    assert await office.deliver() == [Tone.WAITING]
    assert await office.deliver() == [], "nothing has changed"
    office.painter.paint()
    assert await office.deliver() == [Tone.DONE]
    assert len(office.chat.shown[-1].pictures) == 1


async def test_wait_means_wait(office: Office) -> None:
    office.job()
    office.chat.orders = [RetryLater(7.0)]
    assert await office.deliver() == []
    office.clock.advance(seconds=6.9)
    assert await office.deliver() == []
    office.clock.advance(seconds=0.2)
    assert await office.deliver() == [Tone.WAITING]


async def test_waits_grow_without_end_and_nothing_is_given_up(office: Office) -> None:
    job = office.job()
    waits = []
    for _ in range(14):
        office.chat.orders = [RetryLater()]
        assert await office.deliver() == []
        waits.append((office.row(job).not_before - office.clock()).total_seconds())
        office.clock.now = office.row(job).not_before
    assert waits[0] == 0.5
    assert waits == sorted(waits)
    assert waits[-1] == 300
    assert await office.deliver() == [Tone.WAITING]


async def test_who_waited_for_a_turn_has_not_failed(office: Office) -> None:
    job = office.job()
    for _ in range(10):
        office.chat.orders = [RetryLater(1.0)]
        assert await office.deliver() == []
        office.clock.now = office.row(job).not_before
    office.chat.orders = [RetryLater()]
    assert await office.deliver() == []
    assert (office.row(job).not_before - office.clock()).total_seconds() == 0.5


async def test_a_defect_in_the_adapter_is_tried_again(office: Office) -> None:
    office.job()
    office.chat.orders = [ValueError("a defect")]
    assert await office.deliver() == []
    office.clock.advance(seconds=1)
    assert await office.deliver() == [Tone.WAITING]


async def test_nobody_there_is_final(office: Office) -> None:
    job = office.job()
    office.chat.orders = [Gone("10003 Unknown Channel")]
    await office.deliver()
    assert office.row(job).gone == "10003 Unknown Channel"
    office.painter.paint()
    office.clock.advance(days=1)
    assert await office.deliver() == []


async def test_a_picture_that_is_not_stored_yet_is_tried_again(office: Office) -> None:
    job = office.job()
    office.painter.paint()
    with office.line.database.read() as session:
        entry = log.entry(session, job)
    assert entry is not None
    sha256 = entry.pictures[0].sha256
    office.line.blobs.move(sha256, to_kept_apart=True)
    assert await office.deliver() == []
    office.line.blobs.move(sha256, to_kept_apart=False)
    office.clock.advance(seconds=1)
    assert await office.deliver() == [Tone.DONE]


async def test_two_deliverers_show_once(office: Office) -> None:
    for _ in range(5):
        office.job()
    other = Deliverer(office.line, office.chat)
    await office.deliverer.step()
    await other.step()
    await office.deliverer.drain()
    await other.drain()
    assert len(office.chat.shown) == 5


async def test_a_deliverer_that_died_is_replaced_when_its_lease_is_over(office: Office) -> None:
    job = office.job()
    office.painter.paint()
    with office.line.database.write() as session:
        [taken] = deliveries.lease_due(
            session,
            Platform.DISCORD,
            owner="dead",
            lease=LEASE,
            pace=timedelta(0),
            now=office.clock(),
        )
    assert taken.job_id == job
    assert await office.deliver() == []
    office.clock.advance(seconds=31)
    assert await office.deliver() == [Tone.DONE]


async def test_what_takes_longer_than_its_lease_is_not_shown_twice_at_once(office: Office) -> None:
    office.job()
    gate = office.chat.gate = asyncio.Event()
    assert await office.deliverer.step() == 1
    office.clock.advance(seconds=31)
    assert await office.deliverer.step() == 0
    gate.set()
    assert await office.deliver() == [Tone.WAITING]
    assert await office.deliver() == []


async def test_a_failure_that_comes_late_may_have_taken_effect_over_what_is_newer(
    office: Office,
) -> None:
    office.job()
    stuck = Deliverer(office.line, slow := Chat())
    gate = slow.gate = asyncio.Event()
    slow.orders = [RetryLater()]
    await stuck.step()
    office.painter.paint()
    office.clock.advance(seconds=31)
    assert await office.deliver() == [Tone.DONE]
    gate.set()
    await stuck.drain()
    assert await office.deliver() == [Tone.DONE]


async def test_progress_comes_every_second_and_a_half(office: Office) -> None:
    office.job()
    await office.deliver()
    with office.line.database.write() as session:
        claimed = leases.claim(
            session,
            ["builtin"],
            worker="w",
            lease=LEASE,
            max_attempts=3,
            now=office.clock(),
        )
    assert claimed is not None
    assert await office.deliver() == [Tone.WORKING]
    shown = []
    for step in range(1, 9):
        office.clock.advance(seconds=0.5)
        report = StepReport(phase=Phase.DRAWING, step=step, steps=12)
        with office.line.database.write() as session:
            leases.renew(session, claimed, report, lease=LEASE, now=office.clock())
        shown += [office.chat.shown[-1].text for _ in await office.deliver()]
    assert shown == ["Step 1 of 12", "Step 4 of 12", "Step 7 of 12"]


async def test_the_queue_moves_up_on_the_cards(office: Office) -> None:
    first, _second = office.job(), office.job()
    office.clock.advance(seconds=1)
    third = office.job()
    await office.deliverer.refresh_waiting()
    await office.deliver()
    assert "3" in next(card.text for card in office.chat.shown if card.job_id == third)
    with office.line.database.write() as session:
        jobs.cancel(session, first, office.clock())
    office.clock.advance(seconds=2)
    await office.deliverer.refresh_waiting()
    await office.deliver()
    assert "2" in [card.text for card in office.chat.shown if card.job_id == third][-1]


async def test_a_look_at_the_queue_costs_the_same_however_long_it_is(office: Office) -> None:
    engine, counts = office.line.database.engine, []
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _k, sql, *_: asked.append(sql))
    for _ in range(2):
        for _ in range(4):
            office.job()
        await office.deliverer.refresh_waiting()
        asked.clear()
        await office.deliverer.refresh_waiting()
        counts.append(len(asked))
    assert counts[0] == counts[1]


async def test_silent_workers_are_admitted_after_two_minutes(office: Office) -> None:
    office.job()
    await office.deliver()
    assert "No worker" not in office.chat.shown[-1].text
    office.clock.advance(seconds=121)
    await office.deliverer.refresh_waiting()
    await office.deliver()
    assert "No worker has answered for two minutes" in office.chat.shown[-1].text


async def test_the_reaper_ends_what_crashed_too_often(office: Office) -> None:
    job = office.job()
    for _ in range(3):
        assert office.painter.claim() is not None
        office.clock.advance(seconds=16)
        await office.reaper.step()
    assert await office.deliver() == [Tone.FAILED]
    with office.line.database.read() as session:
        entry = log.entry(session, job)
    assert entry is not None
    assert entry.state is JobState.FAILED


async def test_a_card_whose_worker_is_lost_waits_for_another(office: Office) -> None:
    job = office.job()
    lost = office.painter.claim()
    assert lost is not None
    office.painter.report(lost, Phase.DRAWING, 2, 10)
    office.clock.advance(seconds=2)
    assert await office.deliver() == [Tone.WORKING]
    office.clock.advance(seconds=20)
    office.painter.sign_of_life()
    await office.reaper.step()
    assert await office.deliver() == [Tone.WAITING]
    card = office.chat.shown[-1]
    assert (card.title, card.progress_0_1) == ("Waiting", None)
    assert "waits for another one, first in line." in card.text
    assert [button.action for button in card.buttons] == ["cancel"]
    await office.reaper.step()
    assert await office.deliver() == [], "nothing has changed"
    office.clock.advance(minutes=3)
    await office.deliverer.refresh_waiting()
    assert await office.deliver() == [Tone.WAITING]
    assert "No worker has answered for two minutes." in office.chat.shown[-1].text
    assert office.painter.claim() is not None
    assert await office.deliver() == [Tone.WORKING]
    with office.line.database.write() as session:
        jobs.cancel(session, job, office.clock())
    office.clock.advance(seconds=20)
    assert await office.deliver() == [Tone.WORKING], "it ends; nobody takes it up"
    assert office.chat.shown[-1].text == "Stopping…"


async def test_the_queue_of_a_person_says_it_too(office: Office) -> None:
    office.job()
    assert office.painter.claim() is not None
    with office.line.database.read() as session:
        [request] = mine.queue(session, Platform.DISCORD, "alice", "en", office.clock())
        assert request.state == "Being drawn."
        office.clock.advance(seconds=20)
        [request] = mine.queue(session, Platform.DISCORD, "alice", "en", office.clock())
        assert "waits for another one, first in line." in request.state
