"""What all tests share: clean settings, and servers where the environment names them."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from filelock import FileLock
from sqlalchemy import create_engine, make_url, text

from bot.core import inbox
from storage import migrate
from storage.database import Database
from storage.settings import Settings
from tests.fakes.nouns import FakeClock
from tests.servers import needs_postgres

SERVERS = {
    "EASEL_TEST_POSTGRES_URL": "storage on PostgreSQL",
    "EASEL_TEST_REDIS_URL": "the doorbell on Redis",
    "EASEL_TEST_RABBITMQ_URL": "the doorbell on RabbitMQ",
    "EASEL_SPECS": "requests against Discord's API description and Slack's sample payloads",
    "EASEL_TEST_CHROMIUM": "the demo page in a browser",
}

SLOWEST = (
    "tests/chaos/test_workers.py",
    "tests/storage/test_machine.py",
    "tests/simulation/test_simulation.py",
    "tests/line/test_crashes.py",
    "tests/chaos/test_outages.py",
    "tests/chaos/test_slack.py",
    "tests/hostile/test_canary.py",
    "tests/hostile/test_crowd.py",
    "tests/storage/test_scale.py",
    "tests/hostile/test_secrets.py",
    "tests/line/test_servers.py",
    "tests/line/test_upgrade.py",
    "tests/upgrade/test_rows.py",
    "tests/upgrade/test_side_by_side.py",
    "tests/chaos/test_kills.py",
    "tests/chaos/test_discord.py",
    "tests/bot/slack/test_show.py",
)
"""Files of a minute and more begin first, so that the run does not end with one of them alone.
Those with tests on RabbitMQ wait for each other, so that others stand between them."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """xdist keeps this order of files with --no-loadscope-reorder."""
    place = {name: number for number, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(SLOWEST)))
    for item in items:
        if "rabbitmq" in item.name:
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(autouse=True)
def alone_with_rabbitmq(request: pytest.FixtureRequest) -> Iterator[None]:
    """Queues have the same names for all tests, and a server one set of them."""
    if "rabbitmq" not in request.node.name:
        yield
        return
    with FileLock(Path(tempfile.gettempdir()) / "easel-tests-rabbitmq.lock"):
        yield


def pytest_report_header() -> list[str]:
    left_out = [f"{what} ({name} is not set)" for name, what in SERVERS.items() if not _env(name)]
    return [f"left out: {what}" for what in left_out]


def _env(name: str) -> str:
    return os.environ.get(name, "")


def make_settings(folder: Path, **changes: Any) -> Settings:
    return Settings(_env_file=None, data_folder=folder, **changes)  # type: ignore[call-arg]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second is short where many processes share two cores; the test of it has its own."""
    monkeypatch.setattr(inbox, "ANSWER_SECONDS", 20.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A database of this run's own on the server that the environment names."""
    server = make_url(_env("EASEL_TEST_POSTGRES_URL")).set(drivername="postgresql+psycopg")
    name = f"easel_test_{uuid4().hex[:12]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))
    admin.dispose()


@pytest.fixture
def empty_postgres_url(postgres_url: str) -> str:
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("drop schema public cascade"))
        connection.execute(text("create schema public"))
    engine.dispose()
    return postgres_url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=needs_postgres)])
def database(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> Iterator[Database]:
    """An empty database at the newest schema: SQLite, and PostgreSQL where there is one."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'test.db'}"
    else:
        url = request.getfixturevalue("empty_postgres_url")
    database = Database(url, clock)
    migrate.upgrade(database)
    yield database
    database.close()
