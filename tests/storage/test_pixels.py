"""A file lies where rows want it: two requests may have the same picture."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import update

from bot.core import steer
from bot.core.present import present
from storage import decisions, forget, jobs, leases, log, pixels, review, sweep
from storage.blobs import Blobs, open_blobs
from storage.database import Database
from storage.domain import Decision, Reference, ReferenceUse, ReviewKind
from storage.domain.policy import MINOR_FLOOR_RULE
from storage.tables import PictureRow
from tests.conftest import make_settings
from tests.fakes.nouns import FakeClock, a_request, a_verdict, account, claimed, made, recorded

PIXELS = b"the same"


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return open_blobs(make_settings(tmp_path / "pictures"))


def painted(
    database: Database,
    clock: FakeClock,
    blobs: Blobs,
    decision: Decision,
    user: str = "alice",
    pixels: bytes = PIXELS,
) -> UUID:
    with database.write() as session:
        recorded(session, now=clock(), user=user)
        job = claimed(session, clock())
        outcome = made(job, decision)
        [picture] = outcome.pictures
        sha256 = blobs.put(pixels, kept_apart=decision in (Decision.HOLD, Decision.BLOCK))
        object.__setattr__(picture, "sha256", sha256)
        assert jobs.finish(session, job, outcome, clock())
    return job.id


def places(blobs: Blobs) -> list[bool]:
    """Where the pixels are: not apart, apart, or both."""
    return sorted(stored.kept_apart for stored in blobs.all())


def judge(database: Database, clock: FakeClock, blobs: Blobs, decide, job: UUID) -> None:  # type: ignore[no-untyped-def]
    with database.write() as session:
        hashes = decide(session, job, by="mod", now=clock())
    pixels.settle(database, blobs, hashes)


def test_one_of_two_is_removed(database: Database, clock: FakeClock, blobs: Blobs) -> None:
    one, other = (painted(database, clock, blobs, Decision.ALLOW) for _ in range(2))
    judge(database, clock, blobs, decisions.remove, one)
    assert places(blobs) == [False, True], "the other shows it still"
    judge(database, clock, blobs, decisions.remove, other)
    assert places(blobs) == [True]


def test_one_of_two_is_allowed(database: Database, clock: FakeClock, blobs: Blobs) -> None:
    one, other = (painted(database, clock, blobs, Decision.HOLD) for _ in range(2))
    judge(database, clock, blobs, decisions.allow, one)
    assert places(blobs) == [False, True], "the other's moderator has still to see it"
    judge(database, clock, blobs, decisions.allow, other)
    assert places(blobs) == [False]


def test_a_reference_is_needed_where_it_is(
    database: Database, clock: FakeClock, blobs: Blobs
) -> None:
    """A result that was used as a reference, and is removed."""
    one = painted(database, clock, blobs, Decision.ALLOW)
    with database.read() as session:
        entry = log.entry(session, one)
    assert entry is not None
    sha256 = entry.pictures[0].sha256
    reference = Reference(sha256=sha256, use=ReferenceUse.RESTYLE, strength=0.5)
    with database.write() as session:
        recorded(session, now=clock(), user="bob", request=a_request(reference=reference))
    judge(database, clock, blobs, decisions.remove, one)
    assert places(blobs) == [False, True]
    forget.forget(database, blobs, account("bob"), keep=timedelta())
    assert places(blobs) == [True]


def test_one_of_two_is_forgotten(database: Database, clock: FakeClock, blobs: Blobs) -> None:
    painted(database, clock, blobs, Decision.HOLD)
    painted(database, clock, blobs, Decision.ALLOW, user="bob")
    assert places(blobs) == [False, True]
    forget.forget(database, blobs, account("alice"), keep=timedelta())
    assert places(blobs) == [False]
    forget.forget(database, blobs, account("bob"), keep=timedelta())
    assert places(blobs) == []


def test_one_of_two_expires(database: Database, clock: FakeClock, blobs: Blobs) -> None:
    painted(database, clock, blobs, Decision.BLOCK)
    clock.advance(days=20)
    painted(database, clock, blobs, Decision.BLOCK)
    painted(database, clock, blobs, Decision.ALLOW)
    for days, left in ((15, [False, True]), (20, [False])):
        clock.advance(days=days)
        with database.write() as session:
            month = timedelta(days=30)
            hashes = forget.expire_blocked(session, older_than=month, now=clock())
        pixels.settle(database, blobs, hashes)
        assert places(blobs) == left
    assert sweep.missing(database, blobs) == 0


@pytest.mark.parametrize("said", [Decision.ALLOW, Decision.BLUR, Decision.HOLD, Decision.BLOCK])
def test_what_is_taken_down_while_it_is_judged(
    database: Database, clock: FakeClock, blobs: Blobs, said: Decision
) -> None:
    """The order of the two makes no difference to the pictures."""
    with database.write() as session:
        recorded(session, now=clock())
        job = leases.claim(
            session, ["builtin"], worker="w", lease=timedelta(9), max_attempts=3, now=clock()
        )
        assert job is not None
    sha256 = blobs.put(PIXELS, kept_apart=said.keeps_apart)
    outcome = made(job, said)
    object.__setattr__(outcome.pictures[0], "sha256", sha256)
    judge(database, clock, blobs, decisions.remove, job.id)
    with database.write() as session:
        assert jobs.finish(session, job, outcome, clock())
    stored = [(sha256, said.keeps_apart)]
    pixels.settle(database, blobs, [sha256], stored=stored)
    after = painted(database, clock, blobs, said)
    judge(database, clock, blobs, decisions.remove, after)
    assert places(blobs) == [True]
    with database.read() as session:
        assert review.waiting(session) == [], "nothing is asked that is decided"
        entries = [log.entry(session, id_) for id_ in (job.id, after)]
    for entry in entries:
        assert entry is not None
        assert [(p.decision, p.kept_apart) for p in entry.pictures] == [(Decision.BLOCK, True)]
        assert entry.judged == "remove"
        assert steer.shown_pictures(entry) == ()
        assert present(entry, None).pictures == ()


def test_the_floor_is_looked_at_though_it_is_taken_down(
    database: Database, clock: FakeClock
) -> None:
    with database.write() as session:
        recorded(session, now=clock())
        job = leases.claim(
            session, ["builtin"], worker="w", lease=timedelta(9), max_attempts=3, now=clock()
        )
        assert job is not None
        decisions.remove(session, job.id, by="mod", now=clock())
        outcome = made(job, Decision.BLOCK)
        floor = a_verdict(Decision.BLOCK, rule=MINOR_FLOOR_RULE)
        picture = replace(outcome.pictures[0], verdicts=(floor,))
        assert jobs.finish(session, job, replace(outcome, pictures=(picture,)), clock())
        assert [row.kind for row in review.waiting(session)] == [ReviewKind.RESTRICTED]


def test_what_a_worker_of_the_release_before_shows_can_be_taken_down_again(
    database: Database, clock: FakeClock, blobs: Blobs
) -> None:
    """It knows nothing of a decision that came before its own."""
    job = painted(database, clock, blobs, Decision.ALLOW)
    judge(database, clock, blobs, decisions.remove, job)
    with database.write() as session:
        session.execute(update(PictureRow).values(decision=Decision.ALLOW, kept_apart=False))
    [there] = blobs.all()
    blobs.move(there.sha256, to_kept_apart=False)
    judge(database, clock, blobs, decisions.remove, job)
    assert places(blobs) == [True]
    with pytest.raises(decisions.NotDone):
        judge(database, clock, blobs, decisions.remove, job)


def test_where_it_was_put_is_not_looked_at(
    database: Database, clock: FakeClock, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly every picture: a store may be far away."""
    painted(database, clock, blobs, Decision.ALLOW)
    [there] = blobs.all()
    monkeypatch.setattr(Blobs, "move", lambda *_, **__: pytest.fail("it lies there"))
    pixels.settle(database, blobs, [there.sha256], stored=[(there.sha256, False)])


def test_what_is_not_there_is_told(database: Database, clock: FakeClock, blobs: Blobs) -> None:
    one = painted(database, clock, blobs, Decision.HOLD)
    for stored in list(blobs.all()):
        blobs.delete(stored.sha256)
    with pytest.raises(FileNotFoundError):
        judge(database, clock, blobs, decisions.allow, one)


@pytest.mark.parametrize("at_once", [1, pixels.BATCH])
def test_what_is_not_there_keeps_no_other_in_its_place(
    database: Database,
    clock: FakeClock,
    blobs: Blobs,
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
) -> None:
    monkeypatch.setattr(pixels, "BATCH", at_once)
    jobs = [painted(database, clock, blobs, Decision.ALLOW, pixels=bytes([n])) for n in range(3)]
    with database.write() as session:
        hashes = [
            sha256
            for job in jobs
            for sha256 in decisions.remove(session, job, by="mod", now=clock())
        ]
    first, *others = sorted(hashes)
    blobs.delete(first)
    with pytest.raises(pixels.Lost) as lost:
        pixels.settle(database, blobs, hashes)
    assert lost.value.hashes == [first]
    assert {(stored.sha256, stored.kept_apart) for stored in blobs.all()} == {
        (sha256, True) for sha256 in others
    }
