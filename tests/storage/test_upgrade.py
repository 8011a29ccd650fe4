"""Migrations beside a service that runs: they wait a little, and change all or nothing."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from storage import migrate
from storage.database import Database
from tests.fakes.nouns import FakeClock
from tests.servers import needs_postgres

PATIENCE_SECONDS = 30.0
"""Who waits longer for a lock would wait for ever; the test fails, and lets it go."""


@pytest.fixture
def old(request: pytest.FixtureRequest) -> Iterator[Database]:
    """PostgreSQL with the first schema."""
    database = Database(request.getfixturevalue("empty_postgres_url"), FakeClock())
    with database.engine.begin() as connection:
        migrate.run(connection, "0001")
    yield database
    database.close()


@contextmanager
def in_use(database: Database, table: str) -> Iterator[None]:
    with database.engine.begin() as connection:
        connection.execute(text(f"lock table {table} in access exclusive mode"))
        yield


def until_waiting(database: Database, lock: str, long: str) -> None:
    """Until somebody has waited so long for a lock of this kind."""
    waiting = text(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and"
        " wait_event = :lock and datname = current_database()"
        " and clock_timestamp() - query_start > cast(:long as interval)"
    )
    end = time.monotonic() + PATIENCE_SECONDS
    with database.engine.connect() as observer:
        while not observer.scalar(waiting, {"lock": lock, "long": long}):
            assert time.monotonic() < end, f"nobody waits for a lock ({lock})"
            observer.rollback()


@needs_postgres
def test_a_table_in_use_ends_the_migration_and_not_the_service(
    old: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT_MS", 50)
    with ThreadPoolExecutor(1) as pool, in_use(old, "requests"):
        upgrade = pool.submit(migrate.upgrade, old)
        with pytest.raises(OperationalError, match="lock timeout"):
            upgrade.result(PATIENCE_SECONDS)
    assert migrate.current(old) == "0001"
    migrate.upgrade(old)
    assert migrate.current(old) == migrate.newest()


@needs_postgres
def test_who_goes_from_one_table_to_another_is_not_in_the_way(old: Database) -> None:
    """As a worker of the old release that ends a job: the job first, then whose it was."""
    with old.engine.begin() as connection:
        migrate.run(connection, "0003")
    with ThreadPoolExecutor(1) as pool:
        with old.engine.begin() as worker:
            worker.execute(text("update jobs set step = step"))
            upgrade = pool.submit(migrate.upgrade, old)
            until_waiting(old, "relation", "10 milliseconds")
            assert worker.scalar(text("select count(*) from requests")) == 0
        upgrade.result(PATIENCE_SECONDS)
    assert migrate.current(old) == migrate.newest()


@needs_postgres
def test_a_statement_that_never_ends_is_ended(
    old: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "STATEMENT_TIMEOUT_MS", 50)
    with ThreadPoolExecutor(1) as pool, old.engine.begin() as other:
        other.execute(text("select pg_advisory_xact_lock(hashtext('easel-migrate'))"))
        upgrade = pool.submit(migrate.upgrade, old)
        with pytest.raises(OperationalError, match="statement timeout"):
            upgrade.result(PATIENCE_SECONDS)
    assert migrate.current(old) == "0001"


@needs_postgres
def test_who_comes_second_waits_longer_than_for_a_table(
    old: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one holds the lock well beyond the lock timeout of tables."""
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT_MS", 50)
    second = threading.Thread(target=migrate.upgrade, args=[old])
    with old.engine.begin() as first:
        first.execute(text("select pg_advisory_xact_lock(hashtext('easel-migrate'))"))
        second.start()
        until_waiting(old, "advisory", "200 milliseconds")
        assert second.is_alive(), "it gave up"
    second.join()
    assert migrate.current(old) == migrate.newest()


def test_many_at_once(tmp_path: Path) -> None:
    """As when all processes of an installation start."""
    databases = [Database(f"sqlite:///{tmp_path}/easel.db", FakeClock()) for _ in range(4)]
    failed: list[BaseException] = []

    def start(database: Database) -> None:
        try:
            migrate.upgrade(database)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=start, args=[database]) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert {migrate.current(database) for database in databases} == {migrate.newest()}
    for database in databases:
        database.close()


def test_a_newer_schema_is_left_to_the_newer_easel(database: Database) -> None:
    """A process of the old release starts again while the new one has migrated already."""
    with database.write() as session:
        session.execute(text("update alembic_version set version_num = '9999'"))
    migrate.upgrade(database)
    assert migrate.current(database) == "9999"
    assert not migrate.is_known("9999")
