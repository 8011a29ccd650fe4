"""Hear: from a Discord interaction to a RawCommand and the address of its placeholder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

import aiohttp
import discord
import structlog
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from bot.core import values
from bot.core.written import Written, read
from bot.discord.words import words
from bot.i18n import mark, pick_locale, say
from bot.references import Reader
from bot.references.fetch import download, unfetched
from storage import deliveries
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
Address = Mapping[str, str]
Submit = Callable[[Address], Awaitable[UUID | Complaint]]

logger = structlog.get_logger()

TOKEN_LIFE = timedelta(minutes=14)
"""Discord says 15; the last minute is for what is on its way."""
UNKNOWN_MESSAGE, UNKNOWN_INTERACTION, ALREADY_ACKNOWLEDGED = 10008, 10062, 40060

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
    text: str,
    *,
    options: Mapping[str, str | int | float | bool | None] | None = None,
    reference: Source | None = None,
    mask: Source | None = None,
    press: str = "",
    parent_sha256: str | None = None,
) -> RawCommand:
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
        text=text,
        options={name: v for name, v in (options or {}).items() if v is not None},
        reference=reference,
        mask=mask,
        parent_sha256=parent_sha256,
        press=press,
    )


def requester_of(interaction: Interaction) -> Requester:
    return Requester(
        platform=Platform.DISCORD,
        user_id=str(interaction.user.id),
        locale=locale_of(interaction),
    )


def asks_privately(text: str) -> bool:
    """Whether `--private` stands in the text: the placeholder must know before all is parsed."""
    written = read(text)
    if not isinstance(written, Written):
        return False
    try:
        return values.yes(written.options.get("private", "no"))
    except values.Wrong:
        return False


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


async def acknowledge(interaction: Interaction, *, private: bool) -> Address | None:
    """Show "thinking…" at once; that message is the placeholder. None: Discord has given up on
    the interaction, so nobody is waiting."""
    try:
        message_id = await _defer(interaction, private)
    except discord.HTTPException as error:
        if error.code not in (UNKNOWN_INTERACTION, ALREADY_ACKNOWLEDGED):
            raise
        logger.info("discord.acknowledge", code=error.code)
        if error.code == UNKNOWN_INTERACTION:
            return None
        # Our first try got through and its answer was lost, or the event came twice.
        message_id = None
    try:
        message_id = message_id or (await interaction.original_response()).id
    except discord.NotFound:
        return None
    address = {
        "application_id": str(interaction.application_id),
        "token": interaction.token,
        "token_expires_at": (interaction.created_at + TOKEN_LIFE).isoformat(),
        "channel_id": str(interaction.channel_id or ""),
        "message_id": str(message_id),
        "ephemeral": "1" if private else "",
    }
    if private:
        # Whom to write to once the token is dead; nobody else's address names a person.
        address["user_id"] = str(interaction.user.id)
    return address


@retry(retry=retry_if_exception_type(aiohttp.ClientError), stop=stop_after_attempt(3), reraise=True)
async def _defer(interaction: Interaction, private: bool) -> int | None:
    """A connection that broke may have carried the answer or not; a repeated one does no harm."""
    response = await interaction.response.defer(thinking=True, ephemeral=private)
    return response.message_id if response else None


async def ask(interaction: Interaction, submit: Submit, *, private: bool) -> None:
    """One request for a picture, whatever it came from: acknowledge, submit, and answer what
    cannot be taken. All else is shown by the deliverer."""
    complaint = missing_permissions(interaction, private=private)
    if complaint is not None:
        await tell(interaction, words(locale_of(interaction), complaint))
        return
    address = await acknowledge(interaction, private=private)
    if address is None:
        return
    try:
        taken = await submit(address)
    except Exception:
        interaction.extras["told"] = True
        await _withdraw(interaction, address, _sorry(locale_of(interaction)))
        raise
    if isinstance(taken, Complaint):
        await _withdraw(interaction, address, words(locale_of(interaction), taken))
    elif not await _is_shown_at(interaction, taken, address):
        with suppress(discord.NotFound):
            await interaction.delete_original_response()


async def _is_shown_at(interaction: Interaction, job_id: UUID, address: Address) -> bool:
    """False for a second press of a button: its job has a message already."""
    delivery = await interaction.client.line.read(lambda s: deliveries.get(s, job_id))
    return delivery is None or delivery.address.get("message_id") == address["message_id"]


async def _withdraw(interaction: Interaction, address: Address, text: str) -> None:
    """Say privately why not, and leave nothing in the channel.

    While a public placeholder is "thinking", a follow-up would take its place and be public too
    (discord-api-docs #2866), and once it is deleted there may be none (#3087): so it stops
    thinking first, and goes last.
    """
    try:
        if address["ephemeral"]:
            await interaction.edit_original_response(content=text)
            return
        await interaction.edit_original_response(content="…")
        await interaction.followup.send(text, ephemeral=True)
        await interaction.delete_original_response()
    except discord.NotFound:
        # The same event came twice, and the other one has said it; or somebody was quicker.
        logger.info("discord.withdraw", code=UNKNOWN_MESSAGE)


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
    if not interaction.extras.get("told"):
        try:
            await tell(interaction, _sorry(locale_of(interaction)))
        except discord.HTTPException as error:
            logger.info("discord.apologise", code=error.code)


def _sorry(locale: str) -> str:
    return say(locale, "Something went wrong here. Try again; if it stays so, tell who runs me.")
