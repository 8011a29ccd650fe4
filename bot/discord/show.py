"""Show: a Card becomes what one Discord message says."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import aiohttp
import discord

from bot.deliver import Gone, PictureReader, RetryLater, Shown
from bot.discord.buttons import card_view
from bot.discord.words import clip, escape
from bot.i18n import say
from storage.domain import Card, CardPicture, Delivery, Platform, Tone

if TYPE_CHECKING:
    from bot.discord.app import Easel

UNKNOWN_WEBHOOK, INVALID_TOKEN = 10015, 50027
NOTICE = timedelta(minutes=1)
"""So long before the token dies a private card says where the picture will come."""
BAR_CELLS = 16
RECENT_MESSAGES = 50

_COLOURS = {
    Tone.WAITING: discord.Colour.light_grey(),
    Tone.WORKING: discord.Colour.blurple(),
    Tone.DONE: discord.Colour.green(),
    Tone.REFUSED: discord.Colour.orange(),
    Tone.FAILED: discord.Colour.red(),
}
_ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}

Call = Callable[..., Coroutine[Any, Any, object]]


class DiscordShow:
    """Edits by interaction token while that lives, then the same message by bot token. Only a
    private result whose token is dead is posted anew: as a direct message."""

    platform = Platform.DISCORD

    def __init__(self, client: Easel) -> None:
        self._client = client

    async def show(self, delivery: Delivery, card: Card, read: PictureReader) -> Shown:
        try:
            if card.removed:
                return await self._remove(delivery)
            return await self._show(delivery, card, read)
        except (discord.Forbidden, discord.NotFound) as error:
            raise Gone(f"{error.status} {error.code} {error.text}"[:100]) from error
        except discord.RateLimited as error:
            raise RetryLater(error.retry_after) from error
        except (discord.DiscordServerError, aiohttp.ClientError, OSError) as error:
            raise RetryLater from error
        except discord.HTTPException as error:
            if error.status == 429:
                raise RetryLater from error
            raise

    async def _show(self, delivery: Delivery, card: Card, read: PictureReader) -> Shown:
        now, address = self._client.line.database.clock(), delivery.address
        private = bool(address.get("ephemeral"))
        unfinished = card.tone in (Tone.WAITING, Tone.WORKING)
        expires_at = datetime.fromisoformat(address["token_expires_at"])
        late = private and unfinished and now >= expires_at - NOTICE
        content = Content(card, late=late)
        if address["token"] and now < expires_at:
            webhook = self._webhook(delivery)
            try:
                edit = partial(webhook.edit_message, int(address["message_id"]))
                return await content.edit(edit, delivery, read)
            except discord.HTTPException as error:
                if error.code not in (UNKNOWN_WEBHOOK, INVALID_TOKEN):
                    raise
            # Not tried again: Discord bans addresses that send too much it cannot accept.
            delivery = replace(delivery, address={**address, "token": ""})
        if not private:
            return await content.edit(self._message(delivery).edit, delivery, read)
        if unfinished:
            return Shown(address=delivery.address, pictures=delivery.shown_pictures)
        return await self._send_privately(delivery, content, read)

    async def _send_privately(
        self, delivery: Delivery, content: Content, read: PictureReader
    ) -> Shown:
        """Once: for some minutes Discord answers a repeated nonce with the message that is there
        already; after that, we look for it."""
        channel = await self._direct(delivery)
        message = await _posted(channel, delivery.job_id) or await channel.send(
            embed=content.embed,
            view=content.view,
            files=await content.files(read),
            nonce=delivery.job_id.hex[:25],
        )
        address = {
            **delivery.address,
            "token": "",
            "channel_id": str(channel.id),
            "message_id": str(message.id),
            "ephemeral": "",
            "pictures": content.digest,
        }
        return Shown(address=address, pictures=bool(content.pictures))

    async def _remove(self, delivery: Delivery) -> Shown:
        address = delivery.address
        if not address:
            return Shown(address={}, pictures=False)
        expires_at = datetime.fromisoformat(address["token_expires_at"])
        try:
            if address["token"] and self._client.line.database.clock() < expires_at:
                await self._webhook(delivery).delete_message(int(address["message_id"]))
            elif not address.get("ephemeral"):
                await self._message(delivery).delete()
            elif sent := await _posted(await self._direct(delivery), delivery.job_id):
                await sent.delete()  # Its answer was lost.
        except discord.NotFound:
            pass
        # Nothing is left that the address is good for, and it names a person.
        return Shown(address={}, pictures=False)

    async def _direct(self, delivery: Delivery) -> discord.DMChannel:
        return await self._client.create_dm(discord.Object(int(delivery.address["user_id"])))

    def _webhook(self, delivery: Delivery) -> discord.Webhook:
        address = delivery.address
        return discord.Webhook.partial(
            int(address["application_id"]), address["token"], client=self._client
        )

    def _message(self, delivery: Delivery) -> discord.PartialMessage:
        channel = self._client.get_partial_messageable(int(delivery.address["channel_id"]))
        return channel.get_partial_message(int(delivery.address["message_id"]))


async def _posted(channel: discord.DMChannel, job_id: UUID) -> discord.Message | None:
    """What a process has sent that died before it could write it down; its buttons name the job."""
    async for message in channel.history(limit=RECENT_MESSAGES):
        rows = [row for row in message.components if isinstance(row, discord.ActionRow)]
        ids = [str(getattr(item, "custom_id", "")) for row in rows for item in row.children]
        if any(str(job_id) in custom_id for custom_id in ids):
            return message
    return None


class Content:
    """One card as Discord's parts: an embed, buttons, files."""

    def __init__(self, card: Card, *, late: bool) -> None:
        self.pictures = card.pictures
        self.digest = _digest(card.pictures)
        self.view = card_view(card)
        self.embed = _embed(card, late)

    async def edit(self, edit: Call, delivery: Delivery, read: PictureReader) -> Shown:
        """Pictures go up once; an edit that names no attachments keeps those that are there."""
        shown = delivery.address.get("pictures", "")
        files: dict[str, Any] = {}
        if self.digest != (shown if delivery.shown_pictures else ""):
            files = {"attachments": await self.files(read)}
        await edit(content=None, embed=self.embed, view=self.view, **files)
        address = {**delivery.address, "pictures": self.digest}
        return Shown(address=address, pictures=bool(self.pictures))

    async def files(self, read: PictureReader) -> list[discord.File]:
        return [
            discord.File(
                io.BytesIO(await read(picture)),
                filename=_file_name(picture),
                spoiler=picture.spoiler,
                description=clip(picture.alt_text, 1024),
            )
            for picture in self.pictures
        ]


