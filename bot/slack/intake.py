"""Hear: from what Slack sends to a RawCommand that is written down and acknowledged."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import aiohttp
import structlog
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.context.respond.async_respond import AsyncRespond
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.core import steer
from bot.core.inbox import SORRY, UNANSWERED, Unanswered
from bot.core.line import Line
from bot.i18n import LOCALES, say
from bot.slack.blocks import Block, plain
from bot.slack.tenants import is_at_home, is_in_doubt
from bot.slack.words import words
from bot.slack.workspaces import Person, error_code, http_status
from storage import deliveries
from storage.domain import (
    Account,
    Complaint,
    EventKey,
    Place,
    Platform,
    RawCommand,
    Requester,
)
from storage.log import LogEntry

if TYPE_CHECKING:
    from bot.slack.app import Easel

Address = Mapping[str, str]
Ack = Callable[[str], Awaitable[object]]
"""Acknowledges to Slack, with words for the person where there are any."""
Json = Mapping[str, Any]

logger = structlog.get_logger()

FRESH_SECONDS = 300.0
FORM_PATIENCE_SECONDS = 1.0
"""Of the three for which a form may be opened, so long Slack is asked who wants it."""
UNOPENED = Complaint(text="The form did not open: Slack was too slow. Try again.")
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

    async def name(self, client: AsyncWebClient, channel_id: str) -> str:
        """Empty if Slack would not say."""
        with suppress(SlackApiError, aiohttp.ClientError, OSError, TimeoutError):
            channel: Json = (await client.conversations_info(channel=channel_id))["channel"]
            return str(channel.get("name") or "")
        return ""


def raw_command(
    context: AsyncBoltContext,
    kind: str,
    id: str,
    act: str = "",
    *,
    channel_id: str = "",
    thread_ts: str = "",
    message_ts: str = "",
    **given: Any,
) -> RawCommand:
    """`kind` and `id` are the platform's own name of the event (LIMITS.md); `message_ts` is of the
    message whose button was pressed, or from whose menu it comes. Without a channel (shortcut, App
    Home) results come by direct message."""
    enterprise_id, team_id = str(context.enterprise_id or ""), str(context.team_id or "")
    return RawCommand(
        event=EventKey(
            platform=Platform.SLACK,
            enterprise_id=enterprise_id,
            workspace_id=team_id,
            kind=kind,
            id=id,
        ),
        requester=Requester(
            platform=Platform.SLACK,
            tenant=str(context["easel_tenant"]),
            user_id=str(context.user_id or ""),
        ),
        place=Place(
            platform=Platform.SLACK,
            enterprise_id=enterprise_id,
            workspace_id=team_id,
            channel_id=channel_id,
            thread_id=thread_ts,
            upload_limit_bytes=PICTURE_BYTES,
        ),
        application=str(context["easel_application"]),
        act=act,
        reply={
            "response_url": str(context.response_url or ""),
            "message_ts": message_ts,
        },
        **given,
    )


@dataclass(frozen=True)
class Heard:
    """One event: who did what, where, and how to answer them alone."""

    app: Easel
    client: AsyncWebClient
    raw: RawCommand
    """With the person's language and rights, for which Slack has to be asked."""
    message: Json = field(default_factory=dict)
    """The message from whose menu it comes."""

    @property
    def line(self) -> Line:
        return self.app.line

    @property
    def requester(self) -> Requester:
        return self.raw.requester

    @property
    def account(self) -> Account:
        return self.raw.requester.account

    @property
    def user_id(self) -> str:
        return self.raw.requester.user_id

    @property
    def team_id(self) -> str:
        return self.raw.place.workspace_id

    @property
    def channel_id(self) -> str:
        return self.raw.place.channel_id

    @property
    def thread_ts(self) -> str:
        return self.raw.place.thread_id

    @property
    def locale(self) -> str:
        return self.raw.requester.locale

    @property
    def manages(self) -> bool:
        """Owner or administrator of the workspace."""
        return self.raw.requester.manages

    @property
    def in_dm(self) -> bool:
        return not self.channel_id or self.channel_id.startswith("D")

    def address(self, *, private: bool) -> Address:
        """Where the deliverer will post. Only a private one names a person."""
        address = {"enterprise_id": self.raw.place.enterprise_id, "team_id": self.team_id}
        if private or not self.channel_id:
            return {**address, "channel_id": "", "user_id": self.user_id}
        return {**address, "channel_id": self.channel_id, "thread_ts": self.thread_ts}

    async def job_of_message(self) -> UUID | None:
        """The one whose picture the message shows."""
        message_id = f"{self.channel_id}:{self.raw.reply['message_ts']}"
        return await self.line.read(lambda s: deliveries.by_message(s, Platform.SLACK, message_id))

    async def entry_for(self, job_id: UUID, right: steer.Right) -> LogEntry | Complaint:
        viewer = steer.Viewer(requester=self.requester, place=self.raw.place)
        return await self.line.read(lambda s: steer.entry_for(s, job_id, viewer, right))

    async def respond(self, **content: Any) -> bool:
        """By the event's own address for answers, which lives for half an hour. False without."""
        url = self.raw.reply["response_url"]
        respond = AsyncRespond(response_url=url, proxy=self.client.proxy, ssl=self.client.ssl)
        return bool(url) and (await respond(**content)).status_code == 200

    async def tell(self, text: str, blocks: Sequence[Block] = ()) -> None:
        """Words that nobody else sees."""
        given: dict[str, Any] = {"text": text, "blocks": list(blocks) or None}
        if await self.respond(**given, response_type="ephemeral", replace_original=False):
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
        """Where it was asked for, and in which language, goes along, with what else it is
        `about`."""
        where = {"channel": self.channel_id, "thread": self.thread_ts, "locale": self.locale}
        try:
            await self.client.views_open(
                trigger_id=self.raw.event.id,
                view={
                    "type": "modal",
                    "callback_id": callback_id,
                    "title": plain(title, 24),
                    "submit": plain(submit, 24),
                    "close": plain(say(self.locale, "Cancel"), 24),
                    "private_metadata": json.dumps({**where, **(about or {})}),
                    "blocks": list(blocks),
                },
            )
        except SlackApiError as error:  # Such as a trigger that is older than three seconds.
            logger.warning("slack.form", code=error_code(error) or http_status(error))
            await self.complain(UNOPENED)

    async def complain(self, complaint: Complaint) -> None:
        await self.tell(words(self.locale, complaint))


