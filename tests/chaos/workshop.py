"""A house whose worker processes can be harmed, and whose chat side runs all the time."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from bot.deliver import Deliverer
from bot.reaper import Reaper
from storage import deliveries, log
from storage.database import Database
from storage.log import LogEntry
from storage.tables import JobRow, UsageRow
from tests.chaos.gates import Gates
from tests.fakes.house import House

T = TypeVar("T")

REPETITIONS = int(os.environ.get("EASEL_CHAOS") or 0)
"""How often each fault is tried; 0 is few times and short outages, as on each run."""

OUTAGE_SECONDS = 10.0 if REPETITIONS else 3.0
"""Longer than a lease in any case."""

PATIENCE_SECONDS = 120.0

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
_fork = multiprocessing.get_context("forkserver")
_fork.set_forkserver_preload(["tests.chaos.faults"])


def work(environment: Mapping[str, str], log_file: str, concurrency: int) -> None:
    from tests.chaos import faults  # It brings torch, which only workers need.

    faults.run(environment, log_file, concurrency)


def times(few: int) -> int:
    return REPETITIONS or few


async def until(found: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """What `found` gives, as soon as it is true."""
    end = time.monotonic() + seconds
    while not (result := await asyncio.to_thread(found)):
        if time.monotonic() > end:
            raise TimeoutError(what)
        await asyncio.sleep(0.05)
    return result


class Workshop(House):
    """`truth` is the database without whatever stands between it and everybody else."""

    def __init__(self, folder: Path, *, truth_url: str = "", **changes: Any) -> None:
        super().__init__(folder, daily_pictures=100_000, person_queue_limit=1000, **changes)
        self.truth = Database(truth_url or self.settings.resolved_database_url)
        self.gates = Gates(folder)

    @contextmanager
    def hand(self, *, concurrency: int = 1) -> Iterator[BaseProcess]:
        """A real worker process that can be harmed; see `tests.chaos.faults`."""
        process = self._start(concurrency)
        try:
            yield process
        finally:
            self._stop(process)

    def _start(self, concurrency: int) -> BaseProcess:
        environment = dict(os.environ) | self._environment
        environment["EASEL_DATA_FOLDER"] = str(self.settings.data_folder)
        log_file = str(self.settings.data_folder / "worker.log")
        process = _fork.Process(target=work, args=(environment, log_file, concurrency))
        process.start()
        return process

    def _stop(self, process: BaseProcess) -> None:
        process.terminate()
        process.join(20)
        process.kill()
        process.join()

    @asynccontextmanager
    async def supervised(self, *, concurrency: int = 1) -> AsyncIterator[list[BaseProcess]]:
        """A worker that is started again when it dies, as a supervisor does; all that were."""
        processes = [self._start(concurrency)]

        async def keep() -> None:
            while True:
                await until(lambda: processes[-1].exitcode is not None, "", 3600)
                processes.append(self._start(concurrency))

        keeper = asyncio.create_task(keep())
        try:
            yield processes
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            await asyncio.to_thread(self._stop, processes[-1])

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Deliverer and reaper run, and must survive whatever happens inside."""
        loops = [
            asyncio.create_task(Deliverer(self.line, self.wall).run()),
            asyncio.create_task(Reaper(self.line).run()),
        ]
        try:
            yield
            assert not [task for task in loops if task.done()], "a loop of the chat side ended"
        finally:
            for task in loops:
                task.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    def look(self, query: Callable[[Session], T]) -> T:
        with self.truth.read() as session:
            return query(session)

    def entry(self, job: UUID) -> LogEntry:
        found = self.look(lambda session: log.entry(session, job))
        assert found is not None
        return found

    async def shown(self, job: UUID) -> LogEntry:
        """Finished, and the chat shows it."""

        def found() -> LogEntry | None:
            entry = self.entry(job)
            delivery = self.look(lambda session: deliveries.get(session, job))
            assert delivery is not None
            over = delivery.shown_revision >= delivery.desired_revision
            return entry if entry.state.finished and over else None

        try:
            return await until(found, f"job {job} was never shown")
        except TimeoutError as error:
            raise TimeoutError(f"{self.entry(job)}\n{self.worker_log[-6000:]}") from error

    def locked(self, job: UUID) -> bool:
        """Whether somebody is in the middle of a transaction on this job."""
        row = select(JobRow.id).where(JobRow.id == job).with_for_update(nowait=True)
        try:
            with self.truth.write() as session:
                session.execute(row)
        except OperationalError:
            return True
        return False

    def close(self) -> None:
        self.line.database.close()
        self.truth.close()

    def usage_entries(self, job: UUID) -> int:
        query = select(func.count()).select_from(UsageRow).where(UsageRow.job_id == job)
        return self.look(lambda session: session.scalar(query) or 0)

    def said(self, event: str, **values: Any) -> int:
        """How often the workers have logged this."""
        lines = self.worker_log.splitlines()
        # Only what may be it: to parse a long log each time takes the cores from the workers.
        said = [json.loads(line) for line in lines if line[:1] == "{" and f'"{event}"' in line]
        wanted = {"event": event, **values}.items()
        return sum(wanted <= line.items() for line in said)


def process_of(entry: LogEntry) -> int:
    return int(entry.worker.rsplit(":", 1)[1])
