"""Cases run one after the other in a process of their own, with what each took.

`python -m tests.hostile.files` prints a table of all cases of that module; so do `links` and
`prompts`. The tests read the same as JSON.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MAX_SECONDS = 1.0
MAX_MIB = 512.0
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Result:
    name: str
    answer: Any
    seconds: float
    """By the clock."""
    cpu_seconds: float
    """Of all threads; does not grow when others have the cores."""
    peak_mib: float
    """Resident memory of the whole process at its highest."""


def measured(name: str, act: Callable[[], Any]) -> Result:
    CLEAR.write_text("5")  # the high-water mark begins anew: proc(5)
    start, cpu = time.perf_counter(), time.process_time()
    answer = act()
    return Result(
        name=name,
        answer=answer,
        seconds=time.perf_counter() - start,
        cpu_seconds=time.process_time() - cpu,
        peak_mib=_peak_mib(),
    )


def _peak_mib() -> float:
    [line] = [text for text in STATUS.read_text().splitlines() if text.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def report(results: Iterable[Result]) -> None:
    """Print what a module's cases came to, as the command line wants it."""
    found = list(results)
    if "--json" in sys.argv:
        print(json.dumps([asdict(result) for result in found]))
        return
    for r in sorted(found, key=lambda r: -r.seconds):
        print(f"{r.seconds:7.3f} s  {r.cpu_seconds:7.3f} s CPU  {r.peak_mib:5.0f} MiB  {r.name}")
    slowest, largest = max(r.seconds for r in found), max(r.peak_mib for r in found)
    print(f"{len(found)} cases, slowest {slowest:.3f} s, most memory {largest:.0f} MiB")


def in_a_child(module: str) -> dict[str, Result]:
    done = subprocess.run(
        [sys.executable, "-m", module, "--json"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return {given["name"]: Result(**given) for given in json.loads(done.stdout)}
