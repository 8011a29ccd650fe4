"""The training loop at tiny size: interrupted, resumed, finished, exported."""

import json
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from generation.builtin import denoiser, known_names, reader
from generation.builtin.dataset import Drawings, Scenes
from generation.builtin.evaluate import load_pipeline
from generation.builtin.export import draw
from generation.builtin.networks import Shape
from generation.builtin.scenes import Mix
from generation.builtin.stage import Budget, Session, Stateful, cosine, run_stage
from generation.builtin.train import Recipe, tokenizer_for, train
from generation.builtin.words import (
    COLOURS,
    GROUNDS,
    RELATIONS,
    STYLES,
    Scene,
    Thing,
    without_accents,
)

CPU = torch.device("cpu")


class Interrupted(Session):
    """A session that is over after so many looks at the clock."""

    looks = 10**6

    def over(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def quiet(work: Path, looks: int = 10**6) -> Session:
    session = Interrupted(work=work, say=lambda line: None)
    session.looks = looks
    return session


def run(recipe: Recipe, drawings: Drawings, session: Session, out: Path, workers: int = 0) -> bool:
    return train(
        recipe, drawings, session=session, device=CPU, workers=workers, out=out, shard_mib=None
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_interrupted_and_resumed_training_is_the_same_as_straight(
    recipe: Recipe, drawings: Drawings, tmp_path: Path, workers: int
) -> None:
    assert run(recipe, drawings, quiet(tmp_path / "straight"), tmp_path / "one")
    work, starts = tmp_path / "halting", 1
    shutil.copytree(tmp_path / "straight" / "tokenizer", work / "tokenizer")
    while not run(recipe, drawings, quiet(work, looks=3), tmp_path / "two", workers):
        starts += 1
    assert starts > 3
    files = (tmp_path / name / "training.json" for name in ("one", "two"))
    one, two = (json.loads(file.read_text()) for file in files)
    assert one == two
    assert one["exposures"]["least"] >= 4
    assert one["exposures"]["total"] >= 3 * 4
    for weights in (tmp_path / "one").rglob("*.safetensors"):
        again = tmp_path / "two" / weights.relative_to(tmp_path / "one")
        assert weights.read_bytes() == again.read_bytes(), weights
    samples = torch.load(work / "denoiser.pt", weights_only=True)["tally"]["samples"]
    assert samples == recipe.exposures * recipe.concepts


def test_the_result_is_a_stock_folder_with_its_names(
    recipe: Recipe, drawings: Drawings, work: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    out.mkdir()
    (out / "README.md").write_text("the card")
    assert run(recipe, drawings, quiet(work), out)
    assert (out / "README.md").read_text() == "the card"
    assert known_names(out)["es"] == ["pelota", "caja", "barra"]
    image = draw(load_pipeline(out), ["ball"], [0], num_inference_steps=2)[0]
    assert image.size == (recipe.size, recipe.size)


def test_checkpoints_of_another_recipe_are_refused(
    recipe: Recipe, drawings: Drawings, work: Path, tmp_path: Path
) -> None:
    assert not run(recipe, drawings, quiet(work, looks=0), tmp_path / "model")
    with pytest.raises(ValueError, match="another recipe"):
        run(replace(recipe, seed=9), drawings, quiet(work), tmp_path / "model")
    assert not run(replace(recipe, minutes=5), drawings, quiet(work, looks=0), tmp_path / "model")


def test_weights_that_are_there_learn_further(
    recipe: Recipe, drawings: Drawings, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert run(recipe, drawings, quiet(tmp_path / "from nothing"), first)
    further = replace(recipe, start=str(first), mix=replace(recipe.mix, pair=0.5))
    assert run(further, drawings, quiet(tmp_path / "further"), second)
    for kept in ("tokenizer/tokenizer.json", "text_encoder/config.json", "unet/config.json"):
        assert (first / kept).read_bytes() == (second / kept).read_bytes(), kept
    one, two = (json.loads((f / "training.json").read_text()) for f in (first, second))
    assert two["recipe"]["start"] == one, "what made the weights, not where they lay"
    before, after = (
        {
            f"{path.parent.name} {name}": weights
            for path in folder.rglob("*.safetensors")
            for name, weights in load_file(path).items()
        }
        for folder in (first, second)
    )
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    for part in ("vae encoder", "text_encoder"):
        assert not any(name.startswith(part) for name in moved), part
    for part in ("vae decoder", "unet add_embedding", "unet conv_out"):
        assert any(name.startswith(part) for name in moved), part


def test_words_mislead_only_where_much_of_the_picture_is_left() -> None:
    captions, times = torch.arange(2000)[:, None].expand(-1, 5), torch.arange(2000) % 1000
    told = denoiser._mislead(captions, times, torch.Generator().manual_seed(0))
    wrong = (told != captions).any(dim=1)
    assert int(times[wrong].max()) < 450
    assert 0.65 < int(wrong.sum()) / 900 < 0.75
    assert told[wrong].tolist() == captions.roll(-1, dims=0)[wrong].tolist()


def test_the_reader_is_asked_for_all_that_a_scene_shows() -> None:
    scene = Scene(
        things=(Thing(concept=2, colour="green", size="big"), Thing(concept=0)),
        relation="under",
        background="blue",
        ground="sea",
        style="pixel art",
    )
    none = [3, len(COLOURS), 2]
    assert reader._answers(scene, 3) == [
        2, list(COLOURS).index("green"), 1, 0, *none[1:], *none,
        RELATIONS.index("under"), list(COLOURS).index("blue"), GROUNDS.index("sea"),
        STYLES.index("pixel art"),
    ]  # fmt: skip
    plain = Scene(things=(Thing(concept=1),))
    nothing = [len(RELATIONS), len(COLOURS), len(GROUNDS), len(STYLES)]
    assert reader._answers(plain, 3) == [1, *none[1:], *none, *none, *nothing]
    assert [size - 1 for size in reader._sizes(3)] == [*none * 3, *nothing]


def test_what_the_reader_is_asked_is_what_the_caption_says(
    recipe: Recipe, drawings: Drawings, work: Path
) -> None:
    tokenizer = tokenizer_for(drawings, replace(recipe, shape=Shape()), work)
    scenes = Scenes(drawings.concepts, 60, 5, Mix())
    tokens, answers = reader.Sayings(scenes, tokenizer)[3]
    drawn = list(scenes.at(3, scenes.rng(3, "said ")))
    assert answers.tolist() == [reader._answers(scene, 3) for scene in drawn]
    for scene, row in zip(drawn, tokens, strict=True):
        said = tokenizer.decode(row, skip_special_tokens=True)
        names = [drawings.concepts[thing.concept].names for thing in scene.things]
        assert any(all(_says(said, name[k]) for name in names) for k in ("en", "fr", "es")), said


def _says(text: str, names: tuple[str, ...]) -> bool:
    bare = without_accents(text).replace(" ", "")
    return any(without_accents(name).replace(" ", "")[:-1] in bare for name in names)


class Counter:
    """A thing to checkpoint."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def state_dict(self) -> dict[str, list[int]]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, list[int]], /) -> None:
        self.steps = state["steps"]


def count(counter: Counter, session: Session, stop_at: int | None = None) -> bool:
    def step(number: int, done: float) -> tuple[torch.Tensor, int]:
        if number == stop_at:
            raise KeyboardInterrupt
        counter.steps.append(number)
        return torch.tensor(1.0 - done), 2

    parts: dict[str, Stateful] = {"counter": counter}
    return run_stage("counting", session, Budget(samples=10), parts, step)


def test_a_stage_goes_on_where_the_interrupt_met_it(work: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        count(Counter(), quiet(work), stop_at=3)
    again = Counter()
    assert count(again, quiet(work))
    assert again.steps == [0, 1, 2, 3, 4]
    assert not list(work.glob("*.part"))


def test_a_stage_stops_at_a_loss_that_is_not_finite(work: Path) -> None:
    def step(number: int, done: float) -> tuple[torch.Tensor, int]:
        return torch.tensor(float("nan")), 1

    with pytest.raises(FloatingPointError):
        run_stage("wild", quiet(work), Budget(samples=5), {}, step)


def test_progress_says_loss_rate_and_time_left(work: Path) -> None:
    lines: list[str] = []
    count(Counter(), Session(work=work, say=lines.append))
    assert re.fullmatch(
        r"counting: 100\.0%  step 5  loss \d\.\d{4}  [\d.]+ samples/s  0\.0 min left", lines[-1]
    )


def test_budgets_and_rates() -> None:
    assert Budget(seconds=10, samples=100).done(5, 20) == 0.5
    assert Budget(samples=100).done(1e6, 20) == 0.2
    assert cosine(0.3, hold=0.4) == 1
    assert cosine(1.0, hold=0.4, floor=0.1) == pytest.approx(0.1)
    assert Session(work=Path(), seconds=0.0, started=time.monotonic() - 1).over()
