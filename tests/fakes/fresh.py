"""Fixtures: a line on a database that nobody has used; `settings` says where."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.compose import build_line
from bot.core.line import Line
from storage import migrate
from storage.database import connect
from storage.settings import Settings
from tests.conftest import make_settings


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """At the newest schema, migrated once and copied for each test."""
    settings = make_settings(tmp_path_factory.mktemp("template"))
    database = connect(settings)
    migrate.upgrade(database)
    database.close()
    return settings.data_folder / "easel.db"


@pytest.fixture
def line(settings: Settings, empty_database: Path) -> Iterator[Line]:
    shutil.copy(empty_database, settings.data_folder)
    line = build_line(settings)
    yield line
    line.database.close()
    line.doorbell.close()
