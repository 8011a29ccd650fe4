"""How soon Discord hears that a command was heard: from the gateway frame to the callback, both
seen by the fake Discord, for the real bot and for one that does nothing else."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.bench.figures import Figure, p99
from tests.fakes.discord_client import FakeDiscord
from tests.fakes.house import PATIENCE_SECONDS

ALONE = 50
AT_ONCE = 50
WAVES = 3
ROOT = Path(__file__).parents[2]


@contextmanager
def bot(discord: FakeDiscord, folder: Path, *command: str) -> Iterator[None]:
    """A process that serves this Discord, once it has registered its commands and connected."""
    folder.mkdir()
    environment = os.environ | discord.environment | {"EASEL_DATA_FOLDER": str(folder)}
    environment |= {"EASEL_LOG_LEVEL": "WARNING", "EASEL_PERSON_QUEUE_LIMIT": "1000"}
    with (folder / "bot.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        until(discord, lambda status: bool(status["connected"] and status["commands"]))
        yield
    finally:
        process.terminate()
        process.wait(30)


def until(discord: FakeDiscord, there: object) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not there(discord.status()):  # type: ignore[operator]
        if time.monotonic() > end:
            raise TimeoutError("the bot did not come up")
        time.sleep(0.05)


def answered(discord: FakeDiscord, interactions: Sequence[str]) -> list[float]:
    """Seconds from the frame of each to its callback."""
    found: list[float] = []
    end = time.monotonic() + PATIENCE_SECONDS
    for interaction in interactions:
        while (after := discord.interaction(interaction)["answered_after_seconds"]) is None:
            if time.monotonic() > end:
                raise TimeoutError("a command stays without an answer")
            time.sleep(0.01)
        found.append(after)
    return found


def measure(*command: str, folder: Path) -> tuple[list[float], list[float]]:
    """Of commands alone, and of AT_ONCE at once; the first few warm the bot."""
    with FakeDiscord() as discord, bot(discord, folder, *command):

        def ask(person: int) -> str:
            return discord.command("imagine", prompt="a red apple", user=9_000 + person)

        for person in range(5):
            answered(discord, [ask(person)])
        alone = [answered(discord, [ask(person)])[0] for person in range(ALONE)]
        together: list[float] = []
        with ThreadPoolExecutor(AT_ONCE) as people:
            for _ in range(WAVES):
                together += answered(discord, list(people.map(ask, range(AT_ONCE))))
    return alone, together


def figures(folder: Path) -> Iterator[Figure]:
    bare, bare_together = measure("tests.bench.bare_bot", folder=folder / "bare")
    ours, together = measure("bot.cli", "discord", folder=folder / "easel")
    mine, other = statistics.median(ours), statistics.median(bare)
    note = "baseline: a bot that only defers"
    yield Figure("defer, alone, median", mine, other, 0.005, note)
    yield Figure("defer, alone, beyond the bare bot", mine - other, other, 0.005, note)
    yield Figure(f"defer, {AT_ONCE} at once, p99", p99(together), p99(bare_together), 0.250, note)
