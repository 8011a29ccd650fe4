"""Train the embedded model from nothing: data, autoencoder, text encoder and U-Net, decoder.

Its defaults are meant for nine minutes on one GPU, where it has not run yet::

    easel train-builtin --minutes 9 --batch 384 --workers 14 --work WORK --out OUT

Two processor cores do all of it too, in days. Interrupted, it goes on when started again; with
more minutes, a complete run goes on as well, and weights that are there already learn further with
`--start FOLDER`. Where commands may take only so long, `--session-minutes` ends one in time. How
the committed weights were made, by earlier commits of this, is in the model's card.

On Linux the allocator's tunables make the processor a good third faster, because glibc otherwise
gives every large tensor back to the system: `MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=20000000000
MALLOC_TOP_PAD_=268435456 GLIBC_TUNABLES=glibc.malloc.hugetlb=1`.
"""

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import AutoencoderTiny
from torch import nn
from transformers import CLIPTokenizer

from generation.builtin.autoencoder import (
    SHRINKS,
    new_autoencoder,
    train_autoencoder,
    train_decoder,
)
from generation.builtin.compose import Composer
from generation.builtin.concepts import choose
from generation.builtin.dataset import Batch, Batches, Drawings, Feed, Scenes
from generation.builtin.denoiser import Exposures, train_denoiser
from generation.builtin.export import draw_sheet, pipeline, write_model
from generation.builtin.grounds import draw_grounds
from generation.builtin.networks import Networks, Shape, new_networks, take_weights
from generation.builtin.reader import Saying, Sayings, train_reader
from generation.builtin.scenes import Mix
from generation.builtin.sources import TRAINED_STYLE, load_records, load_style, render
from generation.builtin.stage import Budget, Session
from generation.builtin.words import vocabulary

_VOCABULARY: Final = 5120
_AUTOENCODER_SHARE: Final = 0.16  # of the minutes
_READER_SHARE: Final = 0.1
_DECODER_SHARE: Final = 0.1
_AUTOENCODER_BATCH: Final = 96  # at most
_READER_BATCH: Final = 512
_READER_MIX: Final = Mix(pair=0.25, related=0.25, three=0.12, small=0.03, tint=0.12)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what the weights become."""

    concepts: int = 1644
    size: int = 256  # side of the pictures in pixels
    start: str | None = None  # folder of a model to begin with; None: from nothing
    batch: int = 64
    seed: int = 0
    minutes: float | None = None  # of training in all; None: the counts of samples that follow
    exposures: int = 3000  # of every concept
    autoencoder_samples: int = 300_000
    decoder_samples: int = 60_000
    reader_samples: int = 2_000_000
    shape: Shape = field(default_factory=Shape)
    mix: Mix = field(default_factory=Mix)


def train_builtin(
    recipe: Recipe,
    *,
    out: Path,
    work: Path,
    device: str = "auto",
    workers: int = 0,
    session_minutes: float | None = None,
    shard_mib: int | None = None,
    say: Callable[[str], None] = print,
) -> bool:
    """Train in `work` and, once complete, write a diffusers folder to `out`.

    The length is the recipe's `minutes` of training, or so many `exposures` of each concept
    without them. With its `start`, a model's folder, its U-Net and its decoder learn further,
    without the first two stages, so that the latents and the words that the U-Net knows stay what
    they are. Returns False when `session_minutes` ended first: call it again with the same
    arguments, and it goes on from its checkpoint in `work`. `device` is "auto" (CUDA when there,
    else processor) or a torch device. Raises subprocess.CalledProcessError when npm cannot get the
    data, ValueError when `work` holds checkpoints of another recipe, RuntimeError when the networks
    of `start` have other shapes.
    """
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
    style = load_style(TRAINED_STYLE, folder)
    concepts = choose(load_records(folder), style, recipe.concepts)
    drawn = [svg for concept in concepts if (svg := style.svg(concept.code))]
    with ProcessPoolExecutor() as pool:
        sizes = [recipe.size] * len(drawn)
        pictures = list(pool.map(render, drawn, sizes, chunksize=16))
    return Drawings(concepts=concepts, pictures=pictures, size=recipe.size)


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
    torch.backends.cudnn.benchmark = True
    vae, networks = _networks(recipe, drawings, session.work, device)
    composer = Composer(drawings.pictures, draw_grounds(recipe.size), recipe.size, device)
    exposures = Exposures(len(drawings.concepts))
    pipe = pipeline(vae, networks)
    budgets = _budgets(recipe)
    few = min(recipe.batch, _AUTOENCODER_BATCH)

    def feed(batch: int) -> Feed[Batch]:
        items = Batches(drawings.concepts, networks.tokenizer, batch, recipe.seed, recipe.mix)
        return Feed(items, workers)

    def sayings() -> Feed[Saying]:
        scenes = Scenes(drawings.concepts, _READER_BATCH, recipe.seed, _READER_MIX)
        return Feed(Sayings(scenes, networks.tokenizer), workers)

    def see() -> bool:
        return train_autoencoder(vae, feed(few), composer, session, budgets.autoencoder, device)

    def read() -> bool:
        return train_reader(networks, sayings(), len(drawings.concepts), session, budgets.reader)

    def draw() -> bool:
        vae.requires_grad_(False)
        sheet = session.work / "sheet.png"
        return train_denoiser(
            networks,
            vae,
            feed(recipe.batch),
            composer,
            exposures,
            session,
            budgets.denoiser,
            device,
            lambda: draw_sheet(pipe, sheet, recipe.seed),
        )

    def sharpen() -> bool:
        vae.requires_grad_(True)
        return train_decoder(vae, networks, feed(few), composer, session, budgets.decoder, device)

    complete = True
    for stage in (draw, sharpen) if recipe.start else (see, read, draw, sharpen):
        torch.manual_seed(recipe.seed)  # whatever the stage before has left
        complete = complete and stage()
    if complete:
        facts = _facts(recipe, exposures)
        write_model(pipe, drawings.concepts, facts, out, recipe.seed, shard_mib)
        session.say(f"written to {out}")
    return complete


def _networks(
    recipe: Recipe, drawings: Drawings, work: Path, device: torch.device
) -> tuple[AutoencoderTiny, Networks]:
    """From nothing, or those of the folder to start with; on the device."""
    start = Path(recipe.start) if recipe.start else None
    tokenizer = tokenizer_for(drawings, recipe, (start or work) / "tokenizer")
    vae = new_autoencoder(recipe.shape.vae_width)
    networks = new_networks(tokenizer, recipe.size // SHRINKS, recipe.shape)
    if start:
        vae.load_state_dict(AutoencoderTiny.from_pretrained(start / "vae").state_dict())
        take_weights(networks, start)
    vae.to(device)
    for module in vars(networks).values():
        if isinstance(module, nn.Module):
            module.to(device)
    return vae, networks


@dataclass(frozen=True, kw_only=True)
class _Budgets:
    """What each stage gets."""

    autoencoder: Budget
    reader: Budget
    denoiser: Budget
    decoder: Budget


def _budgets(recipe: Recipe) -> _Budgets:
    if recipe.minutes is None:
        return _Budgets(
            autoencoder=Budget(samples=recipe.autoencoder_samples),
            reader=Budget(samples=recipe.reader_samples),
            denoiser=Budget(samples=recipe.exposures * recipe.concepts),
            decoder=Budget(samples=recipe.decoder_samples),
        )
    before = 0.0 if recipe.start else _AUTOENCODER_SHARE + _READER_SHARE
    shares = _AUTOENCODER_SHARE, _READER_SHARE, 1 - before - _DECODER_SHARE, _DECODER_SHARE
    return _Budgets(
        **{
            stage.name: Budget(seconds=60 * recipe.minutes * share)
            for stage, share in zip(fields(_Budgets), shares, strict=True)
        }
    )


def tokenizer_for(drawings: Drawings, recipe: Recipe, folder: Path) -> CLIPTokenizer:
    """A byte-pair tokenizer in CLIP's form, trained on all that captions are made of.

    Kept in `folder`, because ties make training it anew give other tokens.
    """
    if not (folder / "tokenizer.json").exists():
        texts = vocabulary(drawings.concepts)
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
