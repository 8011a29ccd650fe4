"""`easel`: the composition root. Imports wait until a command needs them, so that each starts
quickly and only a worker loads torch."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, ParamSpec
from urllib.parse import urlsplit

import typer

from bot.terminal.logs import log_app, review_app
from bot.terminal.operate import backup, health, restore, sweep
from bot.terminal.start import (
    bear_any_output,
    open_database,
    plain_console,
    read_settings,
    ready_database,
    ready_settings,
    stop,
    upgrade,
)
from generation.builtin.commands import evaluate_builtin, train_builtin

P = ParamSpec("P")

app = typer.Typer(
    help="Easel: an illustration bot that you run yourself.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(log_app, name="log")
app.add_typer(review_app, name="review")
slack_app = typer.Typer(invoke_without_command=True, help="Serve Slack.")
app.add_typer(slack_app, name="slack")


def _run(work: Coroutine[Any, Any, int | None]) -> int:
    """Run to the end, or until Ctrl-C, SIGTERM or the end of the terminal, which cancel it so that
    it can tidy up. Then the status is 128 and the signal's number, as shells have it."""
    asked: list[int] = []

    async def cancellable() -> int | None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (we are inside one)

        def stop(number: int) -> None:
            asked.append(number)
            task.cancel()

        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError, AttributeError):  # Windows has none
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop, number)
            if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # As nohup has it.
                loop.add_signal_handler(signal.SIGHUP, stop, signal.SIGHUP)
        return await work

    try:
        return asyncio.run(cancellable()) or 0
    except (asyncio.CancelledError, KeyboardInterrupt):
        return 128 + (asked[0] if asked else signal.SIGINT)


def _serve(work: Coroutine[Any, Any, int | None]) -> int:
    """`_run` for what has no end of its own: SIGTERM ends it well."""
    status = _run(work)
    return 0 if status == 128 + signal.SIGTERM else status


def _serves(command: Callable[P, None]) -> Callable[P, None]:
    """From its first line on SIGTERM ends this command well, also before there is anything to tidy
    up."""

    @functools.wraps(command)
    def stoppable(*args: P.args, **given: P.kwargs) -> None:
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            command(*args, **given)
        finally:
            signal.signal(signal.SIGTERM, before)

    return stoppable


@app.command()
@_serves
def demo(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 picks a free one.")] = 8000,
) -> None:
    """A page that looks like Discord, answered by the real bot. No token, no server."""
    try:
        from bot.demo import run_demo
    except ModuleNotFoundError as error:
        words = f"The demo needs one more package: pip install 'easel-bot[demo]' ({error.name})"
        typer.echo(words, err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(_serve(run_demo(ready_settings(upgrades=True), port)))


@app.command()
def draw(
    prompt: Annotated[str, typer.Argument(help="What to draw; flags as in the chat work too.")],
    no: Annotated[str, typer.Option("--no", help="Negative prompt.")] = "",
    reference: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Reference image.")
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="White is repainted.")
    ] = None,
    use: Annotated[str, typer.Option(help="restyle or edit.")] = "",
    strength: Annotated[float | None, typer.Option(help="0 to 1.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed, the same picture.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.")] = None,
    aspect: Annotated[str, typer.Option("--ar", help="Aspect, for example 3:2.")] = "",
    count: Annotated[int | None, typer.Option(help="1 to 4 pictures.")] = None,
    style: Annotated[str, typer.Option(help="A style of the catalog.")] = "",
    model: Annotated[str, typer.Option(help="A model of the catalog.")] = "",
    output: Annotated[
        Path, typer.Option("-o", "--output", help="File to write: png, jpg or webp; - is stdout.")
    ] = Path("easel.png"),
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
) -> None:
    """Draw from the shell, through the same stations as in the chat."""
    from bot.compose import build_line
    from bot.i18n import pick_locale
    from bot.terminal.draw import command, how_many, tell
    from bot.terminal.draw import draw as draw_picture
    from bot.terminal.files import STANDARD_OUTPUT, names, unnamed, unwritable

    chosen = {
        "negative": no,
        "use": use,
        "strength": strength,
        "seed": seed,
        "steps": steps,
        "guidance": guidance,
        "aspect": aspect,
        "count": count,
        "style": style,
        "model": model,
    }
    locale = pick_locale(os.environ.get("LC_ALL") or os.environ.get("LANG"))
    if complaint := unnamed(output):
        tell(complaint, locale, plain_console(stderr=True))
        raise typer.Exit(2)
    raw = command(
        prompt,
        options={name: value for name, value in chosen.items() if value not in (None, "")},
        reference=reference,
        mask=mask,
        locale=locale,
    )
    line = build_line(ready_settings(upgrades=True))
    count = how_many(line, raw)
    if complaint := unwritable(output, count, force=force):
        tell(complaint, locale, plain_console(stderr=True))
        raise typer.Exit(2)
    console = plain_console(stderr=output == STANDARD_OUTPUT)
    raise typer.Exit(_run(draw_picture(line, raw, names(output, count), console, force=force)))


