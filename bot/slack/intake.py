"""Hear: from what Slack sends to a RawCommand and the address of its message."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

import aiohttp
import structlog
from slack_bolt.context.async_context import AsyncBoltContext
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.core import steer, values
from bot.core.line import Line
from bot.core.written import Written, read
from bot.i18n import say
from bot.slack.blocks import Block, plain
from bot.slack.tenants import is_at_home
from bot.slack.words import words
from bot.slack.workspaces import Person, error_code
from storage import deliveries
from storage.domain import (
    Account,
    Complaint,
    EventKey,
    Place,
    Platform,
    RawCommand,
    Requester,
    Source,
)
from storage.log import LogEntry

if TYPE_CHECKING:
    from bot.slack.app import Easel

Address = Mapping[str, str]
Submit = Callable[[Address], Awaitable[UUID | Complaint]]
Json = Mapping[str, Any]

logger = structlog.get_logger()

FRESH_SECONDS = 300.0
PICTURE_BYTES = 10 * 1024 * 1024


class Places:
    """Whether we may post in a channel, as `conversations.info` says; a yes is remembered."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._member_until: dict[str, float] = {}

    async def check(self, client: AsyncWebClient, channel_id: str) -> Complaint | None:
        if self._clock() < self._member_until.get(channel_id, 0.0):
            return None
        try:
            channel: Json = (await client.conversations_info(channel=channel_id))["channel"]
        except SlackApiError as error:
            if error_code(error) != "channel_not_found":
                return None  # Slack would not say; the post itself will tell.
            channel = {}
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None
        if channel.get("is_archived"):
            return Complaint(text="This channel is archived, so I can't post a picture here.")
        if not (channel.get("is_im") or channel.get("is_member")):
            return Complaint(
                text="I am not in this channel. Type `/invite` and choose me, then ask again; or "
                "write to me in a direct message."
            )
        self._member_until[channel_id] = self._clock() + FRESH_SECONDS
        return None


@dataclass(frozen=True)
class Heard:
    """One event: who did what, where, and how to answer them alone."""

    app: Easel
    context: AsyncBoltContext
    kind: str
    id: str
    """With `kind` the platform's own name of the event (LIMITS.md)."""
    person: Person
    channel_id: str = ""
    """Empty where there is none (shortcut, App Home): results come by direct message."""
    thread_ts: str = ""
    message: Json = field(default_factory=dict)
    """The message whose button was pressed, or from whose menu it comes."""

    @property
    def line(self) -> Line:
        return self.app.line

    @property
    def client(self) -> AsyncWebClient:
        client: AsyncWebClient = self.context.client
        return client

    @property
    def user_id(self) -> str:
        return str(self.context.user_id or "")

    @property
    def requester(self) -> Requester:
        return Requester(
            platform=Platform.SLACK,
            tenant=str(self.context["easel_tenant"]),
            user_id=self.user_id,
            locale=self.locale,
            manages=self.person.manages,
        )

    @property
    def account(self) -> Account:
        return self.requester.account

    @property
    def enterprise_id(self) -> str:
        return str(self.context.enterprise_id or "")

    @property
    def team_id(self) -> str:
        return str(self.context.team_id or "")

    @property
    def locale(self) -> str:
        return self.person.locale

    @cached_property
    def place(self) -> Place:
        return Place(
            platform=Platform.SLACK,
            enterprise_id=self.enterprise_id,
            workspace_id=self.team_id,
            channel_id=self.channel_id,
            thread_id=self.thread_ts,
            upload_limit_bytes=PICTURE_BYTES,
        )

    @property
    def in_dm(self) -> bool:
        return not self.channel_id or self.channel_id.startswith("D")

    def command(
        self,
        text: str,
        *,
        options: Mapping[str, str | int | float | bool] | None = None,
        reference: Source | None = None,
        mask: Source | None = None,
        press: str = "",
        parent_sha256: str | None = None,
    ) -> RawCommand:
        return RawCommand(
            event=EventKey(
                platform=Platform.SLACK,
                enterprise_id=self.enterprise_id,
                workspace_id=self.team_id,
                kind=self.kind,
                id=self.id,
            ),
            requester=self.requester,
            place=self.place,
            application=str(self.context["easel_application"]),
            text=text,
            options=options or {},
            reference=reference,
            mask=mask,
            press=press,
            parent_sha256=parent_sha256,
        )

    def address(self, *, private: bool) -> Address:
        """Where the deliverer will post. Only a private one names a person."""
        address = {"enterprise_id": self.enterprise_id, "team_id": self.team_id}
        if private or not self.channel_id:
            return {**address, "channel_id": "", "user_id": self.user_id}
        return {**address, "channel_id": self.channel_id, "thread_ts": self.thread_ts}

    async def job_of_message(self) -> UUID | None:
        """The one whose picture the message shows."""
        message_id = f"{self.channel_id}:{self.message.get('ts', '')}"
        return await self.line.read(lambda s: deliveries.by_message(s, Platform.SLACK, message_id))

    async def entry_for(self, job_id: UUID, right: steer.Right) -> LogEntry | Complaint:
        viewer = steer.Viewer(requester=self.requester, place=self.place)
        return await self.line.read(lambda s: steer.entry_for(s, job_id, viewer, right))

    async def tell(self, text: str, blocks: Sequence[Block] = ()) -> None:
        """Words that nobody else sees."""
        given: dict[str, Any] = {"text": text, "blocks": list(blocks) or None}
        if self.context.response_url:
            await self.context.respond(  # type: ignore[misc]  # there is one here
                **given, response_type="ephemeral", replace_original=False
            )
            return
        if not self.in_dm:
            with suppress(SlackApiError):  # We, or they, are not in that channel.
                await self.client.chat_postEphemeral(
                    channel=self.channel_id,
                    user=self.user_id,
                    thread_ts=self.thread_ts or None,
                    **given,
                )
                return
        where = self.channel_id if self.in_dm and self.channel_id else self.user_id
        thread = self.thread_ts if self.in_dm else ""
        await self.client.chat_postMessage(channel=where, thread_ts=thread or None, **given)

    async def open_form(
        self,
        callback_id: str,
        title: str,
        submit: str,
        blocks: Sequence[Block],
        about: Mapping[str, str] | None = None,
    ) -> None:
        """Where it was asked for goes along, with what else it is `about`."""
        where = {"channel": self.channel_id, "thread": self.thread_ts, **(about or {})}
        # The trigger lives three seconds; who was slower simply asks again.
        with suppress(SlackApiError):
            await self.client.views_open(
                trigger_id=self.id,
                view={
                    "type": "modal",
                    "callback_id": callback_id,
                    "title": plain(title, 24),
                    "submit": plain(submit, 24),
                    "close": plain(say(self.locale, "Cancel"), 24),
                    "private_metadata": json.dumps(where),
                    "blocks": list(blocks),
                },
            )

    async def complain(self, complaint: Complaint) -> None:
        await self.tell(words(self.locale, complaint))


