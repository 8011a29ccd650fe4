"""Loading any diffusers model of the Stable Diffusion family, and drawing one picture with it.

The kinds: Stable Diffusion 1.5, 2.x (v-prediction too), XL, and their turbo and LCM relatives.
"""

import generation.quiet  # noqa: F401 - before the libraries that it quiets  # isort: skip

import gc
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import (
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)
from PIL import Image, ImageOps
from safetensors import SafetensorError

from generation.loras import Loras
from generation.prompts import PromptEncoder
from generation.schedulers import SCHEDULERS, build_scheduler, timesteps_of
from generation.soundness import watch
from generation.weights import ModelUnavailable, digest, fetch, inspect, verify
from storage.catalog import LoraEntry, ModelEntry
from storage.domain import Mode

__all__ = [
    "SCHEDULERS",
    "DiffusionModel",
    "Drawing",
    "ModelUnavailable",
    "fit_to",
    "release_memory",
    "resolve_device",
]

_SD: Mapping[Mode, type[Any]] = {
    Mode.TEXT_TO_IMAGE: StableDiffusionPipeline,
    Mode.IMAGE_TO_IMAGE: StableDiffusionImg2ImgPipeline,
    Mode.INPAINT: StableDiffusionInpaintPipeline,
}
_XL: Mapping[Mode, type[Any]] = {
    Mode.TEXT_TO_IMAGE: StableDiffusionXLPipeline,
    Mode.IMAGE_TO_IMAGE: StableDiffusionXLImg2ImgPipeline,
    Mode.INPAINT: StableDiffusionXLInpaintPipeline,
}
# Latent consistency models have a pipeline class of their own, but Stable Diffusion's does the
# same with their parts, and it is the one that has an inpainting sibling.
_FAMILIES: Mapping[str, Mapping[Mode, type[Any]]] = {
    "StableDiffusionPipeline": _SD,
    "LatentConsistencyModelPipeline": _SD,
    "StableDiffusionXLPipeline": _XL,
}
# Judging pictures is `generation.safety`'s work, on every model alike.
_NOT_LOADED: Mapping[str, None] = {
    "safety_checker": None,
    "feature_extractor": None,
    "image_encoder": None,
}


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One picture to draw, with every choice made."""

    prompt: str = field(repr=False)
    negative_prompt: str = field(default="", repr=False)
    width: int
    """Pixels, a multiple of 8."""
    height: int
    steps: int
    guidance_scale: float
    """Up to 1 there is no guidance, and the negative prompt is not looked at."""
    scheduler: str | None = None
    """A name of SCHEDULERS; None is the model's own."""
    seed: int
    strength: float = 1.0
    """Image to image and inpaint: above 0 to 1, how far the picture may move away."""
    loras: tuple[tuple[str, float], ...] = ()
    """Names given to `DiffusionModel.load`, each with its weight."""


def resolve_device(setting: str) -> str:
    """The torch device for the setting "auto", "cpu", "cuda" or "mps".

    Raises ValueError when the device that is named is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if setting == "auto":
        return next(device for device, available in there.items() if available)
    if not there[setting]:
        raise ValueError(f"EASEL_DEVICE is {setting}, and PyTorch sees none: easel doctor says why")
    return setting


def release_memory(device: str) -> None:
    """Give back what dropped models and pictures still hold of the device's memory."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()


