"""A log of 20,000 requests: the same answers as by reading it all, and no query that reads it all.

How fast that is at a million is measured by `python -m tests.bench`.
"""

import os
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.orm import Session

from storage import deliveries, forget, jobs, leases, log, queue, search, standing, usage
from storage.database import Database
from storage.domain import Platform, ReviewKind
from storage.tables import JobRow, RequestRow, is_open
from tests.bench import million
from tests.fakes.nouns import NOON, account, an_event, made, recorded

COUNT = 20_000
SERVER = os.environ.get("EASEL_TEST_POSTGRES_URL", "")
needs_server = pytest.mark.skipif(not SERVER, reason="EASEL_TEST_POSTGRES_URL is not set")
Filters = dict[str, Any]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=needs_server)])
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path_factory.mktemp('scale') / 'test.db'}")
        million.fill(database, COUNT, NOON)
        yield database
        database.close()
        return
    with million.postgres(SERVER) as url:
        database = Database(url)
        million.fill(database, COUNT, NOON)
        yield database
        database.close()


def all_of_it(session: Session) -> list[tuple[UUID, RequestRow]]:
    """Job and request, newest first."""
    rows = session.execute(
        select(JobRow.id, RequestRow)
        .join(RequestRow, RequestRow.id == JobRow.request_id)
        .order_by(RequestRow.created_at.desc())
    )
    return [(row[0], row[1]) for row in rows]


def spaced(prompt: str) -> str:
    return " " + " ".join(search.words(prompt))


def holds(there: str, sought: list[str]) -> bool:
    return all(f" {beginning}" in there for beginning in sought)


def test_search_finds_what_reading_all_prompts_finds(filled: Database) -> None:
    rng = random.Random(1)
    words = million.Vocabulary(rng)
    with filled.read() as session:
        everything = all_of_it(session)
        said = [(job, spaced(row.prompt), row) for job, row in everything]
        texts = [words.some(1)[0] for _ in range(6)]
        texts += [rng.choice(words.words)[: rng.randint(1, 4)] for _ in range(5)]
        texts += [" ".join(words.some(rng.randint(2, 3))) for _ in range(6)]
        texts += [rng.choice(everything)[1].prompt.upper() for _ in range(3)]
        texts += ["CHATEAU", "ete", "oeil", "nino", "zzzz"]
        for typed in texts:
            sought = search.words(typed)
            hits = [(job, row) for job, there, row in said if holds(there, sought)]
            found = log.page(session, search=typed)
            assert [e.job_id for e in found] == [job for job, _ in hits[:50]], typed
            found = log.page(session, search=typed, user=account("u1"), limit=7)
            his = [job for job, row in hits if row.user_id == "u1"]
            assert [e.job_id for e in found] == his[:7], typed
            if len(hits) > 100:
                last = (hits[99][1].created_at, hits[99][0])
                found = log.page(session, search=typed, before=last, limit=20)
                assert [e.job_id for e in found] == [job for job, _ in hits[100:120]], typed


@pytest.mark.parametrize(
    "filters",
    [{}, {"user": account("u1")}, {"workspace": ("discord", "s2")}, {"search": "red"}],
    ids=["all", "person", "server", "search"],
)
def test_pages_go_through_all_of_it(filled: Database, filters: Filters) -> None:
    with filled.read() as session:
        wanted = [
            job
            for job, row in all_of_it(session)
            if ("user" not in filters or row.user_id == "u1")
            and ("workspace" not in filters or row.workspace_id == "s2")
            and ("search" not in filters or holds(spaced(row.prompt), ["red"]))
        ]
        seen: list[UUID] = []
        before = None
        while entries := log.page(session, limit=2_000, before=before, **filters):
            seen += [entry.job_id for entry in entries]
            before = (entries[-1].created_at, entries[-1].job_id)
    assert seen == wanted
    assert len(seen) > 1_000


def claimed(session: Session) -> Any:
    return leases.claim(
        session, ["builtin"], worker="w", lease=timedelta(9), max_attempts=3, now=NOON
    )


def finished(session: Session) -> None:
    job = claimed(session)
    assert jobs.finish(session, job, made(job), NOON)


