"""`easel draw`: the same stations from a shell."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

from rich.console import Console
from sqlalchemy.orm import Session

from bot.core.line import Line
from bot.deliver import Deliverer
from bot.i18n import say
from bot.reaper import Reaper
from bot.supervise import WorkerProcess
from bot.terminal.show import TerminalShow
from storage import places
from storage.domain import (
    Attached,
    Complaint,
    EventKey,
    Place,
    Platform,
    RawCommand,
    Requester,
    Tone,
)

UPLOAD_LIMIT_BYTES = 64 * 1024 * 1024
"""A shell has no upload limit; this keeps even large pictures lossless."""


def attached(path: Path) -> Attached:
    address = str(path.absolute())
    return Attached(name=path.name, size_bytes=path.stat().st_size, address=address)


async def read_file(file: Attached) -> bytes:
    return await asyncio.to_thread(Path(file.address).read_bytes)


def command(
    text: str,
    *,
    options: Mapping[str, str | int | float | bool],
    reference: Path | None,
    mask: Path | None,
    locale: str,
) -> RawCommand:
    return RawCommand(
        event=EventKey(platform=Platform.TERMINAL, kind="call", id=str(uuid4())),
        requester=Requester(platform=Platform.TERMINAL, user_id=getpass.getuser(), locale=locale),
        place=Place(platform=Platform.TERMINAL, upload_limit_bytes=UPLOAD_LIMIT_BYTES),
        text=text,
        options=options,
        reference=attached(reference) if reference else None,
        mask=attached(mask) if mask else None,
    )


async def draw(line: Line, raw: RawCommand, output: Path, console: Console) -> int:
    """Draw, show progress, write the files. The exit status: 0 for pictures, 1 for none."""
    async with AsyncExitStack() as stack:
        show = TerminalShow(output, console)
        stack.callback(show.stop)
        job = await line.submit(raw, {}, read_file)
        if isinstance(job, Complaint):
            console.print(say(raw.requester.locale, job.text, **job.values), style="yellow")
            return 1
        if not await line.read(lambda s: _served(line, s)):
            await stack.enter_async_context(WorkerProcess(line.settings))
        await _follow(line, show, job)
        show.stop()
        return _report(show, job, console)


def _served(line: Line, session: Session) -> bool:
    now = line.database.clock()
    return bool(places.live_workers(session, now, timedelta(seconds=15)))


async def _follow(line: Line, show: TerminalShow, job: UUID) -> None:
    deliverer = Deliverer(line, show, only=job)
    loops = [
        asyncio.create_task(deliverer.run()),
        asyncio.create_task(Reaper(line).run()),
    ]
    done = asyncio.create_task(show.done.wait())
    try:
        finished, _ = await asyncio.wait([done, *loops], return_when=asyncio.FIRST_COMPLETED)
        for task in finished:
            task.result()
    finally:
        for task in (done, *loops):
            task.cancel()
        await asyncio.gather(done, *loops, return_exceptions=True)


def _report(show: TerminalShow, job: UUID, console: Console) -> int:
    card = show.card
    for path in show.written:
        console.print(str(path), style="green", soft_wrap=True)
    if card is not None and card.text:
        console.print(card.text if card.tone is Tone.DONE else f"{card.title}. {card.text}")
    console.print(f"easel log show {str(job)[:8]}", style="dim")
    return 0 if show.written else 1
