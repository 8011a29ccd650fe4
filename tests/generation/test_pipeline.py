"""The measure of right is diffusers itself: same seed and settings, same picture."""

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    LatentConsistencyModelPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)
from PIL import Image

from generation.pipeline import (
    DiffusionModel,
    Drawing,
    fit_to,
    release_memory,
    resolve_device,
)
from storage.domain import Mode
from tests.fakes.tiny_models import FAMILIES
from tests.generation.drawings import SIZE, drawing, nothing, pixels

pytestmark = [
    # diffusers' Euler schedulers still hand tensors to NumPy the old way.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # As in generation.quiet; pytest forgets filters that are set on import.
    pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning"),
]

Load = Callable[[str], DiffusionModel]
Folder = Callable[[str], Path]

_SD = {
    Mode.TEXT_TO_IMAGE: StableDiffusionPipeline,
    Mode.IMAGE_TO_IMAGE: StableDiffusionImg2ImgPipeline,
    Mode.INPAINT: StableDiffusionInpaintPipeline,
}
_XL = {
    Mode.TEXT_TO_IMAGE: StableDiffusionXLPipeline,
    Mode.IMAGE_TO_IMAGE: StableDiffusionXLImg2ImgPipeline,
    Mode.INPAINT: StableDiffusionXLInpaintPipeline,
}
_STOCK = {
    "sd15": _SD,
    "sd2": _SD,
    "sdxl": _XL,
    "turbo": _XL,
    "lcm": {**_SD, Mode.TEXT_TO_IMAGE: LatentConsistencyModelPipeline},
}


def stock(folder: Path, family: str, mode: Mode, of: Drawing, **pictures: Any) -> Image.Image:
    """The picture by the pipeline as published, loaded from the same folder."""
    pipeline = _STOCK[family][mode].from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    if mode is not Mode.IMAGE_TO_IMAGE:
        pictures |= {"width": of.width, "height": of.height}
    if mode is not Mode.TEXT_TO_IMAGE:
        pictures["strength"] = of.strength
    if pipeline.__class__ is not LatentConsistencyModelPipeline:
        pictures["negative_prompt"] = of.negative_prompt or None
    picture: Image.Image = pipeline(
        of.prompt,
        num_inference_steps=of.steps,
        guidance_scale=of.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(of.seed),
        **pictures,
    ).images[0]
    return picture


@pytest.mark.parametrize("negative", ["green tree", ""])
@pytest.mark.parametrize("family", FAMILIES)
def test_text_to_image_is_the_stock_picture(
    family: str, negative: str, model_of: Load, folder_of: Folder
) -> None:
    of = drawing(family, negative_prompt=negative)
    steps: list[int] = []
    picture = model_of(family).draw(of, on_step=steps.append)
    expected = stock(folder_of(family), family, Mode.TEXT_TO_IMAGE, of)
    assert picture.size == SIZE
    assert (pixels(picture) == pixels(expected)).all()
    assert steps == list(range(1, model_of(family).steps_of(of, Mode.TEXT_TO_IMAGE) + 1))


@pytest.mark.parametrize("family", FAMILIES)
def test_image_to_image_is_the_stock_picture(
    family: str, model_of: Load, folder_of: Folder, sketch: Image.Image
) -> None:
    of = drawing(family, strength=0.8)
    steps: list[int] = []
    picture = model_of(family).draw(of, init_image=sketch, on_step=steps.append)
    fitted = fit_to(sketch, SIZE, Image.Resampling.LANCZOS)
    expected = stock(folder_of(family), family, Mode.IMAGE_TO_IMAGE, of, image=fitted)
    assert (pixels(picture) == pixels(expected)).all()
    assert steps[-1] == len(steps) == model_of(family).steps_of(of, Mode.IMAGE_TO_IMAGE)


@pytest.mark.parametrize("family", FAMILIES)
def test_inpaint_is_the_stock_picture_inside_and_the_old_one_outside(
    family: str, model_of: Load, folder_of: Folder, sketch: Image.Image, mask: Image.Image
) -> None:
    of = drawing(family, strength=0.8)
    steps: list[int] = []
    picture = model_of(family).draw(of, init_image=sketch, mask=mask, on_step=steps.append)
    image = fit_to(sketch, SIZE, Image.Resampling.LANCZOS)
    area = fit_to(mask, SIZE, Image.Resampling.NEAREST)
    expected = stock(folder_of(family), family, Mode.INPAINT, of, image=image, mask_image=area)
    white = np.asarray(area) == 255
    assert 0.3 < white.mean() < 0.7
    assert (pixels(picture)[white] == pixels(expected)[white]).all()
    assert (pixels(picture)[~white] == pixels(image)[~white]).all()
    assert (pixels(picture)[white] != pixels(image)[white]).any()
    assert steps[-1] == len(steps) == model_of(family).steps_of(of, Mode.INPAINT)


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (96, 64)])
@pytest.mark.parametrize(("row", "below_the_middle"), [(300, 0), (310, 1)])
def test_a_stroke_is_repainted_however_thin_and_nothing_else(
    builtin: DiffusionModel, size: tuple[int, int], row: int, below_the_middle: int
) -> None:
    """One pixel of a line in a picture that is made far smaller, and cut to another shape."""
    reference = Image.linear_gradient("L").resize((600, 600)).convert("RGB")
    line = Image.new("L", (600, 600), 0)
    line.paste(255, (0, row, 600, row + 1))
    width, height = size
    of = drawing(width=width, height=height, negative_prompt="", prompt="red apple")
    pictures = [
        pixels(
            builtin.draw(replace(of, seed=seed), init_image=reference, mask=line, on_step=nothing)
        )
        for seed in (1, 2)
    ]
    kept = pixels(fit_to(reference, size, Image.Resampling.LANCZOS))
    repainted = height // 2 + below_the_middle
    assert np.abs(pictures[0][repainted] - pictures[1][repainted]).mean() > 5
    for picture in pictures:
        assert (np.delete(picture, repainted, axis=0) == np.delete(kept, repainted, axis=0)).all()


