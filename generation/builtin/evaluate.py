"""Measure a trained model: what it draws, judged against the drawings it was to learn.

Everything is fixed by the seed. The judge (`judge.py`) is not trained. What no training may have
sampled (colours and pairs held out by `scenes.py`) is what the rows about colours and pairs ask.
"""

import json
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from generation.builtin import DEFAULT_GUIDANCE, DEFAULT_STEPS, known_names, retouching, trials
from generation.builtin.concepts import Concept, clean
from generation.builtin.export import draw
from generation.builtin.judge import Bank, on_white
from generation.builtin.report import Report, Row
from generation.builtin.scenes import Composer
from generation.builtin.sources import LANGUAGES, Style, load_records, load_style, render
from generation.builtin.words import Scene, Thing

TRAINED_STYLE: Final = "noto"
UNSEEN_STYLE: Final = "twemoji"
_TRIALS: Final[tuple[Callable[[trials.Studio], list[Row]], ...]] = (
    trials.colours,
    trials.backgrounds,
    trials.pairs,
    trials.negatives,
    retouching.restyled,
    retouching.inpainted,
    retouching.seeds,
)


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
    def _composer(self) -> Composer:
        drawings = [self._render(self.style, concept.code) for concept in self.known]
        return Composer({self.style.name: list(drawings)}, self.size)

    def compose(self, concept: int, rng: random.Random) -> Image.Image:
        """A known concept as the training set shows it, on paper."""
        scene = Scene(things=(Thing(concept=concept),))
        return Image.fromarray(self._composer.compose(scene, rng))

    def _bank(self, style: Style, codes: list[str]) -> Bank:
        return Bank([on_white(self._render(style, code)) for code in codes])

    def _render(self, style: Style, code: str) -> Image.Image:
        svg = style.svg(code)
        if svg is None:
            raise LookupError(f"{style.name} has no drawing of {code}")
        return render(svg, self.size)


def open_gallery(model: Path, folder: Path, size: int) -> Gallery:
    """The drawings for the names that the model's folder lists; packages are kept in `folder`."""
    style = load_style(TRAINED_STYLE, folder)
    records = load_records(folder)
    by_name = {clean(r["label"]): r["hexcode"] for r in records["en"] if style.svg(r["hexcode"])}
    names = known_names(model)
    known = [
        Concept(code=by_name[row[0]], names={k: (n,) for k, n in zip(LANGUAGES, row, strict=True)})
        for row in zip(*(names[language] for language in LANGUAGES), strict=True)
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
    studio = trials.Studio(pipe=pipe, gallery=gallery, seed=seed)
    rows = [
        Row(name="names known", value=len(gallery.known), cases=1, unit="count", target=450),
        Row(name="side of a picture in pixels", value=size, cases=1, unit="count", target=64),
        _one_picture(pipe),
    ]
    unseen = load_style(UNSEEN_STYLE, work / "packages")
    for trial in (lambda studio: trials.retrieval(studio, unseen), *_TRIALS):
        found = trial(studio)
        rows += found
        for row in found:
            say(f"{row.name}: {row.value:.4g} (control {row.control})")
    return Report(model=_title(model), seed=seed, rows=tuple(rows))


def _title(model: Path) -> str:
    index: dict[str, Any] = json.loads((model / "model_index.json").read_text(encoding="utf-8"))
    return f"{model.name} ({index['_class_name']})"


def _one_picture(pipe: StableDiffusionPipeline) -> Row:
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
        target=0.6,
        at_least=False,
    )
