"""What the committed weights draw through stock pipelines, and what lies beside them."""

import json

import numpy as np
import numpy.typing as npt
import pytest
import torch
from diffusers import (
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)
from PIL import Image

from generation.builtin import DEFAULT_GUIDANCE, DEFAULT_STEPS, MODEL_FOLDER, known_names
from generation.builtin.export import draw
from generation.builtin.judge import border_colour, colour_shares, distance_to, spread
from generation.builtin.words import COLOURS

SEED = 3
MEBIBYTE = 2**20


def picture(pipe: StableDiffusionPipeline, prompt: str, seed: int = SEED) -> Image.Image:
    return draw(pipe, [prompt], [seed])[0]


def array(image: Image.Image) -> npt.NDArray[np.float64]:
    return np.asarray(image.convert("RGB"), np.float64)


@pytest.fixture(scope="session")
def red_apple(text_to_image: StableDiffusionPipeline) -> Image.Image:
    return picture(text_to_image, "a red apple")


def test_the_folder_fits_its_budget() -> None:
    assert sum(file.stat().st_size for file in MODEL_FOLDER.rglob("*")) <= 40 * MEBIBYTE


def test_names_are_aligned_and_known_to_the_tokenizer(
    text_to_image: StableDiffusionPipeline,
) -> None:
    names = known_names()
    assert set(names) == {"en", "fr", "es"}
    assert len({len(column) for column in names.values()}) == 1
    assert all(len(set(column)) == len(column) for column in names.values())
    window = text_to_image.tokenizer.model_max_length
    longest = max(names["fr"], key=len)
    assert len(text_to_image.tokenizer(longest).input_ids) < window


def test_a_red_apple_is_red_and_a_green_one_green(
    text_to_image: StableDiffusionPipeline, red_apple: Image.Image
) -> None:
    red = colour_shares(red_apple)
    green = colour_shares(picture(text_to_image, "a green apple"))
    assert red["red"] > 0.4
    assert green["green"] > 0.4
    assert red["green"] < green["green"]
    assert green["red"] < red["red"]


def test_the_same_seed_twice_and_another_seed(
    text_to_image: StableDiffusionPipeline, red_apple: Image.Image
) -> None:
    again = picture(text_to_image, "a red apple")
    other = picture(text_to_image, "a red apple", SEED + 1)
    assert again.tobytes() == red_apple.tobytes()
    assert other.tobytes() != red_apple.tobytes()


@pytest.mark.parametrize(
    ("english", "others"),
    [
        ("red apple", ["pomme rouge", "manzana roja"]),
        ("rocket", ["fusée", "cohete"]),
        ("elephant", ["éléphant", "elefante"]),
    ],
)
def test_french_and_spanish_names_give_the_same_thing(
    text_to_image: StableDiffusionPipeline, english: str, others: list[str]
) -> None:
    drawn = picture(text_to_image, english)
    unlike = spread([drawn, picture(text_to_image, "castle")])
    for name in others:
        assert spread([drawn, picture(text_to_image, name)]) < unlike / 2, name


def test_a_background_has_the_colour_of_its_word(text_to_image: StableDiffusionPipeline) -> None:
    image = picture(text_to_image, "a cactus on a yellow background")
    assert distance_to(border_colour(image), COLOURS["yellow"]) < 60


def test_image_to_image_keeps_or_obeys(
    image_to_image: StableDiffusionImg2ImgPipeline, red_apple: Image.Image
) -> None:
    def change(strength: float) -> Image.Image:
        image: Image.Image = image_to_image(
            "green apple",
            image=red_apple,
            strength=strength,
            num_inference_steps=DEFAULT_STEPS,
            guidance_scale=DEFAULT_GUIDANCE,
            generator=torch.Generator().manual_seed(SEED),
        ).images[0]
        return image

    little, much = change(0.3), change(0.95)
    assert (
        np.abs(array(little) - array(red_apple)).mean()
        < np.abs(array(much) - array(red_apple)).mean()
    )
    assert colour_shares(much)["green"] > 0.4


def test_inpaint_leaves_the_rest_alone(
    inpaint: StableDiffusionInpaintPipeline, red_apple: Image.Image
) -> None:
    side = red_apple.width
    mask = Image.new("L", (side, side), 0)
    mask.paste(255, (side // 2, 0, side, side))
    image = inpaint(
        "castle",
        image=red_apple,
        mask_image=mask,
        height=side,
        width=side,
        strength=1.0,
        num_inference_steps=DEFAULT_STEPS,
        guidance_scale=DEFAULT_GUIDANCE,
        generator=torch.Generator().manual_seed(SEED),
    ).images[0]
    change = np.abs(array(image) - array(red_apple)).mean(axis=(0, 2))
    seam = side // 8  # where the decoder sees both sides
    assert change[: side // 2 - seam].mean() < 5
    assert change[side // 2 :].mean() > 15


def test_weights_are_half_precision_safetensors() -> None:
    weights = {file.suffix for file in MODEL_FOLDER.rglob("*") if file.stat().st_size > MEBIBYTE}
    assert weights <= {".safetensors", ".png"}
    text = json.loads((MODEL_FOLDER / "text_encoder" / "config.json").read_text())
    assert text["dtype"] == "float16"