PERSON = account("u1")
QUERIES: dict[str, Callable[[Session], object]] = {
    "known": lambda s: jobs.known(s, an_event(), "press", NOON),
    "standing": lambda s: standing.of(s, PERSON, "g1", NOON),
    "mean": lambda s: usage.mean_device_seconds(s, "builtin"),
    "recent": lambda s: usage.recent(s, PERSON, 5),
    "position": lambda s: queue.position(
        s, s.scalars(select(JobRow.id).where(is_open()).limit(1)).one()
    ),
    "waiting": lambda s: queue.unfinished(s, "discord", NOON),
    "due": lambda s: deliveries.any_due(s, Platform.DISCORD, NOON),
    "take": lambda s: deliveries.lease_due(
        s,
        Platform.DISCORD,
        owner="o",
        lease=timedelta(seconds=9),
        pace=timedelta(seconds=9),
        now=NOON,
    ),
    "claim": claimed,
    "finish": finished,
    "reap": lambda s: leases.reap(s, max_attempts=3, ring_after=timedelta(9), now=NOON),
    "expire": lambda s: forget.expire_blocked(s, older_than=timedelta(9), now=NOON),
    "page": log.page,
    "next page": lambda s: log.page(s, before=million.at_depth(s, COUNT - 100)),
    "person": lambda s: log.page(s, user=account("u4000")),
    "server": lambda s: log.page(s, workspace=("discord", "s300")),
    "held": lambda s: log.page(s, reviews=[ReviewKind.HOLD]),
    "unfinished": lambda s: log.page(s, unfinished=True, user=account("u1")),
    "search": lambda s: log.page(s, search="zzzz"),
    "search of a server": lambda s: log.page(s, search="red", workspace=("discord", "s2")),
    "search of what is held": lambda s: log.page(s, search="red", reviews=[ReviewKind.HOLD]),
}


@pytest.mark.parametrize("name", QUERIES)
def test_no_query_reads_all_of_it(filled: Database, name: str) -> None:
    """SQLite says so in its plan; PostgreSQL in what its plan met when it ran."""
    plans: list[str] = []
    session = Session(filled.engine)
    connection = session.connection()
    for user in ("x", "y"):
        recorded(session, now=NOON, user=user)
    session.flush()

    def explain(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "WITH", "UPDATE", "INSERT")):
            verb = "EXPLAIN QUERY PLAN" if filled.is_sqlite else "EXPLAIN (ANALYZE, TIMING OFF)"
            cursor = connection.connection.cursor()
            cursor.execute("SAVEPOINT explained")
            cursor.execute(f"{verb} {statement}", parameters)
            plans.append("\n".join(str(row[-1]) for row in cursor.fetchall()))
            cursor.execute("ROLLBACK TO SAVEPOINT explained")

    event.listen(connection, "before_cursor_execute", explain)
    QUERIES[name](session)
    session.rollback()
    session.close()
    assert plans
    for plan in plans:
        for step in plan.splitlines():
            assert not reads_all(step, stops=name.endswith("page")), plan


def reads_all(step: str, *, stops: bool) -> bool:
    """Whether one step of a plan walks a table of the log, or had to throw most of it away. Few
    rows are in a partial index; a walk that `stops` when the page is full may use that of time."""
    words = step.split()
    if words[0] == "SCAN":
        few = {"ix_jobs_open", "ix_pictures_blocked"}
        few |= {"ix_requests_created_at_id"} if stops else set()
        return words[1] in million.TABLES and words[-1] not in few
    if "Rows Removed by" in step:
        return int(words[-1]) > search.WALKED[-1]
    return "Seq Scan on requests" in step or "Seq Scan on search" in step


def test_the_index_is_asked_where_the_newest_do_not_tell(filled: Database) -> None:
    """The trap that was met elsewhere: walking all numbers for a word that few prompts have."""
    if filled.is_sqlite:
        pytest.skip("SQLite has no other way")
    with filled.read() as session:
        [*_, asked] = search.found(session, "zzzz", (), None)
        statement = select(asked).compile(session.connection())
        rows = session.connection().exec_driver_sql(f"EXPLAIN {statement}", statement.params)
        assert "ix_search_words" in "\n".join(row[0] for row in rows)
        assert session.scalar(select(func.count()).select_from(text("search"))) == COUNT