def _digest(pictures: tuple[CardPicture, ...]) -> str:
    """Names this set of pictures, as shown; empty for none."""
    if not pictures:
        return ""
    parts = "".join(f"{p.index}:{p.sha256}:{p.spoiler};" for p in pictures)
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def _file_name(picture: CardPicture) -> str:
    ending = _ENDINGS.get(picture.media_type, "bin")
    return f"easel-{picture.sha256[:8]}-{picture.index + 1}.{ending}"


def _embed(card: Card, late: bool) -> discord.Embed:
    lines = [escape(card.text)] if card.text else []
    if card.progress_0_1 is not None:
        lines.append(_bar(card.progress_0_1))
    if late:
        lines.append(say(card.locale, "The picture will come to you by direct message."))
    embed = discord.Embed(
        title=clip(escape(card.title), 256),
        description=clip("\n".join(lines), 4096),
        colour=_COLOURS[card.tone],
    )
    for name, value in card.fields[:25]:
        embed.add_field(name=clip(escape(name), 256), value=clip(escape(value), 1024))
    if card.footer:
        embed.set_footer(text=clip(card.footer, 2048))
    if len(card.pictures) == 1 and not card.pictures[0].spoiler:
        # Inside the card; several make a grid above it, and an embed cannot hide a spoiler.
        embed.set_image(url=f"attachment://{_file_name(card.pictures[0])}")
    return embed


def _bar(progress: float) -> str:
    done = round(progress * BAR_CELLS)
    return f"`{'█' * done}{'░' * (BAR_CELLS - done)}` {progress:.0%}"
