"""Forgetting a person leaves counters, and nothing that was theirs."""

from datetime import timedelta

from sqlalchemy import select, text

from storage import forget, jobs, leases, log, review
from storage.database import Database
from storage.domain import Decision, Reference, ReferenceUse
from storage.tables import UsageRow
from tests.fakes.nouns import FakeClock, a_request, account, made, recorded

CANARY = "canary-prompt-5309"


def drawn(database: Database, clock: FakeClock, user: str, sha256: str, reference: str) -> None:
    request = a_request(
        prompt=f"{CANARY} {user}",
        reference=Reference(sha256=reference, use=ReferenceUse.RESTYLE, strength=0.5),
    )
    with database.write() as session:
        recorded(session, now=clock(), user=user, request=request)
        job = leases.claim(
            session,
            ["builtin"],
            worker="w",
            lease=timedelta(seconds=10),
            max_attempts=3,
            now=clock(),
        )
        assert job is not None
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
    assert f"{CANARY} bob" in left
    with database.read() as session:
        assert sorted(session.scalars(select(UsageRow.user_id))) == ["", "bob"]
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
