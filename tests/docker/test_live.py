"""The health check of the images against a live process, which writes nowhere but where it may."""

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from storage.domain import JobState
from tests.docker.reading import instructions, words
from tests.fakes.house import House

AUDIT = """
import os, sys
_free = tuple(os.environ["AUDIT_FREE"].split(":"))
_log = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def _look(event, given):
    if event == "open" and isinstance(given[0], (str, bytes)):
        writes = given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if given[2] else 0
    else:
        writes = event in ("os.mkdir", "os.rename", "os.symlink", "os.link")
    if writes:
        path = os.path.abspath(os.fsdecode(given[0]))
        if not path.startswith(_free):
            os.write(_log, f"{event} {path}\\n".encode())


sys.addaudithook(_look)
"""
"""A `sitecustomize` that notes every attempt to write outside of given folders."""


def healthcheck() -> list[str]:
    [check] = instructions("worker")["HEALTHCHECK"]
    command, *rest = words(check.partition("CMD ")[2])
    assert command == "easel"
    return [sys.executable, "-m", "bot.cli", *rest]


def status(address: str) -> tuple[int, str]:
    said = subprocess.run(
        healthcheck(),
        env=os.environ | {"EASEL_HEALTH_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return said.returncode, said.stdout + said.stderr


def said(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
        body: bytes = answer.read()
    return body.decode()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


async def test_a_worker_is_well_and_writes_only_where_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "sitecustomize.py").write_text(AUDIT)
    written = tmp_path / "audit" / "written"
    (data := tmp_path / "data").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "audit"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (temporary := tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("AUDIT_FREE", f"{data}:{temporary}:/dev/")
    monkeypatch.setenv("AUDIT_LOG", str(written))
    # What torch, once imported, has set for the process of these tests.
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv("HF_HOME", str(data / "models"))
    address = f"127.0.0.1:{free_port()}"
    assert status(address)[0] == 1, "nobody is there yet"
    house = House(data, health_address=address)
    with house.worker():
        entry = await house.ask("a cat --seed 7")
        assert entry.state is JobState.MADE
        assert status(address) == (0, "worker: ok\ndatabase: ok\nbroker: ok\n")
        metrics = said(address)
        assert 'easel_jobs_finished_total{model="builtin",outcome="made"} 1.0' in metrics
        assert 'easel_step_seconds_count{model="builtin"} 1.0' in metrics
        assert 'easel_job_seconds_count{model="builtin"} 1.0' in metrics
        assert "a cat" not in metrics
        assert "alice" not in metrics
    assert status(address)[0] == 1
    house.line.database.close()
    assert written.read_text().splitlines() == []
