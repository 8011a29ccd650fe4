"""`easel slack` as it is started, with a worker process, and killed when it hurts most."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from storage import migrate
from storage.database import connect
from tests.conftest import make_settings
from tests.fakes.slack_client import FakeSlack, Seen

PATIENCE_SECONDS = 120.0


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


@pytest.mark.parametrize("path", ["upload", "files.completeUploadExternal"])
def test_killed_in_the_middle_of_showing(
    tmp_path: Path, slack: FakeSlack, environment: dict[str, str], path: str
) -> None:
    """The process dies while Slack is still thinking about this step; the next one shows it."""
    slack.settings(ready_after_seconds=0.3)
    with running(tmp_path, environment, "tests.fakes.painter_worker"):
        with running(tmp_path, environment, "bot.cli", "slack") as first:
            until(lambda: slack.status()["connected"])
            asked = slack.command("/imagine", "a red apple with a canary-in-it")
            assert slack.heard(asked)["acknowledged"]
            until(slack.seen)
            slack.fault(path=path, status=0, seconds=60, after=False, times=1)
            until(lambda: _has_come_to(path, slack, tmp_path))
            first.kill()
            first.wait(30)
        slack.clear_faults()
        with running(tmp_path, environment, "bot.cli", "slack") as second:
            until(lambda: _shown(slack))
            [message] = slack.seen()
            assert len(message["images"]) == 1
            second.terminate()
            assert second.wait(30) in (0, 130)
    for log in tmp_path.glob("*.log"):
        assert "canary" not in log.read_text(), log
        assert "xoxb-" not in log.read_text(), log


def until(wanted: Callable[[], object]) -> None:
    """Processes take their time to start where many of them do."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not wanted():
        assert time.monotonic() < end, wanted
        time.sleep(0.05)


def _has_come_to(path: str, slack: FakeSlack, folder: Path) -> bool:
    """Whether all that comes before that step is done."""
    if path != "upload":
        return any(file["size_bytes"] for file in slack.files())
    with closing(sqlite3.connect(folder / "easel.db")) as database:
        rows = database.execute("select address from deliveries").fetchall()
    return any("files" in json.loads(address) for (address,) in rows)


def _shown(slack: FakeSlack) -> list[Seen]:
    return [message for message in slack.seen() if message["images"]]
