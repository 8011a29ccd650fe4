"""Dialogues: what people say to the bot in a Discord in memory, and what they hear."""

import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from simcord import Env

from bot.core.line import Line
from bot.discord.app import Easel, create_bot
from storage.settings import Settings
from tests.conftest import make_settings
from tests.fakes.discord_world import Wire, World
from tests.fakes.fresh import empty_database, line
from tests.wire.checking import wire_checks

__all__ = ["empty_database", "line", "wire_checks"]


@pytest.fixture(autouse=True)
def checked_wire(wire_checks: list[str]) -> list[str]:
    return wire_checks


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path, broker_url="memory://")


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
