"""How soon Discord hears that a command was heard: from the gateway frame to the callback, both
seen by the fake Discord, for the real bot and for one that does nothing else."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from storage import migrate
from storage.database import Database
from tests.bench.figures import Figure, p99
from tests.bench.million import postgres
from tests.fakes.discord_client import FakeDiscord
from tests.fakes.house import PATIENCE_SECONDS

WARMING = 5
ALONE = 60
PAUSE_SECONDS = 0.3
"""Until a command that is alone is over with: accepted, rung for, and shown to wait."""
BETWEEN_WAVES_SECONDS = 4.0
"""The same for a crowd."""
AT_ONCE = 50
WAVES = 6
BEYOND, P99_SECONDS = 0.008, 0.250
"""Seconds that writing the command down may cost, and that the slowest of a crowd may wait."""
ROOT = Path(__file__).parents[2]


@contextmanager
def bot(discord: FakeDiscord, folder: Path, database_url: str, *command: str) -> Iterator[None]:
    """A process that serves this Discord, once it has registered its commands and connected."""
    folder.mkdir()
    database = Database(database_url)
    migrate.upgrade(database)
    database.close()
    environment = os.environ | discord.environment | {"EASEL_DATA_FOLDER": str(folder)}
    environment |= {"EASEL_LOG_LEVEL": "WARNING", "EASEL_PERSON_QUEUE_LIMIT": "1000"}
    environment |= {"EASEL_DATABASE_URL": database_url, "EASEL_QUEUE_LIMIT": "10000"}
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


def measure(folder: Path, database_url: str) -> dict[str, tuple[list[float], list[float]]]:
    """Seconds of commands alone, and of AT_ONCE at once, of both bots turn about in the same run;
    the first few warm them."""
    bare = ("tests.bench.bare_bot",)
    with (
        FakeDiscord() as theirs,
        FakeDiscord() as ours,
        bot(theirs, folder / "bare", f"sqlite:///{folder}/bare/easel.db", *bare),
        bot(ours, folder / "easel", database_url, "bot.cli", "discord"),
    ):
        found: dict[str, tuple[list[float], list[float]]] = {"bare": ([], []), "easel": ([], [])}
        people = range(9_000, 9_000 + AT_ONCE)

        def ask(discord: FakeDiscord, person: int) -> str:
            return discord.command("imagine", prompt="a red apple", user=person)

        for number in range(WARMING + ALONE):
            for name, discord in (("bare", theirs), ("easel", ours)):
                [took] = answered(discord, [ask(discord, people[number % AT_ONCE])])
                found[name][0].extend([took] if number >= WARMING else [])
            time.sleep(PAUSE_SECONDS)
        with ThreadPoolExecutor(AT_ONCE) as crowd:
            for _ in range(WAVES):
                for name, discord in (("bare", theirs), ("easel", ours)):
                    asked = list(crowd.map(partial(ask, discord), people))
                    found[name][1].extend(answered(discord, asked))
                time.sleep(BETWEEN_WAVES_SECONDS)
    return found


def figures(folder: Path, server_url: str = "") -> Iterator[Figure]:
    """On SQLite, and on PostgreSQL where there is a server."""
    with ExitStack() as stack:
        urls = {"SQLite": f"sqlite:///{folder}/easel.db"}
        if server_url:
            urls["PostgreSQL"] = stack.enter_context(postgres(server_url))
        for name, url in urls.items():
            (folder / name).mkdir()
            found = measure(folder / name, url)
            (ours, together), (bare, bare_together) = found["easel"], found["bare"]
            mine, other = statistics.median(ours), statistics.median(bare)
            note = f"{name}; baseline: a bot that only defers"
            yield Figure("defer, alone, median", mine, other, None, note)
            yield Figure("defer, alone, beyond the bare bot", mine - other, other, BEYOND, note)
            at_once = p99(together), p99(bare_together)
            yield Figure(f"defer, {AT_ONCE} at once, p99", *at_once, P99_SECONDS, note)
