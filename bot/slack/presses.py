"""What the buttons of cards, of private answers and of App Home do; and "Picture details"."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext

from bot.core import steer
from bot.core.details import details
from bot.i18n import say
from bot.slack import manage, modals, personal
from bot.slack.blocks import PICK, mrkdwn, section
from bot.slack.intake import Address, Heard, apologise, ask, hear, hear_in_menu
from bot.slack.manifest import DETAILS
from bot.slack.words import escape
from storage import deliveries
from storage.domain import Complaint

if TYPE_CHECKING:
    from bot.slack.app import Easel

ACTION = re.compile(r"easel:[a-z]+")


@dataclass(frozen=True)
class Press:
    heard: Heard
    action: str
    value: str
    job_id: UUID
    """Zero where the button is about no job."""
    picture: int

    @property
    def key(self) -> str:
        """The same for a second press of the same button by the same person."""
        heard = self.heard
        where = f"{heard.channel_id}:{heard.message.get('ts', '')}"
        return f"{where}:{self.action}:{self.value}:{heard.user_id}"


Handler = Callable[[Press], Awaitable[None]]
_HANDLERS: dict[str, Handler] = {}


def _on(*actions: str) -> Callable[[Handler], Handler]:
    def register_handler(handler: Handler) -> Handler:
        _HANDLERS.update(dict.fromkeys(actions, handler))
        return handler

    return register_handler


def register(app: Easel) -> None:
    async def pressed(
        ack: AsyncAck,
        context: AsyncBoltContext,
        body: Mapping[str, Any],
        action: Mapping[str, Any],
    ) -> None:
        await ack()
        container = body.get("container") or {}
        heard = await hear(
            app,
            context,
            "trigger",
            str(body.get("trigger_id", "")),
            channel_id=str((body.get("channel") or {}).get("id") or ""),
            thread_ts=str(container.get("thread_ts") or ""),
            message=body.get("message") or {"ts": container.get("message_ts", "")},
        )
        name = str(action.get("action_id", "")).removeprefix("easel:")
        value = str(action.get("value") or (action.get("selected_option") or {}).get("value", ""))
        if name == PICK:
            name, _, value = value.partition(":")
        handler = _HANDLERS.get(name)
        if handler is None:
            return
        try:
            await handler(_press(heard, name, value))
        except Exception:
            await apologise(heard)
            raise

    async def details_wanted(
        ack: AsyncAck, context: AsyncBoltContext, body: Mapping[str, Any]
    ) -> None:
        await ack()
        heard = await hear_in_menu(app, context, body)
        try:
            await tell_details(heard, await heard.job_of_message())
        except Exception:
            await apologise(heard)
            raise

    app.action(ACTION)(pressed)
    app.shortcut(DETAILS)(details_wanted)


def _press(heard: Heard, action: str, value: str) -> Press:
    job, _, picture = value.partition(":")
    job_id = UUID(int=0)
    with suppress(ValueError):
        job_id = UUID(job)
    return Press(heard, action, value, job_id, int(picture) if picture.isdigit() else 0)


@_on("again", "vary", "enlarge")
async def remake(press: Press) -> None:
    """A new request from an old one, in a message of its own."""
    heard, line = press.heard, press.heard.line
    entry = await heard.entry_for(press.job_id, steer.may_read)
    if isinstance(entry, Complaint):
        await heard.complain(entry)
        return

    async def submit(address: Address) -> UUID | Complaint:
        request = steer.remake(
            press.action, entry, press.picture, seed=line.seed(), catalog=line.catalog
        )
        if isinstance(request, Complaint):
            return request
        raw = heard.command("", press=press.key, parent_sha256=request.parent_sha256)
        return await line.take(request, raw, address)

    await ask(heard, submit, private=entry.request.private)


@_on("edit")
async def edit(press: Press) -> None:
    entry = await press.heard.entry_for(press.job_id, steer.may_read)
    if isinstance(entry, Complaint):
        await press.heard.complain(entry)
    else:
        await modals.open_edit(press.heard, entry)


@_on("cancel", "delete", "drop")
async def change(press: Press) -> None:
    """The card itself shows what came of it; App Home is shown anew."""
    heard, line, job_id = press.heard, press.heard.line, press.job_id
    entry = await heard.entry_for(job_id, steer.may_change)
    complaint = entry if isinstance(entry, Complaint) else None
    now = line.database.clock()
    if complaint is None and press.action == "delete":
        await line.write(lambda s: steer.delete(s, job_id, now))
    elif complaint is None:
        complaint = await line.write(lambda s: steer.cancel(s, job_id, now))
    if press.action == "drop":
        await _show_queue_anew(heard)
    if complaint is not None:
        await heard.complain(complaint)


async def _show_queue_anew(heard: Heard) -> None:
    if heard.context.response_url:
        title, blocks = say(heard.locale, "Your requests"), await personal.queue_blocks(heard)
        await heard.context.respond(  # type: ignore[misc]  # there is one here
            text=title, blocks=blocks, replace_original=True
        )
    else:
        await personal.publish_home(heard)


@_on("report")
async def report(press: Press) -> None:
    heard, line, now = press.heard, press.heard.line, press.heard.line.database.clock()
    new = await line.write(lambda s: steer.report(s, press.job_id, heard.account, now))
    await heard.tell(
        say(heard.locale, "Thank you. A moderator will look at it.")
        if new
        else say(heard.locale, "You have reported this already. A moderator will look at it.")
    )


@_on("details")
async def show_details(press: Press) -> None:
    await tell_details(press.heard, press.job_id)


async def tell_details(heard: Heard, job_id: UUID | None) -> None:
    """None stands for a message that shows none of ours."""
    if job_id is None:
        await heard.tell(say(heard.locale, "That message shows no picture of mine."))
        return
    entry = await heard.entry_for(job_id, steer.may_read)
    if isinstance(entry, Complaint):
        await heard.complain(entry)
        return
    title, rows = say(heard.locale, "Details"), details(entry, heard.locale)
    long = [section(f"*{escape(n, 200)}*\n{escape(v, 2700)}") for n, v in rows if len(v) > 200]
    short = [mrkdwn(f"*{escape(n, 200)}*\n{escape(v, 1700)}") for n, v in rows if len(v) <= 200]
    fields = [
        {"type": "section", "fields": short[start : start + 10]}
        for start in range(0, len(short), 10)
    ]
    await heard.tell(title, [section(f"*{title}*"), *long, *fields])


@_on("fetch")
async def fetch(press: Press) -> None:
    heard, job_id = press.heard, press.job_id
    entry = await heard.entry_for(job_id, steer.may_change)
    if isinstance(entry, Complaint):
        await heard.complain(entry)
        return
    address = heard.address(private=True)
    await heard.line.write(lambda s: deliveries.move(s, job_id, address))


@_on("settings")
async def settings(press: Press) -> None:
    await manage.open_form(press.heard)


@_on("draw")
async def draw(press: Press) -> None:
    await modals.open_draw(press.heard)


@_on("export")
async def export(press: Press) -> None:
    if press.value == press.heard.user_id:
        await personal.export(press.heard)


@_on("forget")
async def forget(press: Press) -> None:
    if press.value == press.heard.user_id:
        await personal.forget_me(press.heard)
