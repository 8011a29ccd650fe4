"""What operators are told by a live chat client, while Discord comes and goes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fakes.discord_client import TOKEN, FakeDiscord

PATIENCE_SECONDS = 90.0


def ask(address: str, path: str) -> tuple[int, str]:
    """Status 0 while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def until(found: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not found():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@contextmanager
def client(folder: Path, discord: FakeDiscord) -> Iterator[tuple[Any, str, Path]]:
    """`easel discord`, where it can be asked, and the file with what it says."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (said := folder / "said.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "bot.cli", "discord"],
            env=os.environ
            | discord.environment
            | {"EASEL_DATA_FOLDER": str(folder / "data"), "EASEL_HEALTH_ADDRESS": address},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process, address, said
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_a_client_and_a_discord_that_goes_away(tmp_path: Path) -> None:
    with (
        FakeDiscord() as discord,
        client(tmp_path, discord) as (process, address, said),
    ):
        until(lambda: ask(address, "/health")[0] == 200, "never well")
        assert json.loads(ask(address, "/health")[1])["checks"] == {
            "database": "ok",
            "broker": "ok",
            "gateway": "ok",
            "cards": "ok",
        }
        discord.imagine("canaryword5309 apple")
        waiting = 'easel_queue_jobs{model="builtin",state="waiting"} 1.0'
        until(lambda: waiting in ask(address, "/metrics")[1], "never accepted")
        assert 'easel_gateway_connected{platform="discord"} 1.0' in ask(address, "/metrics")[1]

        discord.stop()
        until(lambda: ask(address, "/health")[0] == 503, "never ill")
        body = ask(address, "/health")[1]
        assert json.loads(body) == {
            "status": "unavailable",
            "checks": {
                "database": "ok",
                "broker": "ok",
                "gateway": "not connected to Discord",
                "cards": "ok",
            },
        }
        metrics = ask(address, "/metrics")[1]
        assert 'easel_gateway_connected{platform="discord"} 0.0' in metrics
        for secret in (TOKEN, "canaryword5309"):
            assert secret not in metrics + body + said.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
        assert ask(address, "/health") == (0, "")
