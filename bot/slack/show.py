"""Show: a Card becomes what one Slack message says, and Slack's refusals what to do about them."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.core.line import Line
from bot.deliver import Gone, PictureReader, RetryLater, Shown
from bot.i18n import mark, say
from bot.slack.message import Desk, Message
from bot.slack.pace import Pace
from bot.slack.workspaces import Workspaces, error_code, http_status
from storage import log
from storage.domain import Card, Delivery, Platform

UNPOSTED = mark(
    "I couldn't post your picture where you asked for it: invite me to that channel (`/invite`), "
    "or ask for it here."
)
_NOWHERE = {
    "channel_not_found",
    "not_in_channel",
    "is_archived",
    "restricted_action",
    "no_permission",
}
_GONE = _NOWHERE | {
    "message_not_found",
    "cant_update_message",
    "edit_window_closed",
    "thread_not_found",
    "user_not_found",
    "cannot_dm_bot",
    "account_inactive",
    "token_revoked",
}
_LATER = {
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
    "team_added_to_org",
}
_OPERATORS = {"invalid_auth", "not_authed", "missing_scope", "access_denied"}
"""Something in the app's settings is wrong: kept until somebody has mended it."""
OPERATORS_SECONDS = 60.0


class SlackShow:
    """Posts one placeholder for each job and edits it from then on."""

    platform = Platform.SLACK

    def __init__(self, line: Line, workspaces: Workspaces, pace: Pace | None = None) -> None:
        self._workspaces = workspaces
        self.desk = Desk(line=line, pace=pace or Pace())

    async def show(self, delivery: Delivery, card: Card, read: PictureReader) -> Shown:
        address = delivery.address
        if not address:
            return Shown(address={}, pictures=False)
        team = address["team_id"]
        client = await self._workspaces.client(address["enterprise_id"], team)
        if client is None:
            raise Gone("the app is not installed there any more")
        message = Message(self.desk, client, delivery, card, read)
        try:
            return await (message.remove() if card.removed else message.show())
        except SlackApiError as error:
            code = error_code(error)
            if http_status(error) >= 500 or code in _LATER:
                raise RetryLater from error
            if code in _OPERATORS:
                raise RetryLater(OPERATORS_SECONDS) from error
            if code in _GONE:
                if code in _NOWHERE and not card.removed:
                    await self._tell_requester(client, delivery.job_id)
                raise Gone(code) from error
            raise
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise RetryLater from error

    async def _tell_requester(self, client: AsyncWebClient, job_id: UUID) -> None:
        """The one place that is left for words. Best effort: the card itself has nowhere to go."""
        entry = await self.desk.line.read(lambda s: log.entry(s, job_id))
        if entry is not None and entry.user_id:
            with suppress(SlackApiError, aiohttp.ClientError, OSError):
                text = say(entry.locale, UNPOSTED)
                await client.chat_postMessage(channel=entry.user_id, text=text)
