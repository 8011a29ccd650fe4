"""Show in a shell: the card is a progress bar, the pictures are files."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from bot.showing import PictureReader, Shown
from storage.domain import Card, Delivery, Platform, Tone

SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg"}


class TerminalShow:
    """Writes the result beside `output` and then sets `done`."""

    platform = Platform.TERMINAL
    application = ""

    def __init__(self, output: Path, console: Console) -> None:
        self.done = asyncio.Event()
        self.card: Card | None = None
        self.written: list[Path] = []
        self._output = output
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            console=console,
            transient=True,
        )
        self._bar = self._progress.add_task("", total=1.0)
        self._progress.start()

    def stop(self) -> None:
        """Take the bar away; what is printed from now on stays."""
        self._progress.stop()

    async def show(self, delivery: Delivery, card: Card, read: PictureReader) -> Shown:
        """Raises OSError when the picture cannot be written."""
        self.card = card
        words = " · ".join(part for part in (card.title, card.text.replace("\n", " ")) if part)
        self._progress.update(self._bar, description=words, completed=card.progress_0_1 or 0.0)
        if card.tone in (Tone.WAITING, Tone.WORKING):
            return Shown(address=delivery.address, pictures=False)
        for picture in card.pictures:
            path = self._path(picture.index, picture.media_type, len(card.pictures))
            path.write_bytes(await read(picture))
            self.written.append(path)
        self.done.set()
        return Shown(address=delivery.address, pictures=True)

    async def tell(self, *_: object) -> None:
        """Who asked is sitting here."""

    def _path(self, index: int, media_type: str, count: int) -> Path:
        """`out.png`, or `out-1.png` to `out-4.png`; the suffix is that of what was made."""
        suffix = SUFFIXES[media_type]
        name = self._output.stem if count == 1 else f"{self._output.stem}-{index + 1}"
        return self._output.with_name(name + suffix)
