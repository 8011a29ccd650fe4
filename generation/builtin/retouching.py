"""The trials that start from a picture, and the one of many seeds."""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline
from PIL import Image

from generation.builtin import DEFAULT_GUIDANCE, DEFAULT_STEPS
from generation.builtin.judge import spread
from generation.builtin.report import Row
from generation.builtin.trials import CASES, Pictures, Studio, share

_SETTINGS: Final = {"num_inference_steps": DEFAULT_STEPS, "guidance_scale": DEFAULT_GUIDANCE}
_INPAINTED: Final = 16
_SEVERAL: Final = 12
_FULL: Final = 256  # side in pixels at which sharpness is measured
_SOFT: Final = 64


def restyled(studio: Studio) -> list[Row]:
    """Image to image: little strength keeps the layout, much strength obeys the prompt."""
    sources, wanted = studio.sample("restyled from", CASES), studio.sample("restyled to", CASES)
    rng = studio.rng("restyled")
    start = [studio.gallery.compose(concept, rng) for concept in sources]
    prompts = [studio.name(concept) for concept in wanted]
    soft, hard = (_restyle(studio, prompts, start, strength) for strength in (0.4, 0.9))
    bank = studio.gallery.bank

    def obeyed(pictures: Pictures) -> float:
        scores = [bank.scores(picture) for picture in pictures]
        cases = zip(scores, wanted, sources, strict=True)
        return share([bool(found[want] > found[source]) for found, want, source in cases])

    return [
        Row(
            name="image to image at 0.4 keeps the layout (SSIM above another picture's)",
            value=_kept(soft, start),
            cases=CASES,
            target=studio.goals.keeps,
            control=_kept([*hard[1:], hard[0]], start),
            control_is="pictures of other cases",
        ),
        Row(
            name="image to image at 0.9 is nearer to the prompt than to its source",
            value=obeyed(hard),
            cases=CASES,
            target=studio.goals.obeys,
            control=obeyed(soft),
            control_is="at 0.4",
        ),
    ]


