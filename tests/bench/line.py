"""What a person at a shell waits for, with the embedded model, from a cold start and from a warm
worker. Baselines are the bare pipeline call for the warm line, and the imports that no cold start
can do without for the cold one.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bot.deliver import Deliverer
from bot.showing import PictureReader, Shown
from storage import log
from storage.domain import Card, Delivery, Tone
from tests.bench.figures import Figure
from tests.fakes.house import House, Wall

ROUNDS = 10
BARE = """
import time; started = time.monotonic()
from generation.engine import drawing_of
from generation.pipeline import DiffusionModel
from generation.safety import load_checkers
from storage.catalog import load_catalog
from storage.settings import Settings
catalog = load_catalog(Settings())
load_checkers(("opennsfw",), "cpu")
model = DiffusionModel.load(catalog.models["builtin"], device="cpu", loras={})
print(time.monotonic() - started)
from tests.fakes.nouns import a_request
for seed in range(8):
    began = time.monotonic()
    model.draw(drawing_of(a_request(seed=seed), catalog), on_step=lambda step: None)
    print(time.monotonic() - began)
"""


class Stopwatch(Wall):
    """When each result was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.at: asyncio.Queue[datetime] = asyncio.Queue()

    async def show(self, delivery: Delivery, card: Card, read: PictureReader) -> Shown:
        shown = await super().show(delivery, card, read)
        if card.tone is Tone.DONE:
            self.at.put_nowait(datetime.now(UTC))
        return shown


def easel_draw(folder: Path, name: str) -> float:
    started = time.monotonic()
    target = folder / f"{name}.png"
    process = subprocess.Popen(
        [sys.executable, "-m", "bot.cli", "draw", "a red apple", "-o", str(target)],
        env=os.environ | {"EASEL_DATA_FOLDER": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (target.exists() and target.stat().st_size):
        if process.poll() is not None and not target.exists():
            raise RuntimeError("easel draw wrote no picture")
        time.sleep(0.01)
    seconds = time.monotonic() - started
    process.wait()
    return seconds


async def shown_after_finish(house: House) -> list[float]:
    """Seconds from the finish transaction to the card, for each of ROUNDS pictures."""
    watch = Stopwatch()
    loop = asyncio.create_task(Deliverer(house.line, watch).run())
    delays = []
    for _ in range(ROUNDS):
        job = await house.submit("a red apple")
        at = await watch.at.get()
        entry = await house.line.read(lambda session, job=job: log.entry(session, job))  # type: ignore[misc]
        assert entry is not None
        assert entry.finished_at is not None
        delays.append((at - entry.finished_at).total_seconds())
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    return delays


def figures(folder: Path) -> Iterator[Figure]:
    bare = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BARE], capture_output=True, text=True, check=True
    )
    load, *pictures = [float(line) for line in bare.stdout.split()]
    picture = statistics.median(pictures[1:])
    cold = [easel_draw(folder, f"cold{i}") for i in range(3)]
    house = House(folder)
    with house.worker():
        easel_draw(folder, "warming")
        warm = [easel_draw(folder, f"warm{i}") for i in range(5)]
        delays = asyncio.run(shown_after_finish(house))
    note = "baseline: imports, model load and one bare picture"
    yield Figure("easel draw, cold, median of 3", statistics.median(cold), load + picture, 10, note)
    note = "baseline: one bare picture"
    yield Figure("easel draw, worker warm, median of 5", statistics.median(warm), picture, 2, note)
    yield Figure("finish to card, median", statistics.median(delays), picture, 0.5, note)
    yield Figure("finish to card, worst", max(delays), picture, 0.5, note)
