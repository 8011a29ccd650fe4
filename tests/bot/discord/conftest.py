"""Dialogues: what people say to the bot in a Discord in memory, and what they hear."""

import itertools
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from simcord import Env

from bot.compose import build_line
from bot.core.line import Line
from bot.discord.app import Easel, create_bot
from storage import migrate
from storage.database import connect
from storage.settings import Settings
from tests.conftest import make_settings
from tests.fakes.discord_world import Wire, World
from tests.wire.checking import wire_checks

__all__ = ["wire_checks"]


@pytest.fixture(autouse=True)
def checked_wire(wire_checks: list[str]) -> list[str]:
    return wire_checks


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path, broker_url="memory://")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database at the newest schema, migrated once and copied for each test."""
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


@pytest.fixture
def bot(settings: Settings, line: Line) -> Easel:
    return create_bot(settings, line)


@pytest_asyncio.fixture
async def env(bot: Easel, line: Line) -> AsyncIterator[Env]:
    env = Env(bot)
    # Simulated time stands still during an action; a microsecond a look keeps rows in order.
    looks = itertools.count()
    line.database.clock = lambda: env.now() + timedelta(microseconds=next(looks))
    await env.start()
    yield env
    await env.shutdown()
    if env.check_errors:
        env.raise_errors()


@pytest_asyncio.fixture
async def world(env: Env, line: Line, monkeypatch: pytest.MonkeyPatch) -> World:
    wire = Wire()
    wire.install(monkeypatch)
    return World(env, line, wire)
