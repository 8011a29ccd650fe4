"""Everything that Easel talks to, in memory, with faults that a seed decides."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from kombu.exceptions import OperationalError as BrokerDown
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from bot.showing import Gone, PictureReader, RetryLater, Shown
from storage.database import Database
from storage.domain import Card, Delivery, Platform
from tests.simulation.loop import VirtualLoop, this_process

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TOKEN_SECONDS = 20.0
"""How long a private answer can be edited; Discord's 14 minutes would take long to simulate."""
NONCE_SECONDS = 300.0


@dataclass
class Faults:
    random: Random
    on: bool = True

    def happens(self, probability: float) -> bool:
        return self.on and self.random.random() < probability

    async def late(self, probability: float) -> None:
        """Between two acts that belong together: at times whoever does them is stopped there, for
        longer than its lease."""
        if self.happens(probability):
            this_process().pause(self.random.uniform(7.0, 30.0))
            await asyncio.sleep(0)


class Clock:
    """One process's idea of the time; it may jump."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop, self.off_seconds = loop, 0.0

    def __call__(self) -> datetime:
        return START + timedelta(seconds=self.loop.now + self.off_seconds)


class FaultyDatabase(Database):
    """Refuses, rolls back at commit, or commits and loses the answer."""

    def __init__(self, engine: Engine, clock: Clock, faults: Faults, *, blocking: bool) -> None:
        self.engine, self.clock, self.is_sqlite = engine, clock, True
        self._reader = engine.execution_options(easel_read_only=True)
        self._faults, self._blocking, self._loop = faults, blocking, clock.loop

    @contextmanager
    def write(self) -> Iterator[Session]:
        self._wait()
        self._fail(0.03, "no connection")
        with super().write() as session:
            yield session
            self._fail(0.02, "rolled back")
        self._fail(0.03, "committed, but the answer was lost")
        self._wait()

    @contextmanager
    def read(self) -> Iterator[Session]:
        self._fail(0.02, "no connection")
        with super().read() as session:
            yield session

    def _fail(self, probability: float, how: str) -> None:
        if self._faults.happens(probability):
            raise OperationalError(how, None, Exception(how))

    def _wait(self) -> None:
        """In a thread of a worker; the bot's calls wait in the loop's executor."""
        if self._blocking:
            await_only(asyncio.sleep(self._loop.latency()))


class Blobs:
    def __init__(self, faults: Faults) -> None:
        self.shown: dict[str, bytes] = {}
        self.apart: dict[str, bytes] = {}
        self._faults = faults

    def _folder(self, apart: bool) -> dict[str, bytes]:
        if self._faults.happens(0.03):
            raise OSError("the blob store does not answer")
        return self.apart if apart else self.shown

    def put(self, data: bytes, *, kept_apart: bool = False) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        self._folder(kept_apart)[sha256] = data
        return sha256

    def get(self, sha256: str, *, kept_apart: bool = False) -> bytes:
        folder = self._folder(kept_apart)
        if sha256 not in folder:
            raise FileNotFoundError(sha256)
        return folder[sha256]

    def move(self, sha256: str, *, to_kept_apart: bool) -> None:
        target, source = self._folder(to_kept_apart), self._folder(not to_kept_apart)
        if sha256 in source:
            target[sha256] = source.pop(sha256)
        elif sha256 not in target:
            raise FileNotFoundError(sha256)

    def copy(self, sha256: str) -> None:
        shown, apart = self._folder(False), self._folder(True)
        shown[sha256] = apart[sha256] = (shown | apart)[sha256]

    def delete(self, sha256: str) -> None:
        for kept_apart in (False, True):
            self.delete_from(sha256, kept_apart=kept_apart)

    def delete_from(self, sha256: str, *, kept_apart: bool) -> None:
        self._folder(kept_apart).pop(sha256, None)


class Broker:
    """Rings that may be lost, doubled, late or refused."""

    def __init__(self, loop: VirtualLoop, faults: Faults) -> None:
        self._loop, self._faults = loop, faults
        self._rings = 0
        self._listeners: list[asyncio.Future[None]] = []

    def ring(self, _app: object, _model: str, _trace: UUID) -> None:
        if self._faults.happens(0.1):
            raise BrokerDown("no connection")
        if self._faults.happens(0.15):
            return
        for _ in range(2 if self._faults.happens(0.15) else 1):
            delay = self._faults.random.random() * (15.0 if self._faults.happens(0.1) else 0.1)
            self._loop.call_later(delay, self._hear)

    def flush(self) -> None:
        self._rings = 0

    def _hear(self) -> None:
        self._rings += 1
        self._wake()

    def _wake(self) -> None:
        while self._rings and self._listeners:
            listener = self._listeners.pop(0)
            if not listener.done():
                self._rings -= 1
                listener.set_result(None)

    async def heard(self) -> None:
        listener: asyncio.Future[None] = self._loop.create_future()
        self._listeners.append(listener)
        self._wake()
        await listener


@dataclass
class Message:
    channel: str
    says: str = "thinking"
    pictures: tuple[bytes, ...] = ()
    deleted: bool = False
    token_until: float | None = None
    beyond: bool = False
    """Somebody wanted to change it when its token was over."""


class TokenOver(Exception):
    pass


class Chat:
    """Messages by id. Answers late, twice, with 502 before or after it did what it was told."""

    platform = Platform.DISCORD
    application = ""

    def __init__(self, loop: VirtualLoop, faults: Faults) -> None:
        self._loop, self._faults = loop, faults
        self.messages: dict[str, Message] = {}
        self.trace: list[tuple[float, str, int]] = []
        self._nonces: dict[str, tuple[str, float]] = {}

    def placeholder(self, event: str, channel: str, *, private: bool) -> dict[str, str]:
        """The same event again finds the message that is there."""
        until = self._loop.now + TOKEN_SECONDS if private else None
        self.messages.setdefault(event, Message(channel, token_until=until))
        return {"message_id": event, "channel_id": channel}

    async def show(self, delivery: Delivery, card: Card, read: PictureReader) -> Shown:
        address = delivery.address
        pictures = tuple([await read(picture) for picture in card.pictures])
        if card.removed:
            if address:
                try:
                    await self._call(lambda: self._delete(address["message_id"]))
                except TokenOver:
                    await self._call(lambda: self._delete_direct(str(delivery.job_id)))
            return Shown(address={}, pictures=False)
        says = f"{delivery.job_id} {card.tone} {card.text}"
        try:
            await self._call(lambda: self._edit(address["message_id"], says, pictures))
        except TokenOver:
            if card.tone in ("waiting", "working"):
                return Shown(address=address, pictures=False)
            nonce = delivery.job_id.hex[:25]
            message_id = await self._call(lambda: self._send(nonce, says, pictures))
            address = {**address, "message_id": message_id}
        return Shown(address=address, pictures=bool(pictures))

    async def tell(self, *_: object) -> None:
        """No place here refuses a card."""

    async def _call(self, act: Callable[[], Any]) -> Any:
        slow = 25.0 if self._faults.happens(0.03) else 0.2
        await asyncio.sleep(slow * self._faults.random.random())
        if self._faults.happens(0.05):
            raise RetryLater(self._faults.random.random() * 5.0)
        if self._faults.happens(0.05):
            raise RetryLater
        if self._faults.happens(0.01):
            raise ValueError("a defect in the adapter")
        await self._faults.late(0.04)
        answer = act()
        await asyncio.sleep(self._loop.latency())
        await self._faults.late(0.04)
        if self._faults.happens(0.05):
            raise RetryLater
        return answer

    def _edit(self, message_id: str, says: str, pictures: tuple[bytes, ...]) -> None:
        message = self._reach(message_id)
        self.trace.append((self._loop.now, message_id, len(pictures)))
        if message.deleted:
            raise Gone("10008 Unknown Message")
        message.says, message.pictures = says, pictures

    def _delete(self, message_id: str) -> None:
        self._reach(message_id).deleted = True

    def _delete_direct(self, job: str) -> None:
        for message in self.messages.values():
            message.deleted |= message.channel == "direct" and message.says.startswith(job)

    def _reach(self, message_id: str) -> Message:
        """What only its person sees is out of everybody's reach once its token is over."""
        message = self.messages[message_id]
        message.beyond = message.token_until is not None and message.token_until < self._loop.now
        if message.beyond:
            raise TokenOver
        return message

    def _send(self, nonce: str, says: str, pictures: tuple[bytes, ...]) -> str:
        message_id, until = self._nonces.get(nonce, ("", 0.0))
        if until < self._loop.now:
            message_id = f"direct {len(self.messages)}"
            self._nonces[nonce] = (message_id, self._loop.now + NONCE_SECONDS)
            self.messages[message_id] = Message("direct", says, pictures)
        return message_id
