"""What a worker does: a claimed job, its attempt, its steps and how it ended."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from storage.domain.policy import Verdict, worst
from storage.domain.request import ImageRequest, Place


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    MADE = "made"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def finished(self) -> bool:
        return self not in (JobState.WAITING, JobState.RUNNING)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try at a job. `number` is the fence: only the newest attempt may write."""

    number: int
    worker: str
    lease_until: datetime
    crashes: int = 0
    """Attempts before this one whose worker died or fell silent."""


@dataclass(frozen=True, kw_only=True)
class GenerationJob:
    """What the worker gets to know: no person, no conversation."""

    id: UUID
    attempt: Attempt
    request: ImageRequest
    place: Place
    prompt_labels: frozenset[str] = frozenset()
    """What the text check found without refusing, for the policy on the output."""
    outside: bool = False
    """It descends from a picture that Easel did not draw from words alone."""
    allowed: bool = False
    """A moderator has seen the reference, which a checker had held, and lets it pass."""


class Phase(StrEnum):
    LOADING = "loading"
    DRAWING = "drawing"
    FINISHING = "finishing"


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """How far a running job is."""

    phase: Phase
    step: int = 0
    """Denoising steps done, over all pictures of the job."""
    steps: int = 0

    def pictures(self, count: int) -> int:
        """To how many of the job's `count` pictures these steps amount."""
        return round(count * self.step / self.steps) if self.steps else 0


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One encoded, sealed and stored picture, with what the checkers said."""

    index: int
    seed: int
    sha256: str
    media_type: str
    width: int
    height: int
    size_bytes: int
    verdicts: tuple[Verdict, ...]
    """One per checker."""

    @property
    def verdict(self) -> Verdict:
        return worst(self.verdicts)


@dataclass(frozen=True, kw_only=True)
class Made:
    """Pictures were drawn; each has its own verdict, so some may be held or blocked."""

    pictures: tuple[Picture, ...]
    model_revision: str
    device_seconds: float


@dataclass(frozen=True, kw_only=True)
class Refused:
    verdict: Verdict
    """On the prompt or the reference; pictures carry their own in `Made`."""
    device_seconds: float = 0.0
    """None is spent: it is refused before anything is drawn."""


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """By its person, who pays for what was drawn until then."""

    device_seconds: float = 0.0
    pictures: int = 0
    """As `StepReport.pictures` says; they count against the day like those of `Made`."""


class FailureReason(StrEnum):
    CRASHED = "crashed"
    """Its worker died too often."""
    MODEL_UNAVAILABLE = "model_unavailable"
    LORA_UNAVAILABLE = "lora_unavailable"
    TOO_MANY_STEPS = "too_many_steps"
    OUT_OF_MEMORY = "out_of_memory"
    REFERENCE_MISSING = "reference_missing"
    NOT_STORED = "not_stored"
    BROKEN_PICTURE = "broken_picture"
    """What the model came to is no picture: NaN, infinity, nothing but one flat colour."""
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Not by its person, whose day it does not count against; but the time on the device puts
    others first for a while."""

    reason: FailureReason
    device_seconds: float = 0.0


Outcome = Made | Refused | Cancelled | Failed


@dataclass(frozen=True, kw_only=True)
class UsageEntry:
    """What one job cost; kept without the person's name after `forget`."""

    job_id: UUID
    pictures: int
    device_seconds: float
    queue_seconds: float
