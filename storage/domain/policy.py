"""Policy: labelled scores against thresholds give a verdict."""

import math
import re
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

    @property
    def keeps_apart(self) -> bool:
        """What is judged so lies apart from what may be shown."""
        return self in (Decision.HOLD, Decision.BLOCK)


class Subject(StrEnum):
    PROMPT = "prompt"
    NEGATIVE_PROMPT = "negative_prompt"
    REFERENCE = "reference"
    OUTPUT = "output"


class Category(StrEnum):
    """What a prompt is stopped for; the label of the prompt check's verdicts."""

    SEXUAL = "sexual"
    SUGGESTIVE = "suggestive"
    MINOR = "minor"
    VIOLENCE = "violence"
    HATE = "hate"
    SELF_HARM = "self_harm"
    WEAPONS = "weapons"
    DRUGS = "drugs"
    TERROR = "terror"
    REAL_PERSON = "real_person"
    PROTECTED_FIGURE = "protected_figure"
    LIVING_ARTIST = "living_artist"

    @classmethod
    def of(cls, label: str) -> "Category | None":
        """Of a verdict's label, also one of an earlier release; None for any other, as of an
        operator's own category."""
        former = {
            "minor_sexual": cls.MINOR,
            "sexual_violence": cls.SEXUAL,
            "hate_symbol": cls.HATE,
            "slur": cls.HATE,
        }
        return former.get(label) or (cls(label) if label in cls._value2member_map_ else None)


SUGGESTIVE_LABELS = frozenset(
    {"suggestive", "sexy", "sensual", "enticing_or_sensual", "racy", "provocative"}
)
SEXUAL_LABELS = SUGGESTIVE_LABELS | {
    *("sexual", "nsfw", "nsfw_concept", "unsafe", "not_safe", "not_safe_for_work", "explicit"),
    *("sexually_explicit", "sexual_content", "sexual_activity", "sex", "porn", "porno", "hentai"),
    *("pornography", "pornographic", "nude", "nudes", "nudity", "naked", "erotic", "erotica"),
    *("adult", "adult_content", "lewd", "xxx"),
}
"""As the checkers that we know of name it; see `label_key`."""
MINOR_FLOOR_RULE = "floor:minor"
MINOR_FLOOR_SCORE = 0.2
"""From this sexual score on a picture whose prompt names a minor is blocked, whatever the settings
say. Low on purpose: where a child is asked for, any doubt is too much."""
PERSON_FLOOR_RULE = "floor:person"
PERSON_FLOOR_SCORE = 0.5
"""The same for a picture whose prompt names a real person, or that descends from a picture which
Easel did not draw from words alone. Suggestive labels do not count, and the score is that from
which strict places hold: every photo may come to be judged by it, and nobody can lift it."""
FLOOR_RULES = frozenset({MINOR_FLOOR_RULE, PERSON_FLOOR_RULE})
"""What they block, no setting lets pass and no act lifts."""


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """From which score on a label is blurred, held or blocked; above 1 means never."""

    label: str
    blur: float = 2.0
    hold: float = 2.0
    block: float = 2.0


SUGGESTIVE = Threshold(label="suggestive", blur=0.5, hold=0.9)
SEXUAL = Threshold(label="sexual", hold=0.5, block=0.85)
"""What holds for a sexual label that nobody has set bounds for."""


def label_key(label: str) -> str:
    """By which labels are compared: checkers differ in case and in what stands between words."""
    return re.sub(r"[\W_]+", "_", label.casefold()).strip("_")


def bounds_of(label: str, thresholds: Sequence[Threshold]) -> Sequence[Threshold]:
    """What is set for this label; for a sexual one that is not named, what holds by default."""
    key = label_key(label)
    if named := [threshold for threshold in thresholds if label_key(threshold.label) == key]:
        return named
    if key in SUGGESTIVE_LABELS:
        return (SUGGESTIVE,)
    return (SEXUAL,) if key in SEXUAL_LABELS else ()


def unjudged(labels: Iterable[str], thresholds: Sequence[Threshold]) -> bool:
    """Whether nothing that a checker with these labels says could keep a picture back: no score,
    which is 1 at most, reaches a bound of any of them."""
    return not any(
        min(bounds.blur, bounds.hold, bounds.block) <= 1
        for label in labels
        for bounds in bounds_of(label, thresholds)
    )


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
    """The verdict with the gravest decision; of equals a floor's, else the first. Raises ValueError
    if empty."""
    return max(verdicts, key=lambda v: (_ORDER.index(v.decision), v.rule in FLOOR_RULES))


def decide(
    scores: Mapping[str, float],
    thresholds: Sequence[Threshold],
    *,
    subject: Subject,
    checker: str,
    checker_version: str,
    prompt_labels: frozenset[str] = frozenset(),
    outside: bool = False,
) -> Verdict:
    """Judge one checker's scores of one subject. `outside`: it descends from a picture that Easel
    did not draw from words alone.

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
    minor = Category.MINOR in prompt_labels | {label_key(label) for label in scores}
    drawn = subject is Subject.OUTPUT
    person = drawn and (outside or Category.REAL_PERSON in prompt_labels)
    for label, score in scores.items():
        key = label_key(label)
        if minor and key in SEXUAL_LABELS and score >= MINOR_FLOOR_SCORE:
            verdicts.append(verdict(Decision.BLOCK, MINOR_FLOOR_RULE, label, score))
        if person and key in SEXUAL_LABELS - SUGGESTIVE_LABELS and score >= PERSON_FLOOR_SCORE:
            verdicts.append(verdict(Decision.BLOCK, PERSON_FLOOR_RULE, label, score))
        for threshold in bounds_of(label, thresholds):
            for decision in (Decision.BLOCK, Decision.HOLD, Decision.BLUR):
                bound = float(getattr(threshold, decision.value))
                if score >= bound:
                    verdicts.append(verdict(decision, f"{label}>={bound:.2f}", label, score))
                    break
    return worst(verdicts)
