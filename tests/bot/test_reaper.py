"""The reaper goes on, whatever one look of it comes to."""

import asyncio

import pytest
from obstore.exceptions import GenericError
from sqlalchemy.exc import IntegrityError, InvalidRequestError, NoResultFound, OperationalError

from bot.reaper import _repeat


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
