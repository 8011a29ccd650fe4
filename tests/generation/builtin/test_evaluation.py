"""Every trial of a model that was taught everything gives its rows, however badly it draws."""

from dataclasses import replace
from pathlib import Path

import pytest

from generation.builtin import compositions, goals, retouching, trials
from generation.builtin.concepts import Concept
from generation.builtin.dataset import Drawings
from generation.builtin.evaluate import Gallery, _taught, load_pipeline
from generation.builtin.export import SHEET_PROMPTS, _write_json
from generation.builtin.sentences import SENTENCES, Sentence
from generation.builtin.sources import Style
from generation.builtin.train import Recipe, train
from tests.generation.builtin.test_training import CPU, quiet

SHAPES = {
    "1": '<circle cx="16" cy="16" r="14" fill="red"/>',
    "2": '<rect x="2" y="2" width="28" height="28" fill="blue"/>',
    "3": '<rect x="2" y="12" width="28" height="8" fill="green"/>',
}


@pytest.fixture(autouse=True)
def few_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three names have no pair that is held out; and a few cases are enough."""
    for module in (compositions, trials):
        monkeypatch.setattr(module, "held_out_pair", lambda *_: True)
    monkeypatch.setattr(compositions, "_RELATED", 12)
    known = Sentence(text="a ball in the snow", things=("ball",), ground="snow")
    monkeypatch.setattr(compositions, "SENTENCES", (known, *SENTENCES[:3]))
    for module in (compositions, trials, retouching):
        monkeypatch.setattr(module, "CASES", 4)


@pytest.fixture
def gallery(concepts: list[Concept]) -> Gallery:
    style = Style(name="shapes", size=32, bodies=SHAPES, by_code={code: code for code in SHAPES})
    return Gallery(known=concepts, codes=list(SHAPES), style=style, size=32)


def test_the_judge_of_relations_sees_right_places_and_wrong_ones(gallery: Gallery) -> None:
    studio = trials.Studio(pipe=None, gallery=gallery, goals=goals.SECOND, seed=0)
    scenes = compositions._unseen(studio)
    real = gallery.composed(scenes, studio.rng("real"))
    swapped = [replace(scene, things=scene.things[::-1]) for scene in scenes]
    (right, _), (wrong, _) = (
        compositions._placed(studio, "x", real, asked) for asked in (scenes, swapped)
    )
    assert right.value > 0.95
    assert wrong.value < 0.05
    assert right.control is not None


def test_a_sentence_is_recognised_by_its_things_ground_and_style(gallery: Gallery) -> None:
    studio = trials.Studio(pipe=None, gallery=gallery, goals=goals.SECOND, seed=0)
    meant = Sentence(text="", things=("ball", "red:box"), relation="on", ground="grass")
    scene = meant.scene(gallery.known)
    assert scene is not None
    (picture,) = gallery.composed([scene], studio.rng("real"))
    assert compositions._recognised(studio, picture, scene)
    for other in (
        replace(scene, ground="night"),
        replace(scene, style="outline"),
        replace(scene, things=scene.things[::-1]),
    ):
        assert not compositions._recognised(studio, picture, other), other
    assert Sentence(text="", things=("knight",)).scene(gallery.known) is None


def test_every_trial_gives_rows_with_their_controls(
    recipe: Recipe, drawings: Drawings, gallery: Gallery, work: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    train(recipe, drawings, session=quiet(work), device=CPU, workers=0, out=out, shard_mib=None)
    pipe = load_pipeline(out)
    studio = trials.Studio(pipe=pipe, gallery=gallery, goals=goals.SECOND, seed=0)
    rows = trials.retrieval(studio, gallery.style)
    for trial in (trials.pairs, retouching.sharp, *_taught(out)):
        rows += trial(studio)
    assert len({row.name for row in rows}) == len(rows)
    assert all(0 <= row.value < 256 for row in rows)
    said = " ".join(row.name for row in rows)
    for kind in ("unseen scenes", "ground", "style", "sentences", "sharpness", "pairs", "ceiling"):
        assert kind in said, kind


def test_only_what_was_taught_is_asked(tmp_path: Path) -> None:
    first = {"pair": 0.7, "small": 0.04, "tint": 0.12, "background": 0.22}
    for mix, trials_asked in (
        (first, []),
        ({**first, "ground": 0.1, "style": 0.0}, [compositions.grounds]),
    ):
        _write_json(tmp_path / "training.json", {"recipe": {"mix": mix}})
        assert _taught(tmp_path) == trials_asked


def test_more_names_mean_higher_goals() -> None:
    assert goals.goals_for(460) is goals.FIRST
    assert goals.goals_for(1644) is goals.SECOND


def test_the_sheet_and_the_sentences_are_what_the_card_says() -> None:
    assert len(SHEET_PROMPTS) == len(set(SHEET_PROMPTS)) == 64
    assert len({sentence.text for sentence in SENTENCES}) == 30
    assert {sentence.text for sentence in SENTENCES} <= set(SHEET_PROMPTS)
