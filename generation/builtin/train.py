"""Train the embedded model from nothing: data, autoencoder, text encoder and U-Net, decoder.

On two processor cores (64 samples/s for 64 x 64 on cores with bfloat16; without it, some 40)::

    OMP_WAIT_POLICY=PASSIVE easel train-builtin --minutes 85 --work WORK --out OUT

Interrupted, it goes on when started again; with more minutes, a complete run goes on as well.
Weights that are there already learn further with `--start FOLDER`, for example more pairs than
they were given (`--pairs 0.5`). What such runs gave is in the model's card.

On a GPU whose commands may take ten minutes, started again until it says that it is complete::

    easel train-builtin --size 128 --concepts 1500 --styles noto,twemoji,fluent --batch 512 \
        --widths 80,160,224 --workers 14 --minutes 25 --session-minutes 9 --shard-mib 15

On Linux the allocator's tunables make the processor a good third faster, because glibc otherwise
gives every large tensor back to the system: `MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=20000000000
MALLOC_TOP_PAD_=268435456 GLIBC_TUNABLES=glibc.malloc.hugetlb=1`.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import AutoencoderTiny
from torch import nn
from transformers import CLIPTokenizer

from generation.builtin.autoencoder import new_autoencoder, train_autoencoder, train_decoder
from generation.builtin.concepts import Concept, choose
from generation.builtin.dataset import Batches, Drawings
from generation.builtin.denoiser import Exposures, train_denoiser
from generation.builtin.export import draw_sheet, pipeline, write_model
from generation.builtin.networks import Shape, new_networks, take_weights
from generation.builtin.reader import train_reader
from generation.builtin.scenes import Mix
from generation.builtin.sources import load_records, load_style, render
from generation.builtin.stage import Budget, Session
from generation.builtin.words import vocabulary

_VOCABULARY: Final = 4288
_SMALL_SHARE: Final = 0.06  # of the minutes, for the autoencoder and again for its decoder
_SMALL_MINUTES: Final = 5.5  # at most, so that a run given more minutes goes on with the denoiser
_READER_SHARE: Final = 0.12
_READER_MINUTES: Final = 12.0
_AUTOENCODER_BATCH: Final = 32
_READER_BATCH: Final = 128
_READER_MIX: Final = Mix(pair=0.5, small=0.03, tint=0.15, background=0.2)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what the weights become."""

    concepts: int = 460
    size: int = 64  # side of the pictures in pixels
    styles: tuple[str, ...] = ("noto",)
    start: str | None = None  # folder of a model to begin with; None: from nothing
    batch: int = 32
    seed: int = 0
    minutes: float | None = None  # of training in all; None: the counts of samples that follow
    exposures: int = 1000  # of every concept
    autoencoder_samples: int = 100_000  # and as many for the decoder
    reader_samples: int = 150_000
    shape: Shape = field(default_factory=Shape)
    mix: Mix = field(default_factory=Mix)


def train_builtin(
    *,
    out: Path,
    work: Path,
    minutes: float | None = None,
    exposures: int = 1000,
    concepts: int = 460,
    size: int = 64,
    seed: int = 0,
    device: str = "auto",
    styles: tuple[str, ...] = ("noto",),
    start: Path | None = None,
    pairs: float = Mix.pair,
    batch: int = 32,
    widths: tuple[int, ...] = (64, 128, 192),
    tokens: int = 40,
    workers: int = 0,
    session_minutes: float | None = None,
    shard_mib: int | None = None,
    say: Callable[[str], None] = print,
) -> bool:
    """Train in `work` and, once complete, write a diffusers folder to `out`.

    The length is `minutes` of training, or so many `exposures` of each concept without it. With
    `start`, a model's folder, its U-Net and its decoder learn further, without the first two
    stages, so that the latents and the words that the U-Net knows stay what they are.
    Returns False when `session_minutes` ended first: call it again with the same arguments, and it
    goes on from its checkpoint in `work`. `device` is "auto" (CUDA when there, else processor) or
    a torch device. Raises subprocess.CalledProcessError when npm cannot get the data, ValueError
    when `work` holds checkpoints of another recipe, RuntimeError when the networks of `start` have
    other shapes.
    """
    recipe = Recipe(
        concepts=concepts,
        size=size,
        styles=styles,
        start=str(start) if start else None,
        batch=batch,
        seed=seed,
        minutes=minutes,
        exposures=exposures,
        shape=Shape(widths=widths, tokens=tokens),
        mix=Mix(pair=pairs),
    )
    chosen = "cuda" if torch.cuda.is_available() else "cpu"
    seconds = session_minutes * 60 if session_minutes else None
    return train(
        recipe,
        load_drawings(recipe, work / "packages"),
        session=Session(work=work, seconds=seconds, say=say),
        device=torch.device(chosen if device == "auto" else device),
        workers=workers,
        out=out,
        shard_mib=shard_mib,
    )


