"""`easel slack` as it is started, with a worker process; `tests/chaos/test_slack.py` kills it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage import migrate
from storage.database import connect
from tests.conftest import make_settings
from tests.fakes.slack_client import FakeSlack, Seen

PATIENCE_SECONDS = 240.0

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def environment(tmp_path: Path, slack: FakeSlack) -> dict[str, str]:
    database = connect(make_settings(tmp_path))
    migrate.upgrade(database)
    database.close()
    return {
        **os.environ,
        **slack.environment,
        "EASEL_DATA_FOLDER": str(tmp_path),
        "EASEL_HEARTBEAT_SECONDS": "0.1",
        "EASEL_LEASE_SECONDS": "2",
    }


@contextmanager
def running(folder: Path, environment: dict[str, str], *module: str) -> Iterator[subprocess.Popen]:  # type: ignore[type-arg]
    with (folder / f"{module[0]}.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module], env=environment, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)


def test_from_the_command_to_the_picture(
    tmp_path: Path, slack: FakeSlack, environment: dict[str, str]
) -> None:
    """What was typed and the tokens are in no log."""
    with (
        running(tmp_path, environment, "tests.fakes.painter_worker"),
        running(tmp_path, environment, "bot.cli", "slack") as bot,
    ):
        until(lambda: slack.status()["connected"])
        slack.command("/imagine", "a red apple with a canary-in-it")
        until(lambda: _shown(slack))
        [message] = slack.seen()
        assert len(message["images"]) == 1
        bot.terminate()
        assert bot.wait(PATIENCE_SECONDS) == 0
    for log in tmp_path.glob("*.log"):
        assert "canary" not in log.read_text(), log
        assert "xoxb-" not in log.read_text(), log


def until(wanted: Callable[[], object]) -> None:
    """Processes take their time to start where many of them do."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not wanted():
        assert time.monotonic() < end, wanted
        time.sleep(0.05)


def _shown(slack: FakeSlack) -> list[Seen]:
    return [message for message in slack.seen() if message["images"]]
