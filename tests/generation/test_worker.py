"""The worker: one job is drawn while another is judged and stored, and nothing is claimed that
cannot be drawn yet."""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from uuid import UUID

import pytest
import structlog
from obstore.exceptions import GenericError
from PIL import Image
from sqlalchemy import update

from generation.engine import Drawn, Progress
from generation.schedulers import TooManySteps
from generation.soundness import Broken
from generation.weights import LoraUnavailable, ModelUnavailable
from generation.worker import Worker
from storage import decisions, jobs, log, migrate, sweep, usage
from storage.blobs import open_blobs
from storage.catalog import load_catalog
from storage.database import connect
from storage.domain import Decision, JobState, Reference, ReferenceUse, StepReport
from storage.domain.job import FailureReason, Phase
from storage.log import LoggedPicture
from storage.tables import JobRow, RequestRow
from tests.conftest import make_settings
from tests.fakes.nouns import FakeClock, a_request, account, recorded

PATIENCE_SECONDS = 30.0
HOLD, BLOCK = 0.7, 0.97
"""Scores that the thresholds of the tests' settings hold and block."""


class Brush:
    """An engine that draws when a test says so."""

    def __init__(self) -> None:
        self.asked: SimpleQueue[tuple[Future[Drawn], Progress]] = SimpleQueue()

    def draw(self, _request: object, *, progress: Progress, **_: object) -> Future[Drawn]:
        future: Future[Drawn] = Future()
        progress.report = StepReport(phase=Phase.DRAWING, step=1, steps=2)
        self.asked.put((future, progress))
        return future

    def next(self) -> tuple[Future[Drawn], Progress]:
        return self.asked.get(timeout=PATIENCE_SECONDS)

    def drawn(self) -> None:
        picture = Image.new("RGB", (64, 64), "teal")
        self.next()[0].set_result(
            Drawn(pictures=(picture,), model_revision="r1", device_seconds=1.0)
        )


class Checker:
    """Looks for as long as a test wants it to."""

    name, version = "checker", "1"

    def __init__(self) -> None:
        self.looks, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.says = {"nsfw": 0.0}

    def scores(self, images: Sequence[Any]) -> list[dict[str, float]]:
        self.looks.release()
        assert self.done.acquire(timeout=PATIENCE_SECONDS)
        return [self.says for _ in images]


class Studio:
    def __init__(self, folder: Path, capacity: int) -> None:
        self.capacity = capacity
        settings = make_settings(
            folder,
            lease_seconds=120.0,
            heartbeat_seconds=40.0,
            thresholds={"nsfw": {"hold": HOLD, "block": BLOCK}},
        )
        self.clock = FakeClock()
        self.brush, self.checker = Brush(), Checker()
        self.database = connect(settings, self.clock)
        migrate.upgrade(self.database)
        self.worker = Worker(
            name="w",
            models=("builtin",),
            settings=settings,
            catalog=load_catalog(settings),
            database=self.database,
            blobs=open_blobs(settings),
            engine=self.brush,  # type: ignore[arg-type]
            checkers=(self.checker,),
            ring=lambda _model, _job: None,
            capacity=capacity,
        )
        self.hands: list[threading.Thread] = []

    def record(self, jobs: int) -> list[UUID]:
        with self.database.write() as session:
            return [recorded(session, now=self.database.clock()) for _ in range(jobs)]

    def record_with_reference(self, *, labels: frozenset[str], allowed: bool) -> UUID:
        """Allowed by a moderator after a checker has held the reference, or not."""
        pixels = BytesIO()
        Image.new("RGB", (64, 64), "teal").save(pixels, "PNG")
        sha256 = self.worker.blobs.put(pixels.getvalue())
        reference = Reference(sha256=sha256, use=ReferenceUse.RESTYLE, strength=0.5)
        with self.database.write() as session:
            job = recorded(
                session, now=self.database.clock(), request=a_request(reference=reference)
            )
            session.execute(update(RequestRow).values(prompt_labels=sorted(labels)))
            session.execute(update(JobRow).values(allowed=allowed))
        return job

    def lend_hands(self, hands: int) -> None:
        for _ in range(hands):
            self.hands.append(threading.Thread(target=self.worker.work, daemon=True))
            self.hands[-1].start()

    def draw_one(self) -> None:
        """Until the checker looks at it, and goes on looking."""
        self.brush.drawn()
        assert self.checker.looks.acquire(timeout=PATIENCE_SECONDS)

    def states(self, jobs: list[UUID]) -> list[JobState]:
        with self.database.read() as session:
            entries = [log.entry(session, job) for job in jobs]
        return [entry.state for entry in entries if entry]

    def pictures(self, job: UUID) -> tuple[LoggedPicture, ...]:
        with self.database.read() as session:
            entry = log.entry(session, job)
        assert entry is not None
        return entry.pictures

    def all_done(self) -> bool:
        for hand in self.hands:
            hand.join(PATIENCE_SECONDS)
        return not any(hand.is_alive() for hand in self.hands)


