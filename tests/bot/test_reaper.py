"""The reaper goes on, whatever one look of it comes to."""

import asyncio
import contextlib
from datetime import timedelta

import pytest
from obstore.exceptions import GenericError
from sqlalchemy.exc import IntegrityError, InvalidRequestError, NoResultFound, OperationalError

from bot.core.line import Line
from bot.reaper import Reaper, _repeat
from storage import inbox, pixels
from tests.fakes.fresh import empty_database, line
from tests.storage.test_inbox import LEASE, command, heard_of

__all__ = ["empty_database", "line"]


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("select 1", None, Exception("gone")),
        IntegrityError("insert", None, Exception("twice")),
        InvalidRequestError("closed"),
        NoResultFound("deleted meanwhile"),
        GenericError("the store is away"),
        FileNotFoundError("a lost picture"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_fails_is_tried_again(error: Exception) -> None:
    tries, again = [error], asyncio.Event()

    async def act() -> None:
        if tries:
            raise tries.pop()
        again.set()

    reaper = asyncio.create_task(_repeat(act, 0.0))
    waits = asyncio.create_task(again.wait())
    await asyncio.wait([reaper, waits], timeout=30, return_when=asyncio.FIRST_COMPLETED)
    ended = reaper.done()
    for task in (reaper, waits):
        task.cancel()
    assert (ended, again.is_set()) == (False, True)


async def test_a_defect_is_not_hidden() -> None:
    async def act() -> None:
        raise KeyError("model")

    with pytest.raises(KeyError):
        await asyncio.wait_for(_repeat(act, 0.0), 30)


async def test_what_is_older_than_a_day_goes_though_the_store_is_away(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise GenericError("the store is away")

    monkeypatch.setattr(pixels, "settle", away)
    monkeypatch.setattr("bot.reaper.RETENTION_SECONDS", 0.05)
    then = line.database.clock() - inbox.KEPT - timedelta(seconds=1)
    with line.database.write() as session:
        inbox.put(session, [(command(), "body")], owner="me", until=then + LEASE, now=then)
    reaper = asyncio.create_task(Reaper(line).run())
    for _ in range(600):
        if not heard_of(line.database):
            break
        await asyncio.sleep(0.05)
    reaper.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reaper
    assert heard_of(line.database) == set()
