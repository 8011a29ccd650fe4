"""Policy: scores and thresholds make a verdict, and what cannot be judged is held."""

import math
from collections.abc import Sequence

import pytest

from storage.domain import (
    Decision,
    Place,
    Platform,
    Subject,
    Threshold,
    Verdict,
    decide,
    worst,
)

STRICT = (Threshold(label="nsfw", blur=0.3, hold=0.5, block=0.8),)


def judged(
    scores: dict[str, float],
    labels: frozenset[str] = frozenset(),
    *,
    thresholds: Sequence[Threshold] = STRICT,
    subject: Subject = Subject.OUTPUT,
    outside: bool = False,
) -> Verdict:
    return decide(
        scores,
        thresholds,
        subject=subject,
        checker="c",
        checker_version="1",
        prompt_labels=labels,
        outside=outside,
    )


@pytest.mark.parametrize(
    ("score", "decision"),
    [
        (0.0, Decision.ALLOW),
        (0.299, Decision.ALLOW),
        (0.3, Decision.BLUR),
        (0.5, Decision.HOLD),
        (0.8, Decision.BLOCK),
        (1.0, Decision.BLOCK),
    ],
)
def test_thresholds(score: float, decision: Decision) -> None:
    assert judged({"nsfw": score}).decision is decision


@pytest.mark.parametrize("score", [math.nan, math.inf, -1.0, 1.5])
def test_a_score_that_is_none_is_held(score: float) -> None:
    verdict = judged({"nsfw": score})
    assert (verdict.decision, verdict.rule) == (Decision.HOLD, "checker-failed")
    assert all(math.isfinite(s) for s in verdict.scores.values()), "JSON has no NaN"


def test_no_scores_at_all_is_held() -> None:
    assert judged({}).decision is Decision.HOLD


def test_the_floor_needs_a_minor_and_a_sexual_score() -> None:
    minor = frozenset({"minor"})
    assert judged({"nsfw": 0.25}, minor).rule == "floor:minor"
    assert judged({"nsfw": 0.25}).decision is Decision.ALLOW
    assert judged({"nsfw": 0.1}, minor).decision is Decision.ALLOW


def test_the_floor_for_real_persons_needs_one_or_a_picture_from_outside() -> None:
    person, loose = frozenset({"real_person"}), (Threshold(label="nsfw"), Threshold(label="sexy"))
    for who in ({"labels": person}, {"outside": True}):
        assert judged({"nsfw": 0.5}, thresholds=loose, **who).rule == "floor:person"
        assert judged({"Porn": 0.5}, thresholds=loose, **who).rule == "floor:person"
        assert judged({"nsfw": 0.9}, **who).rule == "floor:person", "it outranks other bounds"
        assert judged({"nsfw": 0.45}, thresholds=loose, **who).decision is Decision.ALLOW
        assert judged({"sexy": 0.9}, thresholds=loose, **who).decision is Decision.ALLOW
        seen = judged({"nsfw": 0.9}, thresholds=loose, subject=Subject.REFERENCE, **who)
        assert seen.decision is Decision.ALLOW, "what is brought has the bounds of the place"
    assert judged({"nsfw": 0.9}, thresholds=loose).decision is Decision.ALLOW


def test_a_floor_outranks_what_is_as_grave() -> None:
    plain = judged({"nsfw": 0.9})
    floor = judged({"nsfw": 0.9}, frozenset({"minor"}))
    assert floor.rule == "floor:minor"
    assert worst([plain, floor]) is floor
    assert worst([floor, plain]) is floor


def test_the_gravest_decides() -> None:
    mild, grave = judged({"nsfw": 0.3}), judged({"nsfw": 0.9})
    assert worst([mild, grave, mild]) is grave


def test_four_pictures_fit_into_one_discord_request() -> None:
    mib = 1024 * 1024
    place = Place(platform=Platform.DISCORD, upload_limit_bytes=50 * mib)
    assert place.picture_limit_bytes(1) == 24 * mib
    assert place.picture_limit_bytes(4) == 6 * mib
    small = Place(platform=Platform.DISCORD)
    assert small.picture_limit_bytes(1) == 10 * mib
    shell = Place(platform=Platform.TERMINAL, upload_limit_bytes=64 * mib)
    assert shell.picture_limit_bytes(4) == 64 * mib
