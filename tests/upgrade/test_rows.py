"""A database and a backup of 8030ad7: nothing is lost or changed by what is new, what is new is
filled, and who works there meanwhile is not kept waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import text

from bot.core.grammar import echo
from storage import accounts, decisions, log, migrate, restore
from storage.backup import SIGNS_OF_LIFE
from storage.blobs import Blobs
from storage.database import Database
from storage.domain import Account, JobState, Platform
from storage.log import LogEntry
from storage.tables import JobRow, RequestRow, ReviewRow, UsageRow
from tests.servers import needs_postgres
from tests.upgrade.busy import Busy
from tests.upgrade.conftest import KINDS, ROWS, Left
from tests.upgrade.rows import (
    Columns,
    Digest,
    check_log,
    check_new_columns,
    columns_of,
    digest,
)

pytestmark = pytest.mark.timeout(300)
BUSY_SECONDS = 5.0
"""How long who writes waits for SQLite before it gives up."""


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


@pytest.fixture
def opened() -> Iterator[Callable[[str], Database]]:
    databases: list[Database] = []

    def open_one(url: str) -> Database:
        databases.append(database := Database(url))
        return database

    yield open_one
    for database in databases:
        database.close()


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


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_held_without_its_reference_is_not_drawn_without_it(
    left: Callable[[str], Left],
    new_database: Callable[..., str],
    opened: Callable[[str], Database],
    kind: str,
) -> None:
    database = opened(new_database(kind, left(kind).url))
    migrate.upgrade(database)

    def allow(prompt: str) -> LogEntry:
        with database.write() as session:
            job_id = session.scalar(
                sa.select(JobRow.id)
                .join(RequestRow, RequestRow.id == JobRow.request_id)
                .where(RequestRow.prompt == prompt)
                .limit(1)
            )
            assert job_id is not None
            with suppress(decisions.NotDone):
                decisions.allow(session, job_id, by="mod", now=database.clock())
        with database.read() as session:
            entry = log.entry(session, job_id)
        assert entry is not None
        return entry

    assert allow("a swastika on a hindu temple").state is JobState.WAITING
    for prompt in ("held with a parent", "held with a strength"):
        entry = allow(prompt)
        assert (entry.state, entry.held) == (JobState.REFUSED, True)
        assert "--use restyle" in echo(entry.request), "its form asks for a reference"


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
