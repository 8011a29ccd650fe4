"""Forgetting a person leaves counters, for a while what a moderator has still to look at, and
nothing else that was theirs."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from bot.core import steer
from storage import (
    decisions,
    export,
    forget,
    forgotten,
    inbox,
    jobs,
    leases,
    log,
    migrate,
    review,
    sanctions,
    standing,
)
from storage.blobs import Blobs, open_blobs
from storage.database import Database
from storage.domain import (
    Complaint,
    Decision,
    Place,
    Platform,
    Reference,
    ReferenceUse,
    Requester,
    StepReport,
    Subject,
)
from storage.domain.job import Phase
from storage.domain.policy import MINOR_FLOOR_RULE
from storage.tables import UsageRow
from tests.bench import million
from tests.conftest import make_settings
from tests.fakes.nouns import (
    NOON,
    FakeClock,
    a_request,
    a_verdict,
    account,
    claimed,
    made,
    recorded,
)
from tests.servers import needs_postgres

CANARY = "canary-prompt-5309"


def drawn(database: Database, clock: FakeClock, user: str, sha256: str, reference: str) -> None:
    request = a_request(
        prompt=f"{CANARY} {user}",
        notes=(Complaint(text="I did not know {words}.", values={"words": f"{CANARY} {user}"}),),
        reference=Reference(sha256=reference, use=ReferenceUse.RESTYLE, strength=0.5),
    )
    with database.write() as session:
        recorded(session, now=clock(), user=user, request=request)
        job = claimed(session, clock())
        assert jobs.finish(session, job, made(job, sha256=sha256), clock())
        review.report(session, job.id, by=account(user), now=clock())


def everything(database: Database) -> str:
    with database.read() as session:
        tables = ("requests", "jobs", "pictures", "verdicts", "deliveries", "usage", "reviews")
        rows = [session.execute(text(f'select * from "{name}"')).all() for name in tables]
    return repr(rows)


def test_nothing_of_the_person_stays_and_all_of_the_others(
    database: Database, clock: FakeClock
) -> None:
    shared = "ee" * 32
    drawn(database, clock, "alice", "a" * 64, shared)
    drawn(database, clock, "bob", "b" * 64, shared)
    with database.write() as session:
        hashes = forget.forget_person(session, account("alice"), clock())
    assert hashes == ["a" * 63 + "0"], "the reference is Bob's too"
    left = everything(database)
    assert "alice" not in left
    assert "a" * 63 not in left
    assert left.count(f"{CANARY} bob") == 2, "the prompt and what was said of it"
    with database.read() as session:
        day = forgotten.pseudonym(account("alice"))
        assert sorted(session.scalars(select(UsageRow.user_id))) == [day, "bob"]
        entries = log.page(session)
    assert [e.message_removed for e in entries if not e.user_id] == [True]


def test_blocked_pictures_are_kept_for_a_limited_time(database: Database, clock: FakeClock) -> None:
    with database.write() as session:
        job_id = recorded(session, now=clock())
        job = leases.claim(
            session, ["builtin"], worker="w", lease=timedelta(9), max_attempts=3, now=clock()
        )
        assert job is not None
        jobs.finish(session, job, made(job, Decision.ALLOW, Decision.BLOCK), clock())

    def expire() -> list[str]:
        with database.write() as session:
            return forget.expire_blocked(session, older_than=timedelta(days=30), now=clock())

    assert expire() == []
    clock.advance(days=31)
    assert len(expire()) == 1
    assert expire() == []
    with database.read() as session:
        entry = log.entry(session, job_id)
    assert entry is not None
    assert [p.removed for p in entry.pictures] == [False, True]


KEEP = timedelta(days=30)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return open_blobs(make_settings(tmp_path / "pictures"))


def refused(
    database: Database,
    clock: FakeClock,
    decision: Decision,
    rule: str = "test",
    user: str = "alice",
) -> UUID:
    verdict = a_verdict(decision, subject=Subject.PROMPT, rule=rule)
    with database.write() as session:
        return recorded(
            session,
            now=clock(),
            user=user,
            verdicts=(verdict,),
            request=a_request(prompt=f"{CANARY} of a prompt"),
        )


def painted(
    database: Database,
    clock: FakeClock,
    blobs: Blobs,
    pixels: bytes,
    *decisions: Decision,
    user: str = "alice",
) -> UUID:
    """A finished job; each picture lies where it belongs."""
    with database.write() as session:
        recorded(session, now=clock(), user=user, request=a_request(prompt=f"{CANARY} picture"))
        job = claimed(session, clock())
        outcome = made(job, *decisions)
        for picture in outcome.pictures:
            apart = picture.verdict.decision in (Decision.HOLD, Decision.BLOCK)
            object.__setattr__(picture, "sha256", blobs.put(pixels, kept_apart=apart))
        assert jobs.finish(session, job, outcome, clock())
    return job.id


def forget_alice(database: Database, blobs: Blobs) -> forget.Remains:
    return forget.forget(database, blobs, account("alice"), keep=KEEP)


def test_the_day_does_not_start_anew(database: Database, clock: FakeClock, blobs: Blobs) -> None:
    """Nor does the bound of refusals; at midnight the last trace of who it was goes."""
    painted(database, clock, blobs, b"one")
    refused(database, clock, Decision.BLOCK)
    assert forget_alice(database, blobs) == forget.Remains(requests=0)

    def counted() -> tuple[int, int]:
        with database.read() as session:
            found = standing.of(session, account("alice"), "guild", clock())
        return found.today, found.refused_today

    assert counted() == (1, 1)
    assert "alice" not in everything(database)
    forget.go_on(database, blobs, keep=KEEP)
    assert counted() == (1, 1)
    clock.now = datetime(2026, 11, 22, 0, 0, 1, tzinfo=UTC)
    assert counted() == (0, 0)
    forget.go_on(database, blobs, keep=KEEP)
    with database.read() as session:
        assert set(session.scalars(select(UsageRow.user_id))) == {""}
        assert sum(session.scalars(select(UsageRow.pictures))) == 1, "anonymous counters stay"


def test_what_a_moderator_has_still_to_look_at_stays(
    database: Database, clock: FakeClock, blobs: Blobs
) -> None:
    floor = refused(database, clock, Decision.BLOCK, rule=MINOR_FLOOR_RULE)
    prompt = refused(database, clock, Decision.HOLD)
    picture = painted(database, clock, blobs, b"held", Decision.HOLD)
    reported = painted(database, clock, blobs, b"reported")
    plain = painted(database, clock, blobs, b"plain")
    decided = painted(database, clock, blobs, b"decided", Decision.HOLD)
    with database.write() as session:
        assert review.report(session, reported, by=account("bob"), now=clock())
        decisions.remove(session, decided, by="mod", now=clock())
    kept = forget_alice(database, blobs)
    assert kept == forget.Remains(requests=4, until=clock() + KEEP)
    assert forget_alice(database, blobs) == kept, "asking again makes it no longer"
    with database.read() as session:
        entries = {job: log.entry(session, job) for job in (floor, prompt, picture, reported)}
        assert len(review.waiting(session)) == 4
        stored = export.person(session, account("alice"), inbox.Envelope(None))
        assert [log.entry(session, job).user_id for job in (plain, decided)] == ["", ""]  # type: ignore[union-attr]
    for entry in entries.values():
        assert entry is not None
        assert (entry.user_id, entry.message_removed, entry.forgotten) == ("alice", True, True)
        assert CANARY in entry.request.prompt
    assert len(stored["requests"]) == 4
    assert all(row["forget_at"] for row in stored["requests"])
    assert blobs.get(entries[picture].pictures[0].sha256, kept_apart=True) == b"held"  # type: ignore[union-attr]
    assert sorted(stored.sha256 for stored in blobs.all()) == sorted(
        entries[job].pictures[0].sha256  # type: ignore[union-attr]
        for job in (picture, reported)
    )
    viewer = steer.Viewer(
        requester=Requester(platform=Platform.DISCORD, user_id="alice"),
        place=Place(platform=Platform.DISCORD, workspace_id="guild", channel_id="channel"),
    )
    with database.write() as session:
        told = steer.entry_for(session, picture, viewer, steer.may_change)
        assert isinstance(told, Complaint)
        assert sanctions.ban(session, floor, by="mod", now=clock()) == account("alice")
    forget.go_on(database, blobs, keep=KEEP)
    with database.read() as session:
        assert len(review.waiting(session)) == 4
    clock.advance(days=31)
    forget.go_on(database, blobs, keep=KEEP)
    assert "alice" not in everything(database)
    assert CANARY not in everything(database)
    assert list(blobs.all()) == []


def test_what_is_decided_goes(database: Database, clock: FakeClock, blobs: Blobs) -> None:
    """And what the person asks for after they were forgotten is theirs."""
    held = painted(database, clock, blobs, b"held", Decision.HOLD)
    other = refused(database, clock, Decision.HOLD)
    forget_alice(database, blobs)
    clock.advance(minutes=1)
    later = painted(database, clock, blobs, b"later")
    with database.write() as session:
        decisions.remove(session, held, by="mod", now=clock())
    forget.go_on(database, blobs, keep=KEEP)
    with database.read() as session:
        who = [log.entry(session, job).user_id for job in (held, other, later)]  # type: ignore[union-attr]
    assert who == ["", "alice", "alice"]
    assert [stored.kept_apart for stored in blobs.all()] == [False]


def test_nothing_is_kept_where_blocked_pictures_are_not(
    database: Database, clock: FakeClock, blobs: Blobs
) -> None:
    refused(database, clock, Decision.HOLD)
    none = forget.forget(database, blobs, account("alice"), keep=timedelta())
    assert none == forget.Remains(requests=0)
    assert "alice" not in everything(database)


class Killed(Exception):
    pass


@pytest.mark.parametrize("pauses", [0, 1, 2])
def test_what_a_crash_leaves_is_finished(
    database: Database,
    clock: FakeClock,
    blobs: Blobs,
    monkeypatch: pytest.MonkeyPatch,
    pauses: int,
) -> None:
    monkeypatch.setattr(forget, "BATCH", 2)
    first = refused(database, clock, Decision.HOLD)
    for number in range(5):
        clock.advance(seconds=1)
        painted(database, clock, blobs, b"%d" % number)
    left = iter(range(pauses))

    def pause(_seconds: float) -> None:
        if next(left, None) is None:
            raise Killed

    with pytest.raises(Killed):
        forget.forget(database, blobs, account("alice"), keep=KEEP, pause=pause)
    clock.advance(seconds=1)
    later = painted(database, clock, blobs, b"later")
    forget.go_on(database, blobs, keep=KEEP)
    with database.read() as session:
        assert [e.job_id for e in log.page(session, user=account("alice"))] == [later, first]
        assert forget.remains(session, account("alice")).requests == 1
    assert len(list(blobs.all())) == 1


def test_others_get_their_turn(
    database: Database, clock: FakeClock, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two of many transactions somebody else may write."""
    monkeypatch.setattr(forget, "BATCH", 2)
    for number in range(6):
        painted(database, clock, blobs, b"%d" % number)
    paused: list[int] = []

    def pause(_seconds: float) -> None:
        painted(database, clock, blobs, b"bob", user="bob")
        paused.append(1)

    forget.forget(database, blobs, account("alice"), keep=KEEP, pause=pause)
    assert len(paused) == 3
    assert "alice" not in everything(database)


