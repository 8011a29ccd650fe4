"""What the buttons of a card do."""

from __future__ import annotations

import io
from uuid import UUID

import discord

from bot.core import steer
from bot.core.details import details
from bot.discord.buttons import Press, on
from bot.discord.intake import (
    Interaction,
    ask,
    hear,
    locale_of,
    place_of,
    quietly,
    requester_of,
)
from bot.discord.words import clip, escape, words
from bot.i18n import say
from storage.domain import Complaint
from storage.log import LogEntry

VALUE = 1024
"""Characters that a field holds; what is longer comes whole as a file beside."""
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
    await ask(press.interaction, press.command(private=press.is_private))


@on("cancel", "delete", "drop", "forget")
async def change(press: Press) -> None:
    """Changes what is there, and answers with no message of its own."""
    await hear(press.interaction, press.command(thinking=False))


@on("report", "fetch")
async def answer(press: Press) -> None:
    """Answers who pressed alone."""
    await hear(press.interaction, press.command(private=True))


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
    embed, whole = discord.Embed(title=say(locale, "Details")), []
    for name, value in details(entry, locale):
        short, shown = len(value) < SHORT_VALUE, escape(value)
        embed.add_field(name=clip(name, 256), value=clip(shown, VALUE), inline=short)
        if len(shown) > VALUE:
            whole.append(f"{name}\n{value}")
    text = io.BytesIO("\n\n".join(whole).encode())
    files = [discord.File(text, filename="details.txt")] if whole else []
    await interaction.edit_original_response(embed=embed, attachments=files)
