"""The deliverer and the reaper against a chat that misbehaves on order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event
from sqlalchemy.exc import InternalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bot.compose import build_line
from bot.core import mine, steer
from bot.core.line import Line
from bot.deliver import SOON_TRIES, Deliverer
from bot.reaper import Reaper
from bot.showing import (
    Doubtful,
    Gone,
    Operators,
    PictureReader,
    RetryLater,
    Shown,
    Told,
)
from storage import decisions, deliveries, jobs, leases, log, troubles
from storage.domain import Account, Card, Complaint, Delivery, JobState, Platform, StepReport, Tone
from storage.domain.job import Phase
from storage.log import LogEntry
from storage.tables import DeliveryRow
from tests.conftest import make_settings
from tests.fakes.nouns import NOON, FakeClock, a_request, recorded
from tests.fakes.painter import Painter

LEASE = timedelta(seconds=15)
ALICE = Account(platform=Platform.DISCORD, user_id="alice")


class Chat:
    """Does with each card what the next of `orders` says; shows it when there is none."""

    platform = Platform.DISCORD

    def __init__(self, application: str = "") -> None:
        self.application = application
        self.orders: list[Exception] = []
        self.shown: list[Card] = []
        self.told: list[str] = []
        self.visible: set[str] = set()
        """Messages that say something, by the `message_id` of their address."""
        self.closed: dict[str, Exception] = {}
        """What is raised where."""
        self.gate: asyncio.Event | None = None
        """Set by a test that wants showings to take until it is opened."""

    async def show(self, delivery: Delivery, card: Card, read: PictureReader) -> Shown:
        if self.gate is not None:
            await self.gate.wait()
        if self.orders:
            raise self.orders.pop(0)
        where = delivery.address.get("message_id", "")
        if where in self.closed:
            raise self.closed[where]
        (self.visible.discard if card.removed else self.visible.add)(where)
        for picture in card.pictures:
            assert await read(picture)
        if not delivery.moved:
            self.shown.append(card)
        address = {} if card.removed else delivery.address
        return Shown(address=address, pictures=bool(card.pictures))

    async def tell(
        self, delivery: Delivery, user_id: str, locale: str, complaint: Complaint, code: str
    ) -> None:
        self.told.append(complaint.text)


class Office:
    def __init__(self, line: Line, clock: FakeClock) -> None:
        self.line, self.clock, self.chat = line, clock, Chat()
        self.deliverer, self.reaper = Deliverer(line, self.chat), Reaper(line)
        self.painter = Painter(line.database, line.blobs, tuple(line.catalog.models))

    def job(self, **changes: Any) -> UUID:
        with self.line.database.write() as session:
            return recorded(session, now=self.clock(), request=a_request(**changes))

    async def deliver(self) -> list[Tone]:
        """One round; the tones of what was shown in it."""
        before = len(self.chat.shown)
        await self.deliverer.step()
        await self.deliverer.drain()
        return [card.tone for card in self.chat.shown[before:]]

    def entry(self, job: UUID) -> LogEntry:
        with self.line.database.read() as session:
            found = log.entry(session, job)
        assert found is not None
        return found

    def queued(self) -> list[str]:
        """What `/queue` says of each request."""
        with self.line.database.read() as session:
            found = mine.queue(session, ALICE, "en", self.clock())
        return [request.state for request in found]

    def cancel(self, job: UUID) -> str:
        """What somebody hears who is too late."""
        with self.line.database.write() as session:
            complaint = steer.cancel(session, job, self.clock())
        return complaint.text if complaint else ""

    def stranded(self, message_id: str = "public") -> UUID:
        """A result that is refused where it was asked for."""
        job = self.job()
        with self.line.database.write() as session:
            row = session.get_one(DeliveryRow, job)
            row.address, row.message_id = {"message_id": message_id}, message_id
        self.painter.paint()
        return job

    def move(self, job: UUID, message_id: str) -> bool:
        """Somebody presses Show."""
        with self.line.database.write() as session:
            complaint = steer.fetch(session, job, {"message_id": message_id})
        return complaint is None

    def remove(self, job: UUID) -> None:
        with self.line.database.write() as session:
            deliveries.desire(session, job, removed=True)
        self.clock.now = max(self.clock(), self.row(job).not_before)

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
    office.chat.orders = [Gone("10003")]
    await office.deliver()
    assert office.row(job).gone == "10003"
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


async def test_what_may_be_gone_in_a_moment_is_tried_for_an_hour(office: Office) -> None:
    """CASES D5: rights that somebody is just editing."""
    job = office.job()
    office.painter.paint()
    tries = 0
    while not office.row(job).gone:
        office.chat.orders = [Doubtful("50013")]
        assert await office.deliver() == []
        tries += 1
        row = office.row(job)
        assert (row.trouble, row.trouble_since) == ("50013", NOON) or row.gone
        office.clock.now = max(office.clock.now, row.not_before)
    assert NOON + timedelta(hours=1) <= office.clock.now < NOON + timedelta(hours=1, minutes=11)
    assert tries < 15, "seldom"
    assert len(office.chat.told) == 1
    assert office.queued() == ["Finished, but I can't show it where you asked for it."]


async def test_rights_that_are_back_cost_ten_seconds(office: Office) -> None:
    job = office.job()
    office.painter.paint()
    office.chat.orders = [Doubtful("50001")]
    await office.deliver()
    assert office.queued() == ["Finished, but I can't show it where you asked for it."]
    assert "/queue" in office.cancel(job)
    office.clock.advance(seconds=10)
    assert await office.deliver() == [Tone.DONE]
    assert office.row(job).trouble == ""
    assert office.chat.told == []
    assert office.queued() == []
    assert "/queue" not in office.cancel(job)


async def test_an_hour_of_one_refusal_is_not_that_of_another(office: Office) -> None:
    job = office.job()
    office.chat.orders = [Operators("401")]
    await office.deliver()
    office.clock.advance(hours=3)
    office.chat.orders = [Doubtful("50013")]
    await office.deliver()
    assert office.row(job).gone is None


async def test_what_passes_has_an_hour_of_its_own(office: Office) -> None:
    """CASES D3: what the operator took a day to mend is not given up over one error after it."""
    job = office.job()
    office.painter.paint()
    for refusal in (*[Operators("token_revoked")] * (SOON_TRIES + 9), RetryLater(code="503")):
        office.chat.orders = [refusal]
        assert await office.deliver() == []
        row = office.row(job)
        office.clock.now = max(office.clock.now, row.not_before)
    assert office.row(job).gone is None
    assert office.chat.told == []
    assert await office.deliver() == [Tone.DONE]


async def test_what_cannot_be_shown_there_is_told_at_once_and_drawn(office: Office) -> None:
    job = office.job()
    office.chat.orders = [Told("restricted_action")]
    await office.deliver()
    assert "Once it is drawn" in office.chat.told[0]
    office.painter.paint()
    assert await office.deliver() == []
    assert office.queued() == ["Finished, but I can't show it where you asked for it."]
    with office.line.database.write() as session:
        deliveries.move(session, job, {"message_id": "elsewhere"})
    assert await office.deliver() == [Tone.DONE]
    assert office.queued() == []


async def test_what_the_operator_has_to_mend_is_kept(office: Office) -> None:
    job = office.job()
    office.painter.paint()
    for _ in range(100):
        office.chat.orders = [Operators("token_revoked")]
        assert await office.deliver() == []
        wait = office.row(job).not_before - office.clock()
        assert timedelta(seconds=5) <= wait <= timedelta(seconds=60)
        office.clock.now = office.row(job).not_before
    with office.line.database.read() as session:
        [trouble] = troubles.current(session)
    assert (
        trouble.said(NOON) == "1 card cannot be shown: Discord says token_revoked since 12:00 UTC"
    )
    assert await office.deliver() == [Tone.DONE]
    with office.line.database.read() as session:
        assert troubles.current(session) == []


@pytest.mark.parametrize("running", [False, True])
async def test_nobody_draws_for_nobody(office: Office, running: bool) -> None:
    """CASES D5c."""
    job = office.job()
    await office.deliver()
    if running:
        office.painter.claim()
    with office.line.database.write() as session:
        deliveries.desire(session, job)
    office.chat.orders = [Gone("10008")]
    await office.deliver()
    entry = office.entry(job)
    assert entry.cancel_requested
    assert running or entry.state is JobState.CANCELLED


REFUSALS = [
    Doubtful("50013"),
    Told("50007"),
    Operators("401"),
    RetryLater(code="502"),
    ValueError("a defect"),
]


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_take_down_is_never_given_up(office: Office, refusal: Exception) -> None:
    job = office.job()
    office.painter.paint()
    await office.deliver()
    with office.line.database.write() as session:
        deliveries.desire(session, job, removed=True)
    for _ in range(50):
        office.chat.orders = [refusal]
        await office.deliver()
        with office.line.database.read() as session:
            [trouble] = troubles.current(session)
        assert "cannot be taken down" in trouble.said(NOON)
        assert office.row(job).not_before - office.clock() <= timedelta(hours=1)
        office.clock.now = office.row(job).not_before
    await office.deliver()
    assert office.chat.shown[-1].removed


@pytest.mark.parametrize("orders", [[Told("50007")], [Doubtful("50013")], [RetryLater(600.0)]])
async def test_a_take_down_waits_for_nothing(office: Office, orders: list[Exception]) -> None:
    """Also of a card that was given up, and of one that is just being put off."""
    job = office.job()
    office.painter.paint()
    await office.deliver()
    with office.line.database.write() as session:
        deliveries.desire(session, job)
    office.chat.orders, gate = orders, asyncio.Event()
    if isinstance(orders[0], RetryLater):
        office.chat.gate = gate
        await office.deliverer.step()
    else:
        await office.deliver()
    with office.line.database.write() as session:
        deliveries.desire(session, job, removed=True)
    gate.set()
    await office.deliverer.drain()
    await office.deliver()
    assert office.chat.shown[-1].removed


def without_models(line: Line) -> Line:
    return replace(line, catalog=line.catalog.model_copy(update={"models": {}}))


async def test_a_model_that_is_gone_breaks_no_card(office: Office) -> None:
    """CASES C1."""
    made, waiting = office.job(), office.job()
    office.painter.paint()
    office.line = without_models(office.line)
    office.deliverer = Deliverer(office.line, office.chat)
    assert sorted(await office.deliver()) == [Tone.DONE, Tone.WAITING]
    with office.line.database.write() as session:
        jobs.cancel(session, waiting, office.clock())
    assert await office.deliver() == [Tone.FAILED]
    with office.line.database.write() as session:
        decisions.remove(session, made, by="mod", now=office.clock())
    await office.deliver()
    assert office.chat.shown[-1].removed


async def test_cards_say_what_was_noted_when_the_request_was_accepted(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CASES C1: from the entry alone; no card looks at the prompt again."""

    def asked(*_: object) -> None:
        raise AssertionError("asked for a card")

    monkeypatch.setattr("bot.core.names._look", asked)
    monkeypatch.setattr("bot.core.notes.notes", asked)
    note = Complaint(text="I took this as words: {signs}.", values={"signs": "-- {no}"})
    office.job(notes=(note,))
    await office.deliver()
    assert "I took" not in office.chat.shown[-1].text
    office.painter.paint()
    assert await office.deliver() == [Tone.DONE]
    assert office.chat.shown[-1].text == "I took this as words: -- {no}."


