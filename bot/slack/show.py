"""Show: a Card becomes what one Slack message says, and Slack's refusals what to do about them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.core.line import Line
from bot.i18n import mark, say
from bot.showing import Gone, Operators, PictureReader, RetryLater, Shown
from bot.slack.errors import OUTSIDE, refusal
from bot.slack.message import Message
from bot.slack.pace import Pace
from bot.slack.sent import Desk
from bot.slack.words import words
from bot.slack.workspaces import Workspaces
from storage.domain import Card, Complaint, Delivery, Platform

INVITE = mark("If you want pictures there, invite me to that channel (`/invite`).")


class SlackShow:
    """Posts one placeholder for each job and edits it from then on."""

    platform = Platform.SLACK

    def __init__(self, line: Line, workspaces: Workspaces, pace: Pace | None = None) -> None:
        self._workspaces = workspaces
        self.desk = Desk(line=line, pace=pace or Pace())

    @property
    def application(self) -> str:
        return self._workspaces.application

    async def show(self, delivery: Delivery, card: Card, read: PictureReader) -> Shown:
        if not delivery.address:
            return Shown(address={}, pictures=False)
        try:
            client = await self._client(delivery)
        except Gone as gone:
            if card.removed:  # It stands there still, and may be reached again.
                raise Operators(gone.code) from None
            raise
        message = Message(self.desk, client, delivery, card, read)
        with self._sorting(removing=card.removed):
            return await (message.remove() if card.removed else message.show())

    async def tell(
        self, delivery: Delivery, user_id: str, locale: str, complaint: Complaint, code: str
    ) -> None:
        client = await self._client(delivery)
        text = words(locale, complaint)
        if code in OUTSIDE:
            text = f"{text} {say(locale, INVITE)}"
        with self._sorting():
            await client.chat_postMessage(channel=user_id, text=text)

    async def _client(self, delivery: Delivery) -> AsyncWebClient:
        address = delivery.address
        client = await self._workspaces.client(address["enterprise_id"], address["team_id"])
        if client is None:
            raise Gone("NotInstalled")
        return client

    @contextmanager
    def _sorting(self, *, removing: bool = False) -> Iterator[None]:
        try:
            yield
        except SlackApiError as error:
            installed = self._workspaces.installed
            raise refusal(error, installed=installed, removing=removing) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise RetryLater(code=type(error).__name__) from error