@pytest.fixture
def studio(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Studio]:
    """With room for one, or for as many as the test's parameter says."""
    it = Studio(tmp_path, getattr(request, "param", 1))
    yield it
    it.database.close()


def test_the_next_is_drawn_while_one_is_judged(studio: Studio) -> None:
    jobs = studio.record(2)
    studio.lend_hands(2)
    studio.draw_one()
    future, _ = studio.brush.next()
    assert studio.states(jobs) == [JobState.RUNNING] * 2
    studio.checker.done.release(2)
    studio.hands[0].join(0.5)
    future.set_exception(MemoryError())
    assert studio.all_done()
    assert sorted(studio.states(jobs)) == [JobState.FAILED, JobState.MADE]


@pytest.mark.parametrize("studio", [1, 2], indirect=True)
def test_nothing_is_claimed_before_there_is_room_for_it(studio: Studio) -> None:
    jobs = studio.record(studio.capacity + 1)
    studio.lend_hands(len(jobs))
    futures = [studio.brush.next()[0] for _ in range(studio.capacity)]
    studio.hands[0].join(0.2)
    assert studio.brush.asked.empty()
    assert sorted(studio.states(jobs)) == [*[JobState.RUNNING] * studio.capacity, JobState.WAITING]
    for future in futures:
        future.set_exception(MemoryError())
    studio.brush.next()[0].set_exception(MemoryError())
    assert studio.all_done()


def test_a_worker_does_not_take_from_itself(studio: Studio) -> None:
    """As when the database could not be written to for longer than a lease."""
    jobs = studio.record(1)
    studio.lend_hands(1)
    studio.draw_one()
    studio.clock.advance(seconds=300)
    studio.lend_hands(1)
    studio.hands[1].join(PATIENCE_SECONDS)
    assert not studio.hands[1].is_alive(), "there is nothing to do"
    studio.checker.done.release()
    assert studio.all_done()
    assert studio.states(jobs) == [JobState.MADE]


def test_who_leaves_hands_back_what_is_drawn_and_finishes_what_is_judged(studio: Studio) -> None:
    jobs = studio.record(3)
    studio.lend_hands(3)
    studio.draw_one()
    future, progress = studio.brush.next()
    leaving = threading.Thread(target=studio.worker.drain)
    leaving.start()
    assert studio.worker.draining.wait(PATIENCE_SECONDS)
    future.set_exception(_stopped(lambda: progress.update(progress.report)))
    studio.checker.done.release()
    leaving.join(PATIENCE_SECONDS)
    assert not leaving.is_alive()
    assert studio.all_done()
    assert sorted(studio.states(jobs)) == [JobState.MADE, JobState.WAITING, JobState.WAITING]


@pytest.mark.parametrize("leaving", [False, True])
def test_who_cancels_pays_for_what_was_drawn(studio: Studio, leaving: bool) -> None:
    """Also where the worker leaves before its heart has heard of it."""
    [job] = studio.record(1)
    studio.lend_hands(1)
    future, progress = studio.brush.next()
    with studio.database.write() as session:
        jobs.cancel(session, job, studio.clock())
    progress.report, progress.device_seconds = StepReport(phase=Phase.DRAWING, step=3, steps=4), 9.0
    if leaving:
        studio.worker.draining.set()
    else:
        progress._should_stop.__self__.cancelled = True  # type: ignore[attr-defined]
    future.set_exception(_stopped(lambda: progress.update(progress.report)))
    assert studio.all_done()
    assert studio.states([job]) == [JobState.CANCELLED]
    with studio.database.read() as session:
        [spent] = usage.recent(session, account(), 1)
    assert (spent.pictures, spent.device_seconds) == (1, 9.0)


