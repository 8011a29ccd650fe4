"""The catalog: models, LoRAs, checkers and styles, with licences, hashes and names known. No torch.

A catalog file is TOML:

    [models.dreams]
    source = "someone/dreams-turbo"     # a diffusers folder or hub id
    licence = "…"
    width = 512
    height = 512
    steps = 2
    guidance_scale = 0.0

    [loras.ink]
    source = "/srv/loras/ink.safetensors"
    models = ["dreams"]

    [checkers.falcon]
    source = "transformers:someone/nsfw"
    revision = "…"

    [styles.sticker]
    suffix = ", die-cut sticker, white border"
    negative = "photo"
"""

import json
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from storage.domain import ImageRequest
from storage.emoji import MENTION, spoken
from storage.settings import Settings
from storage.written import read_text

BUILTIN = "builtin"

SCHEDULERS = (
    "ddim",
    "dpmpp_2m",
    "dpmpp_2m_karras",
    "dpmpp_2m_sde",
    "euler",
    "euler_a",
    "lcm",
    "pndm",
    "unipc",
)
"""The names of `generation.schedulers.SCHEDULERS`, without torch; a test compares the two."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelEntry(_Entry):
    source: str = Field(min_length=1)
    """A folder in diffusers layout, or a hub id."""
    revision: str | None = None
    variant: str | None = None
    """Which weight files, for example "fp16"."""
    licence: str = ""
    sha256: dict[str, str] = Field(default_factory=dict)
    """Per weight file, relative to the folder; a mismatch keeps the model from loading."""
    width: int = Field(512, ge=16, le=4096, multiple_of=8)
    height: int = Field(512, ge=16, le=4096, multiple_of=8)
    """Default size in pixels; aspects keep its area."""
    size_multiple: int = Field(8, ge=8, multiple_of=8)
    """Width and height must divide by this; diffusers wants multiples of 8."""
    steps: int = Field(30, ge=1)
    max_steps: int = Field(100, ge=1, le=999)
    """Models are trained on 1,000 steps, and not every sampler can take them all. `load_catalog`
    lowers it where the model's own sampler takes fewer."""
    guidance_scale: float = Field(7.0, ge=0)
    max_guidance_scale: float = Field(20.0, ge=0)
    guidance_distilled: bool = False
    """Guidance is in the weights (LCM and alike), so that there is no negative prompt."""
    scheduler: str | None = None
    """A name of SCHEDULERS; None is the model's own."""
    display_scale: int = Field(1, ge=1, le=8)
    """Small models' pictures are shown enlarged this many times (Lanczos)."""
    names: tuple[str, ...] = ()
    """If not empty, the only things that the model knows: autocomplete and an honest hint."""

    @field_validator("scheduler")
    @classmethod
    def _is_scheduler(cls, name: str | None) -> str | None:
        if name is None or name in SCHEDULERS:
            return name
        nearest = get_close_matches(name, SCHEDULERS, n=1, cutoff=0.0)[0]
        known = ", ".join(SCHEDULERS)
        raise ValueError(f"there is no {name!r}; did you mean {nearest!r}? Known: {known}")

    @property
    def takes_negative(self) -> bool:
        """With its usual guidance."""
        return self.hears_negative(self.guidance_scale)

    def hears_negative(self, guidance_scale: float) -> bool:
        """Whether a negative prompt changes anything: up to 1 there is no guidance."""
        return guidance_scale > 1 and not self.guidance_distilled

    def size(self, aspect: tuple[int, int]) -> tuple[int, int]:
        """Width and height of `aspect` with the default size's area, in whole multiples."""
        area, ratio = self.width * self.height, aspect[0] / aspect[1]
        unit = self.size_multiple
        width = max(unit, round((area * ratio) ** 0.5 / unit) * unit)
        height = max(unit, round((area / ratio) ** 0.5 / unit) * unit)
        return width, height


class LoraEntry(_Entry):
    source: str = Field(min_length=1)
    """A `.safetensors` file or a folder with one, or a hub id."""
    revision: str | None = None
    sha256: dict[str, str] = Field(default_factory=dict)
    """As a model's; a file of its own goes by its name."""
    models: tuple[str, ...] = Field(min_length=1)
    weight: float = 1.0
    licence: str = ""


class CheckerEntry(_Entry):
    """An image checker with more than its address; EASEL_SAFETY_CHECKERS names it."""

    source: str = Field(pattern="^(diffusers|transformers):.")
    """As EASEL_SAFETY_CHECKERS has it: `diffusers:` or `transformers:`, and a folder or hub id."""
    revision: str | None = None
    sha256: dict[str, str] = Field(default_factory=dict)
    """As a model's; a mismatch keeps the worker from starting."""
    licence: str = ""


class StyleEntry(_Entry):
    suffix: str = ""
    negative: str = ""
    lora: str | None = None


@dataclass(frozen=True, kw_only=True)
class Styled:
    prompt: str
    negative_prompt: str
    loras: tuple[tuple[str, float], ...]
    """Names and weights."""


