"""Backup and restore, on SQLite, on PostgreSQL, and from one to the other. A backup of an older
Easel is restored in `tests/upgrade`."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select, text

from storage import backup, forget, forgotten, jobs, log, migrate, places, restore, review
from storage.backup import Unfit
from storage.blobs import Blobs
from storage.database import Database
from storage.domain import Decision, Platform, Reference, ReferenceUse
from storage.places import WorkspaceRules
from storage.tables import Base, VerdictRow
from tests.conftest import _env
from tests.fakes.archives import Archive
from tests.fakes.nouns import FakeClock, a_request, account, claimed, made, recorded

DISCORD = Platform.DISCORD
CANARY = "canary-prompt-5309"
Open = Callable[[str], Database]


@pytest.fixture
def open_database(
    tmp_path: Path, clock: FakeClock, request: pytest.FixtureRequest
) -> Iterator[Open]:
    """Databases without tables: SQLite by any name, and the one of PostgreSQL."""
    opened = []

    def make(name: str) -> Database:
        if name == "postgres":
            url = request.getfixturevalue("empty_postgres_url")
        else:
            url = f"sqlite:///{tmp_path / name}.db"
        opened.append(database := Database(url, clock))
        if name == "postgres":  # The one to restore to may be the one that was saved.
            with database.write() as session:
                session.execute(text("drop schema public cascade"))
                session.execute(text("create schema public"))
        return database

    yield make
    for database in opened:
        database.close()


def blobs_in(folder: Path) -> Blobs:
    return Blobs(f"file://{folder}")


def draw(
    database: Database, blobs: Blobs, clock: FakeClock, user: str, pixels: bytes, *held: Decision
) -> None:
    """A finished job of `user` with one picture, a reference, a report and a verdict."""
    sha256 = blobs.put(pixels, kept_apart=bool(held))
    reference = Reference(
        sha256=blobs.put(b"reference of " + pixels), use=ReferenceUse.RESTYLE, strength=0.25
    )
    with database.write() as session:
        recorded(
            session,
            now=clock(),
            user=user,
            request=a_request(prompt=f"{CANARY} é☃ {user}", reference=reference),
        )
        job = claimed(session, clock())
        outcome = made(job, *held)
        [picture] = outcome.pictures
        object.__setattr__(picture, "sha256", sha256)
        assert jobs.finish(session, job, outcome, clock())
        review.report(session, job.id, by=account(f"friend of {user}"), now=clock())
    clock.advance(seconds=1)


def fill(database: Database, blobs: Blobs, clock: FakeClock) -> None:
    migrate.upgrade(database)
    draw(database, blobs, clock, "alice", b"one")
    draw(database, blobs, clock, "bob", b"two")
    draw(database, blobs, clock, "bob", b"three", Decision.HOLD)
    with database.write() as session:
        recorded(session, now=clock(), user="carol")
        places.set_rules(session, DISCORD, "guild", WorkspaceRules(channels=("a", "b")))


def everything(database: Database) -> dict[str, list[Any]]:
    """All rows, in an order of their own, as Python sees them."""
    found: dict[str, list[Any]] = {}
    with database.snapshot() as connection:
        for table in Base.metadata.sorted_tables:
            rows = [dict(row._mapping) for row in connection.execute(select(table))]
            for row in rows:
                if table.name == "search":
                    row["words"] = sorted(row["words"].replace("'", "").split())
            found[table.name] = sorted(rows, key=str)
    return found


postgres = pytest.param(
    "postgres",
    marks=pytest.mark.skipif(
        not _env("EASEL_TEST_POSTGRES_URL"), reason="EASEL_TEST_POSTGRES_URL is not set"
    ),
)


@pytest.mark.parametrize("source", ["old", postgres])
@pytest.mark.parametrize("target", ["new", postgres])
def test_what_is_restored_is_what_was_saved(
    tmp_path: Path, clock: FakeClock, open_database: Open, source: str, target: str
) -> None:
    old, pictures = open_database(source), blobs_in(tmp_path / "old")
    fill(old, pictures, clock)
    saved = everything(old)
    report = backup.backup(old, pictures, tmp_path / "easel.tar")
    assert (report.pictures, report.missing) == (6, 0)
    assert report.rows == sum(map(len, saved.values()))
    assert (tmp_path / "easel.tar").stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(tmp_path))[-1] != ".easel.tar.part"

    new, restored = open_database(target), blobs_in(tmp_path / "new")
    report = restore.restore(tmp_path / "easel.tar", new, restored)
    assert everything(new) == saved
    assert migrate.current(new) == migrate.newest()
    assert report.rows == sum(map(len, saved.values()))
    for pixels, apart in ((b"one", False), (b"reference of three", False), (b"three", True)):
        assert restored.get(hashlib.sha256(pixels).hexdigest(), kept_apart=apart) == pixels
    # It goes on from there: what waits is found, numbers go on, prompts are found.
    draw(new, restored, clock, "dave", b"four")
    with new.read() as session:
        assert len(session.scalars(select(VerdictRow.id).distinct()).all()) == 4
        assert [e.user_id for e in log.page(session, search="dave")] == ["dave"]
        assert {e.user_id for e in log.page(session, search="bob")} == {"bob"}


@pytest.mark.parametrize("source", ["old", postgres])
def test_a_backup_sees_nothing_of_what_is_written_meanwhile(
    tmp_path: Path,
    clock: FakeClock,
    open_database: Open,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
) -> None:
    database, pictures = open_database(source), blobs_in(tmp_path / "old")
    fill(database, pictures, clock)
    saved, add_rows = everything(database), backup._add_rows

    def slowly(*given: Any) -> dict[str, Any]:
        rows = add_rows(*given)
        draw(database, pictures, clock, "late", f"{given[1].name}".encode())
        return rows

    monkeypatch.setattr(backup, "_add_rows", slowly)
    backup.backup(database, pictures, tmp_path / "easel.tar")
    new = open_database("new")
    restore.restore(tmp_path / "easel.tar", new, blobs_in(tmp_path / "new"))
    assert everything(new) == saved


def saved_rows(file: Path) -> bytes:
    with tarfile.open(file) as tar:
        packed = [tar.extractfile(m) for m in tar.getmembers() if m.name.endswith(".gz")]
        return b"".join(gzip.decompress(part.read()) for part in packed if part)


def test_who_asked_to_be_forgotten_is_forgotten_by_a_restore(
    tmp_path: Path, clock: FakeClock, open_database: Open
) -> None:
    """The pictures and the list beside them outlive the database, as on S3."""
    database, pictures = open_database("old"), blobs_in(tmp_path / "pictures")
    fill(database, pictures, clock)
    backup.backup(database, pictures, tmp_path / "easel.tar")
    clock.advance(hours=1)
    forget.forget(database, pictures, account("alice"), keep=timedelta())
    database.close()
    assert b"alice" in saved_rows(tmp_path / "easel.tar")

    new = open_database("new")
    report = restore.restore(tmp_path / "easel.tar", new, pictures)
    assert report.forgotten == 1
    said = json.dumps(everything(new), default=str)
    assert "alice" not in said
    assert "bob" in said
    files = b"".join(path.read_bytes() for path in tmp_path.glob("new.db*"))
    assert b"alice" not in files
    assert b"bob" in files
    for pixels in (b"one", b"reference of one"):
        with pytest.raises(FileNotFoundError):
            pictures.get(hashlib.sha256(pixels).hexdigest())
    assert pictures.get(hashlib.sha256(b"two").hexdigest()) == b"two"


def test_a_list_of_another_place_counts_too(
    tmp_path: Path, clock: FakeClock, open_database: Open
) -> None:
    database, pictures = open_database("old"), blobs_in(tmp_path / "old")
    fill(database, pictures, clock)
    backup.backup(database, pictures, tmp_path / "easel.tar")
    clock.advance(hours=1)
    forget.forget(database, pictures, account("bob"), keep=timedelta())
    fresh, restored = open_database("new"), blobs_in(tmp_path / "new")
    entries = forgotten.read(pictures)
    report = restore.restore(tmp_path / "easel.tar", fresh, restored, entries)
    assert report.forgotten == 1
    assert {blob.sha256 for blob in restored.all()} == {
        hashlib.sha256(pixels).hexdigest() for pixels in (b"one", b"reference of one")
    }, "pixels of the forgotten were never written"
    assert forgotten.read(restored) == entries, "the next restore knows it too"


def test_a_list_of_a_release_without_tenants_counts_too(
    tmp_path: Path, clock: FakeClock, open_database: Open
) -> None:
    """It named a Slack id of any team, so all of them are forgotten: too much, never too little.
    Today's names one account."""
    database, pictures = open_database("old"), blobs_in(tmp_path / "old")
    fill(database, pictures, clock)
    with database.write() as session:
        session.execute(text("update requests set platform = 'slack', tenant = 'T1'"))
        session.execute(text("update requests set tenant = 'T2' where user_id = 'carol'"))
        session.execute(text("update requests set user_id = 'U1' where user_id <> 'bob'"))
    backup.backup(database, pictures, tmp_path / "easel.tar")
    now = clock.advance(hours=1)
    before = {hashlib.sha256(b"slack:U1").hexdigest(): now}
    today = {hashlib.sha256(b"slack:T1:U1").hexdigest(): now}
    for name, entries, people in (("new", before, 2), ("newer", today, 1)):
        fresh = open_database(name)
        restored = blobs_in(tmp_path / name)
        report = restore.restore(tmp_path / "easel.tar", fresh, restored, entries)
        assert report.forgotten == people


