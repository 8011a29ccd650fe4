"""`easel demo`: the real discord.py adapter in a page that looks like Discord, without a token.

`simcord` plays Discord in memory; everything behind it is what serves real servers: database,
doorbell, a Celery worker process, the deliverer and the reaper.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import discord
import simcord
import simcord.interactions
import structlog
from simcord._clock import Clock
from simcord.backend.errors import SetupError

from bot.compose import build_line
from bot.deliver import Deliverer
from bot.discord.app import create_bot
from bot.discord.show import DiscordShow
from bot.reaper import Reaper
from bot.supervise import WorkerProcess
from bot.watch import watched
from storage.settings import Settings

log = structlog.get_logger()

PEOPLE = {"Alice": "en-US", "Amélie": "fr", "Lucía": "es-ES"}
REFRESH_TRIES = 100


class WallClock(Clock):
    """Ids and token ages from the real time: those of an earlier demo never come again."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@contextmanager
def _locales(languages: dict[int, str]) -> Iterator[None]:
    """simcord says that everybody reads American English; here people have their own language."""
    original = simcord.interactions.base_payload

    def localised(*args: Any, **given: Any) -> Any:
        record, payload = original(*args, **given)
        payload["locale"] = languages.get(given["user_id"], "en-US")
        return record, payload

    simcord.interactions.base_payload = localised
    try:
        yield
    finally:
        simcord.interactions.base_payload = original


async def run_demo(settings: Settings, port: int) -> int:
    """Serve the page on 127.0.0.1 until it is closed, or until Ctrl-C."""
    if settings.discord_token:
        print(
            "EASEL_DISCORD_TOKEN is set, so this data folder serves a real Discord. Unset it, or "
            "give the demo a folder of its own with EASEL_DATA_FOLDER."
        )
        return 2
    if not _is_free(port):
        print(f"Port {port} is taken. Choose another with --port; 0 picks a free one.")
        return 2
    line = build_line(settings)
    bot = create_bot(settings, line)
    run = simcord.run(bot, check_errors=False)
    world = run._env.backend
    world.clock, world.bot_user.name = WallClock(), "Easel"
    async with run as env:
        guild = env.create_guild("Easel demo")
        channel = guild.create_text_channel("pictures")
        manager = guild.create_role("Managers", permissions=discord.Permissions.all())
        members = {
            name: guild.add_member(
                env.create_user(name.lower(), global_name=name),
                roles=[manager] if name == "Alice" else [],
            )
            for name in PEOPLE
        }
        languages = {members[name].id: locale for name, locale in PEOPLE.items()}
        preview = env.preview(channel, viewers=list(members.values()), layout="channel", port=port)
        with watched(line), _locales(languages):
            async with preview:
                await _serve(line, bot, preview)
    return 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: what a closed connection leaves behind is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def _serve(line: Any, bot: Any, preview: Any) -> None:
    changed = asyncio.Event()

    async def after_show() -> None:
        changed.set()

    loops = [
        asyncio.create_task(Deliverer(line, DiscordShow(bot), after_show=after_show).run()),
        asyncio.create_task(Reaper(line).run()),
        asyncio.create_task(bot.inbox.run()),
        asyncio.create_task(_refresh(preview, changed)),
    ]
    closed = asyncio.create_task(preview.wait_closed())
    print(f"Open {preview.url}")
    print("Type /imagine there. Ctrl-C ends the demo.", flush=True)
    try:
        # The worker leaves first and hands back what it has, which the deliverer still shows.
        async with WorkerProcess(line.settings):
            done, _ = await asyncio.wait([closed, *loops], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in (closed, *loops):
            task.cancel()
        await asyncio.gather(closed, *loops, return_exceptions=True)


async def _refresh(preview: Any, changed: asyncio.Event) -> None:
    """Publish what was shown outside of an action; while one runs, simcord says to wait."""
    while True:
        await changed.wait()
        changed.clear()
        for _ in range(REFRESH_TRIES):
            try:
                await preview.refresh()
                break
            except SetupError:
                await asyncio.sleep(0.1)