class Catalog(_Entry):
    models: Mapping[str, ModelEntry]
    loras: Mapping[str, LoraEntry] = Field(default_factory=dict)
    styles: Mapping[str, StyleEntry] = Field(default_factory=dict)
    checkers: Mapping[str, CheckerEntry] = Field(default_factory=dict)

    def fits(self, style: str, model: str) -> bool:
        """Whether the style's LoRA, if it has one, is for this model."""
        lora = self.loras.get(self.styles[style].lora or "")
        return lora is None or model in lora.models

    def styled(self, request: ImageRequest) -> Styled:
        """What the model is asked, with the request's style written out."""
        style = self.styles.get(request.style or "", StyleEntry())
        negatives = (_in_words(request.negative_prompt), style.negative)
        lora = self.loras.get(style.lora or "")
        fits = lora is not None and request.model in lora.models
        return Styled(
            prompt=_in_words(request.prompt) + style.suffix,
            negative_prompt=", ".join(part for part in negatives if part),
            loras=((style.lora, lora.weight),) if lora and style.lora and fits else (),
        )


def _in_words(text: str) -> str:
    """As models read it best: emoji by their English names, who is mentioned by theirs."""
    return MENTION.sub("", spoken(text, "en"))


def _builtin_folder() -> Path:
    return Path(__file__).parents[1] / "generation" / "builtin" / "model"


@cache
def builtin_names() -> Mapping[str, tuple[str, ...]]:
    """What the embedded model can draw, per language; index i is the same thing in each."""
    text = (_builtin_folder() / "names.json").read_text(encoding="utf-8")
    return {language: tuple(names) for language, names in json.loads(text).items()}


@cache
def builtin_synonyms() -> Mapping[str, tuple[tuple[str, ...], ...]]:
    """Other words for the same things: known, but not suggested."""
    text = (_builtin_folder() / "synonyms.json").read_text(encoding="utf-8")
    return {
        language: tuple(tuple(words) for words in things)
        for language, things in json.loads(text).items()
    }


@cache
def _builtin() -> ModelEntry:
    suggested = (name for group in builtin_names().values() for name in group)
    others = (word for things in builtin_synonyms().values() for words in things for word in words)
    names = tuple(dict.fromkeys([*suggested, *others]))
    return ModelEntry(
        source=str(_builtin_folder()),
        licence="Apache-2.0 (data: see the model card)",
        width=64,
        height=64,
        steps=8,
        max_steps=50,
        guidance_scale=2.0,
        max_guidance_scale=12.0,
        display_scale=4,
        names=names,
    )


_STYLES = {
    "photo": StyleEntry(suffix=", photograph, natural light", negative="drawing, cartoon"),
    "sketch": StyleEntry(suffix=", pencil sketch on paper", negative="photograph, colour"),
    "watercolour": StyleEntry(suffix=", watercolour painting", negative="photograph"),
    "sticker": StyleEntry(suffix=", die-cut sticker, white border", negative="photograph"),
}


LCM_STEPS = 50
"""`original_inference_steps` of diffusers' LCMScheduler, where a model does not say."""


def _within_its_sampler(name: str, entry: ModelEntry) -> ModelEntry:
    """With no more steps than the sampler takes; of a model of a hub its own is not known here.
    Raises ValueError where the operator has set more as the default."""
    config: Mapping[str, object] = {}
    with suppress(OSError, ValueError):
        file = Path(entry.source).expanduser() / "scheduler" / "scheduler_config.json"
        config = json.loads(file.read_text("utf-8"))
    named = {"lcm": "LCMScheduler", None: config.get("_class_name")}.get(entry.scheduler)
    if named != "LCMScheduler":
        return entry
    most = int(str(config.get("original_inference_steps", LCM_STEPS)))
    if entry.steps > most:
        raise ValueError(f"model {name!r}: steps is {entry.steps}, but its sampler takes {most}")
    return entry.model_copy(update={"max_steps": min(entry.max_steps, most)})


def load_catalog(settings: Settings) -> Catalog:
    """The embedded model and styles plus what the operator's file adds or replaces.

    Raises OSError when the file cannot be read, pydantic.ValidationError, tomllib.TOMLDecodeError
    or ValueError when it is wrong, the default model or a LoRA's model is not in it, or a model
    has more steps than its sampler takes.
    """
    added = tomllib.loads(read_text(settings.catalog)) if settings.catalog else {}
    catalog = Catalog.model_validate(
        {
            **added,
            "models": {BUILTIN: _builtin(), **added.get("models", {})},
            "styles": {**_STYLES, **added.get("styles", {})},
        }
    )
    models = {name: _within_its_sampler(name, entry) for name, entry in catalog.models.items()}
    catalog = catalog.model_copy(update={"models": models})
    known = catalog.models.keys()
    wanted = [settings.default_model, *settings.worker_models]
    wanted += [model for lora in catalog.loras.values() for model in lora.models]
    for name in wanted:
        if name not in known:
            raise ValueError(f"model {name!r} is not in the catalog; it has {', '.join(known)}")
    for name, style in catalog.styles.items():
        if style.lora and style.lora not in catalog.loras:
            raise ValueError(f"style {name!r} names the LoRA {style.lora!r}, which is not there")
    return catalog
