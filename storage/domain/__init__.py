"""The nouns that walk the line, in the order in which data flows, and the policy on scores.

Standard library only, and imports nobody: everything else may import this.
"""

from storage.domain.card import Button, Card, CardPicture, Delivery, Tone
from storage.domain.job import (
    Attempt,
    Cancelled,
    Failed,
    GenerationJob,
    JobState,
    Made,
    Outcome,
    Picture,
    Refused,
    StepReport,
    UsageEntry,
)
from storage.domain.policy import Decision, Subject, Threshold, Verdict, decide, worst
from storage.domain.request import (
    Attached,
    Complaint,
    EventKey,
    ImageRequest,
    Kept,
    Linked,
    Mode,
    Place,
    Platform,
    RawCommand,
    Reference,
    ReferenceUse,
    Requester,
    Source,
)
from storage.domain.review import Review, ReviewKind

__all__ = [
    "Attached",
    "Attempt",
    "Button",
    "Cancelled",
    "Card",
    "CardPicture",
    "Complaint",
    "Decision",
    "Delivery",
    "EventKey",
    "Failed",
    "GenerationJob",
    "ImageRequest",
    "JobState",
    "Kept",
    "Linked",
    "Made",
    "Mode",
    "Outcome",
    "Picture",
    "Place",
    "Platform",
    "RawCommand",
    "Reference",
    "ReferenceUse",
    "Refused",
    "Requester",
    "Review",
    "ReviewKind",
    "Source",
    "StepReport",
    "Subject",
    "Threshold",
    "Tone",
    "UsageEntry",
    "Verdict",
    "decide",
    "worst",
]
