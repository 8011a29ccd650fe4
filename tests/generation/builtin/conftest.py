"""The committed weights in the three stock pipelines, and three tiny concepts to train on."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)
from PIL import Image, ImageDraw

from generation.builtin import MODEL_FOLDER
from generation.builtin.concepts import Concept
from generation.builtin.dataset import Drawings
from generation.builtin.evaluate import load_pipeline
from generation.builtin.networks import Shape
from generation.builtin.train import Recipe

SIZE = 32
LOADING: dict[str, Any] = {
    "dtype": torch.float32,
    "use_safetensors": True,
    "local_files_only": True,
}


@pytest.fixture(scope="session")
def text_to_image() -> StableDiffusionPipeline:
    return load_pipeline(MODEL_FOLDER)


@pytest.fixture(scope="session")
def image_to_image() -> StableDiffusionImg2ImgPipeline:
    return _quiet(StableDiffusionImg2ImgPipeline.from_pretrained(MODEL_FOLDER, **LOADING))


@pytest.fixture(scope="session")
def inpaint() -> StableDiffusionInpaintPipeline:
    return _quiet(StableDiffusionInpaintPipeline.from_pretrained(MODEL_FOLDER, **LOADING))


def _quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def concepts() -> list[Concept]:
    return [
        Concept(
            code="1",
            names={"en": ("ball", "round thing"), "fr": ("balle",), "es": ("pelota",)},
        ),
        Concept(code="2", names={"en": ("box",), "fr": ("boîte",), "es": ("caja",)}),
        Concept(code="3", names={"en": ("bar",), "fr": ("barre",), "es": ("barra",)}),
    ]


@pytest.fixture
def drawings(concepts: list[Concept]) -> Drawings:
    ball, box, bar = (Image.new("RGBA", (SIZE, SIZE)) for _ in concepts)
    ImageDraw.Draw(ball).ellipse((2, 2, 29, 29), fill="red")
    ImageDraw.Draw(box).rectangle((2, 2, 29, 29), fill="blue")
    ImageDraw.Draw(bar).rectangle((2, 12, 29, 19), fill="green")
    return Drawings(concepts=concepts, pictures=[ball, box, bar], size=SIZE)


@pytest.fixture
def recipe() -> Recipe:
    """Four steps of each stage."""
    return Recipe(
        concepts=3,
        size=SIZE,
        batch=3,
        exposures=4,
        autoencoder_samples=4 * 3,
        reader_samples=4 * 512,
        decoder_samples=4 * 3,
        shape=Shape(widths=(16, 16, 32), text_width=16, text_layers=1, tokens=12, vae_width=8),
    )


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"
