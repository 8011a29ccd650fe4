"""Samplers by the names that people type, each built anew from the model's own settings."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

_DPMPP_2M = {"algorithm_type": "dpmsolver++", "solver_order": 2}

SCHEDULERS: Mapping[str, tuple[type[Any], Mapping[str, Any]]] = {
    # Models that come with another scheduler often leave out the one setting in which DDIM differs:
    # clipping at ±1 is for pixels, not for latents.
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, _DPMPP_2M),
    "dpmpp_2m_karras": (DPMSolverMultistepScheduler, {**_DPMPP_2M, "use_karras_sigmas": True}),
    "dpmpp_2m_sde": (
        DPMSolverMultistepScheduler,
        {**_DPMPP_2M, "algorithm_type": "sde-dpmsolver++"},
    ),
    "euler": (EulerDiscreteScheduler, {}),
    "euler_a": (EulerAncestralDiscreteScheduler, {}),
    "lcm": (LCMScheduler, {}),
    "pndm": (PNDMScheduler, {"skip_prk_steps": True}),
    "unipc": (UniPCMultistepScheduler, {}),
}
"""Name -> diffusers class, and what it is told besides the model's own configuration.

All of them evaluate the U-Net once a step. Prediction type, betas and timestep spacing come from
the model, so a v-prediction model stays one under every name.
"""


class TooManySteps(Exception):
    """The sampler does not take so many steps of this model; the message says how many it takes."""


def timesteps_of(scheduler: Any, steps: int) -> int:
    """How many times the sampler evaluates the denoiser. Raises TooManySteps."""
    try:
        scheduler.set_timesteps(steps)
    except ValueError as error:
        raise TooManySteps(str(error)) from error
    return len(scheduler.timesteps)


def build_scheduler(name: str | None, config: Mapping[str, Any], own: type[Any]) -> Any:
    """A fresh scheduler, since its step counter and history belong to one drawing alone.

    `config` is the model's scheduler configuration and `own` its class, taken when `name` is None.
    Raises ValueError, naming the nearest known one, when there is none of that name.
    """
    if name is None:
        return _begins_at_the_first(own.from_config(config))
    if name not in SCHEDULERS:
        nearest = get_close_matches(name, SCHEDULERS, n=1, cutoff=0.0)[0]
        known = ", ".join(SCHEDULERS)
        raise ValueError(f"no scheduler {name!r}; did you mean {nearest!r}? Known: {known}")
    scheduler_class, extra = SCHEDULERS[name]
    return _begins_at_the_first(scheduler_class.from_config(config, **extra))


def _begins_at_the_first(scheduler: Any) -> Any:
    """A schedule may name its first timestep twice (Karras' sigmas in many steps). A sampler that
    is told no place to begin looks for the number, takes the second, and runs out at the end."""
    if not hasattr(scheduler, "set_begin_index"):
        return scheduler
    set_timesteps = scheduler.set_timesteps

    def and_begin(*args: Any, **more: Any) -> None:
        set_timesteps(*args, **more)
        scheduler.set_begin_index(0)

    scheduler.set_timesteps = and_begin
    return scheduler
