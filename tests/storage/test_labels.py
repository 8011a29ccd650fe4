"""Labels of checkers: every sexual one has bounds, and a checker that has none is found."""

import json
from pathlib import Path

import pytest

from storage.domain import Decision, Subject, Threshold, Verdict, decide, worst
from storage.domain.policy import SEXUAL_LABELS, SUGGESTIVE_LABELS, label_key, unjudged
from storage.settings import Settings
from tests.conftest import make_settings

EXPLICIT = [
    *("porn", "hentai", "explicit", "sexual", "nude", "nudity", "unsafe", "nsfw", "naked"),
    *("pornography", "erotic", "sexually_explicit", "nsfw_concept", "xxx"),
]
SAFE = ["safe", "normal", "sfw", "neutral", "drawings", "drawing", "not_nsfw"]


def judged(settings: Settings, scores: dict[str, float], **given: object) -> Verdict:
    return decide(
        scores,
        settings.thresholds_for(age_restricted=bool(given.get("age_restricted"))),
        subject=Subject.OUTPUT,
        checker="c",
        checker_version="1",
        prompt_labels=frozenset(str(given["also"]).split()) if "also" in given else frozenset(),
    )


@pytest.mark.parametrize("label", EXPLICIT)
@pytest.mark.parametrize("spelled", [str.lower, str.upper, str.title])
def test_a_sure_score_is_never_shown(tmp_path: Path, label: str, spelled: type[str]) -> None:
    settings = make_settings(tmp_path)
    assert judged(settings, {spelled(label): 0.99}).decision is Decision.BLOCK
    assert judged(settings, {spelled(label): 0.6}).decision in (Decision.HOLD, Decision.BLOCK)
    assert judged(settings, {spelled(label): 0.1}).decision is Decision.ALLOW
    loose = judged(settings, {spelled(label): 0.99}, age_restricted=True)
    assert loose.decision is Decision.BLUR


@pytest.mark.parametrize("label", ["sexy", "Suggestive", "RACY"])
def test_what_is_suggestive_is_covered_and_then_held(tmp_path: Path, label: str) -> None:
    settings = make_settings(tmp_path)
    assert judged(settings, {label: 0.6}).decision is Decision.BLUR
    assert judged(settings, {label: 0.95}).decision is Decision.HOLD
    assert judged(settings, {label: 0.1}).decision is Decision.ALLOW


def test_spelling_means_nothing() -> None:
    spelled = ["Sexually Explicit", "sexually-explicit", "SEXUALLY_EXPLICIT", " sexually explicit "]
    assert {label_key(label) for label in spelled} == {"sexually_explicit"}
    assert SUGGESTIVE_LABELS <= SEXUAL_LABELS
    assert {label_key(label) for label in SEXUAL_LABELS} == SEXUAL_LABELS


@pytest.mark.parametrize("label", SAFE)
def test_what_means_safe_needs_none(tmp_path: Path, label: str) -> None:
    assert judged(make_settings(tmp_path), {label: 1.0}).decision is Decision.ALLOW
    assert label_key(label) not in SEXUAL_LABELS


def test_who_sets_one_label_has_not_opened_the_others(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, thresholds={"nsfw": {"block": 0.9}})
    assert judged(settings, {"nsfw": 0.7}).decision is Decision.ALLOW, "as they said"
    assert judged(settings, {"porn": 0.99}).decision is Decision.BLOCK
    empty = make_settings(tmp_path, thresholds={}, age_restricted_thresholds={})
    assert judged(empty, {"hentai": 0.99}).decision is Decision.BLOCK
    assert judged(empty, {"hentai": 0.99}, age_restricted=True).decision is Decision.BLOCK


def test_all_sexual_labels_at_once_and_one_alone(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, thresholds={"Sexual": {"blur": 0.3}, "HENTAI": {}})
    assert judged(settings, {"porn": 0.99}).decision is Decision.BLUR
    assert judged(settings, {"sexy": 0.31}).decision is Decision.BLUR
    assert judged(settings, {"hentai": 0.99}).decision is Decision.ALLOW, "never, as they said"


def test_the_floor_knows_them_all(tmp_path: Path) -> None:
    loose = make_settings(tmp_path, thresholds={label: {} for label in SEXUAL_LABELS})
    for label in SEXUAL_LABELS:
        verdict = judged(loose, {label.upper(): 0.25}, also="minor")
        assert verdict.rule == "floor:minor"
    assert judged(loose, {"Porn": 0.25, "MINOR": 0.9}).rule == "floor:minor"


def test_the_gravest_label_decides(tmp_path: Path) -> None:
    """As a five-class checker says it."""
    scores = {"drawings": 0.05, "hentai": 0.02, "neutral": 0.03, "porn": 0.9, "sexy": 0.0}
    verdict = judged(make_settings(tmp_path), scores)
    assert (verdict.label, verdict.rule) == ("porn", "porn>=0.85")
    assert worst([verdict]) is verdict


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({"normal", "nsfw"}, False),
        ({"Porn", "Neutral"}, False),
        ({"gore", "safe"}, True),
        ({"safe"}, True),
        ({"LABEL_0", "LABEL_1"}, True),
        ({"low", "medium", "high", "neutral"}, True),
        (set(), True),
    ],
)
def test_a_checker_whose_labels_mean_nothing(tmp_path: Path, labels: set[str], found: bool) -> None:
    assert unjudged(labels, make_settings(tmp_path).thresholds_for(age_restricted=False)) is found
    bounds = (Threshold(label="Gore", hold=0.5),)
    assert unjudged({"gore"}, bounds) is False
    never = (Threshold(label="gore"), Threshold(label="nsfw"))
    assert unjudged({"gore", "nsfw"}, never) is True, "bounds that no score reaches are none"


def classifier(folder: Path, *labels: str) -> str:
    folder.mkdir()
    named = {str(number): label for number, label in enumerate(labels)}
    (folder / "config.json").write_text(json.dumps({"id2label": named}))
    return f"transformers:{folder}"


def test_the_doctor_says_so(tmp_path: Path) -> None:
    from bot.terminal.doctor import _checkers

    well = classifier(tmp_path / "well", "Porn", "Neutral")
    deaf = classifier(tmp_path / "deaf", "gore", "peace")
    settings = make_settings(tmp_path, safety_checkers=f"opennsfw,{well},{deaf},transformers:a/b")
    found = {words: sound for sound, words in _checkers(settings)}
    assert [sound for sound in found.values() if sound is False] == [False]
    [words] = [words for words, sound in found.items() if sound is False]
    assert str(tmp_path / "deaf") in words
    assert "gore, peace" in words
    assert "EASEL_THRESHOLDS" in words
    named = make_settings(tmp_path, safety_checkers=deaf, thresholds={"gore": {"hold": 0.5}})
    assert all(sound is not False for sound, _ in _checkers(named))
