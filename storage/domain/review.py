"""What moderators are asked to look at."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class ReviewKind(StrEnum):
    HOLD = "hold"
    """A verdict kept the picture back."""
    REPORT = "report"
    """Somebody in the conversation pressed Report."""
    RESTRICTED = "restricted"
    """A floor: sexual content with a sign of a minor, or of a real person. Shown to few, never
    allowed."""
    ACT = "act"
    """Nothing asked for it: a moderator acted by themselves. Decided as it is written."""


@dataclass(frozen=True, kw_only=True)
class Review:
    id: UUID
    job_id: UUID
    kind: ReviewKind
    picture_sha256: str | None
    """None when the prompt or a reference is at issue."""
    opened_at: datetime
    opened_by: str = ""
    """Platform user id of who reported. For a hold empty, or the attempt that was held, once that
    has been allowed; for an act a name of its own."""
    decision: str | None = None
    decided_at: datetime | None = None
    decided_by: str = ""
