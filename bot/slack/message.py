"""One Slack message, on its way from what it shows to what it should.

The delivery's address says which message that is, and how far a showing in several steps has
come: `posting` before the placeholder is posted, `files` and `pictures` before they are uploaded.
A repetition looks what became of the step before it does it again.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.core.line import Line
from bot.deliver import PictureReader, RetryLater, Shown
from bot.i18n import mark, say
from bot.slack import files
from bot.slack.blocks import card_blocks, section, summary
from bot.slack.pace import Pace
from bot.slack.words import escape
from bot.slack.workspaces import error_code, http_status
from storage import deliveries
from storage.domain import Card, CardPicture, Delivery, Tone

METADATA = "easel_card"
PATIENT_TRIES = 3
"""So often a picture that Slack does not know yet is tried again before it is posted as a file."""
PAGES = 5

WITHOUT_UPLOAD = {
    "file_uploads_disabled": mark(
        "The picture is drawn, but this workspace does not let me upload files. Ask who manages "
        "the workspace to allow it, then choose “Again”."
    ),
    "file_upload_size_restricted": mark(
        "The picture is drawn, but it is too large for this workspace. Ask for a smaller one."
    ),
    "storage_limit_reached": mark(
        "The picture is drawn, but this workspace has no room left for files. Ask who manages the "
        "workspace to make room, then choose “Again”."
    ),
}
WITHOUT_UPLOAD["blocked_file_type"] = WITHOUT_UPLOAD["file_uploads_disabled"]
WITHOUT_UPLOAD["posting_to_channel_denied"] = WITHOUT_UPLOAD["file_uploads_disabled"]


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What all messages have in common."""

    line: Line
    pace: Pace
    refusing: set[str] = field(default_factory=set)
    """Workspaces that show no uploaded picture inside a message."""


