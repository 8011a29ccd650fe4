"""80 references of 10 MiB at once from one person, or one from each of 20, and an honest one beside
them: through the way that each chat reads files, from a real server, in a process whose memory is
measured."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from PIL import Image

from bot.compose import build_line
from bot.core.line import Line
from bot.discord.app import create_bot
from bot.discord.intake import reader as discord_reader
from bot.references import Reader
from bot.slack.files import reader as slack_reader
from bot.slack.workspaces import web_client
from storage import sweep
from storage.domain import Attached, EventKey, Place, Platform, RawCommand, Requester
from storage.settings import Settings
from tests.conftest import make_settings
from tests.hostile.measuring import STATUS, Result, measured, report

AT_ONCE, PEOPLE = 80, 20
QUEUE = 10
"""Unfinished requests that one person may have."""
DIFFERENT = 10
"""Pictures of the crowd."""
SIDE_PX = 1860
"""Of noise, which no PNG makes smaller: 9.9 MiB."""
MINE = ("a red apple", "a green pear")
"""What the greedy have asked for before."""


@dataclass(frozen=True)
class Crowd:
    chat: str
    quota: int = 1000
    people: int = 1
    references: int = AT_ONCE


CROWDS = {
    "one without quota on Discord": Crowd("discord", quota=len(MINE)),
    "one without quota on Slack": Crowd("slack", quota=len(MINE)),
    "one with quota on Discord": Crowd("discord"),
    "one with quota on Slack": Crowd("slack"),
    "many with quota": Crowd("discord", people=PEOPLE, references=PEOPLE),
}


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, Path]]:
    """A server with these files, in a process of its own, and the log of what it was asked."""
    log = folder / "server.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert process.stdout is not None
        port = process.stdout.readline().split()[5].decode()
        try:
            yield f"http://127.0.0.1:{port}", log
        finally:
            process.kill()
            process.communicate()


def draw(folder: Path) -> None:
    Image.new("RGB", (1024, 768), "teal").save(folder / "honest.png")
    for number in range(DIFFERENT):
        noise = Image.frombytes("RGB", (SIDE_PX, SIDE_PX), os.urandom(3 * SIDE_PX**2))
        noise.save(folder / f"{number}.png", compress_level=0)


def asked_by(person: str, text: str, reference: Attached | None = None) -> RawCommand:
    return RawCommand(
        event=EventKey(platform=Platform.DISCORD, kind="interaction", id=str(uuid4())),
        requester=Requester(platform=Platform.DISCORD, user_id=person),
        place=Place(platform=Platform.DISCORD, workspace_id="1", channel_id="1"),
        text=text,
        reference=reference,
    )


def file(url: str, folder: Path, name: str) -> Attached:
    size = (folder / name).stat().st_size
    return Attached(name=name, size_bytes=size, address=f"{url}/{name}")


def reader(chat: str, settings: Settings, line: Line) -> Reader:
    if chat == "discord":
        return discord_reader(create_bot(settings, line))
    return slack_reader(web_client(settings, "xoxb-token"), asked_by("honest", "a fox"))


async def _crowded(
    line: Line, read: Reader, people: int, files: Sequence[Attached], honest: Attached
) -> dict[str, Any]:
    async def honestly() -> float:
        began = time.perf_counter()
        taken = await line.submit(asked_by("honest", "a fox", honest), {}, read)
        assert isinstance(taken, UUID), taken
        return time.perf_counter() - began

    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(line.submit(asked_by(_greedy(n % people), "a fox", f), {}, read))
            for n, f in enumerate(files)
        ]
        beside = group.create_task(honestly())
    taken = sum(isinstance(task.result(), UUID) for task in asked)
    return {"taken": taken, "honest_seconds": beside.result()}


def run() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder)
        with serving(folder) as (url, log):
            files = [file(url, folder, f"{n % DIFFERENT}.png") for n in range(AT_ONCE)]
            honest = file(url, folder, "honest.png")
            for case, crowd in CROWDS.items():
                yield _case(case, crowd, folder, (url, log), files, honest)


def _greedy(number: int) -> str:
    return f"greedy {number}"


def _case(
    name: str,
    crowd: Crowd,
    folder: Path,
    server: tuple[str, Path],
    files: Sequence[Attached],
    honest: Attached,
) -> Result:
    url, log = server
    settings = make_settings(
        folder / name,
        broker_url="memory://",
        daily_pictures=crowd.quota,
        person_queue_limit=QUEUE,
        slack_api_url=f"{url}/api/",
    )
    line = build_line(settings)
    read = reader(crowd.chat, settings, line)
    with asyncio.Runner() as runner:
        for text in MINE:
            runner.run(line.submit(asked_by(_greedy(0), text), {}))
        # Libraries that are loaded at first use are not the crowd's doing.
        runner.run(line.submit(asked_by("early", "a fox", honest), {}, read))
        served, before = log.read_text().count("GET"), _resident_mib()
        crowded = _crowded(line, read, crowd.people, files[: crowd.references], honest)
        result = measured(name, partial(runner.run, crowded))
    with line.database.read() as session:
        wanted = sweep.expected(session)
    line.database.close()
    seen = {
        "grown_mib": result.peak_mib - before,
        "fetched": log.read_text().count("GET") - served,
        "left": sum((s.sha256, s.kept_apart) not in wanted for s in line.blobs.all()),
    }
    return Result(**{**vars(result), "answer": result.answer | seen})


def _resident_mib() -> float:
    [line] = [text for text in STATUS.read_text().splitlines() if text.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    report(run())
