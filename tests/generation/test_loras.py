"""LoRAs change the pictures that name them, and no others."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from diffusers import StableDiffusionPipeline

from generation import weights
from generation.pipeline import DiffusionModel, ModelUnavailable
from generation.weights import LoraUnavailable
from storage.catalog import LoraEntry, ModelEntry
from tests.fakes.tiny_models import build_lora
from tests.generation.conftest import LORAS
from tests.generation.drawings import drawing, nothing, pixels

pytestmark = [
    # diffusers' Euler schedulers still hand tensors to NumPy the old way.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # As in generation.quiet; pytest forgets filters that are set on import.
    pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning"),
]

Load = Callable[[str], DiffusionModel]
Folder = Callable[[str], Path]


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_a_lora_is_on_for_one_drawing(family: str, model_of: Load) -> None:
    model = model_of(family)
    plain, ink = drawing(family), drawing(family, loras=(("ink", 0.8),))
    before = model.draw(plain, on_step=nothing)
    inked = model.draw(ink, on_step=nothing)
    after = model.draw(plain, on_step=nothing)
    both = model.draw(replace(ink, loras=(("ink", 0.8), ("chalk", 0.5))), on_step=nothing)
    again = model.draw(ink, on_step=nothing)
    weaker = model.draw(replace(ink, loras=(("ink", 0.2),)), on_step=nothing)
    assert (pixels(before) == pixels(after)).all()
    assert (pixels(inked) == pixels(again)).all()
    assert (pixels(inked) != pixels(before)).any()
    assert (pixels(inked) != pixels(both)).any()
    assert (pixels(inked) != pixels(weaker)).any()


def test_a_lora_does_what_it_does_in_the_stock_pipeline(
    model_of: Load, folder_of: Folder, tmp_path: Path
) -> None:
    build_lora("sd15", tmp_path / "ink.safetensors", seed=LORAS.index("ink"))
    of = drawing(loras=(("ink", 0.8),))
    stock = StableDiffusionPipeline.from_pretrained(folder_of("sd15"))
    stock.set_progress_bar_config(disable=True)
    stock.load_lora_weights(tmp_path, weight_name="ink.safetensors", adapter_name="ink")
    stock.set_adapters(["ink"], [0.8])
    expected = stock(
        of.prompt,
        negative_prompt=of.negative_prompt,
        width=of.width,
        height=of.height,
        num_inference_steps=of.steps,
        guidance_scale=of.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(of.seed),
    ).images[0]
    assert (pixels(model_of("sd15").draw(of, on_step=nothing)) == pixels(expected)).all()


def test_a_lora_of_another_family_leaves_no_trace(folder_of: Folder, tmp_path: Path) -> None:
    file = build_lora("sdxl", tmp_path / "wrong.safetensors")
    model = DiffusionModel.load(
        ModelEntry(source=str(folder_of("sd2"))),
        device="cpu",
        loras={"wrong": LoraEntry(source=str(file), models=("sd2",))},
    )
    before = model.draw(drawing("sd2"), on_step=nothing)
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match="wrong"):
            model.draw(drawing("sd2", loras=(("wrong", 1.0),)), on_step=nothing)
    assert (pixels(model.draw(drawing("sd2"), on_step=nothing)) == pixels(before)).all()


@pytest.mark.parametrize("as_folder", [False, True])
def test_only_the_lora_that_was_meant(folder_of: Folder, tmp_path: Path, as_folder: bool) -> None:
    file = build_lora("sd15", tmp_path / "ink.safetensors", seed=LORAS.index("ink"))
    source = str(tmp_path if as_folder else file)
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    hashes = {"right": right.upper(), "wrong": "0" * 64, "none": None}
    loras = {
        name: LoraEntry(source=source, models=("sd15",), sha256={file.name: value} if value else {})
        for name, value in hashes.items()
    }
    loras["other"] = LoraEntry(source=source, models=("sd15",), sha256={"other": right})
    model = DiffusionModel.load(
        ModelEntry(source=str(folder_of("sd15"))), device="cpu", loras=loras
    )
    plain = pixels(model.draw(drawing("sd15"), on_step=nothing))
    for name in ("right", "none"):
        inked = model.draw(drawing("sd15", loras=((name, 0.8),)), on_step=nothing)
        assert (pixels(inked) != plain).any()
    for name, words in (("wrong", "has SHA-256"), ("other", "has no other")):
        with pytest.raises(ModelUnavailable, match=words):
            model.draw(drawing("sd15", loras=((name, 0.8),)), on_step=nothing)
    assert (pixels(model.draw(drawing("sd15"), on_step=nothing)) == plain).all()


NAMES = ("ink.v2", "", "default", "weight", "a b", "../x", "naïve", "forward", "unet", "lora_0")
"""Of which peft makes names of modules, some of which are taken or cannot be."""


def test_a_lora_may_have_any_name(folder_of: Folder, tmp_path: Path) -> None:
    file = build_lora("sd15", tmp_path / "ink.safetensors")
    loras = {name: LoraEntry(source=str(file), models=("sd15",)) for name in NAMES}
    model = DiffusionModel.load(
        ModelEntry(source=str(folder_of("sd15"))), device="cpu", loras=loras
    )
    plain = pixels(model.draw(drawing(), on_step=nothing))
    drawn = [pixels(model.draw(drawing(loras=((n, 0.8),)), on_step=nothing)) for n in NAMES]
    assert (drawn[0] != plain).any()
    assert all((each == drawn[0]).all() for each in drawn)
    assert (pixels(model.draw(drawing(), on_step=nothing)) == plain).all()


def other_keys(file: Path) -> None:
    """As of a LoRA for a transformer."""
    weights = safetensors.torch.load_file(file)
    renamed = {k.replace("unet", "x").replace("text_encoder", "y"): v for k, v in weights.items()}
    safetensors.torch.save_file(renamed, file)


def other_layers(file: Path) -> None:
    weights = safetensors.torch.load_file(file)
    renamed = {k.replace("to_q", "q").replace("to_v", "v"): v for k, v in weights.items()}
    safetensors.torch.save_file({k: v for k, v in renamed.items() if "unet" in k}, file)


def no_weights(file: Path) -> None:
    safetensors.torch.save_file({}, file)


def words(file: Path) -> None:
    file.write_text("<html>Not found</html>")


@pytest.mark.parametrize("spoil", [other_keys, other_layers, no_weights, words])
def test_a_lora_that_fits_nothing_says_so(
    folder_of: Folder, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    file = build_lora("sd15", tmp_path / "odd.safetensors")
    spoil(file)
    right = build_lora("sd15", tmp_path / "ink.safetensors")
    loras = {
        n: LoraEntry(source=str(f), models=("sd15",)) for n, f in (("odd", file), ("ink", right))
    }
    model = DiffusionModel.load(
        ModelEntry(source=str(folder_of("sd15"))), device="cpu", loras=loras
    )
    plain = pixels(model.draw(drawing(), on_step=nothing))
    for _ in range(2):
        with pytest.raises(LoraUnavailable, match="odd"):
            model.draw(drawing(loras=(("odd", 1.0),)), on_step=nothing)
        inked = pixels(model.draw(drawing(loras=(("ink", 0.8),)), on_step=nothing))
        assert (inked != plain).any()
    assert (pixels(model.draw(drawing(), on_step=nothing)) == plain).all()


def test_a_lora_of_a_hub_is_asked_for_by_its_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    def download(source: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        assert all(not pattern.endswith((".bin", ".py", "*")) for pattern in allow_patterns)
        asked.append((source, revision))
        return str(tmp_path)

    monkeypatch.setattr(weights, "snapshot_download", download)
    assert weights.fetch_files("someone/ink", "c0ffee") == tmp_path
    assert asked == [("someone/ink", "c0ffee")]


def test_the_hash_of_a_neighbour_is_none_of_the_file_s(tmp_path: Path) -> None:
    for name in ("ink.safetensors", "old.safetensors"):
        (tmp_path / name).write_bytes(b"weights")
    right = hashlib.sha256(b"weights").hexdigest()
    with pytest.raises(ModelUnavailable, match="none of"):
        weights.verify(tmp_path / "ink.safetensors", {"old.safetensors": right})
    weights.verify(tmp_path / "ink.safetensors", {"ink.safetensors": right})
