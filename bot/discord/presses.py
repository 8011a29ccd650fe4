"""What the buttons of a card do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import discord

from bot.core import steer
from bot.core.details import details
from bot.discord.buttons import Press, on
from bot.discord.intake import (
    Address,
    Interaction,
    ask,
    locale_of,
    place_of,
    quietly,
    raw_command,
    requester_of,
    tell,
)
from bot.discord.words import clip, escape, words
from bot.i18n import say
from storage.domain import Complaint
from storage.log import LogEntry

SHORT_VALUE = 40
"""Characters that leave room for other fields in the same row."""


async def entry_for(
    interaction: Interaction, job_id: UUID, right: steer.Right
) -> LogEntry | Complaint:
    viewer = steer.Viewer(requester=requester_of(interaction), place=place_of(interaction))
    line = interaction.client.line
    return await line.read(lambda s: steer.entry_for(s, job_id, viewer, right))


@on("again", "vary", "enlarge")
async def remake(press: Press) -> None:
    """A new request from an old one, in a message of its own."""

    async def submit(address: Address) -> UUID | Complaint:
        line = press.interaction.client.line
        entry = await entry_for(press.interaction, press.job_id, steer.may_read)
        if isinstance(entry, Complaint):
            return entry
        request = steer.remake(
            press.action, entry, press.picture, seed=line.seed(), catalog=line.catalog
        )
        if isinstance(request, Complaint):
            return request
        raw = raw_command(
            press.interaction, "", press=press.key, parent_sha256=request.parent_sha256
        )
        return await line.take(request, raw, address)

    await ask(press.interaction, submit, private=press.is_private)


async def _change(press: Press, change: Callable[[], Awaitable[Complaint | None]]) -> None:
    """Do something to the request of a card; the card itself shows what came of it."""
    interaction = press.interaction
    if not await quietly(interaction.response.defer()):
        return
    entry = await entry_for(interaction, press.job_id, steer.may_change)
    complaint = entry if isinstance(entry, Complaint) else await change()
    if complaint is not None:
        await tell(interaction, words(locale_of(interaction), complaint))


@on("cancel")
async def cancel(press: Press) -> None:
    line = press.interaction.client.line
    now = line.database.clock()
    await _change(press, lambda: line.write(lambda s: steer.cancel(s, press.job_id, now)))


@on("delete")
async def delete(press: Press) -> None:
    line = press.interaction.client.line
    now = line.database.clock()
    await _change(press, lambda: line.write(lambda s: steer.delete(s, press.job_id, now)))


@on("report")
async def report(press: Press) -> None:
    interaction, line = press.interaction, press.interaction.client.line
    if not await quietly(interaction.response.defer(ephemeral=True, thinking=True)):
        return
    by, now = requester_of(interaction), line.database.clock()
    new = await line.write(lambda s: steer.report(s, press.job_id, by, now))
    locale = locale_of(interaction)
    await interaction.edit_original_response(
        content=say(locale, "Thank you. A moderator will look at it.")
        if new
        else say(locale, "You have reported this already. A moderator will look at it.")
    )


@on("details")
async def show_details(press: Press) -> None:
    if await quietly(press.interaction.response.defer(ephemeral=True, thinking=True)):
        await answer_details(press.interaction, press.job_id)


async def answer_details(interaction: Interaction, job_id: UUID) -> None:
    locale = locale_of(interaction)
    entry = await entry_for(interaction, job_id, steer.may_read)
    if isinstance(entry, Complaint):
        await interaction.edit_original_response(content=words(locale, entry))
        return
    embed = discord.Embed(title=say(locale, "Details"))
    for name, value in details(entry, locale):
        short = len(value) < SHORT_VALUE
        embed.add_field(name=clip(name, 256), value=clip(escape(value), 1024), inline=short)
    await interaction.edit_original_response(embed=embed)
