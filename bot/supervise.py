"""A worker process beside a chat process on one machine: started, restarted, and taken along."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from types import TracebackType
from typing import Self

import structlog

from storage.settings import Settings

log = structlog.get_logger()

STOP_SECONDS = 20.0
SHORTEST_LIFE_SECONDS = 10.0
"""A worker that dies sooner is not started again at once."""

SECRETS = ("EASEL_DISCORD_TOKEN",)


class WorkerProcess:
    """`async with WorkerProcess(settings):` a worker runs until the end of the block."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def _start(self) -> None:
        folder = self._settings.data_folder
        environment = {k: v for k, v in os.environ.items() if k not in SECRETS}
        environment |= {
            "EASEL_DATA_FOLDER": str(folder.absolute()),
            "EASEL_PARENT_PID": str(os.getpid()),
        }
        with (folder / "worker.log").open("ab") as output:
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
        while self._process is not None:
            born = time.monotonic()
            code = await self._process.wait()
            log.warning("worker.ended", code=code, log=str(self._settings.data_folder))
            if time.monotonic() - born < SHORTEST_LIFE_SECONDS:
                await asyncio.sleep(SHORTEST_LIFE_SECONDS)
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
