"""A database and a backup of 8030ad7: nothing is lost or changed by what is new, what is new is
filled, and who works there meanwhile is not kept waiting."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import text

from storage import accounts, log, migrate, restore
from storage.backup import SIGNS_OF_LIFE
from storage.blobs import Blobs
from storage.database import Database
from storage.domain import Account, Platform
from storage.tables import Base, RequestRow, ReviewRow, UsageRow
from tests.servers import needs_postgres
from tests.upgrade.conftest import KINDS, ROWS, Left

pytestmark = pytest.mark.timeout(300)
Columns = dict[str, list[str]]
Digest = dict[str, tuple[int, str]]
BUSY_SECONDS = 5.0
"""How long who writes waits for SQLite before it gives up."""


def columns_of(database: Database) -> Columns:
    """Tables as they are, and their columns; without what an index keeps for itself."""
    found = sa.inspect(database.engine)
    return {
        name: sorted(column["name"] for column in found.get_columns(name))
        for name in found.get_table_names()
        if not name.startswith("search_words") and name != "alembic_version"
    }


def digest(database: Database, columns: Columns) -> Digest:
    """Of each table how many rows it has, and a hash of all that stands in these columns. The same
    on every kind of database."""
    found = {}
    with database.engine.connect() as connection:
        for name, names in columns.items():
            table = Base.metadata.tables[name]
            query = sa.select(*(table.c[column] for column in names))
            rows = sorted(map(_plain, connection.execute(query)))
            found[name] = (len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest())
    return found


def _plain(row: sa.Row[Any]) -> str:
    words = row._mapping.get("words")
    if words is None:
        return repr(tuple(row))
    # PostgreSQL shows the words of a tsvector in quotes, and in their own order.
    return repr((*row[:-1], sorted(words.replace("'", "").split())))


@pytest.fixture(scope="module")
def saved(left: Callable[[str], Left]) -> Callable[[str], tuple[Columns, Digest]]:
    """What the old release left on a kind of database, looked at once."""

    @cache
    def look(kind: str) -> tuple[Columns, Digest]:
        database = Database(left(kind).url)
        columns = columns_of(database)
        found = columns, digest(database, columns)
        database.close()  # Nobody may be connected to what is copied.
        return found

    return look


def rows_of(database: Database, query: str) -> list[Any]:
    with database.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


@pytest.fixture
def opened() -> Iterator[Callable[[str], Database]]:
    databases: list[Database] = []

    def open_one(url: str) -> Database:
        databases.append(database := Database(url))
        return database

    yield open_one
    for database in databases:
        database.close()


def check_new_columns(database: Database) -> None:
    """As 0005 says, from what the rows say themselves."""
    requests = rows_of(
        database,
        "select r.tenant, r.platform, r.enterprise_id, r.workspace_id, r.forget_at, j.allowed"
        " from requests r join jobs j on j.request_id = r.id",
    )
    for tenant, platform, enterprise, workspace, forget_at, allowed in requests:
        assert tenant == ((enterprise or workspace) if platform == "slack" else "")
        assert (forget_at, bool(allowed)) == (None, False)
    tenants = Counter(row[0] for row in requests)
    assert set(tenants) == {"", "E0GRID", "T0SOLO", "T0OTHER"}
    wrong = "select count(*) from {0} t join jobs j on j.id = t.job_id join requests r on"
    wrong += " r.id = j.request_id where t.{1} <> r.tenant"
    assert rows_of(database, wrong.format("usage", "tenant")) == [(0,)]
    assert rows_of(
        database, wrong.format("reviews", "opened_tenant") + " and t.opened_by <> ''"
    ) == [(0,)]
    assert set(rows_of(database, "select distinct opened_by, opened_tenant from reviews")) == {
        *(("", ""), ("U0FRIEND", ""), ("U0FRIEND", "T0SOLO"), ("U0FRIEND", "T0OTHER")),
    }
    assert set(rows_of(database, "select distinct platform, application from deliveries")) == {
        *(("discord", "4242"), ("slack", ""), ("terminal", "")),
    }
    sanctions = rows_of(
        database,
        "select platform, user_id, tenant, workspace_id, kind, decided_by, ended_at from sanctions",
    )
    everywhere = ("", "ban", "mod", None)
    assert sorted(sanctions, key=str) == sorted(
        [
            ("discord", "900000000000000003", "", *everywhere),
            ("discord", "4999", "", *everywhere),
            ("slack", "U0S005", "T0SOLO", *everywhere),
            ("slack", "U0S195", "T0SOLO", *everywhere),
            ("slack", "U0S195", "T0OTHER", *everywhere),
            ("slack", "U0G007", "E0GRID", *everywhere),
            ("slack", "U0NOBODY", None, *everywhere),
        ],
        key=str,
    )
    assert rows_of(database, "select count(*) from bans where not carried") == [(0,)]
    assert rows_of(database, "select count(*) from inbox") == [(0,)]


def check_log(database: Database) -> None:
    """Who looks finds it all, by words too."""
    with database.read() as session:
        held = log.page(session, search="swastika hindu", limit=1000)
        assert len(held) > 100
        assert {entry.place.workspace_id for entry in held} == {"T0OTHER"}
        assert len(log.page(session, unfinished=True)) == 7


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_stays_as_it_was(
    left: Callable[[str], Left],
    saved: Callable[[str], tuple[Columns, Digest]],
    new_database: Callable[..., str],
    opened: Callable[[str], Database],
    kind: str,
) -> None:
    database = opened(new_database(kind, left(kind).url))
    columns, before = saved(kind)
    assert migrate.current(database) == "0003"
    assert sum(rows for rows, _ in before.values()) >= ROWS
    began = time.perf_counter()
    migrate.upgrade(database)
    print(
        f"{kind}: {sum(rows for rows, _ in before.values())} rows upgraded in "
        f"{time.perf_counter() - began:.1f} s"
    )
    assert migrate.current(database) == migrate.newest()
    assert digest(database, columns) == before
    check_new_columns(database)
    check_log(database)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("sqlite", "sqlite"),
        pytest.param("sqlite", "postgres", marks=needs_postgres),
        pytest.param("postgres", "sqlite", marks=needs_postgres),
    ],
)
def test_a_backup_of_it_is_restored(
    left: Callable[[str], Left],
    saved: Callable[[str], tuple[Columns, Digest]],
    new_database: Callable[..., str],
    opened: Callable[[str], Database],
    tmp_path: Path,
    source: str,
    kind: str,
) -> None:
    old, database = left(source), opened(new_database(kind))
    columns, before = saved(source)
    columns = {name: names for name, names in columns.items() if name != SIGNS_OF_LIFE}
    expected = {name: before[name] for name in columns}
    blobs = Blobs(f"file://{tmp_path}/blobs")
    began = time.perf_counter()
    report = restore.restore(old.backup, database, blobs)
    print(f"{source} → {kind}: {report.rows} rows restored in {time.perf_counter() - began:.1f} s")
    assert digest(database, columns) == expected
    assert report.rows == sum(rows for rows, _ in expected.values())
    assert migrate.current(database) == migrate.newest()
    check_new_columns(database)
    check_log(database)
    everything = {(blob.sha256, blob.kept_apart) for blob in blobs.all()}
    assert len(everything) == report.pictures > 10
    assert everything <= {(blob.sha256, blob.kept_apart) for blob in old.blobs.all()}


OLD_REQUEST = """
insert into requests (id, event_key, press, platform, enterprise_id, workspace_id, channel_id,
thread_id, user_id, locale, age_restricted, upload_limit_bytes, private, prompt, negative_prompt,
prompt_labels, model, width, height, steps, guidance_scale, seed, count, strength, created_at)
select :request, :event, '', platform, enterprise_id, workspace_id, channel_id, thread_id, user_id,
locale, age_restricted, upload_limit_bytes, private, prompt, negative_prompt, prompt_labels, model,
width, height, steps, guidance_scale, seed, count, strength, created_at
from requests where platform = 'slack' and user_id = 'U0G042' limit 1
"""
OLD_JOB = """
insert into jobs (id, request_id, model, state, attempt, released, worker, cancel_requested, phase,
step, step_count, model_revision, queue_seconds, device_seconds, created_at, rung_at)
select :job, :request, model, 'waiting', 0, 0, '', cancel_requested, '', 0, 0, '', 0, 0, created_at,
rung_at from jobs limit 1
"""
OLD_USAGE = """
insert into usage (job_id, platform, workspace_id, user_id, day, pictures, device_seconds,
queue_seconds, created_at)
select :job, platform, workspace_id, user_id, day, 77, device_seconds, queue_seconds,
created_at from usage where platform = 'slack' and user_id = 'U0G042' limit 1
"""
OLD_REVIEW = """
insert into reviews (id, job_id, kind, picture_sha256, opened_at, opened_by, decided_by)
select :request, :job, 'report', '', created_at, 'U0BUSY', '' from jobs limit 1
"""
OLD_BEAT = "update deliveries set desired_revision = desired_revision + 1 where job_id = (\
select job_id from deliveries where platform = 'discord' order by job_id {} limit 1)"


class Busy:
    """Somebody who writes all the time as the old release does: each time a request and what
    becomes of it, and a beat of a job whose card is being filled."""

    def __init__(self, database: Database) -> None:
        self._database, self._over = database, threading.Event()
        self.waits: list[float] = []
        self.failed: Exception | None = None

    def wait(self) -> None:
        """Until this has been done twice more."""
        until = len(self.waits) + 2
        while len(self.waits) < until and self.failed is None:
            time.sleep(0.01)

    def _work(self) -> None:
        while not self._over.is_set():
            request, job = uuid4(), uuid4()
            ids = {"request": request.hex, "job": job.hex, "event": f"slack:busy:{request}"}
            began = time.perf_counter()
            try:
                with self._database.write() as session:
                    for statement in (OLD_REQUEST, OLD_JOB, OLD_USAGE, OLD_REVIEW):
                        session.execute(text(statement), ids)
                    for order in ("asc", "desc"):
                        session.execute(text(OLD_BEAT.format(order)))
            except Exception as error:
                self.failed = error
                return
            self.waits.append(time.perf_counter() - began)

    @contextmanager
    def working(self) -> Iterator[None]:
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            self.wait()
            yield
            self.wait()
        finally:
            self._over.set()
            thread.join()


@pytest.mark.parametrize("kind", KINDS)
def test_who_writes_meanwhile_goes_on(
    left: Callable[[str], Left],
    new_database: Callable[..., str],
    opened: Callable[[str], Database],
    kind: str,
) -> None:
    url = new_database(kind, left(kind).url)
    busy = Busy(opened(url))
    with busy.working():
        already = len(busy.waits)
        migrate.upgrade(opened(url))
        during = busy.waits[already:]
    assert busy.failed is None
    print(f"{kind}: {len(during)} writes meanwhile, the longest {max(during) * 1000:.0f} ms")
    assert len(during) > 3
    assert max(during) < BUSY_SECONDS
    database = opened(url)
    with database.read() as session:
        writer = Account(platform=Platform.SLACK, tenant="E0GRID", user_id="U0G042")
        friend = Account(platform=Platform.SLACK, tenant="E0GRID", user_id="U0BUSY")
        busily = RequestRow.event_key.like("slack:busy:%")
        for row, whose in (
            (RequestRow, (accounts.asked(writer), busily)),
            (UsageRow, (accounts.used(writer), UsageRow.pictures == 77)),
            (ReviewRow, (accounts.reported(friend),)),
        ):
            found = session.scalar(sa.select(sa.func.count()).select_from(row).where(*whose))
            assert found == len(busy.waits), row


@pytest.mark.parametrize("kind", KINDS)
def test_no_row_is_locked_while_many_are_filled(
    left: Callable[[str], Left],
    new_database: Callable[..., str],
    opened: Callable[[str], Database],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """Between two parts everybody can write any row: a worker's heartbeat comes in time."""
    url = new_database(kind, left(kind).url)
    upgrading, other = opened(url), opened(url)
    looks = []

    def look(_: float) -> None:
        looks.append(migrate.current(other))
        if len(looks) % 4 == 0:
            with other.write() as session:
                if kind == "postgres":
                    session.execute(text("set local lock_timeout = 100"))
                session.execute(text("update requests set locale = 'es'"))
                session.execute(text("update deliveries set tries = tries + 1"))

    monkeypatch.setattr(migrate, "sleep", look)
    migrate.upgrade(upgrading)
    assert len(looks) > 8
    assert set(looks) == {"0004"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_crash_in_between_and_two_at_once(
    left: Callable[[str], Left],
    new_database: Callable[..., str],
    opened: Callable[[str], Database],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """What has been filled is not filled again, and no ban is carried twice."""
    url = new_database(kind, left(kind).url)
    parts: list[float] = []

    def dies(pause: float) -> None:
        parts.append(pause)
        if len(parts) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(migrate, "sleep", dies)
        with pytest.raises(KeyboardInterrupt):
            migrate.upgrade(opened(url))
    assert migrate.current(opened(url)) == "0004"
    databases = [opened(url) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(migrate.upgrade, databases))
    assert migrate.current(databases[0]) == migrate.newest()
    check_new_columns(databases[0])
