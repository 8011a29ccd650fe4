"""Show: a Card becomes what one Discord message says."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import discord
from discord.abc import Messageable
from discord.http import Route

from bot.discord.buttons import card_view
from bot.discord.errors import (
    ARCHIVED,
    DEAD_TOKEN,
    NOT_THERE,
    TOO_LARGE,
    UPLOADS_LIMITED,
    sorting,
)
from bot.discord.words import clip, escape, words
from bot.i18n import mark, say
from bot.showing import NOTICE, PictureReader, Shown
from storage.domain import Button, Card, CardPicture, Complaint, Delivery, Platform, Tone

if TYPE_CHECKING:
    from bot.discord.app import Easel

NONCE_LENGTH = 25
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

WITHOUT_UPLOAD = {
    **dict.fromkeys(
        TOO_LARGE,
        mark(
            "The picture is drawn, but Discord does not take so large a file. Ask for a smaller "
            "one."
        ),
    ),
    UPLOADS_LIMITED: mark(
        "The picture is drawn, but this server does not let me upload files. Ask who manages the "
        "server to allow it, then choose “Again”."
    ),
}

Call = Callable[..., Coroutine[Any, Any, discord.Message]]


class DiscordShow:
    """Edits by interaction token while that lives, then the same message by bot token. Posted anew
    is only what cannot be edited: as a direct message a private result whose token is dead, and
    into its channel a card whose token died before its message was known."""

    platform = Platform.DISCORD

    def __init__(self, client: Easel) -> None:
        self._client = client

    @property
    def application(self) -> str:
        """Known once the client has logged in."""
        return str(self._client.application_id or "")

    async def show(self, delivery: Delivery, card: Card, read: PictureReader) -> Shown:
        with sorting(removing=card.removed):
            try:
                return await self._once(delivery, card, read)
            except discord.HTTPException as error:
                if error.code == ARCHIVED:
                    channel_id = int(delivery.address["channel_id"])
                    await self._client.http.edit_channel(channel_id, archived=False)
                elif card.pictures and (words := WITHOUT_UPLOAD.get(error.code)):
                    text = "\n".join(filter(None, [card.text, say(card.locale, words)]))
                    card = replace(card, text=text, pictures=(), buttons=_of_all(card))
                else:
                    raise
            return await self._once(delivery, card, read)

    async def _once(self, delivery: Delivery, card: Card, read: PictureReader) -> Shown:
        if card.removed:
            return await self._remove(delivery)
        return await self._show(delivery, card, read)

    async def tell(
        self, delivery: Delivery, user_id: str, locale: str, complaint: Complaint, code: str
    ) -> None:
        with sorting():
            channel = await self._direct(user_id)
            nonce = f"t{delivery.job_id.hex}"[:NONCE_LENGTH]
            await channel.send(words(locale, complaint), nonce=nonce)

    async def _show(self, delivery: Delivery, card: Card, read: PictureReader) -> Shown:
        now, address = self._client.line.database.clock(), delivery.address
        private = bool(address.get("ephemeral"))
        unfinished = card.tone in (Tone.WAITING, Tone.WORKING)
        expires_at = _expires_at(address)
        late = private and unfinished and now >= expires_at - NOTICE
        content = Content(card, late=late)
        if address["token"] and now < expires_at:
            try:
                message_id = await self._message_id(address)
                edit = partial(self._webhook(address).edit_message, message_id)
                return await content.edit(edit, delivery, read)
            except discord.HTTPException as error:
                if error.code not in DEAD_TOKEN:
                    raise
            # Not tried again: Discord bans addresses that send too much it cannot accept.
            delivery = replace(delivery, address={**address, "token": ""})
        if private and unfinished:
            return Shown(address=delivery.address, pictures=delivery.shown_pictures)
        if private:
            channel: Messageable = await self._direct(address["user_id"])
            return await self._post(channel, delivery, content, read)
        if not address["message_id"]:
            return await self._post(self._channel(address), delivery, content, read)
        return await content.edit(self._message(address).edit, delivery, read)

    async def _post(
        self, channel: Messageable, delivery: Delivery, content: Content, read: PictureReader
    ) -> Shown:
        """Once: for some minutes Discord answers a repeated nonce with the message that is there
        already; after that, we look for it."""
        try:
            message = await _posted(channel, delivery)
        except discord.Forbidden:  # Without Read Message History there is the nonce alone.
            message = None
        said: dict[str, Any] = {"embed": content.embed, "view": content.view}
        files = await content.files(read)
        if message is not None:
            await message.edit(content=None, **said, attachments=files)
        else:
            nonce = delivery.job_id.hex[:NONCE_LENGTH]
            message = await channel.send(**said, files=files, nonce=nonce)
        address = {
            **delivery.address,
            "token": "",
            "channel_id": str(message.channel.id),
            "message_id": str(message.id),
            "ephemeral": "",
            "pictures": content.digest,
        }
        return Shown(address=address, pictures=bool(content.pictures))

    async def _remove(self, delivery: Delivery) -> Shown:
        try:
            await self._delete(delivery)
        except discord.NotFound as error:
            if error.code not in NOT_THERE:
                raise
        # Nothing is left that the address is good for, and it names a person.
        return Shown(address={}, pictures=False)

    async def _delete(self, delivery: Delivery) -> None:
        address = delivery.address
        if not address:
            return
        if address["token"] and self._client.line.database.clock() < _expires_at(address):
            try:
                message_id = await self._message_id(address)
                await self._webhook(address).delete_message(message_id)
                return
            except discord.HTTPException as error:
                if error.code not in DEAD_TOKEN:
                    raise
        if not address.get("ephemeral") and address["message_id"]:
            await self._message(address).delete()
            return
        # Its answer may have been lost.
        private = address.get("ephemeral")
        channel = await self._direct(address["user_id"]) if private else self._channel(address)
        if sent := await _posted(channel, delivery):
            await sent.delete()

    async def _direct(self, user_id: str) -> discord.DMChannel:
        return await self._client.create_dm(discord.Object(int(user_id)))

    async def _message_id(self, address: Mapping[str, str]) -> int:
        """Where it is not known, as after an acknowledgement whose answer was lost, that of the
        interaction's own message."""
        if address["message_id"]:
            return int(address["message_id"])
        original = Route(
            "GET",
            "/webhooks/{webhook_id}/{webhook_token}/messages/@original",
            webhook_id=int(address["application_id"]),
            webhook_token=address["token"],
        )
        return int((await self._client.http.request(original))["id"])

    def _webhook(self, address: Mapping[str, str]) -> discord.Webhook:
        return discord.Webhook.partial(
            int(address["application_id"]), address["token"], client=self._client
        )

    def _channel(self, address: Mapping[str, str]) -> discord.PartialMessageable:
        return self._client.get_partial_messageable(int(address["channel_id"]))

    def _message(self, address: Mapping[str, str]) -> discord.PartialMessage:
        return self._channel(address).get_partial_message(int(address["message_id"]))