@pytest.mark.parametrize("family", ["sd15", "turbo"])
def test_a_seed_is_a_picture(family: str, model_of: Load) -> None:
    model, of = model_of(family), drawing(family)
    first = model.draw(of, on_step=nothing)
    assert (pixels(first) != pixels(model.draw(replace(of, seed=6), on_step=nothing))).any()
    assert (pixels(first) == pixels(model.draw(of, on_step=nothing))).all()


@pytest.mark.parametrize("scheduler", ["dpmpp_2m_karras", "euler_a", "unipc", "pndm"])
def test_schedulers_that_remember_steps_are_not_shared(scheduler: str, model_of: Load) -> None:
    model, of = model_of("sd15"), drawing(scheduler=scheduler)
    alone = model.draw(of, on_step=nothing)

    def stop(step: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        model.draw(replace(of, seed=9), on_step=stop)
    assert (pixels(model.draw(of, on_step=nothing)) == pixels(alone)).all()
    plain = model.draw(replace(of, scheduler=None), on_step=nothing)
    if scheduler != "pndm":
        assert (pixels(plain) != pixels(alone)).any()


def test_what_on_step_raises_comes_out_at_once(model_of: Load) -> None:
    seen: list[int] = []

    def cancel(step: int) -> None:
        seen.append(step)
        if step == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        model_of("sd15").draw(drawing(loras=(("ink", 1.0),)), on_step=cancel)
    assert seen == [1, 2]


@pytest.mark.parametrize(
    ("steps", "strength", "mode", "calls"),
    [
        (4, 1.0, Mode.TEXT_TO_IMAGE, 4),
        (4, 0.5, Mode.IMAGE_TO_IMAGE, 2),
        (10, 0.55, Mode.INPAINT, 5),
        (10, 0.01, Mode.IMAGE_TO_IMAGE, 1),
        (49, 0.001, Mode.INPAINT, 1),
        (1, 0.3, Mode.IMAGE_TO_IMAGE, 1),
    ],
)
def test_steps_by_strength(
    steps: int,
    strength: float,
    mode: Mode,
    calls: int,
    builtin: DiffusionModel,
    sketch: Image.Image,
    mask: Image.Image,
) -> None:
    of = drawing(width=64, height=64, steps=steps, strength=strength)
    done: list[int] = []
    builtin.draw(
        of,
        init_image=None if mode is Mode.TEXT_TO_IMAGE else sketch,
        mask=mask if mode is Mode.INPAINT else None,
        on_step=done.append,
    )
    assert done == list(range(1, calls + 1))
    assert builtin.steps_of(of, mode) == calls


def test_red_and_green_apples(builtin: DiffusionModel) -> None:
    def apple(colour: str) -> Any:
        of = drawing(
            prompt=f"{colour} apple",
            negative_prompt="",
            width=64,
            height=64,
            steps=12,
            guidance_scale=3.0,
            seed=1,
        )
        return pixels(builtin.draw(of, on_step=nothing))

    red, green = apple("red"), apple("green")
    middle = np.s_[24:44, 16:48]
    assert red[middle][..., 0].mean() > red[middle][..., 1].mean() + 60
    assert green[middle][..., 1].mean() > green[middle][..., 0].mean() + 20
    assert (apple("red") == red).all()


def test_a_weight_pulls(builtin: DiffusionModel) -> None:
    """With a green apple, the weight on "red" moves the picture, and more moves it further."""

    def apple(prompt: str) -> Any:
        of = drawing(prompt=prompt, width=64, height=64, steps=8, guidance_scale=3.0, seed=1)
        return pixels(builtin.draw(of, on_step=nothing))

    plain = apple("red apple")
    assert (apple("(red:1.0) apple") == plain).all()
    moved = [np.abs(apple(f"(red:{weight}) apple") - plain).mean() for weight in (1.1, 1.9)]
    assert 0 < moved[0] < moved[1]


def test_the_devices() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in ("cpu", "cuda", "mps")
    missing = next(
        d
        for d, there in (
            ("mps", torch.backends.mps.is_available()),
            ("cuda", torch.cuda.is_available()),
        )
        if not there
    )
    with pytest.raises(ValueError, match=missing):
        resolve_device(missing)
    release_memory("cpu")


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_no_prompt_in_any_output(
    family: str,
    model_of: Load,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Prompts over the window, with every logger as talkative as it can be."""
    canary = "xylocarp"
    of = drawing(
        family,
        prompt=f"a fox {canary} " * 20 + f"({canary}:1.4)",
        negative_prompt=f"a tree {canary} " * 30,
        scheduler="ddim",
    )
    libraries = [logging.getLogger(name) for name in ("diffusers", "transformers", "")]
    levels = [logger.level for logger in libraries]
    for logger in libraries:
        logger.setLevel(logging.DEBUG)
        logger.addHandler(caplog.handler)
    try:
        model_of(family).draw(of, on_step=nothing)
        with pytest.raises(ValueError, match="divisible"):
            model_of(family).draw(replace(of, width=63), on_step=nothing)
        print(repr(of), file=sys.stderr)
    finally:
        for logger, level in zip(libraries, levels, strict=True):
            logger.setLevel(level)
            logger.removeHandler(caplog.handler)
    written = capfd.readouterr()
    assert canary not in caplog.text + written.out + written.err
    assert "Drawing(" in written.err
