"""A bell in the other direction: who shows cards hears that there may be something new to show.

Nobody relies on it. What is missed is found by looking, as it is without a bell.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from sqlalchemy import func
from sqlalchemy.exc import SQLAlchemyError

from storage.database import Database

CHANNEL = "easel_deliveries"
BELL = func.pg_notify(CHANNEL, "")
"""A column for a statement; heard when its transaction commits. SQLite has none, and needs none:
every commit is heard there."""
TICK_SECONDS = 0.01
"""SQLite has no bell, but says in 5 µs whether anybody has committed."""


class Changes:
    """For one event loop; `close` when done."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None
        self._socket = -1
        self._version = 0
        self._rung = asyncio.Event()
        self._deaf = False

    async def wait(self, seconds: float) -> None:
        """Until somebody has committed something to show since the last call, or so long."""
        if self._deaf:
            await asyncio.sleep(seconds)
            return
        try:
            if self._connection is None:
                await self._connect()
            if self._database.is_sqlite:
                await self._tick(seconds)
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._rung.wait(), seconds)
                self._rung.clear()
        except (SQLAlchemyError, self._refused):  # No database: look again after a while.
            self.close()
            await asyncio.sleep(seconds)

    @property
    def _refused(self) -> type[Exception]:
        """What the driver itself raises: these connections are not SQLAlchemy's any more."""
        error: type[Exception] = self._database.engine.dialect.loaded_dbapi.Error
        return error

    def close(self) -> None:
        if self._connection is not None:
            if not self._database.is_sqlite:
                asyncio.get_running_loop().remove_reader(self._socket)
            self._connection.close()
            self._connection = None

    async def _connect(self) -> None:
        if self._database.is_sqlite:
            self._connection = self._detached()
            return
        # A server that is silent must not hold the event loop.
        connection = await asyncio.to_thread(self._listening)
        self._socket = connection.fileno()
        try:
            asyncio.get_running_loop().add_reader(self._socket, self._hear)
        except NotImplementedError:  # No sockets in this event loop (Windows).
            self._deaf = True
            connection.close()
        else:
            self._connection = connection

    def _listening(self) -> Any:
        connection = self._detached()
        try:
            connection.autocommit = True
            connection.execute(f"LISTEN {CHANNEL}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _detached(self) -> Any:
        pooled = self._database.engine.raw_connection()
        connection = pooled.driver_connection
        pooled.detach()
        return connection

    def _hear(self) -> None:
        try:
            heard = list(self._connection.notifies(timeout=0))
        except self._refused:
            self.close()
            return
        if heard:
            self._rung.set()

    async def _tick(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            [version] = self._connection.execute("PRAGMA data_version").fetchone()
            changed, self._version = version != self._version, version
            if changed or loop.time() >= end:
                return
            await asyncio.sleep(min(TICK_SECONDS, seconds))
