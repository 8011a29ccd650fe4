"""A stop that was asked for is no failure: SIGTERM ends what serves with status 0, Ctrl-C with 130
as in any shell."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from storage import migrate
from storage.database import connect
from tests.conftest import make_settings

ENDS = [(signal.SIGTERM, 0), (signal.SIGINT, 130)]


def started(folder: Path, *command: str, **more: str) -> subprocess.Popen[str]:
    given = {"EASEL_DATA_FOLDER": str(folder), "EASEL_BROKER_URL": "memory://"} | more
    return subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | given,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def stopped(process: subprocess.Popen[str], number: signal.Signals) -> int:
    process.send_signal(number)
    try:
        return process.wait(60)
    finally:
        process.kill()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize(("number", "status"), ENDS)
def test_the_demo(tmp_path: Path, number: signal.Signals, status: int) -> None:
    demo = ["-m", "bot.cli", "demo", "--port", "0"]
    process = started(tmp_path, *demo, EASEL_DISCORD_TOKEN="", EASEL_BROKER_URL="")
    assert process.stdout is not None
    assert "Open http" in process.stdout.readline()
    assert stopped(process, number) == status


@pytest.mark.parametrize(("number", "status"), ENDS)
@pytest.mark.parametrize("chat", ["discord", "slack"])
def test_a_chat_client(tmp_path: Path, chat: str, number: signal.Signals, status: int) -> None:
    """At its first word to a platform that says nothing."""
    database = connect(make_settings(tmp_path))
    migrate.upgrade(database)
    database.close()
    with socket.create_server(("127.0.0.1", 0)) as platform:
        platform.settimeout(60)
        url = f"http://127.0.0.1:{platform.getsockname()[1]}"
        tokens = {
            "EASEL_DISCORD_TOKEN": "t0ken",
            "EASEL_SLACK_BOT_TOKEN": "xoxb-1",
            "EASEL_SLACK_APP_TOKEN": "xapp-1",
            "EASEL_DISCORD_API_URL": url,
            "EASEL_SLACK_API_URL": f"{url}/",
        }
        process = started(tmp_path, "-m", "bot.cli", chat, **tokens)
        connection, _ = platform.accept()
        with connection:
            assert stopped(process, number) == status


@pytest.mark.parametrize("command", ["discord", "slack", "demo"])
def test_while_it_starts(tmp_path: Path, command: str) -> None:
    program = (
        "import os, signal, sys, bot.cli\n"
        "bot.cli.ready_settings = lambda **_: os.kill(os.getpid(), signal.SIGTERM)\n"
        f"sys.argv = ['easel', '{command}']\n"
        "bot.cli.main()\n"
    )
    process = started(tmp_path, "-c", program)
    with process:
        assert process.wait(60) == 0


def test_a_drawing_that_was_stopped_is_none(tmp_path: Path) -> None:
    """Who asked for a picture has none, so that status 0 would be untrue."""
    draw = ["-m", "bot.cli", "draw", "a cat", "-o", str(tmp_path / "cat.png")]
    process = started(tmp_path, *draw)
    log = tmp_path / "worker.log"
    while not log.exists():
        assert process.poll() is None
    assert stopped(process, signal.SIGTERM) == 128 + signal.SIGTERM
