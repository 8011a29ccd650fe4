"""Who stops `easel draw` has withdrawn the request: nobody's next one waits for it."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage import log
from storage.database import connect
from storage.domain import JobState
from storage.log import LogEntry
from tests.bot.terminal.shell import environment, processes_of
from tests.conftest import make_settings

LONG = ["draw", "a red apple", "--steps", "50", "--count", "4", "-o", "apple.png"]
PATIENCE_SECONDS = 60.0


def _hangs_up() -> None:
    """Also where whoever runs the tests does not, as under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def drawing(folder: Path, *, hangs_up: bool = True, **more: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bot.cli", *LONG],
        cwd=folder,
        env=environment(folder, **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hangs_up if hangs_up else None,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def until(found: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not found():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def said_by_the_worker(folder: Path) -> str:
    file = folder / "data" / "worker.log"
    return file.read_text() if file.exists() else ""


def asked(folder: Path) -> LogEntry:
    database = connect(make_settings(folder / "data"))
    try:
        with database.read() as session:
            [entry] = log.page(session)
        return entry
    finally:
        database.close()


def is_there(folder: Path) -> bool:
    """The worker has begun, so the request is in the queue."""
    return (folder / "data" / "worker.log").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_while_it_waits(tmp_path: Path, number: signal.Signals) -> None:
    with drawing(tmp_path) as process:
        until(lambda: is_there(tmp_path))
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 128 + number
    assert (out, err) == ("Cancelled.\n", "")
    assert asked(tmp_path).state is JobState.CANCELLED
    assert processes_of(tmp_path) == []
    assert not (tmp_path / "apple-1.png").exists()


def test_while_it_is_drawn(tmp_path: Path) -> None:
    with drawing(tmp_path, LC_ALL="es_ES.UTF-8") as process:
        until(lambda: "job.claimed" in said_by_the_worker(tmp_path))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, out, err) == (130, "Petición cancelada.\n", "")
    assert asked(tmp_path).state is JobState.CANCELLED


def test_who_is_impatient(tmp_path: Path) -> None:
    """Ctrl-C again and again; what was withdrawn stays so."""
    with drawing(tmp_path) as process:
        until(lambda: "job.claimed" in said_by_the_worker(tmp_path))
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode in (130, -signal.SIGINT), "as shells see it, both are 130"
    assert "Traceback" not in err
    until(lambda: processes_of(tmp_path) == [])
    entry = asked(tmp_path)
    assert entry.cancel_requested, entry.state
    assert entry.state in (JobState.CANCELLED, JobState.RUNNING)


def test_a_terminal_that_is_closed(tmp_path: Path) -> None:
    leader, terminal = pty.openpty()

    def take_it() -> None:
        _hangs_up()
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-m", "bot.cli", *LONG],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        preexec_fn=take_it,
    )
    os.close(terminal)
    try:
        until(lambda: is_there(tmp_path))
        os.close(leader)
        assert process.wait(PATIENCE_SECONDS) == 128 + signal.SIGHUP
    finally:
        process.kill()
    assert asked(tmp_path).state is JobState.CANCELLED
    until(lambda: processes_of(tmp_path) == [])


def test_nohup_is_heeded(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with drawing(tmp_path, hangs_up=False) as process:
            until(lambda: is_there(tmp_path))
            process.send_signal(signal.SIGHUP)
            time.sleep(0.3)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE_SECONDS)
            assert process.returncode == 128 + signal.SIGTERM
    finally:
        signal.signal(signal.SIGHUP, before)
