"""Dialogues: what people say to the bot in a Slack of our own, over its real wire."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bot.core.line import Line
from bot.slack.app import create_app
from bot.slack.run import connect
from storage.settings import Settings
from tests.fakes.fresh import empty_database, line
from tests.fakes.slack_client import FakeSlack
from tests.fakes.slack_fixtures import settings, slack, slack_process
from tests.fakes.slack_world import World, free_port

__all__ = ["empty_database", "line", "settings", "slack", "slack_process"]


@pytest.fixture
def address() -> str:
    """Where nobody listens yet."""
    return f"127.0.0.1:{free_port()}"


@pytest_asyncio.fixture
async def world(slack: FakeSlack, settings: Settings, line: Line) -> AsyncIterator[World]:
    """By Socket Mode."""
    app = create_app(settings, line)
    async with connect(app, settings):
        yield World(slack, app)
