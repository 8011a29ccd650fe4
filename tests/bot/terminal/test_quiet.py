"""Who types a command hears words; the log of a server stays as it is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from storage.database import connect
from tests.bot.terminal.shell import easel, environment
from tests.conftest import make_settings

AWAY = "redis://127.0.0.1:1/0"
"""A broker that does not answer: the ring fails, and the worker looks for work by itself."""
LOG = re.compile(r"^\{", re.MULTILINE)


def started(folder: Path, *words: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bot.cli", *words],
        cwd=folder,
        env=environment(folder, **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("level", ["", "INFO"])
def test_a_drawing(tmp_path: Path, level: str) -> None:
    """Its ring fails, which it tells; it is stopped then."""
    more = {"EASEL_BROKER_URL": AWAY} | ({"EASEL_LOG_LEVEL": level} if level else {})
    with started(tmp_path, "draw", "a cat", **more) as process:
        while not (tmp_path / "data" / "worker.log").exists():
            assert process.poll() is None
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert "ring.failed" in said
    assert bool(LOG.search(said)) is bool(level), said
    assert "\x1b" not in said


@pytest.mark.parametrize("level", ["", "INFO"])
def test_the_demo(tmp_path: Path, level: str) -> None:
    more = {"EASEL_LOG_LEVEL": level} if level else {}
    with started(tmp_path, "demo", "--port", "0", **more) as process:
        assert process.stdout is not None
        assert "Open http" in process.stdout.readline()
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    if not level:
        assert said == ""


def test_the_bot_of_discord_warns_of_nothing_that_it_does_not_do(tmp_path: Path) -> None:
    given = {"EASEL_DISCORD_TOKEN": "t0ken", "EASEL_DISCORD_API_URL": "http://127.0.0.1:9/k3y/"}
    said = easel(tmp_path, "discord", **given)
    assert said.returncode == 1
    assert "PyNaCl" not in said.stderr
    assert "davey" not in said.stderr
    assert '"level": "warning"' not in said.stderr
    assert "Discord does not answer at 127.0.0.1." in said.stderr
    assert "k3y" not in said.stderr


def test_other_warnings_of_the_library_are_heard(tmp_path: Path) -> None:
    program = (
        "import logging\n"
        "from bot.discord.app import create_bot\n"
        "from bot.terminal.start import ready_settings\n"
        "bot = create_bot(ready_settings(serves=True))\n"
        "logging.getLogger('discord.client').warning('PyNaCl is fine, something else is not')\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    [line] = said.stderr.splitlines()
    assert '"level": "warning"' in line
    assert "something else is not" in line


def test_a_server_keeps_its_log(tmp_path: Path) -> None:
    connect(make_settings(tmp_path / "data")).close()
    given = {"EASEL_DISCORD_TOKEN": "t0ken", "EASEL_DISCORD_API_URL": "http://127.0.0.1:9/"}
    assert '"level": "info"' in easel(tmp_path, "discord", **given).stderr