def fit_to(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    """Scale to `size` (width, height); what sticks out of its aspect is cut off evenly."""
    return ImageOps.fit(image, size, method=resample)


def _dtype(device: str, variant: str | None) -> torch.dtype:
    if device == "cpu":
        return torch.float32
    # bfloat16 has float32's range: XL's decoder and 2.x's attention overflow to black in half
    # precision. Weights published as "fp16" were tried in it, and it has the finer steps.
    if device == "cuda" and variant != "fp16" and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    return torch.float16


class DiffusionModel:
    """One set of weights that draws from text, from a picture, and inside a mask.

    Not safe for threads: LoRAs switch the shared weights.
    """

    def __init__(self, pipeline: Any, *, revision: str, loras: Mapping[str, LoraEntry]) -> None:
        self.revision = revision
        """Hub commit, or the revision given, or a digest of the folder."""
        self.device = str(pipeline.device)
        self._base = pipeline
        watch(pipeline)
        self._loras = Loras(pipeline, loras)
        self._modes = _XL if isinstance(pipeline, StableDiffusionXLPipeline) else _SD
        self._components = {k: v for k, v in pipeline.components.items() if k != "scheduler"}
        self._settings: dict[str, Any] = {"requires_safety_checker": False}
        encoders = [(pipeline.tokenizer, pipeline.text_encoder)]
        zeros = False
        if self._modes is _XL:
            zeros = bool(pipeline.config.force_zeros_for_empty_prompt)
            self._settings = {"force_zeros_for_empty_prompt": zeros, "add_watermarker": False}
            encoders.append((pipeline.tokenizer_2, pipeline.text_encoder_2))
        self._prompts = PromptEncoder(encoders, is_xl=self._modes is _XL, zero_empty_negative=zeros)

    @classmethod
    def load(
        cls, entry: ModelEntry, *, device: str, loras: Mapping[str, LoraEntry]
    ) -> "DiffusionModel":
        """Load safetensors only, never code that comes with the model.

        `device` is what `resolve_device` returned; `loras` are those that drawings may name.
        Raises ModelUnavailable, or torch.OutOfMemoryError.
        """
        folder, commit = fetch(entry)
        class_name = inspect(folder, optional=frozenset(_NOT_LOADED))
        if class_name not in _FAMILIES:
            raise ModelUnavailable(
                f"{folder} is a {class_name}; Easel draws with {', '.join(_FAMILIES)}"
            )
        verify(folder, entry.sha256)
        family = _FAMILIES[class_name]
        extra: dict[str, Any] = {"requires_safety_checker": False} if family is _SD else {}
        try:
            pipeline = family[Mode.TEXT_TO_IMAGE].from_pretrained(
                folder,
                dtype=_dtype(device, entry.variant),
                variant=entry.variant,
                use_safetensors=True,
                local_files_only=True,
                **_NOT_LOADED,
                **extra,
            )
        except torch.OutOfMemoryError:
            raise
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ModelUnavailable(f"{folder} cannot be loaded: {error}") from error
        return cls(
            pipeline.to(device),
            revision=commit or entry.revision or digest(folder),
            loras=loras,
        )

    def steps_of(self, drawing: Drawing, mode: Mode) -> int:
        """How many times `draw` will call `on_step`.

        Not always `drawing.steps`: PNDM evaluates one more, and image to image and inpaint do
        only the last int(steps × strength) of them, at least one. Raises TooManySteps.
        """
        scheduler = self._scheduler(drawing)
        evaluations = timesteps_of(scheduler, drawing.steps)
        skipped = 0
        if mode is not Mode.TEXT_TO_IMAGE:
            skipped = drawing.steps - int(drawing.steps * _strength(drawing))
        return evaluations - skipped * int(scheduler.order)

    def draw(
        self,
        drawing: Drawing,
        *,
        init_image: Image.Image | None = None,
        mask: Image.Image | None = None,
        on_step: Callable[[int], None],
    ) -> Image.Image:
        """One RGB picture of width × height: from text alone, from `init_image`, or of
        `init_image` with the white part of `mask` repainted.

        Picture and mask are scaled to width × height, cut evenly at the sides to keep the aspect;
        white never vanishes, however thin, and where the mask is black the picture comes back
        unchanged.
        The same drawing gives the same picture: noise is drawn on the CPU, on every device.

        `on_step` is called after every denoising step with the number of steps done. What it
        raises comes out of here, and the model can go on to the next drawing. Raises ValueError
        for an unknown scheduler or a size that is no multiple of 8, LoraUnavailable,
        generation.soundness.Broken, torch.OutOfMemoryError.
        """

        def report(_: Any, index: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            on_step(index + 1)
            return tensors

        mode, pictures, white = _inputs(drawing, init_image, mask)
        if white is not None:
            pictures["mask_image"] = _whole_cells(white, self._base.vae_scale_factor)
        guided = drawing.guidance_scale > 1 and self._base.unet.config.time_cond_proj_dim is None
        with self._loras.applied(drawing.loras):
            embeddings = self._prompts.encode(
                drawing.prompt, drawing.negative_prompt, guided=guided
            )
            picture: Image.Image = self._pipeline(mode, drawing)(
                **embeddings.arguments(),
                **pictures,
                num_inference_steps=drawing.steps,
                guidance_scale=drawing.guidance_scale,
                generator=torch.Generator("cpu").manual_seed(drawing.seed),
                callback_on_step_end=report,
            ).images[0]
        if white is not None:
            # The decoder redraws all pixels, the kept ones too, a little differently.
            picture = Image.composite(picture, pictures["image"], white)
        return picture

    def _scheduler(self, drawing: Drawing) -> Any:
        own = self._base.scheduler
        return build_scheduler(drawing.scheduler, own.config, type(own))

    def _pipeline(self, mode: Mode, drawing: Drawing) -> Any:
        """A pipeline of the mode, of its own but for the weights."""
        pipeline = self._modes[mode](
            **self._components, scheduler=self._scheduler(drawing), **self._settings
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def _strength(drawing: Drawing) -> float:
    """At least enough for one step of those asked for."""
    return max(drawing.strength, min(1.0, math.nextafter(1 / drawing.steps, 1.0)))


def _inputs(
    drawing: Drawing, init_image: Image.Image | None, mask: Image.Image | None
) -> tuple[Mode, dict[str, Any], Image.Image | None]:
    """What is asked for, the pipeline's arguments that say so but for a mask, and the mask."""
    size = (drawing.width, drawing.height)
    width_and_height = {"width": drawing.width, "height": drawing.height}
    if init_image is None:
        return Mode.TEXT_TO_IMAGE, width_and_height, None
    image = fit_to(init_image.convert("RGB"), size, Image.Resampling.LANCZOS)
    pictures = {"image": image, "strength": _strength(drawing)}
    if mask is None:
        return Mode.IMAGE_TO_IMAGE, pictures, None
    white = mask.convert("L").point([0] * 128 + [255] * 128)
    fitted = _any(fit_to(white.convert("F"), size, Image.Resampling.BOX))
    return Mode.INPAINT, pictures | width_and_height, fitted


def _any(share: Image.Image) -> Image.Image:
    """Mode F to 255 where there is anything at all, else 0."""
    return share.point(lambda value: value * 1e6).convert("L").point([0] + [255] * 255)


def _whole_cells(white: Image.Image, side_px: int) -> Image.Image:
    """White wherever a latent is that has any of it under it; a pipeline looks at one pixel of
    each alone."""
    cells = (white.width // side_px, white.height // side_px)
    covered = _any(white.convert("F").resize(cells, Image.Resampling.BOX))
    return covered.resize(white.size, Image.Resampling.NEAREST)
