"""Hear, the second half: what an adapter heard is written down, acted on, and taken up again when
its process died over it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Protocol, TypeVar

import aiohttp
import structlog
from cryptography.fernet import Fernet
from obstore.exceptions import BaseError as StoreError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bot.i18n import mark
from storage import inbox
from storage.blobs import NotStored
from storage.database import TRANSIENT, Database
from storage.domain import EventKey, Platform, RawCommand
from storage.inbox import Envelope, Sealed, Untaken

T = TypeVar("T")
logger = structlog.get_logger()

ANSWER_SECONDS = 0.5
"""A database that takes longer is away: whoever asks is told so at once."""
LOOK_SECONDS = 1.0
STOP_SECONDS = 5.0
"""So long a stop waits for what is under way; then it stays in the inbox for the next process."""
MOST_TRIES = 12
"""What fails for a reason that passes is tried again after 1, 2, 4… seconds, a minute at most: for
seven minutes in all. What a process died over counts too."""
LONGEST_PAUSE_SECONDS = 60.0
ACKNOWLEDGE_SECONDS = 60.0
"""So long what was heard is ours before it is acted on; a library may repeat an acknowledgement."""

PASSING = (*TRANSIENT, NotStored, StoreError, aiohttp.ClientError, OSError, TimeoutError)

UNANSWERED = mark(
    "I can't write that down just now, so nothing will come of it. Try again in a minute."
)


SORRY = mark("Something went wrong here. Try again; if it stays so, tell who runs me.")


class Unanswered(Exception):
    """Nothing is written down: the database does not answer, or this process is about to leave."""


class Adapter(Protocol):
    """What a platform does with a command that is written down. Both are safe to repeat."""

    async def act(self, raw: RawCommand) -> bool:
        """Do it, and tell whoever asked. True if its row has been emptied already, in the
        transaction that did it. Raises Sealed when what it takes cannot be decrypted."""

    async def apologise(self, raw: RawCommand) -> None:
        """Tell that something of ours broke; whoever waits should know."""

    def passes(self, error: Exception) -> bool:
        """Whether this error of the platform's is over soon."""


