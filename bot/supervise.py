"""A worker process beside a chat process on one machine: started, restarted, and taken along."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from storage import chat_secrets, private
from storage.settings import Settings

log = structlog.get_logger()

STOP_SECONDS = 20.0
SHORT_LIFE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 60.0
"""Workers that die young are started again after 1, 2, 4… seconds, at most this."""

HOPELESS_DEATHS = 3
"""So many in a row, each young, and it is for a person to look."""

LOG = "worker.log"


class WorkerProcess:
    """`async with WorkerProcess(settings):` a worker runs until the end of the block."""

    def __init__(self, settings: Settings) -> None:
        self.hopeless = asyncio.Event()
        """It goes on to be started; whoever waits for it need not."""
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def log(self) -> Path:
        """Where it writes what it has to say."""
        return self._settings.data_folder / LOG

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def _start(self) -> None:
        folder = self._settings.data_folder
        environment = chat_secrets.without(os.environ) | {
            "EASEL_DATA_FOLDER": str(folder.absolute()),
            "EASEL_PARENT_PID": str(os.getpid()),
            "EASEL_HEALTH_ADDRESS": "",  # It is ours.
        }
        with private.appending(self.log) as output:
            # A session of its own: Ctrl-C in the terminal reaches us alone, and we stop it in
            # good order.
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bot.cli", "worker"),
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def _keep(self) -> None:
        pause, deaths = 1.0, 0
        while self._process is not None:
            born = time.monotonic()
            code = await self._process.wait()
            young = time.monotonic() - born < SHORT_LIFE_SECONDS
            deaths = deaths + 1 if young else 0
            if deaths >= HOPELESS_DEATHS:
                self.hopeless.set()
            log.warning("worker.ended", code=code, log=str(self.log))
            await asyncio.sleep(pause if young else 0)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS) if young else 1.0
            await self._start()

    async def __aenter__(self) -> Self:
        await self._start()
        self._watch = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._watch is not None:
            self._watch.cancel()
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
