"""Discord's errors, sorted: what to do when a call that shows a card, or takes it down, fails.

Names and numbers: Discord's "Opcodes and Status Codes"; the whole list is in `discord-api-types`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import aiohttp
import discord

from bot.showing import Doubtful, Gone, Operators, Refusal, RetryLater, Told

UNKNOWN_CHANNEL, UNKNOWN_MESSAGE, UNKNOWN_USER = 10003, 10008, 10013
UNKNOWN_WEBHOOK, INVALID_TOKEN = 10015, 50027
NOT_THERE = (UNKNOWN_CHANNEL, UNKNOWN_MESSAGE, UNKNOWN_USER)
"""Nobody can see it any more. Whoever lacks access gets 50001 instead."""
DEAD_TOKEN = (UNKNOWN_WEBHOOK, INVALID_TOKEN)
ARCHIVED = 50083
"""A thread, which whoever may write there may open again."""
TOO_LARGE = (
    40005,  # request
    50045,  # file
)
UPLOADS_LIMITED = 400001

_SOON = (
    20016,  # slow mode
    20028,  # channel's rate
    20029,  # server's rate
    30046,  # edits of messages older than an hour
    40003,  # direct messages opened too fast
    40004,  # sending is disabled for a time
    40006,  # feature disabled for a time
    40062,  # a resource's rate
    110000,  # index not there yet
    130000,  # overloaded
)
_OPERATORS = (
    20012,  # not authorised for this application
    40001,  # unauthorised
    40002,  # the account has to be verified
    40012,  # connection revoked
    40333,  # Cloudflare blocks our requests
    50014,  # bot token
)
_TOLD = (
    20009,  # explicit content to somebody who takes none
    20024,  # under minimum age
    30015,  # attachments
    *TOO_LARGE,
    UPLOADS_LIMITED,
    40007,  # banned there
    50006,  # empty
    50007,  # direct messages are closed
    50008,  # no text channel
    50009,  # verification level
    50035,  # form body
    50046,  # file
    50278,  # direct message without a server in common
    160005,  # thread locked
    200000,  # AutoMod
    240000,  # link filter
)
SORTS: Mapping[int, type[Refusal]] = {
    **dict.fromkeys(_SOON, RetryLater),
    **dict.fromkeys(_OPERATORS, Operators),
    **dict.fromkeys(_TOLD, Told),
    **dict.fromkeys(NOT_THERE, Gone),
}
"""All others are Doubtful, also 50001 (access) and 50013 (permissions): a role being edited."""
OPERATORS = frozenset({"401", *map(str, _OPERATORS)})


def refusal(error: discord.HTTPException) -> Refusal:
    """A code of Discord's; the status where there is none, as from a proxy."""
    code = str(error.code or error.status)
    if sort := SORTS.get(error.code):
        return RetryLater(code=code) if sort is RetryLater else sort(code)
    if error.status == 429 or error.status >= 500:
        return RetryLater(code=code)
    if error.status == 401:
        return Operators(code)
    # A 404 is never tried again (LIMITS.md).
    return Gone(code) if error.status == 404 else Doubtful(code)


def passes(error: Exception) -> bool:
    """Whether Discord would answer otherwise a little later. A webhook's 429 is a plain
    HTTPException."""
    if isinstance(error, discord.HTTPException):
        return isinstance(refusal(error), RetryLater)
    return isinstance(error, discord.RateLimited)


@contextmanager
def sorting(*, removing: bool = False) -> Iterator[None]:
    """Discord's errors become refusals. While `removing`, nothing but NOT_THERE means that it is
    gone, and whoever calls has seen to that."""
    try:
        yield
    except discord.RateLimited as error:
        raise RetryLater(error.retry_after) from error
    except discord.HTTPException as error:
        found = refusal(error)
        if removing and not isinstance(found, RetryLater):
            found = Operators(found.code)
        raise found from error
    except (aiohttp.ClientError, OSError) as error:
        raise RetryLater(code=type(error).__name__) from error
