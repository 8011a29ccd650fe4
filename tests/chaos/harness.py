"""Processes of a whole Easel that are started, killed without a word, and started again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from redis import Redis

from bot.compose import build_line
from storage import log
from storage.log import LogEntry
from tests.conftest import make_settings
from tests.fakes.discord_client import FakeDiscord

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 90.0
SCALE = int(os.environ.get("EASEL_CHAOS") or 10)
"""Kills in a test; failures of other kinds are counted in multiples of it."""
SEED = int(os.environ.get("EASEL_CHAOS_SEED") or 1)
"""Of everything random in a test; a run with the same seed throws the same dice."""

T = TypeVar("T")


def until(look: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """What `look` returns once that is true. Raises TimeoutError with `what` was waited for."""
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"not after {seconds:.0f} s: {what}")
        time.sleep(0.05)
    return found


class Process:
    """A program with a log file of its own. It lives from `start` to `kill` or `stop`, any number
    of times; the end of the `with` block kills what is left."""

    def __init__(
        self, *command: str, environment: Mapping[str, str], log: Path, folder: Path = ROOT
    ) -> None:
        self._command, self._log, self._folder = command, log, folder
        self._environment = os.environ | {"OMP_NUM_THREADS": "1"} | dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return self._log.stem

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def start(self) -> None:
        assert not self.alive, f"{self.name} runs already"
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def fell(self) -> bool:
        """Whether it ended, and nobody here has killed it."""
        return self._process is not None and self._process.poll() is not None

    def stop(self, seconds: float = PATIENCE_SECONDS) -> int:
        """SIGTERM; the exit status."""
        assert self._process is not None, "not started"
        self._process.terminate()
        return self._process.wait(seconds)

    def ended(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait until it ends by itself; the exit status."""
        assert self._process is not None, "not started"
        return self._process.wait(seconds)

    def send_signal(self, number: int) -> None:
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()


class Site:
    """One installation of Easel: database, broker and pictures, and the processes on them.

    `changes` are settings; leases are short, so that what a dead process held is free soon. The
    end of the `with` block kills every process that was made here.
    """

    def __init__(self, folder: Path, *, discord: FakeDiscord | None = None, **changes: Any) -> None:
        given: dict[str, Any] = {"lease_seconds": 2.0, "heartbeat_seconds": 0.3} | changes
        self.settings = make_settings(folder, **given)
        self.line = build_line(self.settings)
        self._environment = {
            f"EASEL_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in given.items()
        } | {"EASEL_DATA_FOLDER": str(folder), "EASEL_PARENT_PID": str(os.getpid())}
        self._discord = discord
        self._processes: list[Process] = []

    def _process(
        self, name: str, *command: str, environment: Mapping[str, str] | None = None
    ) -> Process:
        process = Process(
            *(sys.executable, "-m", *command),
            environment=self._environment | dict(environment or {}),
            log=self.settings.data_folder / f"{name}{len(self._processes) + 1}.log",
        )
        self._processes.append(process)
        return process

    def check_processes(self) -> None:
        """No process has ended by itself; else its log is shown."""
        for process in self._processes:
            assert not process.fell, f"{process.name}: {process.log[-3000:]}"

    def bot(self) -> Process:
        """`easel discord`, to be started."""
        assert self._discord is not None, "there is no Discord"
        return self._process("discord", "bot.cli", "discord", environment=self._discord.environment)

    def worker(self) -> Process:
        """`easel worker`, to be started."""
        return self._process("worker", "bot.cli", "worker")

    def painter(self) -> Process:
        """A worker that starts quickly and draws nothing but colours, to be started."""
        return self._process("painter", "tests.fakes.painter_worker")

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`easel …`, run to its end."""
        discord = self._discord.environment if self._discord else {}
        return subprocess.run(
            [sys.executable, "-m", "bot.cli", *arguments],
            cwd=ROOT,
            env=os.environ | self._environment | discord,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def entries(self) -> dict[str, LogEntry]:
        """What was accepted, by the id of the platform's event."""
        with self.line.database.read() as session:
            entries = log.page(session, limit=100_000)
        return {entry.event_key.rpartition(":")[2]: entry for entry in entries}

    def flush_broker(self) -> None:
        """The broker forgets every message."""
        url = self.settings.resolved_broker_url
        if url.startswith("redis"):
            with Redis.from_url(url) as redis:
                redis.flushdb()
        elif self.settings.broker_url:
            self.line.doorbell.control.purge()
        else:
            for message in (self.settings.data_folder / "broker" / "messages").iterdir():
                message.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.kill()
        self.line.doorbell.close()
        self.line.database.close()


LOCKER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
database.execute("ROLLBACK")
"""


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another program writes to SQLite's database all the time."""
    with subprocess.Popen(
        [sys.executable, "-c", LOCKER, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield
