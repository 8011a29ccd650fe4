"""From trained networks to a folder that stock diffusers pipelines load, and sheets of pictures."""

import json
import shutil
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import AutoencoderTiny, StableDiffusionPipeline
from PIL import Image, ImageDraw, ImageFont

from generation.builtin import DEFAULT_GUIDANCE, DEFAULT_STEPS
from generation.builtin.concepts import Concept
from generation.builtin.networks import Networks, new_scheduler
from generation.builtin.sentences import SENTENCES
from generation.builtin.sources import LANGUAGES
from generation.builtin.words import known_words, without_accents

SHEET_PROMPTS: Final = (
    "a red apple", "a green apple", "a cat", "a castle", "a guitar", "a unicorn", "sandía",
    "un château", "un gato", "a rocket", "a crown", "a mushroom", "a hamburger", "a violin",
    "a bicycle", "a microscope", "a lion", "un hibou", "una fresa", "an octopus", "a camera",
    "a cup of coffee", "a purple elephant", "a green dog", "a ghost on a purple background",
    "une voiture verte sur fond jaune", "un pez azul sobre fondo blanco", "a small bee",
    "a cat and a pizza", "un loup et une pomme", "a key, a clock and a book", "santa claus",
    *(sentence.text for sentence in SENTENCES), "a sketch of a lighthouse at sea",
    "un perro, un gato y un pájaro en la playa",
)  # fmt: skip
_SHEET_COLUMNS: Final = 8
_SHEET_SIDE: Final = 192  # of its pictures, at most: the folder has to stay small
_KEPT: Final = ("README.md", "NOTICE")
_LABEL_HEIGHT: Final = 14


def pipeline(vae: AutoencoderTiny, networks: Networks) -> StableDiffusionPipeline:
    """The stock pipeline around the averaged U-Net."""
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=networks.text,
        tokenizer=networks.tokenizer,
        unet=networks.smooth,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


@torch.no_grad()
def draw(
    pipe: StableDiffusionPipeline,
    prompts: list[str],
    seeds: list[int],
    negatives: list[str] | None = None,
    **options: Any,
) -> list[Image.Image]:
    """One picture for each prompt and seed, in batches, with the model's own defaults."""
    settings = {
        "num_inference_steps": DEFAULT_STEPS,
        "guidance_scale": DEFAULT_GUIDANCE,
        **options,
    }
    pictures: list[Image.Image] = []
    for start in range(0, len(prompts), 16):
        part = slice(start, start + 16)
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds[part]]
        unwanted = negatives[part] if negatives else None
        pictures += pipe(
            prompts[part], negative_prompt=unwanted, generator=generators, **settings
        ).images
    return pictures


def sheet(pictures: list[Image.Image], labels: list[str], side: int) -> Image.Image:
    """Labelled pictures of `side` pixels in rows of eight; the font at hand has no accents."""
    width = height = side
    rows = -(-len(pictures) // _SHEET_COLUMNS)
    page = Image.new("RGB", (_SHEET_COLUMNS * width, rows * (height + _LABEL_HEIGHT)), "white")
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=11)
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        row, column = divmod(number, _SHEET_COLUMNS)
        x, y = column * width, row * (height + _LABEL_HEIGHT)
        pen.text((x + 2, y + 1), without_accents(label)[: width // 5], fill="black", font=font)
        page.paste(
            picture.resize((width, height), Image.Resampling.LANCZOS), (x, y + _LABEL_HEIGHT)
        )
    return page


def draw_sheet(pipe: StableDiffusionPipeline, path: Path, seed: int) -> None:
    """SHEET_PROMPTS, all with the same seed, none picked."""
    prompts = list(SHEET_PROMPTS)
    pictures = draw(pipe, prompts, [seed] * len(prompts))
    side = min(max(pictures[0].width, 128), _SHEET_SIDE)
    sheet(pictures, prompts, side).save(path, optimize=True)


def write_model(
    pipe: StableDiffusionPipeline,
    concepts: list[Concept],
    facts: dict[str, Any],
    out: Path,
    seed: int,
    shard_mib: int | None,
) -> None:
    """Write the folder in half precision beside `out`, then put it in its place.

    README.md and NOTICE in `out` are kept. `shard_mib` splits weights into files of that size.
    """
    fresh = out.with_name(out.name + ".part")
    shutil.rmtree(fresh, ignore_errors=True)
    draw_sheet_to = fresh / "sheet.png"
    halved = pipe.to(torch.float16)
    options = {"max_shard_size": f"{shard_mib}MB"} if shard_mib else {}
    halved.save_pretrained(fresh, safe_serialization=True, **options)
    draw_sheet(pipe.to(torch.float32), draw_sheet_to, seed)
    write_names(concepts, fresh)
    _write_json(fresh / "training.json", facts)
    for kept in _KEPT:
        if (out / kept).exists():
            shutil.copy(out / kept, fresh / kept)
    shutil.rmtree(out, ignore_errors=True)
    fresh.rename(out)


def write_names(concepts: list[Concept], folder: Path) -> None:
    """`names.json`: one name a concept; `synonyms.json`: the others that captions used;
    `words.json`: what captions are made of besides, without accents."""
    names = {language: [c.names[language][0] for c in concepts] for language in LANGUAGES}
    synonyms = {language: [c.names[language][1:] for c in concepts] for language in LANGUAGES}
    _write_json(folder / "names.json", names)
    _write_json(folder / "synonyms.json", synonyms)
    _write_json(folder / "words.json", sorted(known_words([])))


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
