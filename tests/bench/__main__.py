"""Every figure of speed, each beside a baseline of the same run: `python -m tests.bench`.

Prints a table and writes it as JSON. Servers are those that the tests use, by the same variables;
what needs one that is not named is left out, and said so. `--only` picks a part, and may be given
several times; `--rows` makes the log smaller than the million that is promised.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.bench import acknowledge, handoff, line, million, notes, path, prompts, slack
from tests.bench.figures import Figure

SERVERS = {
    name: os.environ[variable]
    for name in ("postgres", "redis", "rabbitmq")
    if os.environ.get(variable := f"EASEL_TEST_{name.upper()}_URL")
}
Part = Callable[[Path, int], Iterator[Figure]]


def collected(figures: AsyncIterator[Figure]) -> list[Figure]:
    async def collect() -> list[Figure]:
        return [figure async for figure in figures]

    return asyncio.run(collect())


PARTS: dict[str, Part] = {
    "prompts": lambda *_: prompts.figures(),
    "line": lambda folder, _: line.figures(folder),
    "notes": lambda folder, _: notes.figures(folder),
    "path": lambda folder, _: iter(collected(path.path_figures(folder, SERVERS))),
    "gaps": lambda folder, _: iter(collected(path.gap_figures(folder, SERVERS))),
    "fairness": lambda folder, _: iter(collected(path.fairness_figures(folder, SERVERS))),
    "acknowledge": lambda folder, _: acknowledge.figures(folder, SERVERS.get("postgres", "")),
    "slack": lambda folder, _: slack.figures(folder, SERVERS.get("postgres", "")),
    "handoff": lambda folder, _: handoff.figures(folder, SERVERS["redis"]),
    "sqlite": lambda folder, rows: million.on_sqlite(rows, folder),
    "postgres": lambda _, rows: million.on_postgres(rows, SERVERS["postgres"]),
}
"""`sqlite` and `postgres` are the log of a million requests."""
NEEDS = {"handoff": "redis", "postgres": "postgres"}


def table(figures: list[Figure]) -> Table:
    shown = Table("figure", "value", "baseline", "ratio", "aim", "", "note", box=None)
    words = {True: "met", False: "[red]missed[/red]", None: ""}
    for figure in figures:
        value, baseline, aim = (
            _words(v, figure.unit) for v in (figure.value, figure.baseline, figure.aim)
        )
        ratio = f"{figure.value / figure.baseline:.2f}"
        shown.add_row(figure.name, value, baseline, ratio, aim, words[figure.met], figure.note)
    return shown


def _words(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value * 1e3:.1f} ms" if unit == "s" and value < 10 else f"{value:.1f} {unit}"


def main(
    only: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(PARTS)}.")] = None,
    rows: Annotated[int, typer.Option(help="Requests in the log.")] = 1_000_000,
    output: Annotated[Path, typer.Option("-o", help="The JSON.")] = Path("bench.json"),
) -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    before, found = os.getloadavg(), []
    for name in only or PARTS:
        if NEEDS.get(name, "") and NEEDS[name] not in SERVERS:
            print(
                f"left out: {name}, EASEL_TEST_{NEEDS[name].upper()}_URL is not set",
                file=sys.stderr,
            )
            continue
        with tempfile.TemporaryDirectory(prefix="easel-bench-") as folder:
            for figure in PARTS[name](Path(folder), rows):
                found.append(figure)
                print(f"{figure.name}: {_words(figure.value, figure.unit)}", file=sys.stderr)
    loads = {"before": before, "after": os.getloadavg(), "cores": os.cpu_count()}
    console = Console(width=180)  # Also where no terminal says how wide it is.
    console.print(table(found))
    console.print(f"load of the machine: {loads}")
    output.write_text(json.dumps({"load": loads, "figures": [_plain(f) for f in found]}, indent=1))


def _plain(figure: Figure) -> dict[str, object]:
    return {**asdict(figure), "met": figure.met}


if __name__ == "__main__":
    typer.run(main)
