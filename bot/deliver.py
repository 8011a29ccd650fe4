"""Station 8, show: where the desired revision is ahead of the shown one, edit the message.

The only place from which cards go out. Acknowledgement, queue position, progress, result,
refusal and take-down are all the same act, and each is safe to repeat.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bot.core.line import Line
from bot.core.mine import unshown
from bot.core.present import (
    QueueView,
    is_silent,
    present,
    queue_view,
    served_models,
    taken_down,
)
from bot.showing import (
    NOTICE,
    Defect,
    Doubtful,
    Gone,
    Operators,
    Refusal,
    RetryLater,
    Show,
    Shown,
    Told,
)
from storage import deliveries, jobs, log, queue
from storage.changes import Changes
from storage.domain import Card, CardPicture, Delivery, JobState
from storage.log import LogEntry
from storage.queue import Unfinished

logger = structlog.get_logger()

POLL_SECONDS = 0.1
PACE = timedelta(seconds=1.5)
QUEUE_REFRESH_SECONDS = 2.0
_WAITS = {
    RetryLater: (0.5, 300.0),
    Defect: (0.5, 300.0),
    Operators: (5.0, 60.0),
    Doubtful: (10.0, 600.0),
}
"""Seconds to the next try, first and longest; each is twice the one before."""
TAKE_DOWN_WAITS = (10.0, 3600.0)
"""It is never given up, and what refuses it may refuse for good."""
DOUBT = timedelta(hours=1)
SOON_TRIES = 21
"""So many of RetryLater, whose pauses double, are an hour."""
OTHER_TRIES = 7
"""So many of another sort are counted: by then its pauses are at their longest."""


class Deliverer:
    """Runs until cancelled; several processes may run one each for the same platform."""

    def __init__(
        self,
        line: Line,
        show: Show,
        *,
        only: UUID | None = None,
        after_show: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """`only` keeps to one job's message; `after_show` is awaited after each one shown."""
        self._line = line
        self._show = show
        self._only = only
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{id(self)}"
        self._after_show = after_show
        self._lease = timedelta(seconds=2 * line.settings.lease_seconds)
        self._busy: dict[UUID, asyncio.Task[None]] = {}

    async def run(self) -> None:
        refresh_at = 0.0
        changes = Changes(self._line.database)
        try:
            while True:
                try:
                    await self.step()
                    if (now := asyncio.get_running_loop().time()) >= refresh_at:
                        refresh_at = now + QUEUE_REFRESH_SECONDS
                        await self.refresh_waiting()
                except SQLAlchemyError as error:
                    logger.warning("deliver.database", error=type(error).__name__)
                    await asyncio.sleep(1)
                await changes.wait(POLL_SECONDS)
        finally:
            changes.close()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def step(self) -> int:
        """Take what is due and start to show it. How many messages that were."""
        line, platform, application = self._line, self._show.platform, self._show.application
        now, busy = line.database.clock(), tuple(self._busy)

        def take() -> list[Delivery]:
            if line.database.is_sqlite:  # There is one writer at a time.
                with line.database.read() as session:
                    if not deliveries.any_due(session, platform, now, application):
                        return []
            with line.database.write() as session:
                return deliveries.lease_due(
                    session,
                    platform,
                    application=application,
                    owner=self._owner,
                    lease=self._lease,
                    pace=PACE,
                    now=now,
                    only=self._only,
                    busy=busy,
                )

        due = await asyncio.to_thread(take)
        for delivery in due:
            task = asyncio.create_task(self._deliver(delivery))
            self._busy[delivery.job_id] = task
            task.add_done_callback(partial(self._done, delivery.job_id))
        return len(due)

    def _done(self, job_id: UUID, task: asyncio.Task[None]) -> None:
        del self._busy[job_id]
        if not task.cancelled() and (error := task.exception()):
            # What was to be written about it was not: it comes again when its lease runs out.
            logger.warning("deliver.unwritten", job=str(job_id), error=type(error).__name__)

    async def drain(self) -> None:
        """Wait for what `step` has started."""
        await asyncio.gather(*self._busy.values())

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            shown, former = await self._shown(delivery)
        except RetryLater as later:
            if self._is_over(delivery, later):
                await self._tell(delivery, later.code)
            else:
                await self._retry(delivery, later)
        except Refusal as refusal:
            await self._refused(delivery, refusal)
        except Exception as error:
            logger.error("deliver.failed", job=str(delivery.job_id), error=type(error).__name__)
            await self._retry(delivery, Defect(type(error).__name__))
        else:
            now = self._line.database.clock()
            await self._line.write(
                lambda s: deliveries.shown(
                    s,
                    delivery,
                    owner=self._owner,
                    address=shown.address,
                    pictures=shown.pictures,
                    now=now,
                    former=former,
                )
            )
            if self._after_show is not None:
                await self._after_show()

    async def _shown(self, delivery: Delivery) -> tuple[Shown, Sequence[Mapping[str, str]]]:
        """And the former addresses where it may be seen still. Raises a Refusal, or a defect."""
        if not delivery.removed:
            card = await self._card(delivery)
            shown = await self._show.show(delivery, card, self._read)
            left = await self._take_down(replace(delivery, address=shown.address))
            return shown, [address for address, error in left if not isinstance(error, Gone)]
        shown, failed = Shown(address={}, pictures=False), list[Exception]()
        try:
            # Nothing that can fail stands before it.
            shown = await self._show.show(delivery, taken_down(delivery.job_id), self._read)
        except Exception as error:
            failed.append(error)
        failed += [error for _, error in await self._take_down(delivery)]
        if failed:
            raise next((error for error in failed if not isinstance(error, Gone)), failed[0])
        return shown, ()

    async def _take_down(self, delivery: Delivery) -> list[tuple[Mapping[str, str], Exception]]:
        """From the former addresses, each whatever becomes of the others. Those where that failed,
        and why."""
        failed, card = [], taken_down(delivery.job_id)
        for address in delivery.former:
            others = tuple(a for a in (delivery.address, *delivery.former) if a is not address)
            former = replace(delivery, address=address, former=others, moved=True, removed=True)
            try:
                await self._show.show(former, card, self._read)
            except Exception as error:
                code = error.code if isinstance(error, Refusal) else type(error).__name__
                logger.warning("deliver.former", job=str(delivery.job_id), code=code)
                failed.append((address, error))
        return failed

    @staticmethod
    def _is_over(delivery: Delivery, later: RetryLater) -> bool:
        """Whether what should be over soon has not been for an hour. While the platform is down,
        nobody can be told either, so that this ends nothing."""
        waits = later.seconds is not None or not later.code
        return not (waits or delivery.removed) and delivery.tries >= SOON_TRIES

    async def _refused(self, delivery: Delivery, refusal: Refusal) -> None:
        sort = type(refusal).__name__.lower()
        logger.warning("deliver.refused", job=str(delivery.job_id), code=refusal.code, sort=sort)
        since = delivery.trouble_since if delivery.trouble == refusal.code else None
        over = since is not None and self._line.database.clock() - since >= DOUBT
        if isinstance(refusal, Gone):
            await self._nobody(delivery, refusal.code)
        elif delivery.removed:
            await self._retry(delivery, Operators(refusal.code))
        elif isinstance(refusal, Told) or (isinstance(refusal, Doubtful) and over):
            await self._tell(delivery, refusal.code)
        else:
            await self._retry(delivery, refusal)

    async def _nobody(self, delivery: Delivery, code: str) -> None:
        """Nobody is there, so nothing is drawn for them any more."""
        now = self._line.database.clock()
        # In two transactions: who finishes a job locks it before its message.
        if await self._line.write(lambda s: deliveries.give_up(s, delivery, code or "gone")):
            await self._line.write(lambda s: jobs.cancel(s, delivery.job_id, now))

    async def _tell(self, delivery: Delivery, code: str) -> None:
        """Who asked hears that the card cannot be where it should; `/queue` has it."""
        entry = await self._line.read(lambda s: log.entry(s, delivery.job_id))
        try:
            if entry is not None and entry.user_id:
                words = unshown(entry)
                await self._show.tell(delivery, entry.user_id, entry.locale, words, code)
        except RetryLater as later:
            await self._retry(delivery, later)
            return
        except Refusal as refusal:
            logger.info("deliver.untold", job=str(delivery.job_id), code=refusal.code)
        await self._line.write(lambda s: deliveries.give_up(s, delivery, code))

    async def _retry(self, delivery: Delivery, refusal: Refusal) -> None:
        """Who only waits, as the platform wants it, has not failed."""
        if isinstance(refusal, RetryLater) and refusal.code:
            logger.info("deliver.later", job=str(delivery.job_id), code=refusal.code)
        seconds = refusal.seconds if isinstance(refusal, RetryLater) else None
        failed, now = seconds is None, self._line.database.clock()
        # Their waits grow no longer then, and what passes has tries of its own after them.
        counts = isinstance(refusal, RetryLater) or delivery.removed or delivery.tries < OTHER_TRIES
        if seconds is None:
            kept = delivery.removed and isinstance(refusal, Operators)
            first, longest = TAKE_DOWN_WAITS if kept else _WAITS[type(refusal)]
            seconds = min(longest, first * 2.0 ** min(delivery.tries, 20))
        # What keeps a picture up is always told.
        silent = isinstance(refusal, RetryLater) and not (failed and delivery.removed)
        trouble = "" if silent else refusal.code
        await self._line.write(
            lambda s: deliveries.retry(
                s,
                delivery,
                owner=self._owner,
                at=now + timedelta(seconds=seconds),
                failed=failed and counts,
                trouble=trouble,
                now=now,
            )
        )

    async def _card(self, delivery: Delivery) -> Card:
        line = self._line
        now = line.database.clock()

        def look() -> tuple[LogEntry, QueueView | None]:
            with line.database.read() as session:
                entry = log.entry(session, delivery.job_id)
                if entry is None:
                    raise Gone("forgotten")
                waiting = entry.state is JobState.WAITING or entry.lost(now)
                return entry, queue_view(session, entry, now) if waiting else None

        def make() -> Card:
            entry, view = look()
            return present(entry, view)

        return await asyncio.to_thread(make)

    async def _read(self, picture: CardPicture) -> bytes:
        return await asyncio.to_thread(self._line.blobs.get, picture.sha256)

    async def refresh_waiting(self) -> None:
        """Cards of waiting jobs change when those before them are done, and those of all
        unfinished ones shortly before their token dies."""
        line, platform, application = self._line, self._show.platform, self._show.application
        now = line.database.clock()

        def look() -> list[tuple[UUID, str]]:
            with line.database.read() as session:
                unfinished = queue.unfinished(session, platform, now, application)
                served = served_models(session, now)
            views = ((job, _of_unfinished(job, served, now)) for job in unfinished)
            return [(job.job_id, words) for job, words in views if words != job.said]

        views = await asyncio.to_thread(look)

        def tell(session: Session) -> None:
            for job, words in views:
                deliveries.say_of_waiting(session, job, words)

        if views:
            await line.write(tell)


def _of_unfinished(job: Unfinished, served: Collection[str], now: datetime) -> str:
    late = job.token_expires_at is not None and now >= job.token_expires_at - NOTICE
    if not job.waiting:  # Progress speaks for itself.
        return "late" if late else job.said
    silent = is_silent(job.model in served, job.created_at, now)
    worker = "silent" if silent else "alive" if job.model in served else "none"
    return f"{job.position} {worker}{' late' if late else ''}"
