"""Dialogues: what people say to the bot in a Discord in memory, and what they hear."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from simcord import Env

from bot.compose import build_line
from bot.core.line import Line
from bot.discord.app import Easel, create_bot
from storage.settings import Settings
from tests.conftest import make_settings
from tests.fakes.discord_world import Wire, World


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path, broker_url="memory://")


@pytest.fixture
def line(settings: Settings) -> Iterator[Line]:
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
    line.database.clock = env.now
    await env.start()
    yield env
    await env.shutdown()
    env.raise_errors()


@pytest_asyncio.fixture
async def world(env: Env, line: Line, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("bot.deliver.hint", lambda r, c: None)  # TEMPORARY
    wire = Wire()
    wire.install(monkeypatch)
    return World(env, line, wire)