def load_drawings(recipe: Recipe, folder: Path) -> Drawings:
    """The recipe's concepts and their renderings, fetched into `folder` the first time."""
    styles = [load_style(name, folder) for name in recipe.styles]
    concepts = choose(load_records(folder), styles[0], recipe.concepts)
    by_style = {
        style.name: [svg and render(svg, recipe.size) for svg in map(style.svg, _codes(concepts))]
        for style in styles
    }
    return Drawings(concepts=concepts, by_style=by_style, size=recipe.size)  # type: ignore[arg-type]


def _codes(concepts: list[Concept]) -> list[str]:
    return [concept.code for concept in concepts]


def train(
    recipe: Recipe,
    drawings: Drawings,
    *,
    session: Session,
    device: torch.device,
    workers: int,
    out: Path,
    shard_mib: int | None,
) -> bool:
    """All stages, each from where its checkpoint left it; True when `out` is written."""
    _check_recipe(recipe, session.work)
    torch.manual_seed(recipe.seed)
    vae = new_autoencoder()
    start = Path(recipe.start) if recipe.start else None
    tokens = start / "tokenizer" if start else session.work / "tokenizer"
    networks = new_networks(tokenizer_for(drawings, recipe, tokens), recipe.size // 4, recipe.shape)
    if start:
        vae.load_state_dict(AutoencoderTiny.from_pretrained(start / "vae").state_dict())
        take_weights(networks, start)
    vae.to(device)
    for module in vars(networks).values():
        if isinstance(module, nn.Module):
            module.to(device)
    exposures = Exposures(len(drawings.concepts))
    batches = Batches(drawings, recipe.batch, recipe.seed, recipe.mix)
    small = Batches(drawings, _AUTOENCODER_BATCH, recipe.seed, replace(recipe.mix, tint=0.25))
    captions = Batches(drawings, _READER_BATCH, recipe.seed, _READER_MIX)
    pipe = pipeline(vae, networks)

    def sample_sheet() -> None:
        draw_sheet(pipe, session.work / "sheet.png", recipe.seed)

    little, some, much = _budgets(recipe)
    complete = bool(
        (
            start
            or (
                train_autoencoder(vae, small, session, little, device)
                and train_reader(networks, captions, len(drawings.concepts), session, some)
            )
        )
        and train_denoiser(
            networks,
            vae.requires_grad_(False),
            batches,
            exposures,
            session,
            much,
            device,
            workers,
            sample_sheet,
        )
        and train_decoder(vae.requires_grad_(True), small, session, little, device)
    )
    if complete:
        facts = _facts(recipe, exposures)
        write_model(pipe.to("cpu"), drawings.concepts, facts, out, recipe.seed, shard_mib)
        session.say(f"written to {out}")
    return complete


def _budgets(recipe: Recipe) -> tuple[Budget, Budget, Budget]:
    """What the autoencoder and its decoder get each, what the reader and the denoiser get."""
    if recipe.minutes is None:
        return (
            Budget(samples=recipe.autoencoder_samples),
            Budget(samples=recipe.reader_samples),
            Budget(samples=recipe.exposures * recipe.concepts),
        )
    small = min(recipe.minutes * _SMALL_SHARE, _SMALL_MINUTES)
    reader = min(recipe.minutes * _READER_SHARE, _READER_MINUTES)
    left = recipe.minutes - small - (0 if recipe.start else small + reader)
    return Budget(seconds=60 * small), Budget(seconds=60 * reader), Budget(seconds=60 * left)


def tokenizer_for(drawings: Drawings, recipe: Recipe, folder: Path) -> CLIPTokenizer:
    """A byte-pair tokenizer in CLIP's form, trained on all that captions are made of.

    Kept in `folder`, because ties make training it anew give other tokens.
    """
    if not (folder / "tokenizer.json").exists():
        texts = vocabulary(drawings.concepts, list(recipe.styles))
        fresh = CLIPTokenizer().train_new_from_iterator(  # type: ignore[no-untyped-call]
            texts, _VOCABULARY, show_progress=False
        )
        fresh.model_max_length = recipe.shape.tokens
        fresh.save_pretrained(folder)
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
    return tokenizer


def _check_recipe(recipe: Recipe, work: Path) -> None:
    """Refuse to go on from checkpoints of another recipe; only the minutes may change."""
    wanted = json.loads(json.dumps(asdict(replace(recipe, minutes=None))))
    path = work / "recipe.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(wanted, indent=1), encoding="utf-8")
    elif json.loads(path.read_text(encoding="utf-8")) != wanted:
        raise ValueError(f"{work} holds the checkpoints of another recipe, see {path}")


def _facts(recipe: Recipe, exposures: Exposures) -> dict[str, Any]:
    counts = exposures.counts.sort().values
    told = asdict(recipe)
    if recipe.start:  # What made the weights, in place of where they lay.
        told["start"] = json.loads(Path(recipe.start, "training.json").read_text("utf-8"))
    return {
        "recipe": told,
        "exposures": {
            "total": int(counts.sum()),
            "least": int(counts[0]),
            "median": int(counts[len(counts) // 2]),
            "most": int(counts[-1]),
        },
    }


if __name__ == "__main__":
    raise SystemExit("use `easel train-builtin`")
