"""The heartbeat of one job: renews its lease by the clock while the engine makes progress."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy.exc import SQLAlchemyError

from generation.engine import Progress, Stopped
from storage import leases
from storage.database import Database
from storage.domain import GenerationJob, StepReport
from storage.domain.job import Phase
from storage.settings import Settings

log = structlog.get_logger()


def end_process() -> None:
    """A hung step cannot be interrupted, nor a thread killed: the process goes, the lease runs
    out, and another worker has the job."""
    os.kill(os.getpid(), signal.SIGKILL)


class Heart:
    """Beats inside its `with` block.

    `lost` says that another attempt has the job: stop, and write nothing. `cancelled` says that
    the person wants it stopped.
    """

    def __init__(
        self,
        job: GenerationJob,
        settings: Settings,
        database: Database,
        draining: threading.Event,
        end: Callable[[], None] = end_process,
    ) -> None:
        self._job = job
        self._settings = settings
        self._database = database
        self._draining = draining
        self._end = end
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heart {job.id}", daemon=True)
        self.lost = False
        self.cancelled = False
        self.progress = Progress(self.should_stop)

    def should_stop(self) -> bool:
        return self.lost or self.cancelled or self._draining.is_set()

    def finishing(self) -> None:
        """The pixels are there; what is left is to judge, seal and store them, also by a worker
        that is about to leave. Raises Stopped when nobody wants them any more."""
        steps = self.progress.report.steps
        report = StepReport(phase=Phase.FINISHING, step=steps, steps=steps)
        self.progress.report, self.progress.changed_at = report, time.monotonic()
        if self.lost or self.cancelled:
            raise Stopped

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(self._settings.heartbeat_seconds):
            if time.monotonic() - self.progress.changed_at > self._limit():
                log.error("worker.hung", job=str(self._job.id), phase=self.progress.report.phase)
                self._end()
                return
            self._renew()

    def _limit(self) -> float:
        report = self.progress.report
        stepping = report.phase is Phase.DRAWING and 0 < report.step < report.steps
        settings = self._settings
        return settings.step_limit_seconds if stepping else settings.load_limit_seconds

    def _renew(self) -> None:
        lease = timedelta(seconds=self._settings.lease_seconds)
        try:
            with self._database.write() as session:
                renewal = leases.renew(
                    session,
                    self._job,
                    self.progress.report,
                    lease=lease,
                    now=self._database.clock(),
                )
        except SQLAlchemyError as error:
            # The lease may run out meanwhile; then the next renewal says so.
            log.warning("lease.renew", job=str(self._job.id), error=type(error).__name__)
            return
        self.lost, self.cancelled = not renewal.held, renewal.cancel