class Message:
    """`show` and `remove` raise SlackApiError, RetryLater, and what a connection raises."""

    def __init__(
        self,
        desk: Desk,
        client: AsyncWebClient,
        delivery: Delivery,
        card: Card,
        read: PictureReader,
    ) -> None:
        self._desk, self._client, self._delivery = desk, client, delivery
        self._card, self._read = card, read
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

    async def show(self) -> Shown:
        unfinished = self._card.tone in (Tone.WAITING, Tone.WORKING)
        if unfinished and self._ts and not self._desk.pace.may_tell_progress(self._team):
            return Shown(address=self._address, pictures=self._delivery.shown_pictures)
        if not self._channel:
            opened = await self._call(
                self._client.conversations_open, users=self._address["user_id"]
            )
            self._address["channel_id"] = str(opened["channel"]["id"])
        card, pictures = self._without_spoilers()
        ids: list[str] = []
        if pictures and not self._ts:
            # Words first: uploads take as long as they like, and posts keep their order.
            await self._say(card_blocks(replace(card, pictures=(), buttons=())), summary(card))
            await self._remember()
        if pictures:
            try:
                ids = await self._pictures(pictures)
            except SlackApiError as error:
                words = WITHOUT_UPLOAD.get(error_code(error))
                if words is None:
                    raise
                card, pictures = _with_words(card, say(card.locale, words)), ()
        try:
            await self._say(card_blocks(replace(card, pictures=pictures), ids), summary(card))
        except SlackApiError as error:
            if not ids or error_code(error) != "invalid_blocks":
                raise
            refusals = int(self._address.get("refusals") or 0) + 1
            self._address["refusals"] = str(refusals)
            await self._remember()
            if refusals >= PATIENT_TRIES:
                self._desk.refusing.add(self._team)
            raise RetryLater(1.0) from error
        return Shown(address=self._address, pictures=bool(pictures))

    def _without_spoilers(self) -> tuple[Card, tuple[CardPicture, ...]]:
        """Slack has nothing to cover a picture with, so what should be covered is not shown."""
        card = self._card
        shown = tuple(picture for picture in card.pictures if not picture.spoiler)
        if len(shown) == len(card.pictures):
            return card, shown
        words = say(card.locale, "A picture that may not be for everybody is left out here.")
        indexes = {picture.index for picture in shown} | {None}
        buttons = tuple(button for button in card.buttons if button.picture in indexes)
        return _with_words(replace(card, buttons=buttons), words), shown

    async def _say(self, blocks: list[dict[str, Any]], text: str) -> None:
        """Edit the message; post it if it is not there yet."""
        if not self._ts and self._address.get("posting"):
            self._found(await self._find())
        if self._ts:
            await self._call(
                self._client.chat_update,
                channel=self._channel,
                ts=self._ts,
                text=text,
                blocks=blocks,
            )
            self._desk.pace.edited(self._team)
            return
        line = self._desk.line
        now = line.database.clock()
        ahead = await line.read(lambda s: deliveries.ahead(s, self._delivery, now))
        if (wait := self._desk.pace.wait_to_post(self._channel, ahead)) > 0:
            raise RetryLater(wait)
        self._address["posting"] = "1"
        await self._remember()
        try:
            posted = await self._call(
                self._client.chat_postMessage,
                channel=self._channel,
                thread_ts=self._address.get("thread_ts") or None,
                text=text,
                blocks=blocks,
                metadata={
                    "event_type": METADATA,
                    "event_payload": {"job": str(self._delivery.job_id)},
                },
                unfurl_links=False,
                unfurl_media=False,
            )
        finally:
            self._desk.pace.posted(self._channel)
        self._found(str(posted["ts"]))

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
        if thread := self._address.get("thread_ts"):
            method, look = self._client.conversations_replies, look | {"ts": thread}
        for _ in range(PAGES):
            answer = await self._call(method, **look)
            for message in answer.get("messages") or ():
                payload = (message.get("metadata") or {}).get("event_payload") or {}
                if payload.get("job") == str(self._delivery.job_id):
                    return str(message["ts"])
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                break
            look["cursor"] = cursor
        return ""

    async def _pictures(self, pictures: Sequence[CardPicture]) -> list[str]:
        """Ids of files for image blocks; none where the message shows the files by itself."""
        key = ",".join(f"{p.index}:{p.sha256[:16]}" for p in pictures)
        shared = bool(self._address.get("shared")) or self._team in self._desk.refusing
        same = self._address.get("pictures") == key
        if self._delivery.shown_pictures and same:
            return [] if shared else self._files
        if same and shared == bool(self._address.get("shared")):
            known: Sequence[files.File] = await files.ready(self._client, self._files)
        else:
            await self._delete_files()
            known = ()
        if not known:
            known = await self._upload(pictures, key, shared=shared)
        if not shared:
            return self._files
        if not (ts := files.shared_at(known, self._channel)):
            raise RetryLater(1.0)
        if self._ts and self._ts != ts:
            with suppress(SlackApiError):
                await self._call(self._client.chat_delete, channel=self._channel, ts=self._ts)
        self._found(ts)
        return []

    @property
    def _files(self) -> list[str]:
        return self._address.get("files", "").split()

    async def _upload(
        self, pictures: Sequence[CardPicture], key: str, *, shared: bool
    ) -> Sequence[files.File]:
        """Remembered before anybody can see it; what is never finished goes by itself."""
        addresses = await self._call(files.begin, self._client, pictures)
        self._address |= {
            "files": " ".join(addresses),
            "pictures": key,
            "shared": "1" if shared else "",
        }
        await self._remember()
        await files.upload(self._client, addresses, pictures, self._read)
        there: dict[str, Any] = {}
        if shared:
            words = json.dumps([section(f"*{escape(self._card.title, 600) or '…'}*")])
            there = {"channel_id": self._channel, "blocks": words}
            there["thread_ts"] = self._address.get("thread_ts") or None
        titles = files.titles(self._files, pictures)
        await self._call(self._client.files_completeUploadExternal, files=titles, **there)
        return await files.ready(self._client, self._files)

    async def remove(self) -> Shown:
        if not self._ts and self._address.get("posting"):
            self._found(await self._find())
        await self._delete_files()
        if self._ts:
            try:
                await self._call(self._client.chat_delete, channel=self._channel, ts=self._ts)
            except SlackApiError as error:
                if error_code(error) not in ("message_not_found", "channel_not_found"):
                    raise
        # Nothing is left that the address is good for, and it may name a person.
        return Shown(address={}, pictures=False)

    async def _delete_files(self) -> None:
        for file_id in self._files:
            try:
                await self._call(self._client.files_delete, file=file_id)
            except SlackApiError as error:
                if error_code(error) not in ("file_not_found", "file_deleted"):
                    raise

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


def _with_words(card: Card, words: str) -> Card:
    return replace(card, text="\n".join(filter(None, [card.text, words])))
