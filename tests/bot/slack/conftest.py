"""Dialogues: what people say to the bot in a Slack of our own, over its real wire."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from bot.compose import build_line
from bot.core.line import Line
from bot.slack.app import create_app
from bot.slack.run import connect
from storage import migrate
from storage.database import connect as connect_database
from storage.settings import Settings
from tests.conftest import make_settings
from tests.fakes.slack_client import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, FakeSlack
from tests.fakes.slack_world import World


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack() as slack:
        slack.settings(ready_after_seconds=0.3)
        yield slack
        assert slack.status()["violations"] == []


@pytest.fixture
def settings(tmp_path: Path, slack: FakeSlack) -> Settings:
    return make_settings(
        tmp_path,
        broker_url="memory://",
        slack_bot_token=BOT_TOKEN,
        slack_app_token=APP_TOKEN,
        slack_signing_secret=SIGNING_SECRET,
        slack_api_url=slack.api_url,
    )


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database at the newest schema, migrated once and copied for each test."""
    settings = make_settings(tmp_path_factory.mktemp("template"))
    database = connect_database(settings)
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


@pytest_asyncio.fixture
async def world(slack: FakeSlack, settings: Settings, line: Line) -> AsyncIterator[World]:
    """By Socket Mode."""
    app = create_app(settings, line)
    async with connect(app, settings):
        yield World(slack, app)
