"""What may be loaded, and what is refused in clear words."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline

from generation.pipeline import DiffusionModel, Drawing, ModelUnavailable
from storage.catalog import LoraEntry, ModelEntry

Folder = Callable[[str], Path]


@pytest.fixture
def folder(folder_of: Folder, tmp_path: Path) -> Path:
    """A copy of a tiny model, to be spoilt."""
    return Path(shutil.copytree(folder_of("sd15"), tmp_path / "model"))


def load(folder: Path | str, **entry: Any) -> DiffusionModel:
    return DiffusionModel.load(ModelEntry(source=str(folder), **entry), device="cpu", loras={})


def change_index(folder: Path, **changes: Any) -> None:
    file = folder / "model_index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_pickles_are_refused(folder: Path, component: str) -> None:
    for file in (folder / component).glob("*.safetensors"):
        torch.save({}, file.with_suffix(".bin"))
        file.unlink()
    with pytest.raises(ModelUnavailable, match=rf"{component} has no \.safetensors"):
        load(folder)


def test_code_in_the_folder_is_refused(folder: Path) -> None:
    ran = folder / "ran"
    (folder / "unet" / "evil.py").write_text(f"open({str(ran)!r}, 'w')")
    change_index(folder, unet=["evil", "UNet"])
    with pytest.raises(ModelUnavailable, match=r"evil\.UNet"):
        load(folder)
    assert not ran.exists()


def test_code_in_a_part_that_is_not_loaded_stays_unread(folder: Path) -> None:
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "evil.py").write_text("raise SystemExit")
    change_index(folder, safety_checker=["evil", "Checker"])
    load(folder)


@pytest.mark.parametrize("kind", ["FluxPipeline", ["pipeline", "MyPipeline"]])
def test_other_families_are_refused(folder: Path, kind: Any) -> None:
    change_index(folder, _class_name=kind)
    with pytest.raises(ModelUnavailable, match=r"StableDiffusionXLPipeline|pipeline\.MyPipeline"):
        load(folder)


def test_what_is_no_model(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"no model_index\.json"):
        load(tmp_path)
    with pytest.raises(ModelUnavailable, match="no folder"):
        load("/no/such/folder")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        load(folder)


def test_a_variant_that_is_not_there(folder: Path) -> None:
    with pytest.raises(ModelUnavailable, match="fp16"):
        load(folder, variant="fp16")


def test_hashes_are_checked(folder: Path) -> None:
    name = "unet/diffusion_pytorch_model.safetensors"
    right = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    load(folder, sha256={name: right.upper()})
    with pytest.raises(ModelUnavailable, match=f"has SHA-256 {right}"):
        load(folder, sha256={name: "0" * 64})
    with pytest.raises(ModelUnavailable, match=r"has no vae/other\.safetensors"):
        load(folder, sha256={"vae/other.safetensors": right})


def test_the_revision_names_the_weights(folder: Path) -> None:
    before = load(folder).revision
    assert len(before) == 16
    assert load(folder).revision == before
    assert load(folder, revision="v2").revision == "v2"
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("scaled_linear", "linear"))
    assert load(folder).revision != before


def test_hub_models_are_known_by_their_commit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = folder.rename(folder.with_name(commit))
    asked: dict[str, Any] = {}

    def download(source: str, **options: Any) -> Path:
        asked.update(options, source=source)
        return snapshot

    monkeypatch.setattr(DiffusionPipeline, "download", download)
    assert load("someone/model", revision="main").revision == commit
    assert asked == {
        "source": "someone/model",
        "revision": "main",
        "variant": None,
        "use_safetensors": True,
    }


def test_loras_that_cannot_be_had(folder: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled.bin"
    torch.save({}, pickled)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not tensors")
    loras = {
        name: LoraEntry(source=str(file), models=("sd15",))
        for name, file in {
            "pickled": pickled,
            "broken": broken,
            "gone": tmp_path / "gone.safetensors",
        }.items()
    }
    model = DiffusionModel.load(ModelEntry(source=str(folder)), device="cpu", loras=loras)
    plain = Drawing(prompt="fox", width=64, height=64, steps=1, seed=1, guidance_scale=1.0)
    for name in (*loras, "unknown"):
        with pytest.raises(ModelUnavailable, match=name):
            model.draw(replace(plain, loras=((name, 1.0),)), on_step=lambda _: None)
    model.draw(plain, on_step=lambda _: None)
