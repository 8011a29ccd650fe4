"""Backup: one tar file with the rows of every table and the pixels they refer to.

    tables/requests.jsonl.gz   a row on each line, values as in JSON, times as in ISO 8601
    shown/…, apart/…           pixels, named by their SHA-256, in the place where they belong
    forgotten.json             who had asked to be forgotten
    manifest.json              last: the schema, the time, and a hash of all that comes before

The rows come from one transaction, so the service may go on. The format is the same for SQLite
and PostgreSQL: `restore.py` brings what was saved from one to the other.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from sqlalchemy import Connection, Table, select

from storage import forgotten, migrate, sweep
from storage.blobs import APART, SHOWN, Blobs
from storage.database import Database
from storage.tables import Base, SearchRow, WorkerRow

FORMAT = 1
SIGNS_OF_LIFE = WorkerRow.__tablename__
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
    found = migrate.current(database)
    if words := migrate.lacking(found):
        raise Unfit(words)
    if not migrate.is_known(found):
        raise Unfit(f"The database has the schema {found} of a newer Easel: save it with that one.")
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
        entry = tarfile.TarInfo(member_of(table.name))
        entry.size, entry.mode = packed.tell(), 0o600
        packed.seek(0)
        sha256 = sha256_of(packed)
        packed.seek(0)
        tar.addfile(entry, packed)
    return {"rows": count, "sha256": sha256}


def sha256_of(part: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := part.read(BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def member_of(table: str) -> str:
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