class Inbox:
    """One for each process and platform. `run` belongs beside the client that hears."""

    def __init__(
        self,
        database: Database,
        platform: Platform,
        adapter: Adapter,
        *,
        fernet: Fernet | None,
        lease_seconds: float,
    ) -> None:
        self._database, self._platform, self._adapter = database, platform, adapter
        self._envelope = Envelope(fernet)
        self._lease = timedelta(seconds=lease_seconds)
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{id(self)}"
        # A thread of its own: those that all share may be waiting for a database that is slow.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inbox")
        self._heard: list[tuple[RawCommand, str, asyncio.Future[bool]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._awaited: dict[str, float] = {}
        """Heard, and not acted on yet: until when, on the loop's clock."""
        self._refused: set[EventKey] = set()
        """Who sent these was told that they are not written down. They may be all the same: too
        late, or by a commit whose answer was lost."""
        self._closed = False
        self.application = ""
        """Whose events these are; known when the platform has told."""

    async def hear(self, raw: RawCommand) -> bool:
        """Write it down. False if this event was heard before: somebody is at it, or it is done.

        Raises Unanswered when the database fails, or takes more than half a second.
        """
        if self._closed:
            raise Unanswered
        self.application = raw.application or self.application
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._heard.append((raw, self._envelope.pack(raw), written))
        self._begin_to_write()
        try:
            new = await asyncio.wait_for(written, ANSWER_SECONDS)
        except (TimeoutError, SQLAlchemyError) as error:
            logger.warning("inbox.unanswered", error=type(error).__name__)
            if str(raw.event) in self._in_hand():
                return False
            raise Unanswered from error
        if new:
            now = asyncio.get_running_loop().time()
            self._awaited[str(raw.event)] = now + ACKNOWLEDGE_SECONDS
        return new

    def _in_hand(self) -> set[str]:
        now = asyncio.get_running_loop().time()
        self._awaited = {key: at for key, at in self._awaited.items() if at > now}
        return {*self._busy, *self._awaited}

    def _begin_to_write(self) -> None:
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """All that was heard meanwhile goes into one transaction."""
        while self._heard or self._refused:
            batch = [letter for letter in self._heard if not letter[2].done()]
            self._heard, refused = [], set(self._refused)
            try:
                letters = [letter[:2] for letter in batch]
                new = await self._in_thread(partial(self._put, letters, refused))
            except Exception as error:
                ours = self._in_hand()
                self._refused.update(raw.event for raw, *_ in batch if str(raw.event) not in ours)
                for *_, written in batch:
                    if not written.done():
                        written.set_exception(error)
                if self._heard:
                    continue
                break
            self._refused -= refused
            for raw, _, written in batch:
                is_new = str(raw.event) in new
                new.discard(str(raw.event))  # Another of the same event is none.
                if not written.done():
                    written.set_result(is_new)
                elif is_new:
                    self._refused.add(raw.event)
        self._writing = None

    def _put(
        self,
        letters: list[tuple[RawCommand, str]],
        refused: Collection[EventKey],
        session: Session,
    ) -> set[str]:
        if refused:
            inbox.drop(session, refused, self._owner)
        if not letters:
            return set()
        now = self._database.clock()
        until = now + self._lease
        return set(inbox.put(session, letters, owner=self._owner, until=until, now=now))

    async def _in_thread(self, change: Callable[[Session], T]) -> T:
        def run() -> T:
            with self._database.write() as session:
                return change(session)

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    async def drop(self, raw: RawCommand) -> None:
        """The platform will not let us acknowledge it: nobody waits for it."""
        self._awaited.pop(str(raw.event), None)
        self._refused.add(raw.event)
        self._begin_to_write()

    async def act(self, raw: RawCommand) -> None:
        """Do what was heard. A failure that passes leaves it in the inbox, to be tried again. After
        `close` it is the next process's."""
        key = str(raw.event)
        self._awaited.pop(key, None)
        if not self._closed:
            await (self._busy.get(key) or self._start(raw, tries=0))

    def _start(self, raw: RawCommand, tries: int) -> asyncio.Task[None]:
        key = str(raw.event)
        task = asyncio.create_task(self._act(raw, tries))
        self._busy[key] = task
        task.add_done_callback(lambda _: self._busy.pop(key))
        return task

    async def _act(self, raw: RawCommand, tries: int) -> None:
        emptied = False
        try:
            if tries <= MOST_TRIES:
                emptied = await self._adapter.act(raw)
            else:
                await self._apologise(raw)
        except Sealed:
            await self._leave_sealed([str(raw.event)])
            return
        except Exception as error:
            passing = isinstance(error, PASSING) or self._adapter.passes(error)
            passing = passing and tries < MOST_TRIES
            logger.error("inbox.failed", act=raw.act, again=passing, exc_info=not passing)
            if passing:
                pause = timedelta(seconds=min(LONGEST_PAUSE_SECONDS, 2.0**tries))
                at = self._database.clock() + pause
                await self._settle(lambda s: inbox.again(s, raw.event, self._owner, at))
                return
            await self._apologise(raw)
        if not emptied:
            await self._settle(lambda s: inbox.taken(s, raw.event))

    async def _apologise(self, raw: RawCommand) -> None:
        """Once: what cannot be said now would be said of something long past. Raises Sealed."""
        try:
            await self._adapter.apologise(raw)
        except Sealed:
            raise
        except Exception:
            logger.exception("inbox.unapologised", act=raw.act)

    async def _settle(self, change: Callable[[Session], None]) -> None:
        """What cannot be written stays as it is, and comes again when its lease runs out."""
        try:
            await self._in_thread(change)
        except SQLAlchemyError as error:
            logger.warning("inbox.database", error=type(error).__name__)

    async def run(self) -> None:
        """Until cancelled: keep what is in hand, and take up what others have left. The one does
        not wait for the other, which needs a thread of those that all share."""
        pause = self._lease.total_seconds() / 4
        async with asyncio.TaskGroup() as group:
            group.create_task(_repeat(self._keep, pause))
            group.create_task(_repeat(self._look_again, min(LOOK_SECONDS, pause)))

    async def _keep(self) -> None:
        if held := self._in_hand():
            await self._in_thread(partial(self._renew, held))

    async def _look_again(self) -> None:
        if self._refused:
            self._begin_to_write()
        await self.step()

    def _renew(self, held: Collection[str], session: Session) -> None:
        inbox.renew(session, self._owner, held, self._database.clock() + self._lease)

    async def step(self) -> int:
        """One look at what nobody has in hand; how much that was."""
        if not self.application or self._closed:
            return 0
        rows = await asyncio.to_thread(self._look)
        ours = self._in_hand() | {str(event) for event in self._refused}
        sealed = []
        for row in rows:
            if row.event_key in ours:
                continue
            try:
                raw = self._envelope.open(row.body)
            except Sealed:
                sealed.append(row.event_key)
                continue
            self._start(replace(raw, heard_at=row.received_at), row.tries)
        if sealed:
            await self._leave_sealed(sealed)
        return len(rows)

    async def _leave_sealed(self, events: Collection[str]) -> None:
        """With the right key they can be done, until they are a day old."""
        logger.error("inbox.sealed", count=len(events))
        at = self._database.clock() + self._lease
        await self._settle(lambda s: inbox.leave(s, events, self._owner, at))

    def _look(self) -> list[Untaken]:
        now, mine = self._database.clock(), (self._platform, self.application)
        with self._database.read() as session:
            if not inbox.any_untaken(session, *mine, now):
                return []
        with self._database.write() as session:
            until = now + self._lease
            return inbox.take_up(session, *mine, owner=self._owner, until=until, now=now)

    async def drain(self) -> None:
        """Wait for all that is in hand."""
        await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def close(self) -> None:
        """Hear nothing more, wait a little for what is under way, and leave the rest where it is:
        in the inbox, for whoever comes next."""
        if self._closed:
            return
        self._closed = True
        if tasks := list(self._busy.values()):
            _, left = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        if self._writing is not None:
            await self._writing
        await self._settle(self._leave)
        self._thread.shutdown(wait=False)

    def _leave(self, session: Session) -> None:
        inbox.drop(session, self._refused, self._owner)
        inbox.release(session, self._owner, self._database.clock())


async def _repeat(act: Callable[[], Awaitable[object]], pause_seconds: float) -> None:
    """Until cancelled. What the database fails at is tried again the next time."""
    while True:
        try:
            await act()
        except SQLAlchemyError as error:
            logger.warning("inbox.database", error=type(error).__name__)
        await asyncio.sleep(pause_seconds)
