"""Every figure of speed, each beside a baseline of the same run: `python -m tests.bench`.

Prints a table and writes it as JSON. Servers are those that the tests use, by the same variables;
what needs one that is not named is left out, and said so. `--only` picks parts, `--rows` makes the
log smaller than the million that is promised.
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

from tests.bench import acknowledge, handoff, line, million, path
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
    "line": lambda folder, _: line.figures(folder),
    "path": lambda folder, _: iter(collected(path.figures(folder, SERVERS))),
    "acknowledge": lambda folder, _: acknowledge.figures(folder),
    "handoff": lambda folder, _: handoff.figures(folder, SERVERS["redis"]),
    "log": lambda folder, rows: million.figures(rows, folder, SERVERS.get("postgres", "")),
}
NEEDS = {"handoff": "redis"}


def table(figures: list[Figure]) -> Table:
    shown = Table("figure", "value", "baseline", "aim", "", "note", box=None)
    words = {True: "met", False: "[red]missed[/red]", None: ""}
    for figure in figures:
        values = (figure.value, figure.baseline, figure.aim)
        shown.add_row(
            figure.name, *(_words(v, figure.unit) for v in values), words[figure.met], figure.note
        )
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
    Console().print(table(found))
    Console().print(f"load of the machine: {loads}")
    output.write_text(json.dumps({"load": loads, "figures": [_plain(f) for f in found]}, indent=1))


def _plain(figure: Figure) -> dict[str, object]:
    return {**asdict(figure), "met": figure.met}


if __name__ == "__main__":
    typer.run(main)
