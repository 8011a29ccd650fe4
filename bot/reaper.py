"""The reaper: rings again for what waits unheard or holds an expired lease, fails what crashed
too often, and deletes what has been kept long enough."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from sqlalchemy.exc import OperationalError

from bot.core.line import Line
from storage import forget, leases

logger = structlog.get_logger()

RETENTION_SECONDS = 600.0


class Reaper:
    """Runs until cancelled. Several at once do no harm: each act is one transaction."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def run(self) -> None:
        settings = self._line.settings
        retention_at = 0.0
        while True:
            try:
                await self.step()
                if (now := asyncio.get_running_loop().time()) >= retention_at:
                    retention_at = now + RETENTION_SECONDS
                    await self.expire()
            except OperationalError as error:
                logger.warning("reap.database", error=type(error).__name__)
            await asyncio.sleep(min(1.0, settings.lease_seconds / 4))

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
        for ring in rings:
            logger.info("reap.ring", job=str(ring.job_id), model=ring.model)
            await asyncio.to_thread(line.ring, ring.model, ring.job_id)
        return len(rings)

    async def expire(self) -> None:
        line = self._line
        older = timedelta(days=line.settings.blocked_kept_days)
        now = line.database.clock()
        hashes = await line.write(lambda s: forget.expire_blocked(s, older_than=older, now=now))
        await asyncio.to_thread(forget.delete_blobs, line.blobs, hashes)