def test_what_failed_keeps_the_time_that_it_took(studio: Studio) -> None:
    studio.record(1)
    studio.lend_hands(1)
    future, progress = studio.brush.next()
    progress.device_seconds = 9.0
    future.set_exception(MemoryError())
    assert studio.all_done()
    with studio.database.read() as session:
        [spent] = usage.recent(session, account(), 1)
    assert (spent.pictures, spent.device_seconds) == (0, 9.0)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModelUnavailable("why"), FailureReason.MODEL_UNAVAILABLE),
        (LoraUnavailable("why"), FailureReason.LORA_UNAVAILABLE),
        (TooManySteps("why"), FailureReason.TOO_MANY_STEPS),
        (Broken("why"), FailureReason.BROKEN_PICTURE),
    ],
)
def test_why_it_failed_is_kept_and_in_the_log(
    studio: Studio, error: Exception, reason: FailureReason
) -> None:
    [job] = studio.record(1)
    with structlog.testing.capture_logs() as lines:
        studio.lend_hands(1)
        studio.brush.next()[0].set_exception(error)
        assert studio.all_done()
    with studio.database.read() as session:
        entry = log.entry(session, job)
    assert entry is not None
    assert entry.failure is reason
    assert [line["job"] for line in lines if line.get("reason") == "why"] == [str(job)]


@pytest.mark.parametrize(
    ("allowed", "says", "labels", "state"),
    [
        (False, {"nsfw": 0.0}, [], JobState.MADE),
        (False, {"nsfw": HOLD}, [], JobState.REFUSED),
        (True, {"nsfw": HOLD}, [], JobState.MADE),
        (True, {"nsfw": math.nan}, [], JobState.MADE),
        (True, {"nsfw": BLOCK}, [], JobState.REFUSED),
        (True, {"nsfw": HOLD}, ["minor"], JobState.REFUSED),
    ],
)
def test_a_reference_that_a_moderator_allowed_is_held_no_more(
    studio: Studio, allowed: bool, says: dict[str, float], labels: list[str], state: JobState
) -> None:
    """What is blocked is blocked, and the floor stands, whatever anybody allowed."""
    job = studio.record_with_reference(labels=frozenset(labels), allowed=allowed)
    studio.checker.says = says
    studio.checker.done.release(2)
    studio.lend_hands(1)
    if state is JobState.MADE:
        studio.brush.drawn()
    assert studio.all_done()
    assert studio.states([job]) == [state]
    with studio.database.read() as session:
        entry = log.entry(session, job)
    assert entry is not None
    if state is JobState.MADE:
        expected = {0.0: Decision.ALLOW, HOLD: Decision.BLOCK}.get(says["nsfw"], Decision.HOLD)
        assert entry.pictures[0].decision is expected, "what descends from a photo has a floor"


def test_what_is_taken_down_while_it_is_judged_is_moved(studio: Studio) -> None:
    """The moderator finds no picture to move yet, and the checkers let it pass."""
    [job] = studio.record(1)
    studio.lend_hands(1)
    studio.draw_one()
    with studio.database.write() as session:
        assert decisions.remove(session, job, by="mod", now=studio.clock()) == []
    studio.checker.done.release()
    assert studio.all_done()
    [picture] = studio.pictures(job)
    assert (picture.decision, picture.kept_apart) == (Decision.BLOCK, True)
    assert [stored.kept_apart for stored in studio.worker.blobs.all()] == [True]


def test_a_store_that_moves_nothing_ends_no_worker(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is shown it all the same, and the sweep moves it another day."""
    [job] = studio.record(1)
    studio.lend_hands(1)
    studio.draw_one()
    with studio.database.write() as session:
        decisions.remove(session, job, by="mod", now=studio.clock())
    monkeypatch.setattr(studio.worker.blobs, "move", _broken)
    studio.checker.done.release()
    assert studio.all_done()
    assert studio.states([job]) == [JobState.MADE]
    monkeypatch.undo()
    assert [stored.kept_apart for stored in studio.worker.blobs.all()] == [False]
    studio.clock.now = datetime.now(UTC) + timedelta(days=2)
    sweep.sweep(studio.database, studio.worker.blobs)
    assert [stored.kept_apart for stored in studio.worker.blobs.all()] == [True]


def _broken(*_: object, **__: object) -> None:
    raise GenericError("no")


def _stopped(step: Callable[[], None]) -> Exception:
    try:
        step()
    except Exception as error:
        return error
    raise AssertionError("it goes on")
