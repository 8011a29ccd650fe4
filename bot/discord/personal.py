"""`/queue`, `/usage` and `/privacy`: what is one person's own, told to them alone."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import discord
from discord import app_commands, ui
from discord.app_commands import locale_str
from sqlalchemy.orm import Session

from bot.core import mine, steer
from bot.core.present import shorten
from bot.discord.acts import Act, change, entry_for
from bot.discord.buttons import CardButton
from bot.discord.intake import Interaction, hear, locale_of, quietly, raw_command, requester_of
from bot.discord.reply import Reply
from bot.discord.words import escape, words
from bot.i18n import format_duration, mark, say, say_n
from storage import export, inbox
from storage.domain import Account, Complaint, RawCommand, Requester

if TYPE_CHECKING:
    from bot.discord.app import Easel

PROMPT_SHOWN = 80


@app_commands.command(
    name=locale_str(mark("queue")), description=locale_str(mark("Your requests that wait or run"))
)
async def queue(interaction: Interaction) -> None:
    if await quietly(interaction.response.defer(ephemeral=True, thinking=True)):
        shown = await _queue(interaction.client, requester_of(interaction))
        await interaction.edit_original_response(**shown)


async def _queue(client: Easel, person: Requester) -> dict[str, Any]:
    """What a message says of somebody's queue."""
    line, locale = client.line, person.locale
    now = line.database.clock()
    view, texts = ui.View(timeout=None), []
    requests = await line.read(lambda s: mine.queue(s, person, locale, now))
    for number, request in enumerate(requests, 1):
        entry = request.entry
        prompt = escape(shorten(entry.request.prompt, PROMPT_SHOWN))
        texts.append(f"{number}. {prompt}\n{request.state}")
        if request.stranded:
            label = say(locale, "Show {number}", number=number)
            view.add_item(CardButton("fetch", entry.job_id, label=label))
        elif not (request.held or entry.cancel_requested):
            label = say(locale, "Cancel {number}", number=number)
            view.add_item(CardButton("drop", entry.job_id, label=label))
    empty = say(locale, "Nothing of yours is waiting.")
    embed = discord.Embed(title=say(locale, "Your requests"), description="\n".join(texts) or empty)
    return {"embed": embed, "view": view}


async def _drop(client: Easel, raw: RawCommand) -> bool:
    """Cancel from `/queue`, and show what is left there."""
    job_id, now = steer.target(raw.about).job_id, client.line.database.clock()
    done = await change(client, raw, lambda s: steer.cancel(s, job_id, now))
    await Reply(client, raw).edit(**await _queue(client, raw.requester))
    return done


async def _fetch(client: Easel, raw: RawCommand) -> bool:
    """A result that could not be shown: show it here instead."""
    reply = Reply(client, raw)
    address = await reply.address()
    if address is None:
        return False

    def fetch(session: Session, job_id: UUID) -> Complaint | None:
        complaint = steer.fetch(session, job_id, address)
        if complaint is None:
            inbox.taken(session, raw.event)
        return complaint

    entry = await entry_for(client, raw, steer.may_have)
    if isinstance(entry, Complaint):
        complaint: Complaint | None = entry
    else:
        complaint = await client.line.write(lambda s: fetch(s, entry.job_id))
    if complaint is None:
        return True
    await reply.withdraw(words(raw.requester.locale, complaint))
    return False


@app_commands.command(
    name=locale_str(mark("usage")),
    description=locale_str(mark("What you have drawn today, and what you have left")),
)
async def usage_command(interaction: Interaction) -> None:
    if not await quietly(interaction.response.defer(ephemeral=True, thinking=True)):
        return
    line, locale, person = interaction.client.line, locale_of(interaction), _person(interaction)
    now, server = line.database.clock(), str(interaction.guild_id or "")
    used = await line.read(lambda s: mine.used(s, line.settings, person, server, now))
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
async def send_all(interaction: Interaction) -> None:
    await hear(interaction, raw_command(interaction, "export", private=True))


async def _export(client: Easel, raw: RawCommand) -> bool:
    person, reply = raw.requester, Reply(client, raw)
    files = await client.privacy.export(person.account, raw.place.upload_limit_bytes)
    if isinstance(files, Complaint):
        await reply.edit(content=words(person.locale, files))
        return False
    first, *more = _files(files)
    text = say(person.locale, "All that is stored about you. Pictures are named by their hash.")
    await reply.edit(content=text, attachments=[first])
    for file in more:
        await reply.send(file)
    return False


def _files(contents: Sequence[bytes]) -> list[discord.File]:
    return [
        discord.File(io.BytesIO(data), name)
        for name, data in zip(export.names(len(contents)), contents, strict=True)
    ]


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
    days = interaction.client.line.settings.blocked_kept_days
    text = say(locale, mine.FORGETS, days=days)
    await quietly(interaction.response.send_message(text, view=view, ephemeral=True))


async def _forget(client: Easel, raw: RawCommand) -> bool:
    """The button names the person, so nobody else's press can mean them."""
    person, reply = raw.requester, Reply(client, raw)
    if str(steer.target(raw.about).job_id.int) != person.user_id:
        return False
    remains = await client.privacy.forget(person.account)
    if isinstance(remains, Complaint):
        await reply.complain(remains)
    else:
        await reply.edit(content=mine.forgotten(person.locale, remains), view=None)
    return False


ACTS: Mapping[str, Act] = {"drop": _drop, "fetch": _fetch, "forget": _forget, "export": _export}


def _person(interaction: Interaction) -> Account:
    return requester_of(interaction).account


COMMANDS: tuple[app_commands.Command[Any, ..., Any] | app_commands.Group, ...] = (
    queue,
    usage_command,
    privacy,
)
