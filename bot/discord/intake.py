"""Hear: from a Discord interaction to a RawCommand that is written down and acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import aiohttp
import discord
import structlog
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from bot.core.grammar import parse
from bot.core.inbox import UNANSWERED, Unanswered
from bot.core.line import Line
from bot.discord.errors import passes
from bot.discord.reply import ALREADY_ACKNOWLEDGED, TOKEN_LIFE, UNKNOWN_INTERACTION, sorry
from bot.discord.words import words
from bot.i18n import mark, pick_locale, say
from bot.references import Reader
from bot.references.fetch import download, unfetched
from storage.domain import (
    Attached,
    Complaint,
    EventKey,
    Place,
    Platform,
    RawCommand,
    Requester,
    Source,
)

if TYPE_CHECKING:
    from bot.discord.app import Easel

Interaction: TypeAlias = "discord.Interaction[Easel]"

logger = structlog.get_logger()

MOST_TURNS, TURN_SECONDS = 12, 0.02
"""A quarter of a second in all."""

PERMISSIONS = {
    "view_channel": mark("View Channel"),
    "send_messages": mark("Send Messages"),
    "send_messages_in_threads": mark("Send Messages in Threads"),
    "attach_files": mark("Attach Files"),
    "embed_links": mark("Embed Links"),
}


def locale_of(interaction: Interaction) -> str:
    return pick_locale(str(interaction.locale))


def place_of(interaction: Interaction) -> Place:
    """Where the interaction happened. A thread has its parent's age restriction."""
    channel, guild = interaction.channel, interaction.guild
    thread = channel if isinstance(channel, discord.Thread) else None
    strict_levels = (discord.NSFWLevel.explicit, discord.NSFWLevel.age_restricted)
    flagged = bool(getattr(channel, "is_nsfw", bool)())
    return Place(
        platform=Platform.DISCORD,
        workspace_id=str(interaction.guild_id or ""),
        channel_id=str((thread.parent_id if thread else interaction.channel_id) or ""),
        thread_id=str(thread.id) if thread else "",
        age_restricted=flagged or (guild is not None and guild.nsfw_level in strict_levels),
        upload_limit_bytes=interaction.filesize_limit,
    )


def raw_command(
    interaction: Interaction,
    act: str,
    *,
    about: str = "",
    text: str = "",
    options: Mapping[str, str | int | float | bool | None] | None = None,
    reference: Source | None = None,
    mask: Source | None = None,
    press: str = "",
    private: bool = False,
    thinking: bool = True,
) -> RawCommand:
    """`private` is told to the person alone; what is not `thinking` answers with no message of its
    own, but changes the one whose button was pressed."""
    place = place_of(interaction)
    return RawCommand(
        event=EventKey(
            platform=Platform.DISCORD,
            workspace_id=place.workspace_id,
            kind="interaction",
            id=str(interaction.id),
        ),
        requester=requester_of(interaction),
        place=place,
        application=str(interaction.application_id),
        act=act,
        about=about,
        reply={
            "token": interaction.token,
            "token_expires_at": (interaction.created_at + TOKEN_LIFE).isoformat(),
            "private": "1" if private else "",
            "thinking": "1" if thinking else "",
        },
        text=text,
        options={name: v for name, v in (options or {}).items() if v is not None},
        reference=reference,
        mask=mask,
        press=press,
    )


def requester_of(interaction: Interaction) -> Requester:
    return Requester(
        platform=Platform.DISCORD,
        user_id=str(interaction.user.id),
        locale=locale_of(interaction),
        manages=interaction.permissions.manage_messages,
    )


def attached(file: discord.Attachment | None) -> Attached | None:
    """Its bytes are read while the request is taken: the link dies within a day."""
    if file is None:
        return None
    return Attached(name=file.filename, size_bytes=file.size, address=file.url)


def reader(client: Easel) -> Reader:
    """From Discord's own store of files, whose address came with the event."""

    async def read(file: Attached) -> bytes:
        return await client.http.get_from_cdn(file.address)

    return read


async def from_cdn(url: str) -> bytes:
    """At most 10 MiB of Discord's file. Raises Unavailable and what `download` does."""
    return await download(url, otherwise=unfetched)


