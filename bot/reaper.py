"""The reaper: rings again for what waits unheard or holds an expired lease, fails what crashed
too often, and deletes what has been kept long enough."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog
from obstore.exceptions import BaseError as StoreError
from sqlalchemy.exc import SQLAlchemyError

from bot.core.line import Line
from storage import forget, inbox, leases, metrics, pixels, sweep

logger = structlog.get_logger()

CHECKPOINT_SECONDS = 30.0
RETENTION_SECONDS = 600.0
SWEEP_SECONDS = 3600.0


class Reaper:
    """Runs until cancelled. Several at once do no harm: each act is one transaction."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            pause = min(1.0, self._line.settings.lease_seconds / 4)
            group.create_task(_repeat(self.step, pause))
            group.create_task(_repeat(self.checkpoint, CHECKPOINT_SECONDS))
            group.create_task(_repeat(self.expire, RETENTION_SECONDS))
            group.create_task(_repeat(self.expire_inbox, RETENTION_SECONDS))
            # Not at once: who restarts often need not list all pictures each time.
            group.create_task(_repeat(self.sweep, SWEEP_SECONDS, first=SWEEP_SECONDS))

    async def step(self) -> int:
        """One look; how often it rang."""
        line, settings = self._line, self._line.settings
        now = line.database.clock()
        rings = await line.write(
            lambda s: leases.reap(
                s,
                max_attempts=settings.max_attempts,
                ring_after=timedelta(seconds=2 * settings.lease_seconds),
                now=now,
            )
        )
        if rings:  # One line for all: in a long queue that nobody serves there are many.
            logger.info("reap.ring", count=len(rings), first=str(rings[0].job_id))
        for ring in rings:
            metrics.RINGS_REPEATED.labels(ring.model).inc()
            await asyncio.to_thread(line.ring, ring.model, ring.job_id)
        return len(rings)

    async def expire(self) -> None:
        line = self._line
        older = timedelta(days=line.settings.blocked_kept_days)
        now = line.database.clock()
        hashes = await line.write(lambda s: forget.expire_blocked(s, older_than=older, now=now))
        await asyncio.to_thread(pixels.settle, line.database, line.blobs, hashes)
        await asyncio.to_thread(forget.go_on, line.database, line.blobs, keep=older)

    async def expire_inbox(self) -> None:
        """Apart from what needs the store, which may be away for long."""
        line = self._line
        now = line.database.clock()
        if lost := await line.write(lambda s: inbox.expire(s, now)):
            logger.error("inbox.expired", count=lost)

    async def checkpoint(self) -> None:
        """What a forgotten person left in SQLite's log goes from there too."""
        await asyncio.to_thread(self._line.database.checkpoint)

    async def sweep(self) -> None:
        swept = await asyncio.to_thread(sweep.sweep, self._line.database, self._line.blobs)
        if swept:
            logger.info("sweep.deleted", count=swept)


async def _repeat(
    act: Callable[[], Awaitable[object]], pause_seconds: float, *, first: float = 0.0
) -> None:
    """Until cancelled. What fails is tried again the next time."""
    await asyncio.sleep(first)
    while True:
        try:
            await act()
        except (SQLAlchemyError, OSError, StoreError) as error:
            logger.warning("reap.failed", error=type(error).__name__)
        await asyncio.sleep(pause_seconds)
