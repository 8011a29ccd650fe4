"""Export and forgetting, which take long: on one thread of their own, so that nobody else's request
waits for them, and one at a time for each person."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

from bot.core.line import Line
from storage import export, forget
from storage.domain import Account, Complaint
from storage.forget import Remains
from storage.inbox import Envelope

T = TypeVar("T")

UNDER_WAY = Complaint(text="I am at it already. You will be told when it is done.")


class Privacy:
    """One for each process. Both acts answer with a Complaint while either is under way for the
    same person."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="privacy")
        self._under_way: set[Account] = set()

    async def export(self, account: Account, file_bytes: int) -> list[bytes] | Complaint:
        """Everything that is stored about them, as files of so many bytes at most."""
        envelope = Envelope(self._line.settings.fernet())

        def run() -> list[bytes]:
            with self._line.database.read() as session:
                stored = export.person(session, account, envelope)
            return export.files(stored, file_bytes)

        return await self._alone(account, run)

    async def forget(self, account: Account) -> Remains | Complaint:
        line = self._line
        keep = timedelta(days=line.settings.blocked_kept_days)
        return await self._alone(
            account, lambda: forget.forget(line.database, line.blobs, account, keep=keep)
        )

    async def _alone(self, account: Account, act: Callable[[], T]) -> T | Complaint:
        if account in self._under_way:
            return UNDER_WAY
        self._under_way.add(account)
        done = asyncio.get_running_loop().run_in_executor(self._thread, act)
        done.add_done_callback(lambda _: self._under_way.discard(account))
        return await done
