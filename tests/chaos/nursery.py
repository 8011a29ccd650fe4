"""Chat clients that start quickly, stop at gates, and are killed there.

`python -m tests.chaos.nursery` has imported what `easel discord` and `easel slack` need, and forks
one of them for each line that it reads: what a test of a hundred kills would else spend most of its
time on. The clients are the real ones; at some places they look whether a test holds them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from storage import migrate
from tests.chaos.gates import Gates
from tests.chaos.harness import PATIENCE_SECONDS, ROOT, Process, Site, until

STATIONS = (
    "heard",
    "written",
    "acknowledged",
    "telling",
    "taking",
    "ringing",
    "showing",
    "shown",
)
"""In the order in which a command comes to them: before its row; before its acknowledgement; after
it; before words go to the person; in the transaction that empties the row; after it; before and
after its card is shown."""


class Nursery:
    """A test's hands on the process that forks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nursery"],
            cwd=ROOT,
            stdin=subprocess.PIPE,  # Ends with us, and all that were forked with it.
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **order: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate()


class Child:
    """As much of `subprocess.Popen` as `Process` needs."""

    def __init__(self, nursery: Nursery, **order: Any) -> None:
        self._nursery, self._status = nursery, None
        self.pid = int(nursery.ask(start=order))

    def poll(self) -> int | None:
        if self._status is None:
            self._status = self._nursery.ask(poll=self.pid)
        return self._status

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        until(lambda: self.poll() is not None, f"process {self.pid} ends", seconds)
        assert self._status is not None
        return self._status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class HeldSite(Site):
    """An installation whose chat clients come out of a nursery; `gates` hold them."""

    def __init__(
        self, folder: Path, nursery: Nursery, chat: str, platform: Mapping[str, str], **changes: Any
    ) -> None:
        super().__init__(folder, **changes)
        migrate.upgrade(self.line.database)
        self._nursery, self._chat, self._platform = nursery, chat, platform
        self.gates = Gates(folder)

    def bot(self) -> Process:
        """`easel discord` or `easel slack`, to be started."""
        log = self.settings.data_folder / f"{self._chat}{len(self._processes) + 1}.log"
        process = _Held(self._nursery, self._chat, {**self._environment, **self._platform}, log)
        self._processes.append(process)
        return process

    def kill(self, bot: Process, station: str) -> None:
        """As soon as it has come to that station, which is held."""

        def come() -> bool:
            self.check_processes()
            return self.gates.waiting(station) is not None

        until(come, f"the bot comes to {station}")
        bot.kill()
        self.gates.let_go(station)


class _Held(Process):
    def __init__(
        self, nursery: Nursery, chat: str, environment: Mapping[str, str], log: Path
    ) -> None:
        super().__init__(chat, environment={}, log=log)
        self._nursery, self._order = nursery, {"chat": chat, "environment": dict(environment)}

    def start(self) -> None:
        assert not self.alive, f"{self.name} runs already"
        self._process = Child(self._nursery, log=str(self._log), **self._order)  # type: ignore[assignment]


def _install(gates: Gates) -> None:
    from bot.core import inbox, line
    from bot.discord import reply
    from bot.discord.show import DiscordShow
    from bot.slack.intake import Heard
    from bot.slack.show import SlackShow
    from storage import inbox as rows

    _hold(gates, inbox.Inbox, "hear", before="heard", after="written")
    _hold(gates, inbox.Inbox, "act", before="acknowledged")
    _hold(gates, reply.Reply, "_quietly", before="telling")
    _hold(gates, Heard, "tell", before="telling")
    _hold(gates, DiscordShow, "show", before="showing", after="shown")
    _hold(gates, SlackShow, "show", before="showing", after="shown")
    _hold_thread(gates, rows, "taken", "taking")
    _hold_thread(gates, line.Line, "ring", "ringing")


def _hold(gates: Gates, of: Any, name: str, *, before: str, after: str = "") -> None:
    act = getattr(of, name)

    async def held(*given: Any, **more: Any) -> Any:
        await asyncio.to_thread(gates.come, before)
        done = await act(*given, **more)
        if after:
            await asyncio.to_thread(gates.come, after)
        return done

    setattr(of, name, held)


def _hold_thread(gates: Gates, of: Any, name: str, station: str) -> None:
    act = getattr(of, name)

    def held(*given: Any) -> Any:
        gates.come(station)
        return act(*given)

    setattr(of, name, held)


def _be(chat: str, environment: dict[str, str], log: str) -> None:
    import bot.cli

    os.environ.update(environment)
    output = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for to, number in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(to, number)
    _install(Gates(Path(environment["EASEL_DATA_FOLDER"])))
    bot.cli.app([chat])


def _fork(**order: Any) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        _be(**order)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    import bot.discord.run
    import bot.slack.run  # noqa: F401

    living: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        answer: int | None
        if "start" in order:
            answer = _fork(**order["start"])
            living.add(answer)
        else:
            pid, status = os.waitpid(order["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
            living -= {pid}
        print(json.dumps(answer), flush=True)
    for pid in living:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