def _of_all(card: Card) -> tuple[Button, ...]:
    """The buttons that are about no picture of their own."""
    return tuple(button for button in card.buttons if button.picture is None)


def _expires_at(address: Mapping[str, str]) -> datetime:
    when = address.get("token_expires_at")
    return datetime.fromisoformat(when) if when else datetime.min.replace(tzinfo=UTC)


async def _posted(channel: Messageable, delivery: Delivery) -> discord.Message | None:
    """What a process has sent that died before it could write it down; its buttons name the job."""
    elsewhere = {other.get("message_id") for other in delivery.former}
    async for message in channel.history(limit=RECENT_MESSAGES):
        rows = [row for row in message.components if isinstance(row, discord.ActionRow)]
        ids = [str(getattr(item, "custom_id", "")) for row in rows for item in row.children]
        ours = any(str(delivery.job_id) in custom_id for custom_id in ids)
        if ours and str(message.id) not in elsewhere:
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
        message = await edit(content=None, embed=self.embed, view=self.view, **files)
        address = {**delivery.address, "message_id": str(message.id), "pictures": self.digest}
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
    title, lines = card.title, [escape(card.text)] if card.text else []
    if card.progress_0_1 is not None:
        lines.append(_bar(card.progress_0_1))
    if late:  # It may be the last thing that this message says, so that it must stay true.
        title = say(card.locale, "Your picture")
        lines = [
            say(card.locale, "The picture will come to you by direct message."),
            say(card.locale, "If I can't write to you, `/queue` has it."),
        ]
    embed = discord.Embed(
        title=clip(escape(title), 256),
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
