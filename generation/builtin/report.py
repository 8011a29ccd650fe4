"""What an evaluation found: rows of figures, each with its target and its control."""

import json
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure."""

    name: str
    value: float
    cases: int
    unit: Literal["share", "seconds", "of 255", "distance", "count", "MB"] = "share"
    target: float | None = None  # None: reported only
    at_least: bool = True  # False: the target is an upper bound
    control: float | None = None  # what a model that ignores the thing measured would show
    control_is: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without a target."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target


@dataclass(frozen=True, kw_only=True)
class Report:
    """All figures of one model with one seed."""

    model: str
    seed: int
    rows: tuple[Row, ...]

    def json(self) -> str:
        """The report as JSON, `met` included."""
        rows = [{**asdict(row), "met": row.met} for row in self.rows]
        whole = {"model": self.model, "seed": self.seed, "rows": rows}
        return json.dumps(whole, ensure_ascii=False, indent=1)

    def table(self) -> str:
        """The report as a Markdown table."""
        head = "| measured | value | target | met | control | cases |\n|---|---|---|---|---|---|\n"
        return head + "".join(_line(row) for row in self.rows)


def _line(row: Row) -> str:
    bound = "≥" if row.at_least else "≤"
    target = "" if row.target is None else f"{bound} {_figure(row.target, row.unit)}"
    met = {None: "", True: "yes", False: "no"}[row.met]
    control = ""
    if row.control is not None:
        control = f"{_figure(row.control, row.unit)} ({row.control_is})"
    value = _figure(row.value, row.unit)
    return f"| {row.name} | {value} | {target} | {met} | {control} | {row.cases} |\n"


def _figure(value: float, unit: str) -> str:
    match unit:
        case "share":
            return f"{value:.1%}"
        case "seconds":
            return f"{value:.2f} s"
        case "count":
            return f"{value:.0f}"
        case "MB":
            return f"{value:.1f} MB"
        case "of 255":
            return f"{value:.2f} of 255"
        case _:
            return f"{value:.4f}"
