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


def build_scheduler(name: str | None, config: Mapping[str, Any], own: type[Any]) -> Any:
    """A fresh scheduler, since its step counter and history belong to one drawing alone.

    `config` is the model's scheduler configuration and `own` its class, taken when `name` is None.
    Raises ValueError, naming the nearest known one, when there is none of that name.
    """
    if name is None:
        return own.from_config(config)
    if name not in SCHEDULERS:
        nearest = get_close_matches(name, SCHEDULERS, n=1, cutoff=0.0)[0]
        known = ", ".join(SCHEDULERS)
        raise ValueError(f"no scheduler {name!r}; did you mean {nearest!r}? Known: {known}")
    scheduler_class, extra = SCHEDULERS[name]
    return scheduler_class.from_config(config, **extra)
