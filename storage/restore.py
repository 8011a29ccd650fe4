"""Restore: what `backup.py` has saved, whole or not at all, in an empty installation."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Table, func, select
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from storage import accounts, forget, forgotten, migrate, pixels
from storage.backup import BATCH, TABLES, Report, Unfit
from storage.blobs import APART, SHOWN, Blobs
from storage.database import Database
from storage.domain import Account, Platform
from storage.saved import Saved, opened

MARGIN = timedelta(minutes=10)
"""Who asked to be forgotten so shortly before the backup is forgotten once more: clocks differ, and
the rows may have been emptied a moment after they were saved."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BATCH_BYTES = 2**24


def restore(file: Path, database: Database, blobs: Blobs, *more: Mapping[str, datetime]) -> Report:
    """Fill an empty database and the pictures, all or nothing, with the newest schema. Who has
    asked to be forgotten since, by the list beside the pictures or by `more` lists, is forgotten.

    Raises Unfit when the file is damaged or not a backup, or when the database holds something.
    """
    try:
        with opened(file) as tar:
            saved = Saved(tar, file.stat().st_size)
            saved.verify()
            return _restore(saved, database, blobs, more)
    except tarfile.TarError as error:
        raise Unfit(f"{file} is not a whole backup ({error}).") from None
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        # What was written to make a reader stumble, and found a stone that we did not see.
        raise Unfit(f"{file} is no sound backup ({type(error).__name__}).") from None


def _restore(
    saved: Saved, database: Database, blobs: Blobs, more: tuple[Mapping[str, datetime], ...]
) -> Report:
    manifest = saved.manifest
    entries = forgotten.merge(saved.forgotten(), forgotten.read(blobs), *more)
    now = database.clock()
    # A time to come would let everybody come back.
    since = min(max(manifest.created_at, EPOCH), now) - MARGIN
    _check_target(database, manifest.schema_)
    with database.engine.begin() as connection:
        migrate.run(connection, manifest.schema_)
        tables = [table for table in TABLES if table.name in manifest.tables]
        there = set(sa.inspect(connection).get_table_names())
        for table in TABLES:
            if table.name in there - manifest.tables.keys():
                raise Unfit(f"{table.name} is missing: this is not a whole backup.")
        rows = sum(_insert(connection, saved, table) for table in tables)
        migrate.run(connection)
        people, dropped = _forget(
            connection, {name for name, at in entries.items() if at >= since}, now
        )
        names = [name for name in manifest.blobs if name.split("/")[1] not in dropped]
        for name in names:
            _put_blob(blobs, saved, name)
        forgotten.put(blobs, entries)
    pixels.settle(database, blobs, dropped)
    if people:
        forget.purge(database)
    return Report(rows=rows, pictures=len(names), forgotten=people)


def _check_target(database: Database, schema: str) -> None:
    found = migrate.current(database)
    if found is None:
        return
    with database.engine.connect() as connection:
        there = sa.inspect(connection).get_table_names()
        for table in TABLES:
            query = select(sa.literal(1)).select_from(sa.table(table.name)).limit(1)
            if table.name in there and connection.scalar(query):
                raise Unfit(f"The database is not empty: there is something in {table.name}.")
    if found != schema:
        raise Unfit(
            f"The database is empty, but has the schema {found}; the backup has {schema}. "
            "Give it a database without tables: restoring makes them."
        )


def _insert(connection: Connection, saved: Saved, table: Table) -> int:
    """As the backup has them, column for column: the schema is that of the backup yet."""
    known = _columns(connection, table)
    count, batch, waiting_bytes = 0, list[dict[str, Any]](), 0
    for row, row_bytes in saved.rows(table):
        if unknown := row.keys() - known:
            raise Unfit(f"{table.name} had no column {min(unknown)} in that schema.")
        full = len(batch) == BATCH or waiting_bytes > BATCH_BYTES
        if batch and (full or row.keys() != batch[0].keys()):
            count += _flush(connection, table, batch)
            batch, waiting_bytes = [], 0
        batch.append(row)
        waiting_bytes += row_bytes
    count += _flush(connection, table, batch)
    if (number := table.autoincrement_column) is not None and connection.dialect.name != "sqlite":
        last = select(func.max(number)).scalar_subquery()
        sequence = func.pg_get_serial_sequence(table.name, number.name)
        connection.execute(select(func.setval(sequence, func.coalesce(last, 1), last.is_not(None))))
    return count


def _columns(connection: Connection, table: Table) -> set[str]:
    schema = sa.inspect(connection)
    there = schema.has_table(table.name)
    return {column["name"] for column in schema.get_columns(table.name)} if there else set()


def _flush(connection: Connection, table: Table, batch: list[dict[str, Any]]) -> int:
    if batch:
        columns = [sa.column(name, table.c[name].type) for name in batch[0]]
        try:
            connection.execute(sa.table(table.name, *columns).insert(), batch)
        except (DataError, IntegrityError) as error:
            words = f"Rows of {table.name} contradict each other or the schema"
            raise Unfit(f"{words} ({type(error).__name__}).") from None
    return len(batch)


def _forget(connection: Connection, names: set[str], now: datetime) -> tuple[int, set[str]]:
    """How many people were forgotten, and the hashes of pixels that nobody refers to any more."""
    dropped: set[str] = set()
    people = 0
    with Session(connection) as session:
        for account in _people(session) if names else ():
            if forgotten.names(account) & names:
                dropped.update(forget.forget_person(session, account, now))
                people += 1
        session.flush()
        return people, {h for h in dropped if not forget.is_used(session, h)}


def _people(session: Session) -> set[Account]:
    """Everybody that a row names."""
    return {
        Account(platform=Platform(platform), tenant=tenant, user_id=user_id)
        for query in accounts.NAMED
        for platform, tenant, user_id in session.execute(query.distinct())
        if user_id
    }


def _put_blob(blobs: Blobs, saved: Saved, name: str) -> None:
    """In the place of the backup only: a moderator may have moved it since."""
    place, sha256 = name.split("/")
    kept_apart = place == APART
    blobs.put(saved.read(name), kept_apart=kept_apart)
    if f"{SHOWN if kept_apart else APART}/{sha256}" not in saved.names:
        blobs.delete_from(sha256, kept_apart=not kept_apart)