@app.command()
@_serves
def discord() -> None:
    """Serve Discord. Needs EASEL_DISCORD_TOKEN, and a worker somewhere."""
    from aiohttp import ClientError
    from discord import DiscordServerError, LoginFailure

    from bot.discord.run import serve

    settings = ready_settings(serves=True)
    if not settings.discord_token:
        typer.echo("Set EASEL_DISCORD_TOKEN; the README says where Discord shows it.", err=True)
        raise typer.Exit(2)
    try:
        status = _serve(serve(settings))
    except LoginFailure:
        typer.echo("Discord refuses EASEL_DISCORD_TOKEN: copy it anew from the portal.", err=True)
        raise typer.Exit(2) from None
    except (ClientError, DiscordServerError):
        host = urlsplit(settings.discord_api_url).hostname  # The address may hold a password.
        typer.echo(f"Discord does not answer at {host}. Start again when it does.", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(status)


@slack_app.callback()
@_serves
def slack(context: typer.Context) -> None:
    """Serve Slack. Needs a token and a way in; see the README. And a worker somewhere."""
    if context.invoked_subcommand is not None:
        return
    settings = ready_settings(serves=True)
    from aiohttp import ClientError
    from slack_sdk.errors import SlackApiError

    from bot.slack.configured import lacking
    from bot.slack.run import serve
    from bot.slack.workspaces import refused

    if wrong := lacking(settings):
        stop(*wrong)
    try:
        status = _serve(serve(settings))
    except ValueError as error:
        stop(str(error))
    except SlackApiError as error:
        stop(*refused(settings, error))
    except (ClientError, TimeoutError):
        host = urlsplit(settings.slack_api_url).hostname
        typer.echo(f"Slack does not answer at {host}. Start again when it does.", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(status)


@slack_app.command("manifest")
def slack_manifest(
    url: Annotated[str, typer.Option(help="Public address, for HTTP; else Socket Mode.")] = "",
) -> None:
    """Print the Slack app's manifest, to paste where Slack creates apps."""
    import json

    from bot.slack.manifest import manifest

    typer.echo(json.dumps(manifest(url.rstrip("/")), indent=2))


@slack_app.command("forget")
def slack_forget(
    workspace: Annotated[str, typer.Argument(help="Its id, or that of a whole enterprise.")],
) -> None:
    """Take out the token with which a workspace has installed the app."""
    from storage import slack_installations

    database = ready_database(read_settings())
    with contextlib.closing(database), database.write() as session:
        found = slack_installations.forget(session, workspace)
    if not found:
        typer.echo(f"No workspace {workspace} has installed the app.", err=True)
        raise typer.Exit(1)


@app.command()
def worker(
    concurrency: Annotated[int, typer.Option(min=1, help="Jobs drawn at once.")] = 1,
) -> None:
    """Draw what the queue holds: Celery's own worker with Easel's defaults."""
    # A thread of OpenMP that spins while it waits takes the core from the one that it waits for.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from storage import chat_secrets, doorbell
    from storage.catalog import load_catalog

    chat_secrets.drop()
    settings = ready_settings(for_prompts=False, serves=True)
    models = settings.worker_models or tuple(load_catalog(settings).models)
    celery = doorbell.create_app(settings, models)
    celery.worker_main(
        [
            "worker",
            "--pool=threads",
            f"--concurrency={concurrency}",
            f"--hostname=easel-{os.getpid()}@%h",
            f"--queues={','.join(doorbell.queue_name(model) for model in models)}",
            f"--loglevel={settings.log_level}",
            "--without-gossip",
            "--without-mingle",
        ]
    )
    raise typer.Exit(1)  # Who was told to leave has left.


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    from storage import migrate as migrations

    database = open_database(read_settings())
    before = migrations.current(database) or "nothing"
    upgrade(database)
    typer.echo(f"{before} → {migrations.current(database)}")
    database.close()


@app.command()
def doctor() -> None:
    """What is configured, what answers, what is missing, in plain words."""
    settings = read_settings()
    from bot.terminal.doctor import examine

    raise typer.Exit(_run(examine(settings, plain_console())))


for command in (backup, restore, sweep, health, train_builtin, evaluate_builtin):
    app.command()(command)


def main() -> None:
    bear_any_output()
    try:
        app()
    except Exception as error:
        from storage import logs

        logs.crashed(error)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
