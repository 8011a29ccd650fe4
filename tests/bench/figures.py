"""What every measurement hands on: one number beside a baseline of the same run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    name: str
    value: float
    baseline: float
    aim: float | None
    """At most this; None where there is no promise."""
    note: str = ""
    unit: str = "s"

    @property
    def met(self) -> bool | None:
        return None if self.aim is None else self.value <= self.aim


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def p95(values: Sequence[float]) -> float:
    return percentile(values, 0.95)


def p99(values: Sequence[float]) -> float:
    return percentile(values, 0.99)
