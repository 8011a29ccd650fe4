"""Measure a trained model: what it draws, judged against the drawings it was to learn.

Everything is fixed by the seed. The judge (`judge.py`) is not trained. What no training may have
sampled (colours and pairs held out by `scenes.py`) is what the rows about colours and pairs ask.
"""

import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from generation.builtin import (
    DEFAULT_GUIDANCE,
    DEFAULT_STEPS,
    compositions,
    goals,
    known_names,
    retouching,
    trials,
)
from generation.builtin.compose import Composer, plan, to_images
from generation.builtin.concepts import Concept, clean
from generation.builtin.export import draw
from generation.builtin.grounds import VARIANTS, draw_grounds
from generation.builtin.judge import Bank, on_white
from generation.builtin.lineup import Lineup
from generation.builtin.report import Report, Row
from generation.builtin.scenes import SINGLE
from generation.builtin.sources import (
    LANGUAGES,
    TRAINED_STYLE,
    UNSEEN_STYLE,
    Style,
    load_records,
    load_style,
    render,
)
from generation.builtin.words import Scene

_JUDGED: Final = 96  # side in pixels of the scenes that the judge compares with
_Trial = Callable[[trials.Studio], list[Row]]
_TRIALS: Final[tuple[_Trial, ...]] = (
    trials.colours,
    trials.backgrounds,
    trials.pairs,
    trials.negatives,
    retouching.restyled,
    retouching.inpainted,
    retouching.seeds,
    retouching.sharp,
)
_FOR_LESSONS: Final[tuple[tuple[frozenset[str], _Trial], ...]] = (
    (frozenset({"related"}), compositions.relations),
    (frozenset({"ground"}), compositions.grounds),
    (frozenset({"style"}), compositions.styles),
    (frozenset({"related", "ground", "style"}), compositions.sentences),
)
"""Trials of what not every model was taught: kinds of scenes in the recipe's `mix`."""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The real drawings: what the model knows first, then all else that the set holds."""

    known: list[Concept]
    codes: list[str]  # of every drawing; those of `known` come first, in the same order
    style: Style
    size: int

    @cached_property
    def bank(self) -> Bank:
        """Every drawing of the trained style."""
        return self._bank(self.style, self.codes)

    def bank_of(self, style: Style) -> tuple[Bank, dict[int, int]]:
        """A bank in another style, and where each known concept lies in it."""
        drawn = [code for code in self.codes if style.svg(code)]
        places = {code: place for place, code in enumerate(drawn)}
        known = {k: places[c.code] for k, c in enumerate(self.known) if c.code in places}
        return self._bank(style, drawn), known

    @cached_property
    def lineup(self) -> Lineup:
        """Compares with scenes on grounds of other variants than training's."""
        return Lineup(Composer(self._drawings, draw_grounds(_JUDGED, "judge "), _JUDGED))

    @cached_property
    def _drawings(self) -> list[Image.Image]:
        return [self._render(self.style, concept.code) for concept in self.known]

    @cached_property
    def _composer(self) -> Composer:
        return Composer(self._drawings, draw_grounds(self.size), self.size)

    def composed(self, scenes: Sequence[Scene], rng: random.Random) -> list[Image.Image]:
        """The scenes as the training set shows them."""
        chance = torch.Generator().manual_seed(rng.getrandbits(32))
        return to_images(self._composer.compose(plan(scenes, rng, VARIANTS), chance))

    def compose(self, concept: int, rng: random.Random, size: int | None = None) -> Image.Image:
        """A known concept as large as the training set shows it, on paper; `size` x `size` pixels.

        Drawn here once more and not by `composed`: so a fault there cannot hide in what the
        judge compares with, and the cases of all generations of the model stay the same.
        """
        whole = size or self.size
        side = min(round(rng.uniform(*SINGLE) * whole), whole)
        room = (whole - side) // 2
        reach = min(max(round(whole / 64), 1), room)
        x, y = (room + rng.randint(-reach, reach) for _ in range(2))
        drawn = self._render(self.style, self.known[concept].code, whole)
        rgba = np.asarray(drawn.resize((side, side), Image.Resampling.LANCZOS), np.float32)
        page = np.full((whole, whole, 3), 255, np.float32)
        under = page[y : y + side, x : x + side]
        under += rgba[..., 3:] / 255 * (rgba[..., :3] - under)
        return Image.fromarray(page.round().astype(np.uint8))

    def _bank(self, style: Style, codes: list[str]) -> Bank:
        return Bank([on_white(self._render(style, code)) for code in codes])

    def _render(self, style: Style, code: str, size: int | None = None) -> Image.Image:
        svg = style.svg(code)
        if svg is None:
            raise LookupError(f"{style.name} has no drawing of {code}")
        return render(svg, size or self.size)


