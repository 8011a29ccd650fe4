"""Backup and restore: one tar file with the rows of every table and the pixels they refer to.

    tables/requests.jsonl.gz   a row on each line, values as in JSON, times as in ISO 8601
    shown/…, apart/…           pixels, named by their SHA-256, in the place where they belong
    forgotten.json             who had asked to be forgotten
    manifest.json              last: the schema, the time, and a hash of all that comes before

The rows come from one transaction, so the service may go on. The format is the same for SQLite
and PostgreSQL: what was saved from one can be restored to the other.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection, Table, func, select
from sqlalchemy.orm import Session

from storage import forget, forgotten, migrate, sweep
from storage.blobs import APART, SHOWN, Blobs
from storage.database import Database
from storage.domain import Platform
from storage.tables import Base, RequestRow, ReviewRow, SearchRow, UsageRow, UtcDateTime, WorkerRow

FORMAT = 1
SIGNS_OF_LIFE = WorkerRow.__tablename__
MARGIN = timedelta(minutes=10)
"""Who asked to be forgotten so shortly before the backup is forgotten once more: clocks differ, and
the rows may have been emptied a moment after they were saved."""
BATCH = 500
BLOCK_BYTES = 2**20

TABLES = [t for t in Base.metadata.sorted_tables if t.name != SIGNS_OF_LIFE]


class Unfit(Exception):
    """The file or the place to restore to will not do; the message says why, in plain words."""


@dataclass(frozen=True, kw_only=True)
class Report:
    rows: int
    pictures: int
    missing: int = 0
    """Pixels that rows refer to and that could not be read whole."""
    forgotten: int = 0
    """People who asked to be forgotten since, and were."""


def backup(database: Database, blobs: Blobs, file: Path) -> Report:
    """Write `file`, readable by its owner alone, whole or not at all.

    Raises FileExistsError if it is there, OSError when the disk is full, and Unfit when the
    database has another schema than this Easel.
    """
    if migrate.current(database) != migrate.newest():
        raise Unfit("The database has another schema than this Easel: run `easel migrate` first.")
    if file.exists():
        raise FileExistsError(file)
    part = file.with_name(f".{file.name}.part")
    try:
        opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(opened, "wb") as output:
            with tarfile.open(fileobj=output, mode="w") as tar:
                report = _write(database, blobs, tar, file.parent)
            output.flush()
            os.fsync(output.fileno())
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)
    return report


def _write(database: Database, blobs: Blobs, tar: tarfile.TarFile, folder: Path) -> Report:
    tables = {}
    now = database.clock()
    with database.snapshot() as connection:
        schema = migrate.revision(connection)
        for table in TABLES:
            tables[table.name] = _add_rows(connection, table, tar, folder)
        places = sorted(sweep.expected(connection))
    found = [f"{APART if apart else SHOWN}/{sha256}" for sha256, apart in places]
    kept = [name for name in found if _add_blob(blobs, name, tar)]
    who = {name: at.isoformat() for name, at in forgotten.read(blobs).items()}
    manifest = {
        "format": FORMAT,
        "schema": schema,
        "created_at": now.isoformat(),
        "tables": tables,
        "blobs": kept,
        "forgotten": _add(tar, "forgotten.json", json.dumps(who).encode()),
    }
    _add(tar, "manifest.json", json.dumps(manifest, indent=1).encode())
    rows = sum(table["rows"] for table in tables.values())
    return Report(rows=rows, pictures=len(kept), missing=len(found) - len(kept))


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> str:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o600
    tar.addfile(entry, io.BytesIO(data))
    return hashlib.sha256(data).hexdigest()


def _add_rows(
    connection: Connection, table: Table, tar: tarfile.TarFile, folder: Path
) -> dict[str, Any]:
    count = 0
    with tempfile.TemporaryFile(dir=folder) as packed:
        with gzip.open(packed, "wt", encoding="utf-8") as lines:
            for row in connection.execution_options(yield_per=BATCH).execute(select(table)):
                values = {name: _to_json(value) for name, value in row._mapping.items()}
                if table.name == SearchRow.__tablename__:
                    # PostgreSQL shows the words of a tsvector in quotes.
                    values["words"] = values["words"].replace("'", "")
                lines.write(json.dumps(values) + "\n")
                count += 1
        entry = tarfile.TarInfo(_member(table.name))
        entry.size, entry.mode = packed.tell(), 0o600
        packed.seek(0)
        sha256 = _sha256(packed)
        packed.seek(0)
        tar.addfile(entry, packed)
    return {"rows": count, "sha256": sha256}


def _sha256(part: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := part.read(BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def _member(table: str) -> str:
    return f"tables/{table}.jsonl.gz"


def _to_json(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def _add_blob(blobs: Blobs, name: str, tar: tarfile.TarFile) -> bool:
    """False for pixels that are gone or damaged. They may have moved since the rows were read."""
    place, sha256 = name.split("/")
    for kept_apart in (place == APART, place != APART):
        try:
            data = blobs.get(sha256, kept_apart=kept_apart)
        except FileNotFoundError:
            continue
        if hashlib.sha256(data).hexdigest() == sha256:
            _add(tar, name, data)
            return True
    return False


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
        hashes = {_member(name): table["sha256"] for name, table in manifest["tables"].items()}
        hashes |= {name: name.split("/")[1] for name in manifest["blobs"]}
        hashes["forgotten.json"] = manifest["forgotten"]
        for name, sha256 in hashes.items():
            if _sha256(self.open(name)) != sha256:
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
    forget.delete_blobs(blobs, dropped)
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
    with gzip.open(saved.open(_member(table.name)), "rt", encoding="utf-8") as lines:
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
        for platform, user_id in _people(session) if names else ():
            if forgotten.pseudonym(platform, user_id) in names:
                dropped.update(forget.forget_person(session, platform, user_id, now))
                people += 1
        session.flush()
        return people, {h for h in dropped if not forget.is_used(session, h)}


def _people(session: Session) -> Iterator[tuple[Platform, str]]:
    """Everybody that a row names. Reports say who, but not where."""
    known = {
        (Platform(platform), user_id)
        for row in (RequestRow, UsageRow)
        for platform, user_id in session.execute(select(row.platform, row.user_id).distinct())
        if user_id
    }
    reporters = session.scalars(select(ReviewRow.opened_by).distinct()).all()
    yield from known | {(platform, user) for platform in Platform for user in reporters if user}


def _put_blob(blobs: Blobs, saved: _Saved, name: str) -> None:
    """In the place of the backup only: a moderator may have moved it since."""
    place, sha256 = name.split("/")
    kept_apart = place == APART
    blobs.put(saved.open(name).read(), kept_apart=kept_apart)
    if f"{SHOWN if kept_apart else APART}/{sha256}" not in saved.names:
        blobs.delete_from(sha256, kept_apart=not kept_apart)