def test_who_came_back_after_being_forgotten_stays(
    tmp_path: Path, clock: FakeClock, open_database: Open
) -> None:
    database, pictures = open_database("old"), blobs_in(tmp_path / "old")
    fill(database, pictures, clock)
    forget.forget(database, pictures, account("alice"), keep=timedelta())
    clock.advance(hours=1)
    draw(database, pictures, clock, "alice", b"anew")
    backup.backup(database, pictures, tmp_path / "easel.tar")
    new = open_database("new")
    assert restore.restore(tmp_path / "easel.tar", new, pictures).forgotten == 0
    with new.read() as session:
        assert len(log.page(session, user=account("alice"))) == 1


def test_forgetting_during_a_backup(tmp_path: Path, clock: FakeClock, open_database: Open) -> None:
    """Another machine's clock is behind, so its entry is older than the backup."""
    database, pictures = open_database("old"), blobs_in(tmp_path / "old")
    fill(database, pictures, clock)
    backup.backup(database, pictures, tmp_path / "easel.tar")
    clock.advance(minutes=-5)
    forget.forget(database, pictures, account("alice"), keep=timedelta())
    new = open_database("new")
    assert restore.restore(tmp_path / "easel.tar", new, pictures).forgotten == 1


def test_only_an_empty_database_is_filled(
    tmp_path: Path, clock: FakeClock, open_database: Open
) -> None:
    database, pictures = open_database("old"), blobs_in(tmp_path / "old")
    fill(database, pictures, clock)
    backup.backup(database, pictures, tmp_path / "easel.tar")
    before = everything(database)
    with pytest.raises(Unfit, match="not empty: there is something in"):
        restore.restore(tmp_path / "easel.tar", database, pictures)
    assert everything(database) == before
    empty = open_database("empty")
    migrate.upgrade(empty)
    restore.restore(tmp_path / "easel.tar", empty, pictures)
    assert everything(empty) == before, "tables without rows are empty too"