async def test_each_application_shows_its_own(office: Office) -> None:
    """CASES D14: a demo and a service on one data folder."""
    ours, theirs, anybodys = (office.job() for _ in range(3))
    with office.line.database.write() as session:
        session.get_one(DeliveryRow, ours).application = "1"
        session.get_one(DeliveryRow, theirs).application = "2"
    demo, service = Chat("1"), Chat("2")
    for chat in (demo, service):
        deliverer = Deliverer(office.line, chat)
        await deliverer.step()
        await deliverer.drain()
    assert (len(demo.shown), len(service.shown)) == (2, 1)
    office.clock.advance(minutes=3)
    await Deliverer(office.line, service).refresh_waiting()
    assert [office.row(j).desired_revision for j in (ours, theirs, anybodys)] == [1, 2, 2]


@pytest.mark.parametrize(
    "error",
    [
        InternalError("read-only", None, Exception()),
        PoolTimeout("no connection is free"),
        ProgrammingError("no such column", None, Exception()),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_it_goes_on_whatever_the_database_raises(
    office: Office, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    office.job()
    step, failures = office.deliverer.step, [error]

    async def failing() -> int:
        if failures:
            raise failures.pop()
        return await step()

    monkeypatch.setattr(office.deliverer, "step", failing)
    running = asyncio.create_task(office.deliverer.run())
    for _ in range(600):
        if running.done() or office.chat.shown:
            break
        await asyncio.sleep(0.05)
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])
    assert [card.tone for card in office.chat.shown] == [Tone.WAITING]


@pytest.mark.parametrize("expires", ["soon", "2026-11-21", "2026-11-21T12:00:00", "12:00"])
async def test_an_address_that_is_wrong_keeps_no_other_card_as_it_is(
    office: Office, expires: str
) -> None:
    wrong, right = office.job(), office.job()
    with office.line.database.write() as session:
        session.get_one(DeliveryRow, wrong).address = {"token_expires_at": expires}
    await office.deliver()
    office.clock.advance(minutes=3)
    await office.deliverer.refresh_waiting()
    assert [office.row(job).desired_revision for job in (wrong, right)] == [2, 2]


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
        [request] = mine.queue(session, ALICE, "en", office.clock())
        assert request.state == "Being drawn."
        office.clock.advance(seconds=20)
        [request] = mine.queue(session, ALICE, "en", office.clock())
        assert "waits for another one, first in line." in request.state


async def test_a_show_that_is_too_late_moves_nothing(office: Office) -> None:
    """Rights return before it is pressed: else nobody would know the public message any more."""
    job = office.stranded()
    office.chat.orders = [Doubtful("50013")]
    await office.deliver()
    assert office.queued() == ["Finished, but I can't show it where you asked for it."]
    office.clock.advance(hours=1)
    assert await office.deliver() == [Tone.DONE]
    assert not office.move(job, "late")
    office.remove(job)
    await office.deliver()
    assert office.chat.visible == set()


async def test_what_is_moved_is_seen_in_one_place(office: Office) -> None:
    """Its first message may say “Drawing” still, or show the picture: an answer may be lost."""
    job = office.stranded()
    office.chat.visible = {"public"}
    office.chat.orders = [Told("50007")]
    await office.deliver()
    assert office.move(job, "mine")
    assert not office.move(job, "mine too"), "a second press, before anything is shown"
    await office.deliver()
    assert office.chat.visible == {"mine"}
    assert office.row(job).address == {"message_id": "mine"}


@pytest.mark.parametrize("refusal", [*REFUSALS, Gone("10008")])
async def test_a_take_down_goes_to_where_it_was_before_too(
    office: Office, refusal: Exception
) -> None:
    job = office.stranded()
    office.chat.visible = {"public"}
    office.chat.orders = [Told("50007")]
    await office.deliver()
    assert office.move(job, "mine")
    office.chat.closed = {"public": refusal}
    await office.deliver()
    assert office.chat.visible == {"public", "mine"}, "it is shown all the same"
    office.remove(job)
    await office.deliver()
    assert office.chat.visible == {"public"}, "each is tried"
    office.chat.closed = {}
    office.remove(job)
    await office.deliver()
    assert office.chat.visible == ({"public"} if isinstance(refusal, Gone) else set())
    assert office.row(job).address == {}


async def test_a_take_down_from_where_it_is_waits_for_no_other(office: Office) -> None:
    job = office.stranded()
    office.chat.visible = {"public"}
    office.chat.orders = [Told("50007")]
    await office.deliver()
    office.move(job, "mine")
    office.chat.closed = {"public": Told("50007")}
    await office.deliver()
    office.chat.closed = {"mine": Operators("401")}
    office.remove(job)
    await office.deliver()
    assert office.chat.visible == {"mine"}
    with office.line.database.read() as session:
        [trouble] = troubles.current(session)
    assert (trouble.code, trouble.removing) == ("401", True)


async def test_who_shows_it_while_it_is_moved_leaves_nothing(office: Office) -> None:
    job = office.stranded()
    office.chat.orders = [Doubtful("50013")]
    await office.deliver()
    office.clock.advance(hours=1)
    office.chat.gate = asyncio.Event()
    await office.deliverer.step()
    await asyncio.sleep(0)
    assert office.move(job, "mine")
    office.chat.gate.set()
    await office.deliverer.drain()
    assert office.chat.visible == {"public"}
    await office.deliver()
    assert office.chat.visible == {"mine"}
