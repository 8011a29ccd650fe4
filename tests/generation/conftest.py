"""Tiny models of every kind, built and loaded once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from generation.builtin import MODEL_FOLDER
from generation.pipeline import DiffusionModel
from storage.catalog import LoraEntry, ModelEntry
from tests.fakes import tiny_models

LORAS = ("ink", "chalk")


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Family -> folder of a tiny model."""

    @cache
    def build(family: str) -> Path:
        return tiny_models.build_model(family, tmp_path_factory.mktemp(family))

    return build


@pytest.fixture(scope="session")
def model_of(
    folder_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], DiffusionModel]:
    """Family -> the same, loaded, with two LoRAs to choose from."""

    @cache
    def load(family: str) -> DiffusionModel:
        folder = tmp_path_factory.mktemp("loras")
        loras = {}
        for seed, name in enumerate(LORAS):
            file = tiny_models.build_lora(family, folder / f"{name}.safetensors", seed=seed)
            loras[name] = LoraEntry(source=str(file), models=(family,))
        entry = ModelEntry(source=str(folder_of(family)))
        return DiffusionModel.load(entry, device="cpu", loras=loras)

    return load


@pytest.fixture(scope="session")
def builtin() -> DiffusionModel:
    """The embedded model, of which pictures can be expected."""
    return DiffusionModel.load(ModelEntry(source=str(MODEL_FOLDER)), device="cpu", loras={})


@pytest.fixture
def sketch() -> Image.Image:
    """Wider than high, with a different colour on each side."""
    image = Image.new("RGB", (120, 80), "navy")
    ImageDraw.Draw(image).ellipse((10, 10, 70, 70), fill="orange")
    return image


@pytest.fixture
def mask() -> Image.Image:
    """White on the left half."""
    image = Image.new("L", (120, 80), 0)
    image.paste(255, (0, 0, 60, 80))
    return image