def test_all_or_nothing(
    tmp_path: Path, clock: FakeClock, open_database: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, pictures = open_database("old"), blobs_in(tmp_path / "old")
    fill(database, pictures, clock)
    backup.backup(database, pictures, tmp_path / "easel.tar")
    new, restored = open_database("new"), blobs_in(tmp_path / "new")

    def full(*_: object, **__: object) -> str:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Blobs, "put", full)
        with pytest.raises(OSError, match="No space left"):
            restore.restore(tmp_path / "easel.tar", new, restored)
    assert migrate.current(new) is None
    restore.restore(tmp_path / "easel.tar", new, restored)
    assert everything(new) == everything(database)


def test_a_full_disk_leaves_no_half_backup(
    tmp_path: Path, clock: FakeClock, open_database: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, pictures = open_database("old"), blobs_in(tmp_path / "old")
    fill(database, pictures, clock)
    (tmp_path / "backups").mkdir()

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            backup.backup(database, pictures, tmp_path / "backups" / "easel.tar")
    assert os.listdir(tmp_path / "backups") == []


def test_pixels_that_are_gone_or_damaged_are_counted(
    tmp_path: Path, clock: FakeClock, open_database: Open
) -> None:
    database, pictures = open_database("old"), blobs_in(tmp_path / "old")
    fill(database, pictures, clock)
    pictures.delete(hashlib.sha256(b"one").hexdigest())
    damaged = hashlib.sha256(b"two").hexdigest()
    (tmp_path / "old" / "shown" / damaged[:2] / damaged).write_bytes(b"bit rot")
    pictures.move(hashlib.sha256(b"three").hexdigest(), to_kept_apart=False)
    report = backup.backup(database, pictures, tmp_path / "easel.tar")
    assert (report.pictures, report.missing) == (4, 2), "what has moved is found"
    new, restored = open_database("new"), blobs_in(tmp_path / "new")
    restore.restore(tmp_path / "easel.tar", new, restored)
    assert restored.get(hashlib.sha256(b"three").hexdigest(), kept_apart=True) == b"three"


def rewritten(file: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """The same tar file with other contents; None leaves a member out."""
    with tarfile.open(file) as tar:
        parts = {m.name: opened.read() for m in tar if (opened := tar.extractfile(m))}
    with tarfile.open(file, "w") as tar:
        for name, data in parts.items():
            if (changed := change(name, data)) is not None:
                entry = tarfile.TarInfo(name)
                entry.size = len(changed)
                tar.addfile(entry, io.BytesIO(changed))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n, d: None if n == "manifest.json" else d, "manifest.json is missing"),
        (lambda n, d: None if n.startswith("apart/") else d, "is missing"),
        (lambda n, d: b"other pixels" if n.startswith("shown/") else d, "is damaged"),
        (lambda n, d: d[:-1] if "requests" in n else d, "requests.jsonl.gz is damaged"),
        (lambda n, d: b"{}" if n == "forgotten.json" else d, "forgotten.json is damaged"),
        (lambda n, d: d.replace(b'"format": 1', b'"format": 2'), "newer Easel"),
        (lambda n, d: d.replace(b'"schema": "0', b'"schema": "9'), "newer Easel"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(
    tmp_path: Path,
    clock: FakeClock,
    open_database: Open,
    change: Callable[[str, bytes], bytes | None],
    words: str,
) -> None:
    database, pictures = open_database("old"), blobs_in(tmp_path / "old")
    fill(database, pictures, clock)
    forget.forget(database, pictures, account("nobody"), keep=timedelta())
    backup.backup(database, pictures, tmp_path / "easel.tar")
    rewritten(tmp_path / "easel.tar", change)
    new = open_database("new")
    with pytest.raises(Unfit, match=words):
        restore.restore(tmp_path / "easel.tar", new, blobs_in(tmp_path / "new"))
    assert migrate.current(new) is None
    assert list(blobs_in(tmp_path / "new").all()) == []


def test_other_files_are_refused(tmp_path: Path, open_database: Open) -> None:
    (tmp_path / "easel.tar").write_bytes(b"not a backup" * 100)
    with pytest.raises(Unfit, match="not a whole backup"):
        restore.restore(tmp_path / "easel.tar", open_database("new"), blobs_in(tmp_path / "new"))


def test_a_backup_does_not_overwrite(tmp_path: Path, clock: FakeClock, open_database: Open) -> None:
    database, pictures = open_database("old"), blobs_in(tmp_path / "old")
    fill(database, pictures, clock)
    (tmp_path / "easel.tar").write_text("mine")
    with pytest.raises(FileExistsError):
        backup.backup(database, pictures, tmp_path / "easel.tar")
    assert (tmp_path / "easel.tar").read_text() == "mine"


def without_what_came_later(file: Path, first: Database) -> None:
    """Tables and columns that the first schema has not."""
    archive = Archive(file)
    with first.engine.begin() as connection:
        migrate.run(connection, "0001")
        schema = inspect(connection)
        for table in list(archive.rows):
            if not schema.has_table(table):
                archive.leave_out(table)
                continue
            known = {column["name"] for column in schema.get_columns(table)}
            archive.rows[table] = [
                {name: value for name, value in row.items() if name in known}
                for row in archive.rows[table]
            ]
    archive.save(file)


def test_a_backup_of_an_older_schema_is_brought_up_to_date(
    tmp_path: Path, clock: FakeClock, open_database: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an Easel of the first schema would have written it: without later tables."""
    database, pictures = open_database("old"), blobs_in(tmp_path / "old")
    fill(database, pictures, clock)
    with monkeypatch.context() as patch:
        patch.setattr(backup, "TABLES", [t for t in backup.TABLES if t.name != "search"])
        patch.setattr(migrate, "revision", lambda _: "0001")
        patch.setattr(migrate, "newest", lambda: "0001")
        backup.backup(database, pictures, tmp_path / "easel.tar")
    without_what_came_later(tmp_path / "easel.tar", open_database("first"))
    new = open_database("new")
    restore.restore(tmp_path / "easel.tar", new, blobs_in(tmp_path / "new"))
    assert migrate.current(new) == migrate.newest()
    with new.read() as session:
        assert [e.user_id for e in log.page(session, search="alice")] == ["alice"]