async def hear(
    app: Easel,
    context: AsyncBoltContext,
    kind: str,
    id: str,
    *,
    channel_id: str = "",
    thread_ts: str = "",
    message: Json | None = None,
) -> Heard:
    person = await app.people.get(
        context.client, str(context.team_id or ""), str(context.user_id or "")
    )
    if not is_at_home(context):  # They may manage where they come from, but not here.
        person = replace(person, manages=False)
    return Heard(app, context, kind, id, person, channel_id, thread_ts, message or {})


async def hear_in_menu(app: Easel, context: AsyncBoltContext, body: Json) -> Heard:
    """A shortcut in the menu of a message."""
    return await hear(
        app,
        context,
        "trigger",
        str(body["trigger_id"]),
        channel_id=str(body["channel"]["id"]),
        thread_ts=str(body["message"].get("thread_ts") or ""),
        message=body["message"],
    )


async def ask(heard: Heard, submit: Submit, *, private: bool) -> None:
    """One request for a picture, whatever it came from: submit it, and say what cannot be taken.
    All else is shown by the deliverer."""
    try:
        complaint = None
        if not private and not heard.in_dm:
            complaint = await heard.app.places.check(heard.client, heard.channel_id)
        if complaint is None:
            taken = await submit(heard.address(private=private))
            complaint = taken if isinstance(taken, Complaint) else None
    except Exception:
        if heard.kind != "message":  # Of those Slack tells again.
            await apologise(heard)
        raise
    if complaint is not None:
        await heard.complain(complaint)
    elif private and not heard.in_dm:
        await heard.tell(say(heard.locale, "The picture will come to you by direct message."))


async def apologise(heard: Heard) -> None:
    """Something of ours broke; whoever waits should know, once."""
    if heard.context.get("easel_apologised"):
        return
    heard.context["easel_apologised"] = True
    with suppress(SlackApiError, aiohttp.ClientError, OSError, ValueError):
        await heard.tell(
            say(
                heard.locale,
                "Something went wrong here. Try again; if it stays so, tell who runs me.",
            )
        )


def asks_privately(text: str) -> bool:
    """Whether `--private` stands in the text: where to post must be known before all is parsed."""
    written = read(text)
    if not isinstance(written, Written):
        return False
    try:
        return values.yes(written.options.get("private", "no"))
    except values.Wrong:
        return False
