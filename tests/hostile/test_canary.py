"""What people type is in the database and in the chat, and nowhere else; `forget` ends that."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.journey import CANARY
from tests.hostile.measuring import ROOT
from tests.servers import EMBEDDED, ON_SERVERS, server_settings

pytestmark = pytest.mark.timeout(1200)


@pytest.mark.parametrize("broker_url", [EMBEDDED, *ON_SERVERS])
def test_a_canary(tmp_path: Path, request: pytest.FixtureRequest, broker_url: str) -> None:
    database_url = server_settings(request, broker_url).get("database_url", "")
    told = tmp_path / "told"
    journey = (sys.executable, "-m", "tests.hostile.journey", str(tmp_path))
    with (tmp_path / "chat log").open("wb") as chat_log:
        done = subprocess.run(
            [*journey, database_url, broker_url],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=chat_log,
        )
    chat = (tmp_path / "chat log").read_text()
    assert done.returncode == 0, chat[-3000:] + _read(told).get("worker log", "")[-3000:]
    _nobody_told(_read(told) | {"chat log": chat})
    _forgotten(json.loads(done.stdout))


def _read(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(errors="replace") for path in folder.iterdir()}


def _nobody_told(told: dict[str, str]) -> None:
    """Every place told something, so that its silence means something."""
    assert "RuntimeError at" in told["chat log"]
    assert "Task exception was never retrieved" in told["chat log"]
    assert '"error": "RuntimeError"' in told["worker log"]
    assert "easel.generate" in told["broker"]
    assert "task-received" in told["events"]
    assert "easel_" in told["metrics"]
    assert "'active'" in told["inspect"] or "worker" in told["inspect"]
    del told["told in the chat"]
    assert [place for place, words in told.items() if CANARY in words] == []


def _forgotten(found: dict[str, Any]) -> None:
    before, after, restored = found["before"], found["after"], found["restored"]
    assert before["rows"] >= 4
    assert before["pictures"] >= 3
    assert after == {"rows": 0, "files": 0, "pictures": 0}
    assert (restored["people"], restored["jobs"]) == (1, 3)
    assert (restored["rows"], restored["files"], restored["pictures"]) == (0, 0, 0)