def open_gallery(model: Path, folder: Path, size: int) -> Gallery:
    """The drawings for the names that the model's folder lists; packages are kept in `folder`."""
    style = load_style(TRAINED_STYLE, folder)
    records = load_records(folder)
    by_name = {clean(r["label"]): r["hexcode"] for r in records["en"] if style.svg(r["hexcode"])}
    names, synonyms = known_names(model), _read(model / "synonyms.json")
    known = [
        Concept(
            code=by_name[names["en"][place]],
            names={k: (names[k][place], *synonyms[k][place]) for k in LANGUAGES},
        )
        for place in range(len(names["en"]))
    ]
    first = [concept.code for concept in known]
    rest = [code for code in by_name.values() if code not in set(first)]
    return Gallery(known=known, codes=first + rest, style=style, size=size)


def load_pipeline(model: Path, device: str = "cpu") -> StableDiffusionPipeline:
    """The stock text-to-image pipeline in single precision."""
    pipe = StableDiffusionPipeline.from_pretrained(
        model, dtype=torch.float32, use_safetensors=True, local_files_only=True
    ).to(device)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def evaluate_builtin(
    model: Path,
    *,
    seed: int = 0,
    work: Path,
    device: str = "cpu",
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Every figure for the model in the folder `model`.

    `work` keeps the drawings' packages between runs. Raises FileNotFoundError when the folder has
    no `names.json`, subprocess.CalledProcessError when npm cannot get the drawings.
    """
    pipe = load_pipeline(model, device)
    size = pipe.unet.config.sample_size * pipe.vae_scale_factor
    gallery = open_gallery(model, work / "packages", size)
    known = len(gallery.known)
    wanted = goals.goals_for(known)
    studio = trials.Studio(pipe=pipe, gallery=gallery, goals=wanted, seed=seed)
    rows = [
        Row(name="names known", value=known, cases=1, unit="count", target=wanted.names),
        Row(
            name="side of a picture in pixels",
            value=size,
            cases=1,
            unit="count",
            target=wanted.side,
        ),
        _size_on_disk(model),
        _one_picture(pipe, wanted.seconds),
    ]
    unseen = load_style(UNSEEN_STYLE, work / "packages")
    for trial in (lambda studio: trials.retrieval(studio, unseen), *_TRIALS, *_taught(model)):
        found = trial(studio)
        rows += found
        for row in found:
            say(f"{row.name}: {row.value:.4g} (control {row.control})")
    return Report(model=_title(model), seed=seed, rows=tuple(rows))


def _taught(model: Path) -> list[_Trial]:
    mix = _read(model / "training.json")["recipe"]["mix"]
    lessons = {lesson for lesson, share in mix.items() if share}
    return [trial for needed, trial in _FOR_LESSONS if needed <= lessons]


def _title(model: Path) -> str:
    return f"{model.name} ({_read(model / 'model_index.json')['_class_name']})"


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _size_on_disk(model: Path) -> Row:
    size = sum(file.stat().st_size for file in model.rglob("*") if file.is_file())
    return Row(
        name="size on disk",
        value=size / 1e6,
        cases=1,
        unit="MB",
        target=goals.MEGABYTES,
        at_least=False,
    )


def _one_picture(pipe: StableDiffusionPipeline, target: float) -> Row:
    """Median wall time of one picture, after one that warms up."""
    times = []
    for _ in range(6):
        begun = time.perf_counter()
        draw(pipe, ["red apple"], [0])
        times.append(time.perf_counter() - begun)
    name = f"one picture, {DEFAULT_STEPS} steps, guidance {DEFAULT_GUIDANCE:g}"
    return Row(
        name=name,
        value=statistics.median(times[1:]),
        cases=5,
        unit="seconds",
        target=target,
        at_least=False,
    )