def test_the_lock_is_not_held_for_long(
    tmp_path: Path, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite everybody waits for it. Measured on the processor, since others use this machine:
    2,000 requests in one transaction take it for longer than all of these together may."""
    database = Database(f"sqlite:///{tmp_path}/easel.db", FakeClock())
    million.fill(database, 2_000, NOON)
    with database.write() as session:
        session.execute(text("update requests set user_id = 'alice'"))
    held: list[float] = []
    write = database.write

    @contextmanager
    def timed() -> Iterator[Session]:
        with write() as session:
            session.connection()
            start = time.thread_time()
            yield session
        held.append(time.thread_time() - start)

    monkeypatch.setattr(database, "write", timed)
    gc.freeze()  # What other tests have left is not gone through while the lock is held.
    try:
        forget.forget(database, blobs, account("alice"), keep=KEEP, pause=lambda _: None)
    finally:
        gc.unfreeze()
    assert len(held) > 20
    assert max(held) < 0.2
    database.close()


@needs_postgres
def test_no_dead_row_holds_the_prompt(
    empty_postgres_url: str, clock: FakeClock, blobs: Blobs
) -> None:
    """PostgreSQL keeps rows as they were until they are vacuumed; SQLite's files are looked at in
    `test_blobs`."""
    database = Database(empty_postgres_url, clock)
    migrate.upgrade(database)
    with database.read() as session:
        there = "select 1 from pg_available_extensions where name = 'pageinspect'"
        if not session.scalar(text(there)):
            pytest.skip("this server cannot show its pages (extension pageinspect)")
    painted(database, clock, blobs, b"one")
    look = text("select string_agg(t_data, ''::bytea) from heap_page_items(get_raw_page(:name, 0))")

    def tuples(name: str) -> bytes:
        with database.write() as session:
            session.execute(text("create extension if not exists pageinspect"))
            return bytes(session.scalar(look, {"name": name}) or b"")

    assert CANARY.encode() in tuples("requests")
    assert b"alice" in tuples("usage")
    with database.write() as session:
        forget.forget_person(session, account("alice"), clock())
    assert CANARY.encode() in tuples("requests"), "in what was a row"
    forget.purge(database)
    assert CANARY.encode() not in tuples("requests")
    assert b"canary" not in tuples("search")
    assert b"alice" not in tuples("usage")
    database.close()


@needs_postgres
def test_forgetting_again_vacuums_little(
    empty_postgres_url: str, clock: FakeClock, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(empty_postgres_url, clock)
    migrate.upgrade(database)
    vacuumed: list[tuple[str, ...]] = []
    really = Database.vacuum

    def vacuum(self: Database, *tables: str) -> None:
        vacuumed.append(tables)
        really(self, *tables)

    monkeypatch.setattr(Database, "vacuum", vacuum)
    painted(database, clock, blobs, b"one")
    for _ in range(2):
        forget_alice(database, blobs)
    first, second = vacuumed
    assert {"requests", "search", "inbox", "reviews"} < {*first}
    assert {*second} == {"inbox", "reviews"}
    database.close()


def test_nobody_is_not_forgotten_again(database: Database, clock: FakeClock, blobs: Blobs) -> None:
    """Who is forgotten has no id, as all others who are; a release before this one leaves marks."""
    painted(database, clock, blobs, b"one")
    forget_alice(database, blobs)
    with database.write() as session:
        marked = "update requests set forget_at = created_at"
        session.execute(text(marked))
    forget.go_on(database, blobs, keep=KEEP)
    forget.forget(database, blobs, account(""), keep=KEEP)


def test_who_is_forgotten_at_the_last_step_has_used_their_day(
    database: Database, clock: FakeClock
) -> None:
    lease = timedelta(seconds=10)
    with database.write() as session:
        recorded(session, now=clock())
        job = leases.claim(
            session, ["builtin"], worker="w", lease=lease, max_attempts=3, now=clock()
        )
        assert job is not None
        report = StepReport(phase=Phase.DRAWING, step=11, steps=12)
        clock.advance(seconds=5)
        leases.renew(session, job, report, lease=lease, now=clock())
        forget.forget_person(session, account("alice"), clock())
    with database.read() as session:
        who = standing.of(session, account("alice"), "guild", clock())
    assert (who.drawn_today, who.unfinished) == (1, 0)
