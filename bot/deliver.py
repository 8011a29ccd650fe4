"""Station 8, show: where the desired revision is ahead of the shown one, edit the message.

The only place from which cards go out. Acknowledgement, queue position, progress, result,
refusal and take-down are all the same act, and each is safe to repeat.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol
from uuid import UUID

import structlog
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from bot.core.line import Line
from bot.core.names import hint
from bot.core.present import is_silent, present, queue_view, served_models
from bot.i18n import say
from storage import deliveries, log, queue
from storage.changes import Changes
from storage.domain import Card, CardPicture, Delivery, JobState, Platform
from storage.queue import Waiting

logger = structlog.get_logger()

POLL_SECONDS = 0.1
PACE = timedelta(seconds=1.5)
QUEUE_REFRESH_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 300.0
LATE = timedelta(minutes=13)
"""A card that has waited so long is shown once more: a platform may have to say that the picture
will come another way."""


class Gone(Exception):
    """There is nobody to show it to: channel or message deleted, bot removed. Final."""


class RetryLater(Exception):
    """The platform says wait, or did not answer."""

    def __init__(self, seconds: float | None = None) -> None:
        super().__init__(f"retry after {seconds} s")
        self.seconds = seconds


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the message shows now. `address` may have become another one (a private result that
    moved to direct messages)."""

    address: Mapping[str, str]
    pictures: bool


PictureReader = Callable[[CardPicture], Awaitable[bytes]]


class Show(Protocol):
    """A platform's way to make one message say what a card says.

    Raises Gone or RetryLater. Anything else is a defect: it is logged and tried again later.
    """

    platform: Platform

    async def show(self, delivery: Delivery, card: Card, read: PictureReader) -> Shown: ...


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
                except OperationalError as error:
                    logger.warning("deliver.database", error=type(error).__name__)
                    await asyncio.sleep(1)
                await changes.wait(POLL_SECONDS)
        finally:
            changes.close()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def step(self) -> int:
        """Take what is due and start to show it. How many messages that were."""
        line, platform = self._line, self._show.platform
        now, busy = line.database.clock(), tuple(self._busy)

        def take() -> list[Delivery]:
            if line.database.is_sqlite:  # There is one writer at a time.
                with line.database.read() as session:
                    if not deliveries.any_due(session, platform, now):
                        return []
            with line.database.write() as session:
                return deliveries.lease_due(
                    session,
                    platform,
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
            card = await self._card(delivery)
            shown = await self._show.show(delivery, card, self._read)
        except Gone as gone:
            reason = str(gone) or "gone"
            logger.info("deliver.gone", job=str(delivery.job_id), reason=reason)
            await self._line.write(lambda s: deliveries.give_up(s, delivery, reason))
        except RetryLater as later:
            await self._retry(delivery, later.seconds)
        except Exception as error:
            logger.error("deliver.failed", job=str(delivery.job_id), error=type(error).__name__)
            await self._retry(delivery, None)
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
                )
            )
            if self._after_show is not None:
                await self._after_show()

    async def _retry(self, delivery: Delivery, seconds: float | None) -> None:
        failed = seconds is None
        if seconds is None:
            seconds = min(LONGEST_RETRY_SECONDS, 0.5 * 2.0 ** min(delivery.tries, 10))
        at = self._line.database.clock() + timedelta(seconds=seconds)
        await self._line.write(
            lambda s: deliveries.retry(s, delivery, owner=self._owner, at=at, failed=failed)
        )

    async def _card(self, delivery: Delivery) -> Card:
        line = self._line
        now = line.database.clock()

        def look() -> Card:
            with line.database.read() as session:
                entry = log.entry(session, delivery.job_id)
                if entry is None:
                    raise Gone("forgotten")
                waiting = entry.state is JobState.WAITING or entry.lost(now)
                view = queue_view(session, entry, now) if waiting else None
                words = hint(entry.request, line.catalog) if entry.user_id else None
                told = say(entry.locale, words.text, **words.values) if words else ""
                return present(entry, view, told)

        return await asyncio.to_thread(look)

    async def _read(self, picture: CardPicture) -> bytes:
        return await asyncio.to_thread(self._line.blobs.get, picture.sha256)

    async def refresh_waiting(self) -> None:
        """Cards of waiting jobs change when those before them are done."""
        line, platform = self._line, self._show.platform
        now = line.database.clock()

        def look() -> list[tuple[UUID, str]]:
            with line.database.read() as session:
                waiting = queue.waiting(session, platform, now)
                served = served_models(session, now)
            views = ((job, _of_waiting(job, served, now)) for job in waiting)
            return [(job.job_id, words) for job, words in views if words != job.said]

        views = await asyncio.to_thread(look)

        def tell(session: Session) -> None:
            for job, words in views:
                deliveries.say_of_waiting(session, job, words)

        if views:
            await line.write(tell)


def _of_waiting(job: Waiting, served: Collection[str], now: datetime) -> str:
    late = " late" if now - job.created_at > LATE else ""
    silent = is_silent(job.model in served, job.created_at, now)
    return f"{job.position} {'silent' if silent else 'alive'}{late}"
