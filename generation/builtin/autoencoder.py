"""Stages one and four: the autoencoder, then its decoder alone.

AutoencoderTiny with one width everywhere (the only shape that it reloads from), eight times smaller
latents of four channels. Latents are held near mean 0 and deviation 1 by the loss, because the
stock pipelines know one scale factor for all channels and no shift.
"""

from collections.abc import Callable
from typing import Final

import torch
from diffusers import AutoencoderTiny
from torch import nn
from torch.nn import functional

from generation.builtin import DEFAULT_GUIDANCE, DEFAULT_STEPS
from generation.builtin.compose import Composer
from generation.builtin.dataset import Batch, Feed
from generation.builtin.networks import Networks, new_scheduler
from generation.builtin.stage import Budget, Session, autocast, cosine, run_stage, set_rate

SHRINKS: Final = 8
_RATE: Final = 3e-3
_DECODER_RATE: Final = 1.5e-3
_LATENT_NOISE: Final = 0.05
_EDGE_WEIGHT: Final = 0.5
_STATISTICS_WEIGHT: Final = 0.1
_REDRAWN_FROM: Final = (4, 5, 6)
"""The sampler's steps (of eight) from which latents for the decoder are drawn anew."""


def new_autoencoder(width: int = 40) -> AutoencoderTiny:
    """Untrained; 0.7 million parameters at width 40. Latents are SHRINKS times smaller."""
    return AutoencoderTiny(
        encoder_block_out_channels=(width,) * 4,
        decoder_block_out_channels=(width,) * 4,
        num_encoder_blocks=(0, 0, 2, 3),
        num_decoder_blocks=(3, 3, 2, 1),
        latent_channels=4,
    ).to(memory_format=torch.channels_last)


def train_autoencoder(
    vae: AutoencoderTiny,
    feed: Feed[Batch],
    composer: Composer,
    session: Session,
    budget: Budget,
    device: torch.device,
) -> bool:
    """Train both halves on quarters of the pictures; True when complete.

    A quarter costs a quarter, and at this size steps count more than pixels.
    """
    optimizer = torch.optim.AdamW(vae.parameters(), lr=_RATE, betas=(0.9, 0.98), fused=True)

    def step(number: int, done: float) -> tuple[torch.Tensor, int]:
        set_rate(optimizer, _RATE * cosine(done, hold=0.2, floor=0.01) * min(1, (number + 1) / 50))
        images = _quarter(composer.compose(feed.at(number).plans))
        with autocast(device):
            latents = vae.encode(images).latents
            noisy = latents + _LATENT_NOISE * torch.randn_like(latents)
            drawn = vae.decode(noisy).sample
        loss = picture_loss(drawn.float(), images) + _STATISTICS_WEIGHT * _unevenness(
            latents.float()
        )
        _descend(loss, optimizer, vae)
        return loss.detach(), len(images)

    parts = {"vae": vae, "optimizer": optimizer}
    return run_stage("autoencoder", session, budget, parts, step)


def train_decoder(
    vae: AutoencoderTiny,
    networks: Networks,
    feed: Feed[Batch],
    composer: Composer,
    session: Session,
    budget: Budget,
    device: torch.device,
) -> bool:
    """Train the decoder for latents that stay as they are; True when complete.

    Half of its latents are those of pictures with a little noise. The others the U-Net has drawn
    anew, from where much of the picture was left: so the decoder learns to draw sharply what the
    U-Net leaves vague.
    """
    vae.encoder.requires_grad_(False)
    decoder = vae.decoder
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=_DECODER_RATE, fused=True)
    redraw = _redrawing(networks, device)

    def step(number: int, done: float) -> tuple[torch.Tensor, int]:
        set_rate(optimizer, _DECODER_RATE * cosine(done, floor=0.01) * min(1, (number + 1) / 50))
        batch = feed.at(number)
        images = composer.compose(batch.plans)
        with autocast(device):
            with torch.no_grad():
                latents = vae.encode(images).latents.float()
                if number % 2:
                    latents = redraw(latents, batch.tokens.to(device), number)
                else:
                    latents = latents + _LATENT_NOISE * torch.randn_like(latents)
            drawn = vae.decode(latents).sample
        loss = picture_loss(drawn.float(), images)
        _descend(loss, optimizer, decoder)
        return loss.detach(), len(images)

    parts = {"vae": vae, "optimizer": optimizer}
    return run_stage("decoder", session, budget, parts, step)


def _redrawing(
    networks: Networks, device: torch.device
) -> Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]:
    """(latents, tokens, number) -> the latents noised and drawn again, as image to image does."""
    scheduler = new_scheduler()
    scheduler.set_timesteps(DEFAULT_STEPS)
    nothing = networks.encode([""]).to(device)

    def redraw(latents: torch.Tensor, tokens: torch.Tensor, number: int) -> torch.Tensor:
        times = scheduler.timesteps[_REDRAWN_FROM[number // 2 % len(_REDRAWN_FROM)] :]
        drawn: torch.Tensor = scheduler.add_noise(latents, torch.randn_like(latents), times[:1])
        told = networks.text(torch.cat([nothing.expand_as(tokens), tokens])).last_hidden_state
        for time in times:
            twice = torch.cat([drawn, drawn])
            velocity = networks.smooth(twice, time, encoder_hidden_states=told).sample.float()
            without, with_words = velocity.chunk(2)
            guided = without + DEFAULT_GUIDANCE * (with_words - without)
            drawn = scheduler.step(guided, time, drawn).prev_sample
        return drawn

    return redraw


def picture_loss(drawn: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of the pixels and of their differences to the next row and column."""
    loss = functional.l1_loss(drawn, images)
    for axis in (2, 3):
        loss = loss + _EDGE_WEIGHT * functional.l1_loss(drawn.diff(dim=axis), images.diff(dim=axis))
    return loss


def _quarter(images: torch.Tensor) -> torch.Tensor:
    """The same part of every picture, half as wide and high."""
    side = images.shape[-1] // 2
    top, left = (int(place) for place in torch.randint(side + 1, (2,)))
    part = images[..., top : top + side, left : left + side]
    return part.contiguous(memory_format=torch.channels_last)


def _descend(loss: torch.Tensor, optimizer: torch.optim.Optimizer, module: nn.Module) -> None:
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _unevenness(latents: torch.Tensor) -> torch.Tensor:
    axes = (0, 2, 3)
    return latents.mean(axes).square().mean() + (latents.std(axes) - 1).square().mean()
