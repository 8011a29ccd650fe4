"""What people see: a Card without a platform, and the Delivery that brings it there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from storage.domain.request import Platform


class Tone(StrEnum):
    """What colour a card has."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Button:
    """`action` is a verb of `bot.core.steer`; `picture` is the 0-based picture it is about."""

    action: str
    label: str
    picture: int | None = None
    danger: bool = False


@dataclass(frozen=True, kw_only=True)
class CardPicture:
    index: int
    sha256: str
    media_type: str
    alt_text: str
    size_bytes: int
    spoiler: bool = False


@dataclass(frozen=True, kw_only=True)
class Card:
    """Everything that one message says, in the reader's language, ready to be rendered."""

    job_id: UUID
    tone: Tone
    title: str
    text: str
    """Plain text; the adapter escapes it for its platform."""
    fields: tuple[tuple[str, str], ...] = ()
    footer: str = ""
    pictures: tuple[CardPicture, ...] = ()
    buttons: tuple[Button, ...] = ()
    progress_0_1: float | None = None
    removed: bool = False
    """The message itself is to be deleted."""
    locale: str = "en"
    """For the few words that the adapter adds."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A message that lags behind: `desired_revision` is above what is shown."""

    job_id: UUID
    platform: Platform
    address: Mapping[str, str] = field(repr=False)
    """The platform's own address of the placeholder; may hold an interaction token."""
    desired_revision: int
    shown_revision: int
    shown_pictures: bool
    removed: bool
    tries: int
    created_at: datetime
    lease_until: datetime | None
    """Of the lease that it was taken with: the fence of what is written about it."""
    application: str = ""
    """The bot or app that was asked; empty where nobody knows."""
    trouble: str = ""
    """The code with which the platform refused the last try; empty when it did not."""
    trouble_since: datetime | None = None
    former: tuple[Mapping[str, str], ...] = field(default=(), repr=False)
    """Addresses where it was to be shown before it was moved, and may be seen still."""
    moved: bool = False
    """`address` is a former one, and the newest is among `former`."""
