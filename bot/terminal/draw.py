"""`easel draw`: the same stations from a shell."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from shlex import quote
from uuid import UUID, uuid4

from rich.console import Console
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from bot.core.grammar import parse
from bot.core.line import Line
from bot.deliver import Deliverer
from bot.i18n import say
from bot.reaper import Reaper
from bot.supervise import WorkerProcess
from bot.terminal import causes
from bot.terminal.files import STANDARD_OUTPUT
from bot.terminal.show import TerminalShow
from bot.terminal.start import user_name
from storage import jobs, places
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
        requester=Requester(platform=Platform.TERMINAL, user_id=user_name(), locale=locale),
        place=Place(platform=Platform.TERMINAL, upload_limit_bytes=UPLOAD_LIMIT_BYTES),
        text=text,
        options=options,
        reference=attached(reference) if reference else None,
        mask=attached(mask) if mask else None,
    )


def how_many(line: Line, raw: RawCommand) -> int:
    """Pictures that are asked for. What is not understood counts as one, and is refused later."""
    model = line.settings.default_model
    request = parse(raw, line.catalog, default_model=model, random_seed=line.seed)
    return 1 if isinstance(request, Complaint) else request.count


async def draw(
    line: Line, raw: RawCommand, files: Sequence[Path], console: Console, *, force: bool
) -> int:
    """Draw, show progress, write the files. The exit status: 0 for pictures, 1 for none. When this
    is cancelled, so is the job."""
    async with AsyncExitStack() as stack:
        show = TerminalShow(files, console, force=force)
        stack.callback(show.stop)
        worker: WorkerProcess | None = None
        asking = asyncio.create_task(line.submit(raw, {}, read_file))
        try:
            job = await asyncio.shield(asking)
            if isinstance(job, Complaint):
                tell(job, raw.requester.locale, console)
                return 1
            if not await line.read(lambda s: _served(line, s)):
                if why := await asyncio.to_thread(causes.of_device, line.settings.device):
                    await _withdraw(line, asking)
                    console.print(why, style="yellow", soft_wrap=True)
                    return 2
                worker = await stack.enter_async_context(WorkerProcess(line.settings))
            await _follow(line, show, job, worker)
            if worker is not None and not show.done.is_set():
                await _withdraw(line, asking)
                show.stop()
                tell(_why(worker), raw.requester.locale, console)
                return 1
        except asyncio.CancelledError:
            words = await asyncio.shield(_withdraw(line, asking))
            show.stop()
            with suppress(OSError):  # The terminal may be closed.
                tell(words, raw.requester.locale, console)
            raise
        show.stop()
        return _report(show, job, raw.requester.locale, console)


async def _withdraw(line: Line, asking: asyncio.Task[UUID | Complaint]) -> Complaint:
    """Cancel, so that nobody else has to wait until it is drawn for nobody; and words about it.
    What is being accepted this moment is waited for, or it would be accepted all the same."""
    job = await asking
    if isinstance(job, Complaint):
        return job
    values, now = {"line": _show_line(job)}, line.database.clock()
    try:
        if await line.write(lambda s: jobs.cancel(s, job, now)):
            return Complaint(text="Cancelled.")
    except OperationalError:
        return Complaint(
            text="The database does not answer, so it is drawn all the same. To have it: {line}",
            values=values,
        )
    return Complaint(text="It was drawn already. To have it: {line}", values=values)


def tell(complaint: Complaint, locale: str, console: Console) -> None:
    words = say(locale, complaint.text, **complaint.values)
    console.print(words, style="yellow", soft_wrap=True)


def _served(line: Line, session: Session) -> bool:
    now = line.database.clock()
    return bool(places.live_workers(session, now, timedelta(seconds=15)))


def _why(worker: WorkerProcess) -> Complaint:
    """The worker's last words, which hold no prompt."""
    words = worker.log.read_text("utf-8", "replace").split("\n")
    return Complaint(
        text="The worker ends as soon as it has started, so nothing was drawn. It said: {words} "
        "More of it: {line}",
        values={
            "words": next((line for line in reversed(words) if line.strip()), "…"),
            "line": f"tail -n 20 {quote(str(worker.log))}",
        },
    )


async def _follow(line: Line, show: TerminalShow, job: UUID, worker: WorkerProcess | None) -> None:
    """Until the card is shown, or the worker that was to draw is given up."""
    deliverer = Deliverer(line, show, only=job)
    loops: list[asyncio.Task[object]] = [
        asyncio.create_task(deliverer.run()),
        asyncio.create_task(Reaper(line).run()),
    ]
    loops += [asyncio.create_task(event.wait()) for event in (show.done, *_given_up(worker))]
    try:
        finished, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
        for task in finished:
            task.result()
    finally:
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


def _given_up(worker: WorkerProcess | None) -> list[asyncio.Event]:
    return [] if worker is None else [worker.hopeless]


def _report(show: TerminalShow, job: UUID, locale: str, console: Console) -> int:
    card = show.card
    for path in show.written:
        if path != STANDARD_OUTPUT:
            console.print(str(path), style="green", soft_wrap=True)
    for path, why in show.unwritten.items():
        told = Complaint(
            text="{name} could not be written ({why}). The picture is kept: {line}",
            values={"name": str(path), "why": why, "line": _show_line(job)},
        )
        tell(told, locale, console)
    if card is not None and card.text:
        console.print(card.text if card.tone is Tone.DONE else f"{card.title}. {card.text}")
    console.print(f"easel log show {str(job)[:8]}", style="dim")
    return 0 if show.written and not show.unwritten else 1


def _show_line(job: UUID) -> str:
    return f"easel log show {str(job)[:8]} -o picture.png"
