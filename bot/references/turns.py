"""Whose reference comes next: of each account one at a time, and of all people a few."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from storage.domain import Account

AT_ONCE = 6
"""References that one process has in hand, each with at most one file of 10 MiB."""


class Turns:
    """First come, first served. Waiting costs no memory: of a file nothing is read before its
    turn."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(AT_ONCE)
        self._own: WeakValueDictionary[Account, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, account: Account) -> AsyncIterator[None]:
        async with self._own.setdefault(account, asyncio.Lock()), self._all:
            yield
