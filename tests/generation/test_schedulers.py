"""Every name makes a sampler that keeps what the model says about its noise."""

import inspect
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, PNDMScheduler

from generation.schedulers import SCHEDULERS, TooManySteps, build_scheduler, timesteps_of
from storage import catalog

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

_V_PREDICTION = DDIMScheduler(
    beta_start=0.00085,
    beta_end=0.012,
    beta_schedule="scaled_linear",
    prediction_type="v_prediction",
    timestep_spacing="trailing",
    clip_sample=False,
).config


def build(name: str | None, config: Any = _V_PREDICTION) -> Any:
    return build_scheduler(name, config, DDIMScheduler)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_model_settings_stay(name: str) -> None:
    scheduler = build(name)
    assert isinstance(scheduler, SCHEDULERS[name][0])
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.config.timestep_spacing == "trailing"
    assert scheduler.config.beta_start == 0.00085
    assert scheduler.order == 1
    assert build(name) is not scheduler


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_perfect_model_is_followed_to_the_picture(name: str) -> None:
    """A model that always knows the clean sample: any sampler must arrive there."""
    clean = torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4)
    scheduler = build(name)
    scheduler.set_timesteps(20)
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn(clean.shape, generator=generator) * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(sample, timestep)
        alpha = scheduler.alphas_cumprod[int(timestep)]
        # v = (sqrt(alpha) x_t - x_0) / sqrt(1 - alpha), x_t being what the model gets to see.
        velocity = (alpha.sqrt() * scaled - clean) / (1 - alpha).sqrt()
        more = (
            {} if name == "pndm" or name.startswith(("dpm", "unipc")) else {"generator": generator}
        )
        sample = scheduler.step(velocity, timestep, sample, **more).prev_sample
    assert (sample - clean).abs().max() < 0.2


def test_no_name_is_the_models_own() -> None:
    own = build_scheduler(None, PNDMScheduler(skip_prk_steps=True).config, PNDMScheduler)
    assert isinstance(own, PNDMScheduler)
    assert own.config.skip_prk_steps


def test_latents_are_never_clipped() -> None:
    """DDIM clips unless told otherwise, and other schedulers' settings do not tell it."""
    assert not build("ddim", PNDMScheduler(skip_prk_steps=True).config).config.clip_sample


@pytest.mark.parametrize(
    ("typed", "meant"), [("eular", "euler"), ("dpmpp2m", "dpmpp_2m"), ("UniPC", "unipc")]
)
def test_unknown_names_are_answered_with_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"no scheduler '{typed}'; did you mean '{meant}'"):
        build(typed)


@pytest.mark.parametrize("zero_snr", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 3, 25, 50, 100])
@pytest.mark.parametrize("name", [name for name in SCHEDULERS if name != "lcm"])
def test_any_number_of_steps_comes_to_its_end(name: str, steps: int, zero_snr: bool) -> None:
    """With Karras' sigmas and no signal at the beginning the first timestep comes twice."""
    config = DDIMScheduler.from_config(_V_PREDICTION, rescale_betas_zero_snr=zero_snr).config
    scheduler = build(name, config)
    assert timesteps_of(scheduler, steps) == len(scheduler.timesteps)
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn(1, 1, 2, 2, generator=generator) * scheduler.init_noise_sigma
    takes_noise = "generator" in inspect.signature(scheduler.step).parameters
    more = {"generator": generator} if takes_noise else {}
    for timestep in scheduler.timesteps:
        scheduler.scale_model_input(sample, timestep)
        sample = scheduler.step(torch.zeros_like(sample), timestep, sample, **more).prev_sample
    assert sample.isfinite().all()


@pytest.mark.parametrize(("name", "steps"), [("lcm", 51), ("lcm", 60), ("ddim", 1001)])
def test_more_steps_than_a_sampler_takes(name: str, steps: int) -> None:
    with pytest.raises(TooManySteps, match=str(steps)):
        timesteps_of(build(name), steps)


def test_the_catalog_knows_the_same_names() -> None:
    assert tuple(SCHEDULERS) == catalog.SCHEDULERS
