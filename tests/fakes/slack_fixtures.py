"""Fixtures: one fake Slack for all tests of a process, and for each of them a new world in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.settings import Settings
from tests.conftest import make_settings
from tests.fakes.slack_client import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, FakeSlack


@pytest.fixture(scope="session")
def slack_process() -> Iterator[FakeSlack]:
    with FakeSlack() as slack:
        yield slack


@pytest.fixture
def slack(slack_process: FakeSlack) -> Iterator[FakeSlack]:
    """In which nothing has happened yet. Its end sees to it that the app sent nothing that the
    real one would refuse."""
    slack_process.reset()
    yield slack_process
    assert slack_process.status()["violations"] == []


def slack_settings(folder: Path, slack: FakeSlack, **changes: Any) -> Settings:
    """For Socket Mode."""
    given = {
        "broker_url": "memory://",
        "slack_bot_token": BOT_TOKEN,
        "slack_app_token": APP_TOKEN,
        "slack_signing_secret": SIGNING_SECRET,
        "slack_api_url": slack.api_url,
    }
    return make_settings(folder, **given | changes)


@pytest.fixture
def settings(tmp_path: Path, slack: FakeSlack) -> Settings:
    return slack_settings(tmp_path, slack)
