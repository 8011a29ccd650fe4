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
from torch.utils.data import DataLoader

from generation.builtin.dataset import Batch, Batches, to_unit
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
_EMA: Final = 0.997
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
    batches: Batches,
    exposures: Exposures,
    session: Session,
    budget: Budget,
    device: torch.device,
    workers: int,
    draw_sheet: Callable[[], None],
) -> bool:
    """Train; True when complete. The smooth networks are the result."""
    networks.text.requires_grad_(False)
    trained, smooth = networks.unet, networks.smooth
    optimizer = torch.optim.AdamW(
        trained.parameters(), lr=_RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    feed = _Feed(batches, workers)
    objective = _Objective(networks, vae, device)

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
        return loss.detach(), len(batch.captions)

    parts: dict[str, Stateful] = {
        "trained": trained,
        "smooth": smooth,
        "optimizer": optimizer,
        "exposures": exposures,
    }
    beside = [(_SHEET_SECONDS, draw_sheet)]
    return run_stage("denoiser", session, budget, parts, step, beside)


class _Feed:
    """Batches in the order of steps, prepared by worker processes when there are any."""

    def __init__(self, batches: Batches, workers: int) -> None:
        self._batches = batches
        self._workers = workers
        self._ahead: Any = None
        self._next = -1

    def at(self, number: int) -> Batch:
        if not self._workers:
            return self._batches[number]
        if number != self._next:
            loader = DataLoader(
                self._batches,
                batch_size=None,
                sampler=range(number, 2**40),
                num_workers=self._workers,
                pin_memory=torch.cuda.is_available(),
            )
            self._ahead = iter(loader)
        self._next = number + 1
        batch: Batch = next(self._ahead)
        return batch


class _Objective:
    """The mean squared error of the predicted velocity for one batch."""

    def __init__(self, networks: Networks, vae: AutoencoderTiny, device: torch.device) -> None:
        self._networks = networks
        self._vae = vae
        self._device = device
        kept = new_scheduler().alphas_cumprod.to(device)
        self._signal, self._noise = kept.sqrt(), (1 - kept).sqrt()

    def __call__(self, batch: Batch, number: int) -> torch.Tensor:
        random = torch.Generator(self._device).manual_seed(number)
        with autocast(self._device):
            latents = self._latents(batch)
            times = self._times(len(latents), random)
            noise = torch.empty_like(latents).normal_(generator=random)
            signal, share = (
                self._signal[times, None, None, None],
                self._noise[times, None, None, None],
            )
            hidden = self._networks.read(_mislead(batch.captions, times, random))
            predicted = self._networks.unet(
                signal * latents + share * noise, times, encoder_hidden_states=hidden
            ).sample
        velocity = signal * noise - share * latents
        loss: torch.Tensor = (predicted.float() - velocity).square().mean()
        return loss

    def _latents(self, batch: Batch) -> torch.Tensor:
        """float32 [batch, 4, side, side]"""
        with torch.no_grad():
            told: torch.Tensor = self._vae.encode(to_unit(batch.pixels, self._device)).latents
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


def _mislead(captions: list[str], times: torch.Tensor, random: torch.Generator) -> list[str]:
    """The captions, where little noise is left mostly those of the next picture in the batch."""
    drawn = torch.rand(len(captions), generator=random, device=times.device)
    misled = ((times < _MISLED_BELOW) & (drawn < _MISLED_SHARE)).tolist()
    following = [*captions[1:], *captions[:1]]
    return [
        next_one if wrong else own
        for own, next_one, wrong in zip(captions, following, misled, strict=True)
    ]


@torch.no_grad()
def _average(smooth: nn.Module, trained: nn.Module, keep: float) -> None:
    torch._foreach_lerp_(list(smooth.parameters()), list(trained.parameters()), 1 - keep)