async def hear(
    app: Easel,
    client: AsyncWebClient,
    raw: RawCommand,
    message: Json | None = None,
    *,
    sure: bool = False,
    patience: float | None = None,
) -> Heard:
    """With what Slack says of the person, if it does so within `patience` seconds: first whose they
    are, where the payload leaves that open. Those of other organisations may manage where they come
    from, but not here."""
    team, asker, doubt = raw.place.workspace_id, raw.requester, is_in_doubt(raw)
    asked = app.people.get(client, team, asker.user_id, sure=sure or doubt)
    try:
        person = await asyncio.wait_for(asked, patience)
    except TimeoutError:
        if patience is None or doubt:  # As whom would they look?
            raise
        person = Person()
    tenant = (person.enterprise_id if doubt else "") or asker.tenant
    raw = replace(raw, requester=replace(asker, tenant=tenant, locale=person.locale))
    manages = person.manages and is_at_home(raw)
    raw = replace(raw, requester=replace(raw.requester, manages=manages))
    return Heard(app, client, raw, message or {})


async def take(app: Easel, raw: RawCommand, ack: Ack) -> None:
    """Write the command down, acknowledge it, and act on it. What the database does not take within
    half a second is not done, and `ack` is given the words for that."""
    try:
        new = await app.inbox.hear(raw)
    except Unanswered:
        await ack(in_all_languages(UNANSWERED))
        return
    await ack("")
    if new:
        await app.inbox.act(raw)


def in_all_languages(sentence: str) -> str:
    """Where Slack has not said yet who asks, nor in which language."""
    return "\n".join(say(locale, sentence) for locale in LOCALES)


def in_menu(context: AsyncBoltContext, body: Json) -> RawCommand:
    """A shortcut in the menu of a message."""
    message: Json = body["message"]
    return raw_command(
        context,
        "trigger",
        str(body["trigger_id"]),
        channel_id=str(body["channel"]["id"]),
        thread_ts=str(message.get("thread_ts") or ""),
        message_ts=str(message.get("ts") or ""),
    )


def client_of(context: AsyncBoltContext) -> AsyncWebClient:
    client: AsyncWebClient = context.client
    return client


async def apologise(heard: Heard) -> None:
    """Something of ours broke; whoever waits should know."""
    with suppress(SlackApiError, aiohttp.ClientError, OSError, ValueError):
        await heard.tell(say(heard.locale, SORRY))


@asynccontextmanager
async def hearing(
    app: Easel,
    context: AsyncBoltContext,
    raw: RawCommand,
    message: Json | None = None,
    *,
    patience: float | None = None,
) -> AsyncIterator[Heard]:
    """For what changes nothing and is not written down. What breaks is told, and goes no further:
    Bolt would take back the acknowledgement."""
    heard = Heard(app, client_of(context), raw)
    try:
        heard = await hear(app, heard.client, raw, message, patience=patience)
        yield heard
    except Exception as error:
        logger.error("slack.failed", error=type(error).__name__)
        await apologise(heard)
