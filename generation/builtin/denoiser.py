"""Stage three: the U-Net learns to draw, in the latents of the finished autoencoder.

v-prediction (Salimans & Ho 2022, arXiv:2202.00512) with a schedule rescaled to zero terminal signal
(Lin et al. 2023, arXiv:2305.08891). The text encoder has learnt to read (`reader.py`) and stays as
it is, which saves a sixth of each step; the pooling goes on.
"""

from collections.abc import Callable
from typing import Any, Final

import torch
from diffusers import AutoencoderTiny
from torch import nn

from generation.builtin.compose import Composer
from generation.builtin.dataset import Batch, Feed
from generation.builtin.networks import Networks, new_scheduler
from generation.builtin.stage import (
    Budget,
    Session,
    Stateful,
    autocast,
    cosine,
    run_stage,
    set_rate,
)

_RATE: Final = 1e-3
_RATE_HELD: Final = 0.4
_WARM_UP_STEPS: Final = 150
_EMA: Final = 0.999
_SHEET_SECONDS: Final = 1200.0
_MISLED_BELOW: Final = 450  # time steps
_MISLED_SHARE: Final = 0.7
"""Where so much of a picture is left, it decides and not the words: so often they are those of
another one. A U-Net that could draw all that captions ask for drew the prompt anew from step 374,
where image to image begins at strength 0.4, and kept the layout in 76% only."""


class Exposures:
    """How often each concept was shown."""

    def __init__(self, concepts: int) -> None:
        self.counts = torch.zeros(concepts, dtype=torch.int64)

    def add(self, shown: torch.Tensor) -> None:
        self.counts += torch.bincount(shown, minlength=len(self.counts))

    def state_dict(self) -> dict[str, Any]:
        return {"counts": self.counts}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.counts = state["counts"]


def train_denoiser(
    networks: Networks,
    vae: AutoencoderTiny,
    feed: Feed[Batch],
    composer: Composer,
    exposures: Exposures,
    session: Session,
    budget: Budget,
    device: torch.device,
    draw_sheet: Callable[[], None],
) -> bool:
    """Train; True when complete. The smooth networks are the result."""
    networks.text.requires_grad_(False)
    trained, smooth = networks.unet, networks.smooth
    optimizer = torch.optim.AdamW(
        trained.parameters(), lr=_RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    objective = _Objective(networks, vae, composer, device)

    def step(number: int, done: float) -> tuple[torch.Tensor, int]:
        warm = min(1.0, (number + 1) / _WARM_UP_STEPS)
        set_rate(optimizer, _RATE * warm * cosine(done, hold=_RATE_HELD, floor=0.005))
        batch = feed.at(number)
        loss = objective(batch, number)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        _average(smooth, trained, min(_EMA, (1 + number) / (10 + number)))
        exposures.add(batch.shown)
        return loss.detach(), len(batch.tokens)

    parts: dict[str, Stateful] = {
        "trained": trained,
        "smooth": smooth,
        "optimizer": optimizer,
        "exposures": exposures,
    }
    beside = [(_SHEET_SECONDS, draw_sheet)]
    return run_stage("denoiser", session, budget, parts, step, beside)


class _Objective:
    """The mean squared error of the predicted velocity for one batch."""

    def __init__(
        self, networks: Networks, vae: AutoencoderTiny, composer: Composer, device: torch.device
    ) -> None:
        self._networks = networks
        self._vae = vae
        self._composer = composer
        self._device = device
        kept = new_scheduler().alphas_cumprod.to(device)
        self._signal, self._noise = kept.sqrt(), (1 - kept).sqrt()

    def __call__(self, batch: Batch, number: int) -> torch.Tensor:
        random = torch.Generator(self._device).manual_seed(number)
        with autocast(self._device):
            latents = self._latents(batch, random)
            times = self._times(len(latents), random)
            noise = torch.empty_like(latents).normal_(generator=random)
            signal, share = (
                self._signal[times, None, None, None],
                self._noise[times, None, None, None],
            )
            tokens = _mislead(batch.tokens.to(self._device, non_blocking=True), times, random)
            with torch.no_grad():
                hidden = self._networks.text(tokens).last_hidden_state
            predicted = self._networks.unet(
                signal * latents + share * noise, times, encoder_hidden_states=hidden
            ).sample
        velocity = signal * noise - share * latents
        loss: torch.Tensor = (predicted.float() - velocity).square().mean()
        return loss

    @torch.no_grad()
    def _latents(self, batch: Batch, random: torch.Generator) -> torch.Tensor:
        """float32 [batch, 4, side, side]"""
        told: torch.Tensor = self._vae.encode(self._composer.compose(batch.plans, random)).latents
        return told.float()

    def _times(self, count: int, random: torch.Generator) -> torch.Tensor:
        """One time step from each of `count` parts of the schedule, the noisy ones more often.

        Where hardly any signal is left, the words alone say what to draw. After 38,000 samples a
        wrong caption cost 0.39 of squared error there, and 0.03 where most of the signal is left.
        The density grows linearly with the time.
        """
        shift = torch.rand(count, generator=random, device=self._device)
        parts = (torch.arange(count, device=self._device) + shift) / count
        return (parts.sqrt() * len(self._signal)).long().clamp_(max=len(self._signal) - 1)


def _mislead(tokens: torch.Tensor, times: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """The captions, where little noise is left mostly those of the next picture in the batch."""
    drawn = torch.rand(len(tokens), generator=random, device=times.device)
    misled = (times < _MISLED_BELOW) & (drawn < _MISLED_SHARE)
    return torch.where(misled[:, None], tokens.roll(-1, dims=0), tokens)


@torch.no_grad()
def _average(smooth: nn.Module, trained: nn.Module, keep: float) -> None:
    torch._foreach_lerp_(list(smooth.parameters()), list(trained.parameters()), 1 - keep)
