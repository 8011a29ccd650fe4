"""`easel log` and `easel review`: the log and the moderators' decisions from the shell."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from bot.i18n import say
from bot.terminal.judging import follows, judge, ring
from bot.terminal.start import plain_console, read_settings, ready_database, user_name

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from storage.database import Database
    from storage.log import LogEntry
    from storage.settings import Settings

log_app = typer.Typer(help="Read the log of all requests.", invoke_without_command=True)
review_app = typer.Typer(help="Judge what is held or reported.", no_args_is_help=True)
JobArgument = Annotated[str, typer.Argument(help="The first characters of a job's id.")]


@contextmanager
def _open() -> Iterator[tuple[Settings, Database]]:
    settings = read_settings()
    database = ready_database(settings)
    try:
        yield settings, database
    finally:
        database.close()


@contextmanager
def _job(prefix: str, *, write: bool) -> Iterator[tuple[Session, LogEntry, Settings, Database]]:
    with (
        _open() as (settings, database),
        database.write() if write else database.read() as session,
    ):
        yield session, _entry(session, prefix), settings, database


def _entry(session: Session, prefix: str) -> LogEntry:
    from storage import log

    entry = log.by_prefix(session, prefix)
    if entry is None:
        typer.echo(f"No single request has an id that starts with {prefix!r}.", err=True)
        raise typer.Exit(1)
    return entry


@log_app.callback()
def list_requests(
    context: typer.Context,
    search: Annotated[str, typer.Option(help="Only prompts with these words.")] = "",
    held: Annotated[bool, typer.Option("--held", help="Waiting for a moderator.")] = False,
    reported: Annotated[bool, typer.Option("--reported", help="Reported by people.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
) -> None:
    """The newest requests."""
    if context.invoked_subcommand is not None:
        return
    from storage import log
    from storage.domain import ReviewKind

    reviews = {ReviewKind.HOLD, ReviewKind.RESTRICTED} if held else set()
    reviews |= {ReviewKind.REPORT} if reported else set()
    with _open() as (_, database), database.read() as session:
        entries = log.page(session, limit=limit, search=search, reviews=reviews)
    table = Table("id", "when (UTC)", "where", "who", "outcome", "prompt", box=None)
    for entry in entries:
        table.add_row(
            str(entry.job_id)[:8],
            f"{entry.created_at:%Y-%m-%d %H:%M:%S}",
            entry.place.platform,
            entry.user_id,
            entry.state + (" (held)" if entry.held else ""),
            entry.request.prompt,
        )
    plain_console().print(table)


@log_app.command()
def show(
    job: JobArgument,
    output: Annotated[
        Path | None, typer.Option("-o", help="Also write the first picture here, as in draw.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
) -> None:
    """Everything that is known of one request."""
    from bot.terminal.files import STANDARD_OUTPUT, unnamed, unwritable

    if output and (wrong := unnamed(output) or unwritable(output, 1, force=force)):
        typer.echo(say("en", wrong.text, **wrong.values), err=True)
        raise typer.Exit(2)
    with _job(job, write=False) as (_, entry, settings, _database):
        plain_console(stderr=output == STANDARD_OUTPUT).print_json(json.dumps(as_json(entry)))
        if output is not None:
            _write_picture(entry, settings, output, force=force)


def _write_picture(entry: LogEntry, settings: Settings, output: Path, *, force: bool) -> None:
    from bot.terminal.files import write
    from storage.blobs import open_blobs

    for picture in entry.pictures:
        if not picture.removed:
            data = open_blobs(settings).get(picture.sha256, kept_apart=picture.kept_apart)
            try:
                write(output, data, picture.media_type, force=force)
            except OSError as error:
                typer.echo(f"{output} could not be written ({error.strerror}).", err=True)
                raise typer.Exit(1) from None
            return
    typer.echo("This request has no picture.", err=True)
    raise typer.Exit(1)


def as_json(entry: LogEntry) -> dict[str, Any]:
    """A flat, stable shape for people and programs."""
    request, place = entry.request, entry.place
    return {
        "id": str(entry.job_id),
        "event_key": entry.event_key,
        "created_at": entry.created_at.isoformat(),
        "finished_at": entry.finished_at.isoformat() if entry.finished_at else None,
        "platform": place.platform,
        "workspace_id": place.workspace_id,
        "channel_id": place.channel_id,
        "tenant": entry.tenant,
        "user_id": entry.user_id,
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "model": request.model,
        "model_revision": entry.model_revision,
        "style": request.style,
        "width": request.width,
        "height": request.height,
        "steps": request.steps,
        "guidance_scale": request.guidance_scale,
        "scheduler": request.scheduler,
        "seed": request.seed,
        "count": request.count,
        "mode": request.mode,
        "strength": request.reference.strength if request.reference else None,
        "reference_sha256": request.reference.sha256 if request.reference else None,
        "parent_sha256": request.parent_sha256,
        "outcome": entry.state,
        "failure": entry.failure,
        "attempts": entry.attempts,
        "queue_seconds": round(entry.queue_seconds, 3),
        "device_seconds": round(entry.device_seconds, 3),
        "held": entry.held,
        "judged": entry.judged,
        "message_removed": entry.message_removed,
        "pictures": [
            {
                "index": picture.index,
                "seed": picture.seed,
                "sha256": picture.sha256,
                "size": f"{picture.width}x{picture.height}",
                "decision": picture.decision,
            }
            for picture in entry.pictures
        ],
        "verdicts": [
            {
                "subject": verdict.subject,
                "picture": index,
                "decision": verdict.decision,
                "rule": verdict.rule,
                "scores": dict(verdict.scores),
                "checker": f"{verdict.checker} {verdict.checker_version}",
            }
            for index, verdict in entry.verdicts
        ],
    }


@log_app.command()
def export(
    format: Annotated[str, typer.Option(help="jsonl or csv.")] = "jsonl",
) -> None:
    """The whole log on standard output, newest first."""
    if format not in ("jsonl", "csv"):
        typer.echo("--format is jsonl or csv.", err=True)
        raise typer.Exit(2)
    if format == "csv" and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # A file that is kept loses no letter.
    writer: csv.DictWriter[str] | None = None
    for entry in _all():
        row = as_json(entry)
        if format == "jsonl":
            typer.echo(json.dumps(row))
            continue
        row = {key: _cell(value) for key, value in row.items()}
        if writer is None:
            writer = csv.DictWriter(sys.stdout, list(row))
            writer.writeheader()
        writer.writerow(row)


def _cell(value: object) -> object:
    """Text for a table: spreadsheets take some beginnings for formulas and run them (OWASP, "CSV
    Injection"), unless a quotation mark stands before them."""
    if isinstance(value, list):
        return json.dumps(value)
    risky = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if risky else value


def _all() -> Iterator[LogEntry]:
    from storage import log

    before = None
    with _open() as (_, database):
        while True:
            with database.read() as session:
                entries = log.page(session, limit=500, before=before)
            if not entries:
                return
            yield from entries
            before = (entries[-1].created_at, entries[-1].job_id)


@review_app.command()
def allow(job: JobArgument) -> None:
    """Let what was held be drawn and shown; close reports of the rest."""
    from storage import decisions

    judged = judge(_job(job, write=True), decisions.allow)
    if judged.before.state.finished and not judged.after.state.finished:
        typer.echo(f"Allowed: it waits to be drawn. {follows(judged.after)}")
        ring(judged.settings, judged.after)
    elif judged.moved or judged.lost:
        typer.echo(f"Allowed. Pictures to be seen now: {judged.moved}. {follows(judged.after)}")
    else:
        typer.echo("Nothing was held. The report is closed, and the message stays as it is.")


@review_app.command()
def refuse(job: JobArgument) -> None:
    """Keep refused what was held; the card says so."""
    from storage import decisions

    judged = judge(_job(job, write=True), decisions.refuse)
    shown = "" if judged.before.message_removed else f" {follows(judged.after)}"
    typer.echo(f"It stays refused.{shown}")


@review_app.command()
def remove(job: JobArgument) -> None:
    """Take the message down; the log keeps the request."""
    from storage import decisions

    judged = judge(_job(job, write=True), decisions.remove)
    if judged.before.message_removed:
        typer.echo("The message was taken down before. Its pictures are kept apart now.")
    else:
        typer.echo("Removed. The chat client takes the message down, if it is still there.")
    if not judged.before.state.finished:
        typer.echo("What was not drawn yet is cancelled.")


@review_app.command()
def ban(
    job: JobArgument,
    here: Annotated[
        bool, typer.Option("--here", help="Only on the server or workspace of this request.")
    ] = False,
) -> None:
    """Keep who asked for this from asking for more, everywhere; what they wait for is cancelled."""
    from storage import sanctions

    with _job(job, write=True) as (session, entry, _, database):
        by, now = user_name(), database.clock()
        try:
            account = sanctions.ban(session, entry.job_id, by=by, now=now, here=here)
        except LookupError as error:
            typer.echo(f"Nobody is banned: {error.args[0]}.", err=True)
            raise typer.Exit(1) from None
    tenant = f" of {account.tenant}" if account.tenant else ""
    where = f"in {entry.place.workspace_id}" if here else "everywhere"
    typer.echo(f"{account.platform} user {account.user_id}{tenant} is banned {where}.")


@review_app.command()
def unban(
    platform: Annotated[str, typer.Argument(help="discord, slack or terminal.")],
    user: Annotated[str, typer.Argument(help="The user id as `easel log show` has it.")],
    tenant: Annotated[
        str | None, typer.Option(help="Slack: their enterprise or team, where several have the id.")
    ] = None,
) -> None:
    """Let somebody ask again, wherever they were banned."""
    from storage import sanctions

    with _open() as (_, database), database.write() as session:
        try:
            ended = sanctions.unban(session, platform, user, now=database.clock(), tenant=tenant)
        except sanctions.Several as several:
            known = " or ".join(f"--tenant {name}" for name in several.tenants)
            typer.echo(f"Several people with this id are banned: say {known}.", err=True)
            raise typer.Exit(1) from None
        if not ended:
            typer.echo("This person is not banned.", err=True)
            raise typer.Exit(1)
    typer.echo("They may ask again.")
