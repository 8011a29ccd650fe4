"""What the deliverer asks of a platform: show a card in its one message; and how that can fail.

Every way to fail is a sort, and each adapter has one table from its platform's codes to these.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from storage.domain import Card, CardPicture, Complaint, Delivery, Platform

NOTICE = timedelta(minutes=1)
"""So long before its token dies a card is shown once more: a private one says then that the
picture will come another way."""


class Refusal(Exception):
    """The platform does not do it. `code` is its own word for why, never its message, which may
    quote what was sent."""

    def __init__(self, code: str = "") -> None:
        super().__init__(code)
        self.code = code


class RetryLater(Refusal):
    """The platform says wait, or did not answer."""

    def __init__(self, seconds: float | None = None, code: str = "") -> None:
        super().__init__(code)
        self.seconds = seconds


class Operators(Refusal):
    """Something of the operator's is wrong, such as a token: kept until it is mended."""


class Defect(Refusal):
    """Something of ours is wrong; `code` is the error's class. Kept too."""


class Doubtful(Refusal):
    """It may be gone a moment later, or nobody knows what it means: tried seldom, for an hour, and
    then told to who asked (LIMITS.md)."""


class Told(Refusal):
    """It cannot be shown there. Who asked is told in private, and `/queue` has it."""


class Gone(Refusal):
    """There is nobody to show it to: channel or message deleted, bot removed. Final."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the message shows now. `address` may have become another one (a private result that
    moved to direct messages)."""

    address: Mapping[str, str]
    pictures: bool


PictureReader = Callable[[CardPicture], Awaitable[bytes]]


class Show(Protocol):
    """A platform's way to make one message say what a card says.

    Both acts raise a Refusal. Anything else is a defect: it is logged and tried again later. When
    a card is `removed`, Gone says that nothing of it can be seen any more or ever be reached.
    """

    platform: Platform

    @property
    def application(self) -> str:
        """The bot or app that we are; we show what was asked of it and of no other."""

    async def show(self, delivery: Delivery, card: Card, read: PictureReader) -> Shown: ...

    async def tell(
        self, delivery: Delivery, user_id: str, locale: str, complaint: Complaint, code: str
    ) -> None:
        """Words for who asked alone. `code` is why the card itself cannot be shown."""
