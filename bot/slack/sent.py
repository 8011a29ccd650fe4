"""One Slack message that is there, or may be: found again, remembered, taken away.

The delivery's address says which message that is, and how far a showing in several steps has
come: `posting` before the placeholder is posted, `files` and `pictures` before they are uploaded,
`old` while messages that could be edited no more have still to go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.core.line import Line
from bot.showing import RetryLater, Shown
from bot.slack.blocks import section
from bot.slack.errors import FILE_GONE, MESSAGE_GONE, UNDELETABLE
from bot.slack.pace import Pace
from bot.slack.workspaces import error_code, http_status
from storage import deliveries
from storage.domain import Delivery

METADATA = "easel_card"
PAGES = 5
NOTHING = "—"
"""In no language: nothing is looked up for a take-down."""

logger = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What all messages have in common."""

    line: Line
    pace: Pace
    refusing: set[str] = field(default_factory=set)
    """Workspaces that show no uploaded picture inside a message."""


class Sent:
    """Acts raise SlackApiError, RetryLater, and what a connection raises."""

    def __init__(self, desk: Desk, client: AsyncWebClient, delivery: Delivery) -> None:
        self._desk, self._client, self._delivery = desk, client, delivery
        self._address = dict(delivery.address)

    @property
    def _team(self) -> str:
        return self._address["team_id"]

    @property
    def _channel(self) -> str:
        return self._address["channel_id"]

    @property
    def _ts(self) -> str:
        return self._address.get("ts", "")

    @property
    def _files(self) -> list[str]:
        return self._address.get("files", "").split()

    def _found(self, ts: str) -> None:
        if ts:
            self._address.pop("posting", None)
            self._address |= {"ts": ts, "message_id": f"{self._channel}:{ts}"}

    async def _find(self) -> str:
        """The message of this job, if a post whose answer was lost has made it."""
        since = (self._delivery.created_at - timedelta(minutes=1)).timestamp()
        look: dict[str, Any] = {
            "channel": self._channel,
            "oldest": f"{since:.6f}",
            "include_all_metadata": True,
            "limit": 200,
        }
        method: Callable[..., Awaitable[Any]] = self._client.conversations_history
        elsewhere = {*self._old, *(other.get("ts", "") for other in self._delivery.former)}
        if thread := self._address.get("thread_ts"):
            method, look = self._client.conversations_replies, look | {"ts": thread}
        for _ in range(PAGES):
            answer = await self._call(method, **look)
            for message in answer.get("messages") or ():
                payload = (message.get("metadata") or {}).get("event_payload") or {}
                ours = payload.get("job") == str(self._delivery.job_id)
                if ours and str(message["ts"]) not in elsewhere:
                    return str(message["ts"])
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                break
            look["cursor"] = cursor
        return ""

    async def remove(self) -> Shown:
        """The message first, so that nobody sees it; then its files, as far as Slack lets us.
        Raises what was refused, once all has been tried; what is done is not tried again."""
        refused: list[SlackApiError] = []
        if not self._ts and self._address.get("posting"):
            try:
                self._found(await self._find())
            except SlackApiError as error:
                refused.append(error)
        for ts in filter(None, (self._ts, *self._old)):
            try:
                await self._take_down(ts)
            except SlackApiError as error:
                refused.append(error)
        refused += await self._delete_files()
        # A channel that is deleted, or a private one that we are in no more: nothing there can be
        # reached, and without its files it shows no picture.
        unreachable = all(error_code(error) == "channel_not_found" for error in refused)
        if refused and (self._files or not unreachable):
            await self._remember()
            raise refused[0]
        # Nothing is left that the address is good for, and it may name a person.
        return Shown(address={}, pictures=False)

    @property
    def _old(self) -> list[str]:
        return self._address.get("old", "").split()

    async def _take_down(self, ts: str) -> None:
        """One that cannot be deleted is emptied, so that it says and shows nothing."""
        where = {"channel": self._channel, "ts": ts}
        try:
            await self._call(self._client.chat_delete, **where)
        except SlackApiError as error:
            code = error_code(error)
            if code != MESSAGE_GONE:
                logger.warning("slack.undeleted", job=str(self._delivery.job_id), code=code)
                if not (await self._emptied(where) and code in UNDELETABLE):
                    raise
        if ts == self._ts:
            self._address |= {"ts": "", "message_id": ""}
        self._address["old"] = " ".join(old for old in self._old if old != ts)

    async def _emptied(self, where: dict[str, str]) -> bool:
        blocks = [section(NOTHING)]
        try:
            await self._call(self._client.chat_update, **where, text=NOTHING, blocks=blocks)
        except SlackApiError:
            return False
        return True

    async def _delete_files(self) -> list[SlackApiError]:
        """What was refused; those files stay in the address."""
        refused, left = [], []
        for file_id in self._files:
            try:
                await self._call(self._client.files_delete, file=file_id)
            except SlackApiError as error:
                if error_code(error) not in FILE_GONE:
                    refused.append(error)
                    left.append(file_id)
        self._address["files"] = " ".join(left)
        return refused

    async def _remember(self) -> None:
        """Raises RetryLater if somebody else has taken the message since."""
        delivery, address = self._delivery, dict(self._address)
        if not await self._desk.line.write(lambda s: deliveries.remember(s, delivery, address)):
            raise RetryLater

    async def _call(self, method: Callable[..., Awaitable[Any]], *args: Any, **given: Any) -> Any:
        """Raises RetryLater while Slack wants to be asked less often."""
        pace, name = self._desk.pace, getattr(method, "__name__", "")
        if (wait := pace.held(self._team, name)) > 0:
            raise RetryLater(wait)
        try:
            return await method(*args, **given)
        except SlackApiError as error:
            if http_status(error) != 429 and error_code(error) != "ratelimited":
                raise
            wait = float(error.response.headers.get("Retry-After") or 1)
            pace.hold(self._team, name, wait)
            raise RetryLater(wait) from error
