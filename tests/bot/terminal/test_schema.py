"""Who may change the schema: `easel migrate`, and on the embedded database `draw` and `demo`. All
others say what to run, and change nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from bot.cli import app
from bot.compose import build_line
from bot.terminal.doctor import _database
from storage import migrate
from storage.backup import Unfit, backup
from storage.blobs import open_blobs
from storage.database import Database, connect
from storage.settings import Settings
from tests.conftest import make_settings
from tests.servers import needs_postgres

OLDER = "0002"
KINDS = ["sqlite", pytest.param("postgres", marks=needs_postgres)]
TOKENS = {
    "EASEL_DISCORD_TOKEN": "t0ken",
    "EASEL_SLACK_BOT_TOKEN": "xoxb-1",
    "EASEL_SLACK_APP_TOKEN": "xapp-1",
}
SERVICES = [["discord"], ["slack"], ["worker"]]
LOOKS = [
    ["log"],
    ["log", "show", "0"],
    ["log", "export"],
    ["review", "allow", "0"],
    ["review", "remove", "0"],
    ["review", "ban", "0"],
    ["review", "unban", "discord", "1"],
    ["sweep"],
    ["backup", "somewhere.tar"],
]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("storage.logs.configure", lambda *_, **__: None)
    for name, value in TOKENS.items():
        monkeypatch.setenv(name, value)
    # Nothing of this reaches a platform.
    monkeypatch.setenv("EASEL_DISCORD_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("EASEL_SLACK_API_URL", "http://127.0.0.1:9/api/")


@pytest.fixture(params=KINDS)
def database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """The one of the settings, in which there is nothing."""
    monkeypatch.setenv("EASEL_DATA_FOLDER", str(tmp_path / "data"))
    if request.param == "postgres":
        monkeypatch.setenv("EASEL_DATABASE_URL", request.getfixturevalue("empty_postgres_url"))
    database = connect(Settings(_env_file=None))  # type: ignore[call-arg]
    yield database
    database.close()


def at(database: Database, schema: str) -> None:
    with database.engine.begin() as connection:
        migrate.run(connection, schema)


def easel(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})


@pytest.mark.parametrize("command", [*SERVICES, *LOOKS], ids=" ".join)
def test_an_older_schema_is_left_alone(
    database: Database, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at(database, OLDER)
    if command == ["worker"]:  # It would start itself anew without them.
        for name in TOKENS:
            monkeypatch.delenv(name)
    result = easel(*command)
    assert result.exit_code == 2
    assert "`easel migrate`" in result.stderr
    assert "Traceback" not in result.output
    assert migrate.current(database) == OLDER


def test_migrate_brings_it_up_to_date(database: Database) -> None:
    at(database, OLDER)
    assert easel("migrate").stdout == f"{OLDER} → {migrate.newest()}\n"
    assert easel("log").exit_code == 0


def test_draw_upgrades_what_is_embedded_only(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(database, OLDER)
    result = easel("draw", "a cat --sede 4")
    if database.is_sqlite:
        assert result.exit_code == 1, "the flag is wrong; it was heard"
        assert migrate.current(database) == migrate.newest()
    else:
        assert (result.exit_code, migrate.current(database)) == (2, OLDER)
        assert "`easel migrate`" in result.stderr


@pytest.mark.parametrize("command", LOOKS[:1] + LOOKS[7:8], ids=" ".join)
def test_a_new_installation(database: Database, command: list[str]) -> None:
    """What is embedded is made at once; a server's database when somebody says so."""
    result = easel(*command)
    if database.is_sqlite:
        assert result.exit_code == 0
        assert migrate.current(database) == migrate.newest()
    else:
        assert result.exit_code == 2
        assert "`easel migrate`" in result.stderr
        assert migrate.current(database) is None


def test_a_newer_schema_will_do(database: Database) -> None:
    """During an upgrade, the old release goes on."""
    migrate.upgrade(database)
    with database.write() as session:
        session.execute(text("update alembic_version set version_num = '9999'"))
    assert easel("log").exit_code == 0
    assert easel("sweep").exit_code == 0
    line = build_line(make_settings(Path("data"), database_url=database_url(database)))
    line.database.close()
    line.doorbell.close()
    assert migrate.current(database) == "9999"
    with pytest.raises(Unfit, match="newer Easel"):
        backup(database, open_blobs(make_settings(Path("data"))), Path("easel.tar"))


def database_url(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


@pytest.mark.parametrize(
    ("schema", "well", "words"),
    [
        (OLDER, False, f"its schema is {OLDER}, this Easel needs {migrate.newest()}"),
        (None, None, "No database yet"),
    ],
)
def test_the_doctor_says_which_schema(
    tmp_path: Path, schema: str | None, well: bool | None, words: str
) -> None:
    settings = make_settings(tmp_path / "data")
    database = connect(settings)
    if schema:
        at(database, schema)
    [finding] = _database(settings)
    assert finding[0] is well
    assert words in finding[1]
    migrate.upgrade(database)
    assert _database(settings)[0] == (True, f"SQLite answers; schema {migrate.newest()}.")
    with database.write() as session:
        session.execute(text("update alembic_version set version_num = '9999'"))
    assert _database(settings)[0][0] is None
    assert "9999" in _database(settings)[0][1]
    database.close()


def test_the_parts_of_a_process_upgrade_nothing(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "data", broker_url="memory://")
    database = connect(settings)
    at(database, OLDER)
    with pytest.raises(migrate.Behind, match="easel migrate"):
        build_line(settings)
    assert migrate.current(database) == OLDER
    database.close()


def test_who_starts_beside_the_first_takes_nothing_for_old(database: Database) -> None:
    """As when chat client and worker of a new installation start together."""
    others = [Database(database_url(database)) for _ in range(4)]
    with ThreadPoolExecutor(len(others)) as pool:
        list(pool.map(migrate.begin, others))
    assert migrate.current(database) == migrate.newest()
    for other in others:
        other.close()


def test_celery_s_own_worker_says_it_too(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "data")
    database = connect(settings)
    at(database, OLDER)
    command = [
        "-m",
        "celery",
        "-A",
        "storage.doorbell",
        "worker",
        "--pool=threads",
        "--concurrency=1",
    ]
    said = subprocess.run(
        [sys.executable, *command],
        env=os.environ | {"EASEL_DATA_FOLDER": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert said.returncode not in (0, -signal.SIGTERM)
    assert "`easel migrate`" in said.stderr
    assert migrate.current(database) == OLDER
    database.close()
