"""Reply: what is answered to an interaction by its token alone, so that a process which did not
hear it can answer it too."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import discord
import structlog
from discord.http import Route

from bot.core.inbox import SORRY
from bot.discord.errors import DEAD_TOKEN, UNKNOWN_MESSAGE
from bot.discord.words import words
from bot.i18n import say
from storage.domain import Complaint, RawCommand

if TYPE_CHECKING:
    from bot.discord.app import Easel

Address = Mapping[str, str]

logger = structlog.get_logger()

TOKEN_LIFE = timedelta(minutes=14)
"""Discord says 15; the last minute is for what is on its way."""


class _Original:
    """Stands for the id of the first answer, or of the message whose button was pressed (Discord:
    Receiving and Responding). No string, since discord.py would quote the @ of one."""

    def __str__(self) -> str:
        return "@original"


ORIGINAL: Any = _Original()
UNKNOWN_INTERACTION, ALREADY_ACKNOWLEDGED = 10062, 40060
DEFERRED_MESSAGE, DEFERRED_UPDATE = 5, 6
PRIVATE = {"flags": 64}


def webhook(client: Easel, application_id: str, token: str) -> discord.Webhook:
    """What an interaction's token lets us say. `Webhook.partial` would make one of another type,
    which may say nothing privately."""
    data: Any = {"id": int(application_id), "type": 3, "token": token}
    return discord.Webhook.from_state(data, state=client._connection)


class Reply:
    """Answers what one command asked. Every method is safe to repeat. When the token is dead, only
    what somebody waits for is said, by direct message."""

    def __init__(self, client: Easel, raw: RawCommand) -> None:
        self._client, self._raw = client, raw
        reply = raw.reply
        self._webhook = webhook(client, raw.application, reply["token"])
        self._private = bool(reply.get("private"))
        self._expires_at = datetime.fromisoformat(reply["token_expires_at"])

    @property
    def alive(self) -> bool:
        return self._client.line.database.clock() < self._expires_at

    async def acknowledge(self) -> bool:
        """For who did not hear the command, but took it up: False if nobody told Discord within
        its three seconds that we have it, so that it has told the person that nothing will come.
        Once the token is dead Discord does not say which it was. Then True: better a picture that
        comes all the same than none for who was told that it would."""
        if not self.alive:
            return True
        path = "/interactions/{interaction_id}/{interaction_token}/callback"
        route = Route(
            "POST",
            path,
            interaction_id=self._raw.event.id,
            interaction_token=self._raw.reply["token"],
        )
        kind = DEFERRED_MESSAGE if self._raw.reply["thinking"] else DEFERRED_UPDATE
        answer = {"type": kind, "data": PRIVATE if self._private else {}}
        try:
            await self._client.http.request(route, json=answer)
        except discord.HTTPException as error:
            if error.code not in (UNKNOWN_INTERACTION, ALREADY_ACKNOWLEDGED):
                raise
            logger.info("discord.acknowledge", code=error.code)
            return error.code == ALREADY_ACKNOWLEDGED
        return True

    async def address(self) -> Address | None:
        """Of the placeholder. None if it is gone, or was never there: nobody waits for it."""
        message_id = self._raw.reply.get("message_id", "")
        if not message_id and self.alive:
            try:
                message_id = str((await self._webhook.fetch_message(ORIGINAL)).id)
            except discord.NotFound:
                logger.info("discord.placeholder", code=UNKNOWN_MESSAGE)
                return None
        place, reply = self._raw.place, self._raw.reply
        address = {
            "application_id": self._raw.application,
            "token": reply["token"],
            "token_expires_at": reply["token_expires_at"],
            "channel_id": place.thread_id or place.channel_id,
            "message_id": message_id,
            "ephemeral": "1" if self._private else "",
        }
        if self._private:
            # Whom to write to once the token is dead; nobody else's address names a person.
            address["user_id"] = self._raw.requester.user_id
        return address

    async def edit(self, **content: Any) -> None:
        """Change the first answer, or the message whose button was pressed."""
        await self._quietly(self._webhook.edit_message, ORIGINAL, **content)

    async def tell(self, text: str) -> None:
        """Words for the person alone, beside what is there."""
        await self._quietly(self._webhook.send, text, ephemeral=True)

    async def send(self, file: discord.File) -> None:
        """One more file for the person alone."""
        await self._quietly(self._webhook.send, file=file, ephemeral=True)

    async def complain(self, complaint: Complaint) -> None:
        await self.tell(words(self._raw.requester.locale, complaint))

    async def delete(self) -> None:
        await self._quietly(self._webhook.delete_message, ORIGINAL)

    async def withdraw(self, text: str) -> None:
        """Say privately why not, and leave nothing in the channel.

        While a public placeholder is "thinking", a follow-up would take its place and be public too
        (discord-api-docs #2866), and once it is deleted there may be none (#3087): so it stops
        thinking first, and goes last.
        """
        if not self.alive:
            await self._write(text)
        elif self._private:
            await self.edit(content=text)
        elif await self._quietly(self._webhook.edit_message, ORIGINAL, content="…"):
            await self.tell(text)
            await self.delete()

    async def _write(self, text: str) -> None:
        """By direct message, where the person takes any."""
        person = discord.Object(int(self._raw.requester.user_id))
        with suppress(discord.Forbidden):
            channel = await self._client.create_dm(person)
            await channel.send(text, nonce=self._raw.event.id[:25])

    async def apologise(self) -> None:
        """Something of ours broke. What was answered with a message of its own is withdrawn."""
        if self._raw.reply.get("thinking"):
            await self.withdraw(sorry(self._raw.requester.locale))
        else:
            await self.tell(sorry(self._raw.requester.locale))

    async def _quietly(self, call: Any, *given: Any, **more: Any) -> bool:
        """False when there is nothing left to answer: the same event came twice, and the other one
        has said it; or the person was quicker."""
        if not self.alive:
            return False
        try:
            await call(*given, **more)
        except discord.HTTPException as error:
            if error.code not in (UNKNOWN_MESSAGE, *DEAD_TOKEN):
                raise
            logger.info("discord.reply", code=error.code)
            return False
        return True


def sorry(locale: str) -> str:
    return say(locale, SORRY)
