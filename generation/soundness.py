"""Whether what a model computes can still become a picture: looked at where it comes out of the
denoiser, and where it goes into the decoder and comes out of it.

diffusers makes pixels of anything: NaN becomes black, and infinity white.
"""

from typing import Any

import torch
from torch import Tensor

MAX_LATENT = 10_000.0
"""Latents are scaled to a variance of one (Rombach et al., 2022, appendix G): the strongest
guidance in few steps came to 46 here. Only a sampler that diverges goes so far."""
RANGE = 2.0
"""Decoders draw from -1 to 1, and a little beyond: whole pictures never lie beyond this."""
FLAT = 1e-3
"""An eighth of a step of 8 bits. The flattest picture measured here, a white one barely redrawn,
came to twenty times as much before it was rounded."""


class Broken(Exception):
    """What came out is no picture; the message says where and why, and nothing that was asked."""


def watch(pipeline: Any) -> None:
    """From now on calls of the pipeline's denoiser and decoder raise Broken for what can be no
    picture. All pipelines that share these are watched too."""
    pipeline.unet.register_forward_hook(_denoised)
    scale = float(pipeline.vae.config.scaling_factor)
    pipeline.vae.decoder.register_forward_pre_hook(lambda _, given: _latents(given[0], scale))
    pipeline.vae.decoder.register_forward_hook(_decoded)


def _denoised(_: Any, __: Any, output: Any) -> None:
    _finite(output[0], "the denoiser's output")


def _latents(latents: Tensor, scale: float) -> None:
    _finite(latents, "the latents")
    greatest = float(latents.abs().max()) * scale
    if greatest > MAX_LATENT:
        raise Broken(f"the sampler diverged: latents of {greatest:.3g}")


def _decoded(_: Any, __: Any, output: Tensor) -> None:
    """`batch channel height width`.

    One colour in all pixels is no sign by itself: people ask for plain backgrounds, and white and
    black are where rounding ends. But what is honestly drawn begins with noise, and some of it is
    left below the steps of 8 bits; where nothing is left, or all lies far out of range, the decoder
    has drawn nothing.
    """
    _finite(output, "the decoder's output")
    pixels = output.float().clamp(-RANGE, RANGE).flatten(2)
    spread = pixels.amax(2) - pixels.amin(2)
    if bool((spread < FLAT).all(1).any()):
        raise Broken("the decoder drew one flat colour")


def _finite(values: Tensor, of: str) -> None:
    if not bool(torch.isfinite(values).all()):
        raise Broken(f"NaN or infinity in {of}")
