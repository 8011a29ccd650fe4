"""A decision from the shell: taken, its pixels moved, its words true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from bot.terminal.start import user_name

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from storage.database import Database
    from storage.log import LogEntry
    from storage.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Judged:
    before: LogEntry
    after: LogEntry
    settings: Settings
    moved: int
    """Pictures that have been moved."""
    lost: Sequence[str] = ()
    """Hashes of those that should have been, and are not there."""


def judge(
    opened: AbstractContextManager[tuple[Session, LogEntry, Settings, Database]],
    decide: Callable[..., Sequence[str]],
) -> Judged:
    """Decide, and after the commit move the pixels to where rows want them now. What is not done
    ends the command with why."""
    from storage import log, pixels
    from storage.blobs import open_blobs
    from storage.database import connect
    from storage.decisions import NotDone

    why = ""
    hashes: Sequence[str] = ()
    lost: Sequence[str] = ()
    try:
        with opened as (session, before, settings, database):
            hashes = decide(session, before.job_id, by=user_name(), now=database.clock())
            after = log.entry(session, before.job_id)
    except PermissionError as error:
        why = str(error)
    except NotDone as error:
        why, hashes = str(error), error.hashes
    with closing(connect(settings)) as database:
        try:
            pixels.settle(database, open_blobs(settings), hashes)
        except pixels.Lost as error:
            lost = error.hashes
    for sha256 in lost:
        typer.echo(f"Picture {sha256} is lost: its file is not there.", err=True)
    if why or after is None:
        typer.echo(why, err=True)
        raise typer.Exit(1)
    return Judged(
        before=before, after=after, settings=settings, moved=len(hashes) - len(lost), lost=lost
    )


def follows(entry: LogEntry) -> str:
    """How people come to see it, which this shell does not see."""
    from storage.domain import Platform

    if entry.place.platform is Platform.TERMINAL:
        return f"See it with: easel log show {str(entry.job_id)[:8]}"
    return "The chat client changes the message, if it is still there."


def ring(settings: Settings, entry: LogEntry) -> None:
    """A doorbell that does not answer is the reaper's business."""
    from kombu.exceptions import OperationalError

    from storage import doorbell

    with (
        doorbell.create_app(settings, [entry.request.model]) as app,
        suppress(OperationalError, OSError),
    ):
        doorbell.ring(app, entry.request.model, entry.job_id)
