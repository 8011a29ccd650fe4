"""Judging pictures: every checker's scores against the thresholds, failing closed."""

from collections.abc import Mapping, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Thread
from types import MappingProxyType

import structlog
from PIL import Image

from generation.safety.checkers import Checker, load_checker
from storage.catalog import CheckerEntry
from storage.domain import Decision, Subject, Threshold, Verdict, decide
from storage.domain.policy import unjudged
from storage.labels import deaf_words

__all__ = ["Checker", "judge", "load_checker", "load_checkers", "require_bounds"]

_log = structlog.get_logger(__name__)


def load_checkers(
    specs: Sequence[str], device: str, known: Mapping[str, CheckerEntry] = MappingProxyType({})
) -> list[Checker]:
    """The checkers that the settings name, in that order; `known` are those of the catalog.
    Raises what `load_checker` raises."""
    return [load_checker(spec, device, known) for spec in specs]


def require_bounds(checkers: Sequence[Checker], thresholds: Sequence[Threshold]) -> None:
    """Raises ValueError, in words for the operator, for a checker to which nobody would listen."""
    for checker in checkers:
        if unjudged(checker.labels, thresholds):
            raise ValueError(deaf_words(checker.name, checker.labels))


def judge(
    images: Sequence[Image.Image],
    *,
    subject: Subject,
    checkers: Sequence[Checker],
    thresholds: Sequence[Threshold],
    prompt_labels: frozenset[str] = frozenset(),
    outside: bool = False,
    timeout_seconds: float = 30.0,
) -> list[list[Verdict]]:
    """One list per image, with one verdict per checker.

    Never raises, and never allows what was not judged: for a checker that raises, takes longer
    than `timeout_seconds` for all images together, or returns anything but one set of finite
    scores per image, and also when there is no checker at all, the verdict is HOLD by the rule
    "checker-failed".
    """
    if not checkers:
        return [[_failed(subject, "none", "")] for _ in images]
    by_checker = [
        _verdicts(images, checker, subject, thresholds, prompt_labels, outside, timeout_seconds)
        for checker in checkers
    ]
    return [list(verdicts) for verdicts in zip(*by_checker, strict=True)]


def _failed(subject: Subject, checker: str, checker_version: str) -> Verdict:
    return Verdict(
        subject=subject,
        decision=Decision.HOLD,
        rule="checker-failed",
        checker=checker,
        checker_version=checker_version,
    )


def _verdicts(
    images: Sequence[Image.Image],
    checker: Checker,
    subject: Subject,
    thresholds: Sequence[Threshold],
    prompt_labels: frozenset[str],
    outside: bool,
    timeout_seconds: float,
) -> list[Verdict]:
    judged = partial(
        decide,
        thresholds=thresholds,
        subject=subject,
        checker=checker.name,
        checker_version=checker.version,
        prompt_labels=prompt_labels,
        outside=outside,
    )
    try:
        found = _scores_within(timeout_seconds, checker, images)
        if len(found) != len(images):
            raise ValueError("not one result per image")
        return [
            judged({str(label): float(score) for label, score in scores.items()})
            for scores in found
        ]
    except Exception as error:
        # Its type alone: what a checker says of a picture may quote the picture's text.
        _log.error("checker failed", checker=checker.name, error=type(error).__name__)
        return [_failed(subject, checker.name, checker.version) for _ in images]


class _CheckerStopped(Exception):
    """The checker left by an exception that is not meant to be caught."""


def _scores_within(
    seconds: float, checker: Checker, images: Sequence[Image.Image]
) -> list[dict[str, float]]:
    """What the checker says, asked in a thread of its own, since a thread cannot be ended.

    Raises queue.Empty when it says nothing in time, or what the checker raised.
    """
    answers: SimpleQueue[list[dict[str, float]] | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(checker.scores(images))
        except Exception as error:
            answers.put(error)
        except BaseException:
            answers.put(_CheckerStopped())

    Thread(target=ask, name=f"checker {checker.name}", daemon=True).start()
    answer = answers.get(timeout=seconds)
    if isinstance(answer, Exception):
        raise answer
    return answer
