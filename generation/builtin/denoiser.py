"""Stage two: text encoder and U-Net together, in the latents of the finished autoencoder.

v-prediction (Salimans & Ho 2022, arXiv:2202.00512) with a schedule rescaled to zero terminal
signal (Lin et al. 2023, arXiv:2305.08891), every time step weighted alike.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from torch import nn
from torch.utils.data import DataLoader
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from generation.builtin.dataset import Batch, Batches, to_unit
from generation.builtin.stage import Budget, Session, Stateful, cosine, run_stage, set_rate

_RATE: Final = 1e-3
_RATE_HELD: Final = 0.4
_WARM_UP_STEPS: Final = 150
_EMA: Final = 0.997
_SHEET_SECONDS: Final = 1200.0


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The size of the networks. The defaults fit two processor cores."""

    widths: tuple[int, ...] = (64, 128, 256)  # of the U-Net, highest resolution first
    heads: int = 2  # of its attention, which all but the first level have
    text_width: int = 192
    text_layers: int = 3
    tokens: int = 40  # the text encoder's window, with start and end


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What the second stage trains, and the averaged copy that is drawn with."""

    tokenizer: CLIPTokenizer
    text: CLIPTextModel
    unet: UNet2DConditionModel
    smooth_text: CLIPTextModel
    smooth_unet: UNet2DConditionModel


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


def new_scheduler() -> DDIMScheduler:
    """The schedule trained for, and the sampler that the finished folder names."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        steps_offset=1,
        clip_sample=False,
    )


def new_networks(tokenizer: CLIPTokenizer, latent_size: int, shape: Shape) -> Networks:
    """Untrained networks; `latent_size` is the side of the latents."""
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.text_width,
            intermediate_size=4 * shape.text_width,
            projection_dim=shape.text_width,
            num_hidden_layers=shape.text_layers,
            num_attention_heads=4,
            max_position_embeddings=shape.tokens,
            hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    lower = len(shape.widths) - 1
    unet = UNet2DConditionModel(
        sample_size=latent_size,
        block_out_channels=shape.widths,
        layers_per_block=1,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * lower),
        up_block_types=(*("CrossAttnUpBlock2D",) * lower, "UpBlock2D"),
        cross_attention_dim=shape.text_width,
        attention_head_dim=shape.heads,
        norm_num_groups=16,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    ).to(memory_format=torch.channels_last)
    return Networks(
        tokenizer=tokenizer,
        text=text,
        unet=unet,
        smooth_text=copy.deepcopy(text).requires_grad_(False),
        smooth_unet=copy.deepcopy(unet).requires_grad_(False),
    )


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
    trained = nn.ModuleList([networks.text, networks.unet])
    smooth = nn.ModuleList([networks.smooth_text, networks.smooth_unet])
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
        images = to_unit(batch.pixels, self._device)
        random = torch.Generator(self._device).manual_seed(number)
        with torch.autocast(self._device.type, torch.bfloat16):
            with torch.no_grad():
                latents = self._vae.encode(images).latents.float()
            times = self._times(len(images), random)
            noise = torch.empty_like(latents).normal_(generator=random)
            signal, share = (
                self._signal[times, None, None, None],
                self._noise[times, None, None, None],
            )
            hidden = self._networks.text(self._tokens(batch.captions)).last_hidden_state
            predicted = self._networks.unet(
                signal * latents + share * noise, times, encoder_hidden_states=hidden
            ).sample
        velocity = signal * noise - share * latents
        loss: torch.Tensor = (predicted.float() - velocity).square().mean()
        return loss

    def _times(self, count: int, random: torch.Generator) -> torch.Tensor:
        """One time step from each of `count` equal parts of the schedule."""
        shift = torch.rand(count, generator=random, device=self._device)
        parts = (torch.arange(count, device=self._device) + shift) / count
        return (parts * len(self._signal)).long().clamp_(max=len(self._signal) - 1)

    def _tokens(self, captions: list[str]) -> torch.Tensor:
        tokens = self._networks.tokenizer(
            captions, padding="max_length", truncation=True, return_tensors="pt"
        )
        ids: torch.Tensor = tokens.input_ids.to(self._device)
        return ids


@torch.no_grad()
def _average(smooth: nn.Module, trained: nn.Module, keep: float) -> None:
    torch._foreach_lerp_(list(smooth.parameters()), list(trained.parameters()), 1 - keep)
