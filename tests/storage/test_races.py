"""Two transactions at once on PostgreSQL, where a row that was read may change before it is
written. SQLite lets one write after the other."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from storage import decisions, forget, forgotten, jobs, leases, log, migrate
from storage.database import Database
from storage.domain import Decision, GenerationJob, JobState
from tests.fakes.nouns import FakeClock, account, made, recorded
from tests.servers import needs_postgres, somebody_waits

pytestmark = needs_postgres
T = TypeVar("T")
LEASE = timedelta(seconds=10)


@pytest.fixture
def database(empty_postgres_url: str, clock: FakeClock) -> Iterator[Database]:
    database = Database(empty_postgres_url, clock)
    migrate.upgrade(database)
    yield database
    database.close()


def claimed(database: Database, attempts: int = 1) -> GenerationJob:
    with database.write() as session:
        recorded(session, now=database.clock())
    for _ in range(attempts):
        with database.write() as session:
            now = database.clock()
            job = leases.claim(
                session, ["builtin"], worker="w", lease=LEASE, max_attempts=3, now=now
            )
        database.clock.advance(seconds=11)  # type: ignore[attr-defined]
    assert job is not None
    return job


def while_finishing(database: Database, job: GenerationJob, act: Callable[[Session], T]) -> T:
    """What `act` gives when it comes between the last write of a result and its commit."""

    def run() -> T:
        with database.write() as session:
            return act(session)

    with ThreadPoolExecutor(1) as pool, database.write() as session:
        assert jobs.finish(session, job, made(job), database.clock())
        future = pool.submit(run)
        while not future.done() and not somebody_waits(database):
            time.sleep(0.01)
        session.commit()
        return future.result(30)


def taken_down_first(database: Database, job: GenerationJob) -> bool:
    """What finishing gives when it comes before the commit of who takes the message down."""
    with ThreadPoolExecutor(1) as pool, database.write() as session:
        decisions.remove(session, job.id, by="mod", now=database.clock())
        future = pool.submit(_finish, database, job)
        while not future.done() and not somebody_waits(database):
            time.sleep(0.01)
        assert not future.done(), "it waits"
        session.commit()
        return future.result(30)


def _finish(database: Database, job: GenerationJob) -> bool:
    with database.write() as session:
        return jobs.finish(session, job, made(job), database.clock())


def state(database: Database, job_id: UUID) -> JobState:
    with database.read() as session:
        entry = log.entry(session, job_id)
    assert entry is not None
    return entry.state


def test_who_cancels_too_late_is_told(database: Database) -> None:
    job = claimed(database)
    now = database.clock()
    assert not while_finishing(database, job, lambda s: jobs.cancel(s, job.id, now))
    assert state(database, job.id) is JobState.MADE


def test_the_reaper_does_not_undo_a_result(database: Database) -> None:
    job = claimed(database)
    with database.write() as session:
        assert jobs.cancel(session, job.id, database.clock())
    now = database.clock()
    reap = lambda s: leases.reap(s, max_attempts=3, ring_after=LEASE, now=now)  # noqa: E731
    assert while_finishing(database, job, reap) == []
    assert state(database, job.id) is JobState.MADE


@pytest.mark.parametrize("first", ["worker", "moderator"])
def test_what_is_taken_down_while_a_result_comes_is_kept_apart(
    database: Database, first: str
) -> None:
    job = claimed(database)
    if first == "moderator":
        assert taken_down_first(database, job)
    else:
        now = database.clock()
        remove = lambda s: decisions.remove(s, job.id, by="mod", now=now)  # noqa: E731
        assert while_finishing(database, job, remove) == [made(job).pictures[0].sha256]
    with database.read() as session:
        entry = log.entry(session, job.id)
    assert entry is not None
    assert (entry.state, entry.message_removed, entry.judged) == (JobState.MADE, True, "remove")
    assert [(p.decision, p.kept_apart) for p in entry.pictures] == [(Decision.BLOCK, True)]


def test_who_is_forgotten_while_a_result_comes_is_forgotten(database: Database) -> None:
    job = claimed(database)
    now = database.clock()
    forget_alice = lambda s: forget.forget_person(s, account("alice"), now)  # noqa: E731
    hashes = while_finishing(database, job, forget_alice)
    assert hashes == [made(job).pictures[0].sha256]
    with database.read() as session:
        names = session.scalars(text("select user_id from usage")).all()
    assert list(names) == [forgotten.pseudonym(account("alice"))], "until midnight"
