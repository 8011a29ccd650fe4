"""A whole Easel on one machine: line, deliverer, reaper, and real worker processes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from PIL import Image

from bot.compose import build_line
from bot.deliver import Deliverer
from bot.reaper import Reaper
from bot.showing import PictureReader, Shown
from storage import log
from storage.domain import (
    Attached,
    Card,
    Complaint,
    Delivery,
    EventKey,
    Place,
    Platform,
    RawCommand,
    Requester,
)
from storage.log import LogEntry
from tests.conftest import make_settings
from tests.fakes import attachments

PATIENCE_SECONDS = 90.0


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def attached(image: Image.Image) -> Attached:
    return attachments.attached(png(image))


@dataclass
class Wall:
    """A chat with one card a job, which remembers all that it was told to show."""

    platform: Platform = Platform.TERMINAL
    application: str = ""
    cards: dict[UUID, list[Card]] = field(default_factory=dict)
    pictures: dict[UUID, list[list[Image.Image]]] = field(default_factory=dict)

    async def show(self, delivery: Delivery, card: Card, read: PictureReader) -> Shown:
        self.cards.setdefault(delivery.job_id, []).append(card)
        if card.pictures and not delivery.shown_pictures:
            images = [Image.open(io.BytesIO(await read(p))) for p in card.pictures]
            self.pictures.setdefault(delivery.job_id, []).append(images)
        shown = delivery.shown_pictures or bool(card.pictures)
        return Shown(address=delivery.address, pictures=shown)

    async def tell(self, *_: object) -> None:
        """Nobody listens."""


class House:
    """`heard` makes a command; `ask` walks it to its end while the background loops run."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        given: dict[str, Any] = {"lease_seconds": 2.0, "heartbeat_seconds": 0.3} | changes
        self.settings = make_settings(folder, **given)
        self.line = build_line(self.settings)
        self.wall = Wall()
        self._environment = {
            f"EASEL_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in given.items()
        }

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """A real `easel worker` process, ready when it has said that it lives."""
        environment = os.environ | self._environment
        environment |= {
            "EASEL_DATA_FOLDER": str(self.settings.data_folder),
            "EASEL_PARENT_PID": str(os.getpid()),
        }
        with (self.settings.data_folder / "worker.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "bot.cli", "worker"],
                env=environment,
                stdout=output,
                stderr=output,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(30)

    @property
    def worker_log(self) -> str:
        return (self.settings.data_folder / "worker.log").read_text()

    def heard(self, text: str, **given: Any) -> RawCommand:
        return RawCommand(
            event=EventKey(platform=Platform.TERMINAL, kind="call", id=str(uuid4())),
            requester=Requester(
                platform=Platform.TERMINAL, user_id="alice", locale=given.pop("locale", "en")
            ),
            place=Place(platform=Platform.TERMINAL),
            text=text,
            **given,
        )

    async def submit(self, text: str, **given: Any) -> UUID:
        job = await self.line.submit(self.heard(text, **given), {}, attachments.read)
        assert isinstance(job, UUID), job
        return job

    async def ask(self, text: str, **given: Any) -> LogEntry:
        job = await self.submit(text, **given)
        return await self.until(job, lambda entry: entry.state.finished)

    async def complaint(self, text: str, **given: Any) -> Complaint:
        answer = await self.line.submit(self.heard(text, **given), {}, attachments.read)
        assert isinstance(answer, Complaint)
        return answer

    async def until(self, job: UUID, wanted: Callable[[LogEntry], bool]) -> LogEntry:
        """Run deliverer and reaper until the log says what is wanted, and all of it is shown."""
        deliverer, reaper = Deliverer(self.line, self.wall), Reaper(self.line)
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            await reaper.step()
            entry = await self.line.read(lambda session: log.entry(session, job))
            assert entry is not None
            found = wanted(entry)
            await deliverer.step()
            await deliverer.drain()
            if found:
                return entry
            if time.monotonic() > end:
                raise TimeoutError(f"{entry}\n{self.worker_log}")
            await asyncio.sleep(0.05)

    def picture(self, job: UUID, index: int = 0) -> Image.Image:
        """What the chat shows of a job: exactly one message with pictures."""
        [images] = self.wall.pictures[job]
        return images[index].convert("RGB")
