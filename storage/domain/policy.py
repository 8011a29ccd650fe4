"""Policy: labelled scores against thresholds give a verdict."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Decision(StrEnum):
    """In rising order of harm; see `worst`."""

    ALLOW = "allow"
    BLUR = "blur"
    """Shown behind a spoiler."""
    HOLD = "hold"
    """Kept back until a moderator has looked."""
    BLOCK = "block"


class Subject(StrEnum):
    PROMPT = "prompt"
    NEGATIVE_PROMPT = "negative_prompt"
    REFERENCE = "reference"
    OUTPUT = "output"


SEXUAL_LABELS = frozenset(
    {"nsfw", "nsfw_concept", "sexual", "sexy", "porn", "hentai", "nude", "nudity", "explicit"}
)
"""As the checkers that we know of name it, in lower case."""
MINOR_LABEL = "minor"
MINOR_FLOOR_RULE = "floor:minor"
MINOR_FLOOR_SCORE = 0.2
"""Above this sexual score a picture whose prompt names a minor is blocked, whatever the settings
say. Low on purpose: a false alarm costs a look by a moderator."""


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """From which score on a label is blurred, held or blocked; above 1 means never."""

    label: str
    blur: float = 2.0
    hold: float = 2.0
    block: float = 2.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    subject: Subject
    decision: Decision
    rule: str
    """Which rule decided, for example "nsfw>=0.80", "floor:minor" or "checker-failed"."""
    label: str = ""
    score: float = 0.0
    """The score that the rule looked at, 0 to 1."""
    scores: Mapping[str, float] = field(default_factory=dict)
    checker: str = ""
    checker_version: str = ""


_ORDER = tuple(Decision)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict with the gravest decision; the first of equals. Raises ValueError if empty."""
    return max(verdicts, key=lambda verdict: _ORDER.index(verdict.decision))


def decide(
    scores: Mapping[str, float],
    thresholds: Sequence[Threshold],
    *,
    subject: Subject,
    checker: str,
    checker_version: str,
    prompt_labels: frozenset[str] = frozenset(),
) -> Verdict:
    """Judge one checker's scores of one subject.

    A score that is no number, out of range or missing altogether is a checker that failed, and
    what could not be judged is held.
    """

    def verdict(decision: Decision, rule: str, label: str = "", score: float = 0.0) -> Verdict:
        return Verdict(
            subject=subject,
            decision=decision,
            rule=rule,
            label=label,
            score=score,
            scores=dict(scores),
            checker=checker,
            checker_version=checker_version,
        )

    if not scores or not all(math.isfinite(s) and -1e-6 <= s <= 1 + 1e-6 for s in scores.values()):
        finite = {label: s for label, s in scores.items() if math.isfinite(s)}
        scores = finite
        return verdict(Decision.HOLD, "checker-failed")
    verdicts = [verdict(Decision.ALLOW, "below-thresholds")]
    for label, score in scores.items():
        if (
            label in SEXUAL_LABELS
            and MINOR_LABEL in prompt_labels | scores.keys()
            and score >= MINOR_FLOOR_SCORE
        ):
            verdicts.append(verdict(Decision.BLOCK, MINOR_FLOOR_RULE, label, score))
        for threshold in thresholds:
            if threshold.label != label:
                continue
            for decision in (Decision.BLOCK, Decision.HOLD, Decision.BLUR):
                bound = float(getattr(threshold, decision.value))
                if score >= bound:
                    verdicts.append(verdict(decision, f"{label}>={bound:.2f}", label, score))
                    break
    return worst(verdicts)
