"""`easel backup`, `restore`, `sweep`, `health` and `migrate`, as an operator types them."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bot.cli import app
from storage import forget, health, log, migrate
from storage import sweep as sweeping
from storage.blobs import open_blobs
from storage.database import Database, connect
from tests.conftest import make_settings
from tests.fakes.nouns import account, recorded


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.logs.configure", lambda *_, **__: None)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    database = installed(tmp_path / "old", monkeypatch)
    migrate.upgrade(database)
    with database.write() as session:
        recorded(session, user="alice", now=datetime.now(UTC))
        recorded(session, user="bob", now=datetime.now(UTC))
    yield database
    database.close()


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """From here on `easel` works on this folder."""
    monkeypatch.setenv("EASEL_DATA_FOLDER", str(folder))
    return connect(make_settings(folder))


def easel(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})


def people(database: Database) -> set[str]:
    with database.read() as session:
        return {entry.user_id for entry in log.page(session)}


def test_there_and_back(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "easel.tar"
    result = easel("backup", str(file))
    assert result.exit_code == 0, result.output
    assert "0 pictures are in" in result.stdout
    forget.forget(
        database, open_blobs(make_settings(tmp_path / "old")), account("bob"), keep=timedelta()
    )

    result = easel("restore", str(file))
    assert result.exit_code == 2
    assert "not empty" in result.stderr
    assert "Nothing was changed" in result.stderr

    new = installed(tmp_path / "new", monkeypatch)
    old_pictures = tmp_path / "old" / "blobs"
    result = easel("restore", str(file), "--forgotten", str(old_pictures))
    assert result.exit_code == 0, result.output
    assert "Asked to be forgotten since, and were: 1." in result.stdout
    assert people(new) == {"alice", ""}
    new.close()


def test_what_stands_in_the_way_is_said(tmp_path: Path, database: Database) -> None:
    (file := tmp_path / "easel.tar").write_text("mine")
    taken = easel("backup", str(file))
    assert (taken.exit_code, "is there already" in taken.stderr) == (2, True)
    nowhere = easel("backup", str(tmp_path / "nowhere" / "easel.tar"))
    assert (nowhere.exit_code, "No such file or directory" in nowhere.stderr) == (2, True)
    wrong = easel("restore", str(file))
    assert (wrong.exit_code, "not a whole backup" in wrong.stderr) == (2, True)


def test_a_backup_with_holes_says_so(tmp_path: Path, database: Database) -> None:
    from tests.storage.test_backup import blobs_in, draw

    class Now:
        def __call__(self) -> datetime:
            return datetime.now(UTC)

        def advance(self, **_: float) -> None: ...

    blobs = blobs_in(tmp_path / "old" / "blobs")
    draw(database, blobs, Now(), "carol", b"pixels")  # type: ignore[arg-type]
    for stored in list(blobs.all()):
        blobs.delete(stored.sha256)
    result = easel("backup", str(tmp_path / "easel.tar"))
    assert result.exit_code == 1
    assert "2 pictures were missing or damaged" in result.stderr
    doctor = easel("doctor")
    assert "2 pictures that requests refer to are not there" in doctor.stdout
    assert doctor.exit_code == 1


def test_a_sweep(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    open_blobs(make_settings(tmp_path / "old")).put(b"orphan")
    assert "Pictures deleted: 0" in easel("sweep").stdout, "it may get its row yet"
    monkeypatch.setattr(sweeping, "AGE", sweeping.AGE * 0)
    assert "Pictures deleted: 1" in easel("sweep").stdout


def test_the_health_of_a_process(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    off = easel("health")
    assert (off.exit_code, "EASEL_HEALTH_ADDRESS is not set" in off.stderr) == (2, True)
    said = {"words": health.WELL}
    with health.serving("127.0.0.1:0", {"database": lambda: said["words"]}) as address:
        assert address is not None
        monkeypatch.setenv("EASEL_HEALTH_ADDRESS", f"0.0.0.0:{address[1]}")
        monkeypatch.setattr(health, "FRESH_SECONDS", -1.0)
        well = easel("health")
        assert (well.exit_code, well.stdout) == (0, "database: ok\n")
        said["words"] = "does not answer"
        ill = easel("health")
        assert (ill.exit_code, ill.stdout) == (1, "database: does not answer\n")
    gone = easel("health")
    assert (gone.exit_code, "Nothing answers" in gone.stderr) == (1, True)


def test_a_wrong_health_address(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_HEALTH_ADDRESS", "everywhere")
    result = easel("health")
    assert result.exit_code == 2
    assert "EASEL_HEALTH_ADDRESS: expected host:port" in result.stderr


def test_a_database_in_use_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.database.BUSY_TIMEOUT_MS", 10)
    database = installed(tmp_path / "locked", monkeypatch)
    (tmp_path / "locked").mkdir(exist_ok=True)
    other = sqlite3.connect(tmp_path / "locked" / "easel.db", isolation_level=None)
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("BEGIN IMMEDIATE")
    result = easel("migrate")
    assert result.exit_code == 2
    assert "The database is in use by somebody else" in result.stderr
    assert "Traceback" not in result.output
    other.execute("ROLLBACK")
    other.close()
    assert easel("migrate").exit_code == 0
    assert migrate.current(database) == migrate.newest()
    database.close()
