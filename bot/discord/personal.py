"""`/queue`, `/usage` and `/privacy`: what is one person's own, told to them alone."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any
from uuid import UUID

import discord
from discord import app_commands, ui
from discord.app_commands import locale_str

from bot.core import mine, steer
from bot.core.present import shorten
from bot.discord.buttons import CardButton, Press, on
from bot.discord.intake import Interaction, acknowledge, locale_of, quietly, tell
from bot.discord.presses import entry_for
from bot.discord.words import escape, words
from bot.i18n import format_duration, mark, say, say_n
from storage import deliveries, forget
from storage.domain import Complaint, Platform
from storage.log import LogEntry

PROMPT_SHOWN = 80


@app_commands.command(
    name=locale_str(mark("queue")), description=locale_str(mark("Your requests that wait or run"))
)
async def queue(interaction: Interaction) -> None:
    if await quietly(interaction.response.defer(ephemeral=True, thinking=True)):
        await _show_queue(interaction)


async def _show_queue(interaction: Interaction) -> None:
    line, locale, person = interaction.client.line, locale_of(interaction), _person(interaction)
    now = line.database.clock()
    view, texts = ui.View(timeout=None), []
    requests = await line.read(lambda s: mine.queue(s, Platform.DISCORD, person, locale, now))
    for number, request in enumerate(requests, 1):
        entry = request.entry
        prompt = escape(shorten(entry.request.prompt, PROMPT_SHOWN))
        texts.append(f"{number}. {prompt}\n{request.state}")
        if request.stranded:
            label = say(locale, "Show {number}", number=number)
            view.add_item(CardButton("fetch", entry.job_id, label=label))
        elif not entry.cancel_requested:
            label = say(locale, "Cancel {number}", number=number)
            view.add_item(CardButton("drop", entry.job_id, label=label))
    empty = say(locale, "Nothing of yours is waiting.")
    embed = discord.Embed(title=say(locale, "Your requests"), description="\n".join(texts) or empty)
    await interaction.edit_original_response(embed=embed, view=view)


@on("drop")
async def drop(press: Press) -> None:
    """Cancel from `/queue`, and show what is left there."""
    interaction, line = press.interaction, press.interaction.client.line
    if not await quietly(interaction.response.defer()):
        return
    entry = await entry_for(interaction, press.job_id, steer.may_change)
    now = line.database.clock()
    if isinstance(entry, LogEntry):
        complaint = await line.write(lambda s: steer.cancel(s, press.job_id, now))
    else:
        complaint = entry
    await _show_queue(interaction)
    if complaint is not None:
        await tell(interaction, words(locale_of(interaction), complaint))


@on("fetch")
async def fetch(press: Press) -> None:
    """A result that could not be shown: show it here instead."""
    interaction, line = press.interaction, press.interaction.client.line
    address = await acknowledge(interaction, private=True)
    if address is None:
        return
    entry = await entry_for(interaction, press.job_id, steer.may_change)
    if isinstance(entry, Complaint):
        text = words(locale_of(interaction), entry)
        await interaction.edit_original_response(content=text)
        return
    await line.write(lambda s: deliveries.move(s, press.job_id, address))


@app_commands.command(
    name=locale_str(mark("usage")),
    description=locale_str(mark("What you have drawn today, and what you have left")),
)
async def usage_command(interaction: Interaction) -> None:
    if not await quietly(interaction.response.defer(ephemeral=True, thinking=True)):
        return
    line, locale, person = interaction.client.line, locale_of(interaction), _person(interaction)
    now, server = line.database.clock(), str(interaction.guild_id or "")
    used = await line.read(
        lambda s: mine.used(s, line.settings, Platform.DISCORD, server, person, now)
    )
    texts = [
        say_n(locale, "{n} picture today.", "{n} pictures today.", used.pictures_today),
        say(locale, "You have {left} left until midnight UTC.", left=used.pictures_left),
    ]
    for entry in used.recent:
        spent = format_duration(locale, entry.device_seconds)
        prompt = escape(shorten(entry.request.prompt, PROMPT_SHOWN))
        texts.append(say(locale, "• {prompt}: drawn in {duration}", prompt=prompt, duration=spent))
    embed = discord.Embed(title=say(locale, "Your usage"), description="\n".join(texts))
    await interaction.edit_original_response(embed=embed)


privacy = app_commands.Group(
    name=locale_str(mark("privacy")),
    description=locale_str(mark("See or delete what is stored about you")),
)


@privacy.command(
    name=locale_str(mark("export")),
    description=locale_str(mark("Get everything that is stored about you as a file")),
)
async def export(interaction: Interaction) -> None:
    if not await quietly(interaction.response.defer(ephemeral=True, thinking=True)):
        return
    line, locale, person = interaction.client.line, locale_of(interaction), _person(interaction)
    stored = await line.read(lambda s: forget.export_person(s, Platform.DISCORD, person))
    data = json.dumps(stored, indent=2, ensure_ascii=False).encode()
    await interaction.edit_original_response(
        content=say(locale, "All that is stored about you. Pictures are named by their hash."),
        attachments=[discord.File(io.BytesIO(data), "easel-privacy.json")],
    )


@privacy.command(
    name=locale_str(mark("delete")),
    description=locale_str(mark("Delete everything that is stored about you")),
)
async def delete(interaction: Interaction) -> None:
    locale, view = locale_of(interaction), ui.View(timeout=None)
    # The button names the person, so nobody else's press could mean them.
    person = UUID(int=interaction.user.id)
    label = say(locale, "Delete everything")
    view.add_item(CardButton("forget", person, label=label, danger=True))
    text = say(
        locale,
        "This deletes your prompts, references and pictures here, takes their messages down, and "
        "cancels what is still waiting. It cannot be undone.",
    )
    await quietly(interaction.response.send_message(text, view=view, ephemeral=True))


@on("forget")
async def forget_me(press: Press) -> None:
    interaction, line = press.interaction, press.interaction.client.line
    if press.job_id.int != interaction.user.id or not await quietly(interaction.response.defer()):
        return
    person = _person(interaction)
    await asyncio.to_thread(forget.forget, line.database, line.blobs, Platform.DISCORD, person)
    text = say(locale_of(interaction), "Done. I have forgotten what you asked for.")
    await interaction.edit_original_response(content=text, view=None)


def _person(interaction: Interaction) -> str:
    return str(interaction.user.id)


COMMANDS: tuple[app_commands.Command[Any, ..., Any] | app_commands.Group, ...] = (
    queue,
    usage_command,
    privacy,
)
