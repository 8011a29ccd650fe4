"""Restore: what `backup.py` has saved, whole or not at all, in an empty installation."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Table, func, select
from sqlalchemy.orm import Session

from storage import accounts, forget, forgotten, migrate, pixels
from storage.backup import BATCH, FORMAT, TABLES, Report, Unfit, member_of, sha256_of
from storage.blobs import APART, SHOWN, Blobs
from storage.database import Database
from storage.domain import Account, Platform
from storage.tables import UtcDateTime

MARGIN = timedelta(minutes=10)
"""Who asked to be forgotten so shortly before the backup is forgotten once more: clocks differ, and
the rows may have been emptied a moment after they were saved."""


def restore(file: Path, database: Database, blobs: Blobs, *more: Mapping[str, datetime]) -> Report:
    """Fill an empty database and the pictures, all or nothing, with the newest schema. Who has
    asked to be forgotten since, by the list beside the pictures or by `more` lists, is forgotten.

    Raises Unfit when the file is damaged or not a backup, or when the database holds something.
    """
    try:
        with tarfile.open(file, "r:") as tar:
            saved = _Saved(tar)
            saved.verify()
            return _restore(saved, database, blobs, more)
    except tarfile.TarError as error:
        raise Unfit(f"{file} is not a whole backup ({error}).") from None


class _Saved:
    """An opened backup. Raises Unfit for what is not in it."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members = {member.name: member for member in tar}
        self.manifest: dict[str, Any] = json.load(self.open("manifest.json"))
        self.names = frozenset(self.manifest["blobs"])

    def open(self, name: str) -> IO[bytes]:
        member = self._members.get(name)
        opened = self._tar.extractfile(member) if member else None
        if opened is None:
            raise Unfit(f"{name} is missing: this is not a whole backup.")
        return opened

    def forgotten(self) -> dict[str, datetime]:
        entries = json.load(self.open("forgotten.json"))
        return {name: datetime.fromisoformat(at) for name, at in entries.items()}

    def verify(self) -> None:
        """Compare every hash."""
        manifest = self.manifest
        if manifest["format"] != FORMAT or not migrate.is_known(manifest["schema"]):
            raise Unfit("The backup was made by a newer Easel: upgrade Easel first.")
        hashes = {member_of(name): table["sha256"] for name, table in manifest["tables"].items()}
        hashes |= {name: name.split("/")[1] for name in manifest["blobs"]}
        hashes["forgotten.json"] = manifest["forgotten"]
        for name, sha256 in hashes.items():
            if sha256_of(self.open(name)) != sha256:
                raise Unfit(f"{name} is damaged: its hash is not the one of the manifest.")


def _restore(
    saved: _Saved, database: Database, blobs: Blobs, more: tuple[Mapping[str, datetime], ...]
) -> Report:
    manifest = saved.manifest
    entries = forgotten.merge(saved.forgotten(), forgotten.read(blobs), *more)
    since = datetime.fromisoformat(manifest["created_at"]) - MARGIN
    _check_target(database, manifest["schema"])
    with database.engine.begin() as connection:
        migrate.run(connection, manifest["schema"])
        tables = [table for table in TABLES if table.name in manifest["tables"]]
        rows = sum(_insert(connection, saved, table) for table in tables)
        migrate.run(connection)
        people, dropped = _forget(
            connection, {name for name, at in entries.items() if at >= since}, database.clock()
        )
        names = [name for name in manifest["blobs"] if name.split("/")[1] not in dropped]
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


def _insert(connection: Connection, saved: _Saved, table: Table) -> int:
    """As the backup has them, column for column: the schema is that of the backup yet."""
    count, batch = 0, []
    with gzip.open(saved.open(member_of(table.name)), "rt", encoding="utf-8") as lines:
        for line in lines:
            batch.append({k: _from_json(table, k, v) for k, v in json.loads(line).items()})
            if len(batch) == BATCH:
                count += _flush(connection, table, batch)
                batch = []
    count += _flush(connection, table, batch)
    if (number := table.autoincrement_column) is not None and connection.dialect.name != "sqlite":
        last = select(func.max(number)).scalar_subquery()
        sequence = func.pg_get_serial_sequence(table.name, number.name)
        connection.execute(select(func.setval(sequence, func.coalesce(last, 1), last.is_not(None))))
    return count


def _flush(connection: Connection, table: Table, batch: list[dict[str, Any]]) -> int:
    if batch:
        columns = [sa.column(name, table.c[name].type) for name in batch[0]]
        connection.execute(sa.table(table.name, *columns).insert(), batch)
    return len(batch)


_FROM_JSON: dict[type, Callable[[str], object]] = {
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    UUID: UUID,
}


def _from_json(table: Table, name: str, value: Any) -> Any:
    kind = table.c[name].type
    read = _FROM_JSON.get(
        (kind.impl_instance if isinstance(kind, UtcDateTime) else kind).python_type
    )
    return value if value is None or read is None else read(value)


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


def _put_blob(blobs: Blobs, saved: _Saved, name: str) -> None:
    """In the place of the backup only: a moderator may have moved it since."""
    place, sha256 = name.split("/")
    kept_apart = place == APART
    blobs.put(saved.open(name).read(), kept_apart=kept_apart)
    if f"{SHOWN if kept_apart else APART}/{sha256}" not in saved.names:
        blobs.delete_from(sha256, kept_apart=not kept_apart)
