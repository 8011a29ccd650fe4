"""One Slack message, on its way from what it shows to what it should.

A repetition looks what became of a step before it does it again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.i18n import mark, say
from bot.showing import PictureReader, RetryLater, Shown
from bot.slack import files
from bot.slack.blocks import card_blocks, section, summary
from bot.slack.errors import UNEDITABLE
from bot.slack.sent import METADATA, Desk, Sent
from bot.slack.words import escape
from bot.slack.workspaces import error_code
from storage import deliveries
from storage.domain import Card, CardPicture, Delivery, Tone

PATIENT_TRIES = 3
"""So often a picture that Slack does not know yet is tried again before it is posted as a file."""

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
for _code in (
    "blocked_file_type",
    "file_type_not_allowed",
    "file_uploads_except_images_disabled",
    "posting_to_channel_denied",
):
    WITHOUT_UPLOAD[_code] = WITHOUT_UPLOAD["file_uploads_disabled"]


class Message(Sent):
    """`show` raises SlackApiError, RetryLater, and what a connection raises."""

    def __init__(
        self,
        desk: Desk,
        client: AsyncWebClient,
        delivery: Delivery,
        card: Card,
        read: PictureReader,
    ) -> None:
        super().__init__(desk, client, delivery)
        self._card, self._read = card, read

    async def show(self) -> Shown:
        silent = bool(self._address.get("uneditable"))
        if self._ts and self._unfinished:
            if silent or not self._desk.pace.may_tell_progress(self._team):
                return Shown(address=self._address, pictures=self._delivery.shown_pictures)
        elif silent:
            self._give_way()
        try:
            shown = await self._show()
        except SlackApiError as error:
            if error_code(error) not in UNEDITABLE:
                raise
            self._address["uneditable"] = "1"
            await self._remember()
            raise RetryLater(0.0) from error
        if self._old:
            await self._remember()
        for ts in self._old:
            with suppress(SlackApiError):
                await self._take_down(ts)
        return replace(shown, address=self._address)

    @property
    def _unfinished(self) -> bool:
        return self._card.tone in (Tone.WAITING, Tone.WORKING)

    def _give_way(self) -> None:
        """This message can be edited no more: another one takes its place, and it goes. Not before
        there is a result, so that there is one other only."""
        old = [*self._old, self._ts]
        self._address = {**self._address, "old": " ".join(old), "ts": "", "message_id": ""}
        del self._address["uneditable"]

    async def _show(self) -> Shown:
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
            for error in await self._delete_files():
                raise error
            known = ()
        if not known:
            known = await self._upload(pictures, key, shared=shared)
        if not shared:
            return self._files
        if not (ts := files.shared_at(known, self._channel)):
            raise RetryLater(1.0)
        if self._ts and self._ts != ts:
            with suppress(SlackApiError):
                await self._take_down(self._ts)
        self._found(ts)
        return []

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


def _with_words(card: Card, words: str) -> Card:
    return replace(card, text="\n".join(filter(None, [card.text, words])))