def missing_permissions(interaction: Interaction, *, private: bool) -> Complaint | None:
    """What the picture would fail on, read from the event itself. A private answer needs no
    right to see the channel or to write there."""
    if interaction.guild_id is None:
        return None
    needed = ["attach_files", "embed_links"]
    if not private:
        in_thread = isinstance(interaction.channel, discord.Thread)
        write = "send_messages_in_threads" if in_thread else "send_messages"
        needed = ["view_channel", write, *needed]
    locale, have = locale_of(interaction), interaction.app_permissions
    missing = [say(locale, PERMISSIONS[name]) for name in needed if not getattr(have, name)]
    if not missing:
        return None
    return Complaint(
        text="In this channel I lack permissions that a picture needs: {permissions}. "
        "Ask who manages the server to grant them to me.",
        values={"permissions": ", ".join(missing)},
    )


async def ask(interaction: Interaction, raw: RawCommand) -> None:
    """A request for a picture: what it would fail on here is said at once."""
    complaint = missing_permissions(interaction, private=bool(raw.reply["private"]))
    if complaint is not None:
        await tell(interaction, words(locale_of(interaction), complaint))
        return
    if _is_wrong(interaction.client.line, raw):  # Nobody else sees "thinking…" for what only fails.
        raw = replace(raw, reply={**raw.reply, "private": "1"})
    await hear(interaction, raw)


def _is_wrong(line: Line, raw: RawCommand) -> bool:
    """Whether what was typed can be no request, whichever model this place draws with."""
    return raw.act == "draw" and all(
        isinstance(parse(raw, line.catalog, default_model=model, random_seed=int), Complaint)
        for model in line.catalog.models
    )


async def hear(interaction: Interaction, raw: RawCommand) -> None:
    """Write the command down, acknowledge it, and act on it. What the database does not take within
    half a second is not acknowledged, and the person is told so."""
    crowd = interaction.client.crowd
    crowd.add(interaction.id)
    try:
        heard = await _heard(interaction, raw)
    finally:
        crowd.discard(interaction.id)
    if heard is None:
        return
    for _ in range(MOST_TURNS):  # Who still waits to be acknowledged goes first.
        if not crowd:
            break
        await asyncio.sleep(TURN_SECONDS)
    await interaction.client.inbox.act(heard)


async def _heard(interaction: Interaction, raw: RawCommand) -> RawCommand | None:
    """What is to be acted on: written down, and acknowledged."""
    inbox = interaction.client.inbox
    try:
        if not await inbox.hear(raw):
            return None  # The same event came before, and somebody is at it.
    except Unanswered:
        await quietly(tell(interaction, say(locale_of(interaction), UNANSWERED)))
        return None
    try:
        message_id = await _defer(interaction, raw)
    except (aiohttp.ClientError, OSError):
        return raw  # It may have got through; who acts on it acknowledges it again.
    except discord.HTTPException as error:
        if passes(error):
            return raw
        if error.code not in (UNKNOWN_INTERACTION, ALREADY_ACKNOWLEDGED):
            await inbox.drop(raw)  # The person is told that something went wrong.
            raise
        logger.info("discord.acknowledge", code=error.code)
        if error.code == UNKNOWN_INTERACTION:
            await inbox.drop(raw)  # Discord has given up on it, so nobody is waiting.
            return None
        # Our first try got through and its answer was lost.
        message_id = None
    placeholder = {"message_id": str(message_id)} if message_id else {}
    return replace(raw, reply={**raw.reply, **placeholder, "acknowledged": "1"})


@retry(retry=retry_if_exception_type(aiohttp.ClientError), stop=stop_after_attempt(3), reraise=True)
async def _defer(interaction: Interaction, raw: RawCommand) -> int | None:
    """Show "thinking…" at once, in the placeholder whose id is returned; a change of what is there
    shows nothing. A connection that broke may have carried the answer or not; a repeated one does
    no harm."""
    private, thinking = bool(raw.reply["private"]), bool(raw.reply["thinking"])
    response = await interaction.response.defer(ephemeral=private, thinking=thinking)
    return response.message_id if response and thinking else None


async def tell(interaction: Interaction, text: str) -> None:
    """A short private answer, whether or not the interaction has been acknowledged."""
    if interaction.response.is_done():
        await interaction.followup.send(text, ephemeral=True)
    else:
        await interaction.response.send_message(text, ephemeral=True)


async def quietly(answer: Awaitable[object]) -> bool:
    """Send a first answer. False, and nothing more to do, if Discord no longer waits for it."""
    try:
        await answer
    except discord.HTTPException as error:
        if error.code not in (UNKNOWN_INTERACTION, ALREADY_ACKNOWLEDGED):
            raise
        logger.info("discord.acknowledge", code=error.code)
        return False
    return True


async def apologise(interaction: Interaction) -> None:
    """Something of ours broke; whoever waits should know."""
    try:
        await tell(interaction, sorry(locale_of(interaction)))
    except discord.HTTPException as error:
        logger.info("discord.apologise", code=error.code)
