"""A file lies where rows want it: two requests may have the same picture."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from storage import decisions, forget, jobs, log, pixels, sweep
from storage.blobs import Blobs, open_blobs
from storage.database import Database
from storage.domain import Decision, Reference, ReferenceUse
from tests.conftest import make_settings
from tests.fakes.nouns import FakeClock, a_request, account, claimed, made, recorded

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
    with pytest.raises(FileNotFoundError):
        pixels.settle(database, blobs, hashes)
    assert {(stored.sha256, stored.kept_apart) for stored in blobs.all()} == {
        (sha256, True) for sha256 in others
    }