def _restyle(studio: Studio, prompts: list[str], start: Pictures, strength: float) -> Pictures:
    pipe = StableDiffusionImg2ImgPipeline(**studio.pipe.components, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    generators = studio.generators(len(prompts))
    with torch.no_grad():
        made: Pictures = pipe(
            prompts, image=start, strength=strength, generator=generators, **_SETTINGS
        ).images
    return made


def _kept(pictures: Pictures, start: Pictures) -> float:
    others = [start[-1], *start[:-1]]
    cases = zip(pictures, start, others, strict=True)
    return share([ssim(now, then) > ssim(now, other) for now, then, other in cases])


def inpainted(studio: Studio) -> list[Row]:
    """Inpaint the right half: how much does the left half change?"""
    pipe = StableDiffusionInpaintPipeline(**studio.pipe.components, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    count, side = _INPAINTED, studio.gallery.size
    rng = studio.rng("inpainted")
    start = [studio.gallery.compose(concept, rng) for concept in studio.sample("inpainted", count)]
    mask = Image.new("L", (side, side), 0)
    mask.paste(255, (side // 2, 0, side, side))
    prompts = [studio.name(concept) for concept in studio.sample("inpainted to", count)]
    with torch.no_grad():
        pictures = pipe(
            prompts,
            image=start,
            mask_image=[mask] * count,
            height=side,
            width=side,
            strength=1.0,
            generator=studio.generators(count),
            **_SETTINGS,
        ).images
    before, after = (np.stack([_grey(one) for one in some]) for some in (start, pictures))
    changes = np.abs(after - before)
    return [
        Row(
            name="inpaint changes outside the mask (mean)",
            value=float(changes[:, :, : side // 2].mean()),
            cases=count,
            unit="of 255",
            target=studio.goals.outside,
            at_least=False,
            control=float(changes[:, :, side // 2 :].mean()),
            control_is="inside the mask",
        )
    ]


def sharp(studio: Studio) -> list[Row]:
    """Pictures of what the model draws anew from half noise, beside the originals at full size.

    Smaller pictures are enlarged by Lanczos, as whoever shows them would.
    """
    rng, side = studio.rng("sharp"), studio.gallery.size
    concepts = studio.sample("sharp", CASES)
    originals = [studio.gallery.compose(concept, rng, _FULL) for concept in concepts]
    start = [_resized(original, side) for original in originals]
    drawn = _restyle(studio, [studio.name(concept) for concept in concepts], start, 0.5)
    full, soft = (
        np.stack([np.asarray(_resized(picture, _FULL), np.float64) for picture in pictures])
        for pictures in (drawn, [_resized(original, _SOFT) for original in originals])
    )
    sharpest = np.stack([np.asarray(original, np.float64) for original in originals])
    return [
        *(
            Row(
                name=f"sharpness at {_FULL} pixels: the originals' gradient, {name}",
                value=_gradient(full, power) / _gradient(sharpest, power),
                cases=CASES,
                target=target,
                control=_gradient(soft, power) / _gradient(sharpest, power),
                control_is=f"originals of {_SOFT} pixels, enlarged",
            )
            for power, name, target in (
                (1, "mean", studio.goals.sharpness),
                (2, "root mean square, which blur lowers", None),
            )
        ),
        Row(
            name="mean error of the same pictures",
            value=float(np.abs(full - sharpest).mean()),
            cases=CASES,
            unit="of 255",
            target=studio.goals.error,
            at_least=False,
            control=float(np.abs(np.roll(full, 1, axis=0) - sharpest).mean()),
            control_is="pictures of other cases",
        ),
    ]


def _resized(picture: Image.Image, side: int) -> Image.Image:
    return picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)


def _gradient(pictures: npt.NDArray[np.float64], power: int) -> float:
    """Power mean of the differences to the next row and column; [pictures, height, width, 3]."""
    changes = [np.abs(np.diff(pictures, axis=axis)) ** power for axis in (1, 2)]
    return float(np.mean([change.mean() for change in changes]) ** (1 / power))


def seeds(studio: Studio) -> list[Row]:
    """How different are eight seeds of one prompt?"""
    rng = studio.rng("seeds")
    concepts = studio.sample("seeds", _SEVERAL)
    drawn = [spread(studio.draw([studio.name(concept)] * 8)) for concept in concepts]
    real = [spread([studio.gallery.compose(c, rng) for _ in range(8)]) for c in concepts]
    floor = float(np.mean(real)) / 2
    return [
        Row(
            name="eight seeds of one prompt differ (floor: half the training set's own spread)",
            value=float(np.mean(drawn)),
            cases=_SEVERAL,
            unit="distance",
            target=floor,
            control=float(np.mean(real)),
            control_is="training set's own spread",
        )
    ]


def ssim(one: Image.Image, two: Image.Image) -> float:
    """Structural similarity of grey pictures, 7 x 7 windows (Wang et al. 2004, eq. 13).

    Larger pictures are brought to 64 pixels, so that models of different sizes compare.
    """
    side = min(one.width, _SOFT)
    a, b = (
        np.lib.stride_tricks.sliding_window_view(_grey(_resized(picture, side)), (7, 7))
        for picture in (one, two)
    )
    axes = (-1, -2)
    mean_a, mean_b = a.mean(axes), b.mean(axes)
    both = (a * b).mean(axes) - mean_a * mean_b
    spreads = a.var(axes) + b.var(axes)
    low, high = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    alike = (2 * mean_a * mean_b + low) * (2 * both + high)
    return float((alike / ((mean_a**2 + mean_b**2 + low) * (spreads + high))).mean())


def _grey(picture: Image.Image) -> npt.NDArray[np.float64]:
    return np.asarray(picture.convert("L"), np.float64)
