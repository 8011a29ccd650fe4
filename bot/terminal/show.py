"""Show in a shell: the card is a progress bar, the pictures are files."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from bot.showing import PictureReader, Shown
from bot.terminal.files import write
from storage.domain import Card, CardPicture, Delivery, Platform, Tone


class TerminalShow:
    """Writes the result into `files` and then sets `done`."""

    platform = Platform.TERMINAL
    application = ""

    def __init__(self, files: Sequence[Path], console: Console, *, force: bool) -> None:
        self.done = asyncio.Event()
        self.card: Card | None = None
        self.written: list[Path] = []
        self.unwritten: dict[Path, str] = {}
        """What the system said against it."""
        self._files, self._force = files, force
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bar = self._progress.add_task("", total=1.0)
        self._progress.start()

    def stop(self) -> None:
        """Take the bar away; what is printed from now on stays. A terminal that was closed has none
        any more."""
        with suppress(OSError):
            self._progress.stop()

    async def show(self, delivery: Delivery, card: Card, read: PictureReader) -> Shown:
        self.card = card
        words = " · ".join(part for part in (card.title, card.text.replace("\n", " ")) if part)
        self._progress.update(self._bar, description=words, completed=card.progress_0_1 or 0.0)
        if card.tone in (Tone.WAITING, Tone.WORKING):
            return Shown(address=delivery.address, pictures=False)
        for picture in card.pictures:
            await self._write(picture, await read(picture))
        self.done.set()
        return Shown(address=delivery.address, pictures=True)

    async def tell(self, *_: object) -> None:
        """Who asked is sitting here."""

    async def _write(self, picture: CardPicture, data: bytes) -> None:
        """What is not written now never will be: who asked is told where it is kept."""
        file = self._files[picture.index]
        try:
            await asyncio.to_thread(write, file, data, picture.media_type, force=self._force)
        except OSError as error:
            self.unwritten[file] = error.strerror or type(error).__name__
        else:
            self.written.append(file)
