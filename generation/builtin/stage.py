"""One stage of training: a step repeated until its budget is spent, resumed after any interruption.

Everything that a step draws at random follows from the seed and the step's number, so a resumed
run of so many samples ends in the very weights of an uninterrupted one.
"""

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import torch

_REPORT_SECONDS: Final = 30.0
_SMOOTHING: Final = 0.9
_LOOK_STEPS: Final = 10
"""How often the loss is read: each reading waits for a GPU to finish what it was given."""


class Stateful(Protocol):
    """What a checkpoint holds: modules, optimizers, and tensors wrapped like them."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Any, /) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When a stage ends: after so many seconds of training or so many samples."""

    seconds: float | None = None
    samples: int | None = None

    def done(self, seconds: float, samples: int) -> float:
        """The part that is spent, 0 to 1."""
        by_time = seconds / self.seconds if self.seconds else 0.0
        by_samples = samples / self.samples if self.samples else 0.0
        return min(max(by_time, by_samples), 1.0)


@dataclass(kw_only=True)
class Tally:
    """What a stage has used so far."""

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    loss: float = math.nan  # running mean

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        vars(self).update(state)


@dataclass(kw_only=True)
class Session:
    """One run of the command: where checkpoints lie and when the command has to end."""

    work: Path
    seconds: float | None = None  # None: no limit but the stages' own budgets
    checkpoint_seconds: float = 120.0
    say: Callable[[str], None] = print
    started: float = field(default_factory=time.monotonic)

    def over(self) -> bool:
        return self.seconds is not None and time.monotonic() - self.started > self.seconds


def save(path: Path, parts: dict[str, Stateful]) -> None:
    """Write a checkpoint that is either the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        torch.save({name: part.state_dict() for name, part in parts.items()}, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def load(path: Path, parts: dict[str, Stateful]) -> bool:
    """Restore a checkpoint into `parts`; False when there is none."""
    if not path.exists():
        return False
    states = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(states[name])
    return True


def run_stage(
    name: str,
    session: Session,
    budget: Budget,
    parts: dict[str, Stateful],
    step: Callable[[int, float], tuple[torch.Tensor, int]],
    beside: Sequence[tuple[float, Callable[[], None]]] = (),
) -> bool:
    """Repeat `step(number, done)` -> (loss, samples) until the budget or the session is spent.

    `beside` are (seconds, action) pairs: actions done each time so many seconds of training have
    passed. True when the stage is complete, False when the command has to be started again.
    """
    tally = Tally()
    path = session.work / f"{name}.pt"
    everything: dict[str, Stateful] = {**parts, "tally": tally}
    if load(path, everything):
        session.say(f"{name}: resumed at {tally.samples} samples, {tally.seconds:.0f} s")
    every = [
        (session.checkpoint_seconds, lambda: save(path, everything)),
        (_REPORT_SECONDS, lambda: session.say(_line(name, budget, tally))),
        *beside,
    ]
    try:
        while budget.done(tally.seconds, tally.samples) < 1 and not session.over():
            _advance(tally, budget, step, every)
    finally:  # also when interrupted: at most the step that was under way is lost
        save(path, everything)
    session.say(_line(name, budget, tally))
    return budget.done(tally.seconds, tally.samples) >= 1


def _advance(
    tally: Tally,
    budget: Budget,
    step: Callable[[int, float], tuple[torch.Tensor, int]],
    every: Sequence[tuple[float, Callable[[], None]]],
) -> None:
    begun = time.monotonic()
    before = tally.seconds
    torch.manual_seed(tally.step)
    loss, samples = step(tally.step, budget.done(tally.seconds, tally.samples))
    if tally.step % _LOOK_STEPS == 0:
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(f"the loss is {value} at step {tally.step}")
        first = math.isnan(tally.loss)
        tally.loss = value if first else _SMOOTHING * tally.loss + (1 - _SMOOTHING) * value
    tally.step += 1
    tally.samples += samples
    tally.seconds += time.monotonic() - begun
    for seconds, action in every:
        if tally.seconds // seconds > before // seconds:
            action()


def _line(name: str, budget: Budget, tally: Tally) -> str:
    done = budget.done(tally.seconds, tally.samples)
    left = tally.seconds * (1 - done) / max(done, 1e-9) / 60
    rate = tally.samples / max(tally.seconds, 1e-9)
    return (
        f"{name}: {done:6.1%}  step {tally.step}  loss {tally.loss:.4f}  "
        f"{rate:.1f} samples/s  {left:.1f} min left"
    )


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 where the device computes in it; a processor without it is ten times slower so."""
    quick = device.type != "cpu" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=quick)


def cosine(done: float, hold: float = 0.0, floor: float = 0.0) -> float:
    """1 for the first `hold` of the budget, then a cosine down to `floor` at its end."""
    falling = max(done - hold, 0.0) / (1 - hold)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * falling))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
