"""What the buttons of cards, of private answers and of App Home do; and "Picture details"."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext

from bot.core import steer
from bot.core.details import details
from bot.i18n import say
from bot.slack import manage, modals
from bot.slack.blocks import PICK, mrkdwn, section
from bot.slack.intake import (
    FORM_PATIENCE_SECONDS,
    Heard,
    hearing,
    in_menu,
    raw_command,
    take,
)
from bot.slack.manifest import DETAILS
from bot.slack.words import escape, whole
from storage.domain import Complaint, RawCommand

if TYPE_CHECKING:
    from bot.slack.app import Easel

ACTION = re.compile(r"easel:[a-z]+")


def register(app: Easel) -> None:
    async def pressed(
        ack: AsyncAck,
        context: AsyncBoltContext,
        body: Mapping[str, Any],
        action: Mapping[str, Any],
    ) -> None:
        name = str(action.get("action_id", "")).removeprefix("easel:")
        value = str(action.get("value") or (action.get("selected_option") or {}).get("value", ""))
        if name == PICK:
            name, _, value = value.partition(":")
        raw = _raw(context, body, name, value)
        if name in WRITTEN_DOWN:
            await take(app, raw, partial(_acknowledge, ack, context))
            return
        await ack()
        if (handler := _HANDLERS.get(name)) is None:
            return
        patience = None if name == "settings" else FORM_PATIENCE_SECONDS
        async with hearing(app, context, raw, patience=patience) as heard:
            await handler(heard)

    async def details_wanted(
        ack: AsyncAck, context: AsyncBoltContext, body: Mapping[str, Any]
    ) -> None:
        await ack()
        async with hearing(
            app,
            context,
            in_menu(context, body),
            body["message"],
            patience=FORM_PATIENCE_SECONDS,
        ) as heard:
            await tell_details(heard, await heard.job_of_message())

    app.action(ACTION)(pressed)
    app.shortcut(DETAILS)(details_wanted)


async def _acknowledge(ack: AsyncAck, context: AsyncBoltContext, words: str) -> None:
    """Slack shows nothing of what acknowledges a press, so that words go by themselves."""
    await ack()
    if words and context.response_url:
        await context.respond(  # type: ignore[misc]  # there is one here
            text=words, response_type="ephemeral", replace_original=False
        )


def _raw(context: AsyncBoltContext, body: Mapping[str, Any], name: str, value: str) -> RawCommand:
    """Who presses the same button twice asks for one thing."""
    container = body.get("container") or {}
    channel = str((body.get("channel") or {}).get("id") or "")
    message_ts = str((body.get("message") or {}).get("ts") or container.get("message_ts", ""))
    return raw_command(
        context,
        "trigger",
        str(body.get("trigger_id", "")),
        name,
        channel_id=channel,
        thread_ts=str(container.get("thread_ts") or ""),
        message_ts=message_ts,
        about=value,
        press=f"{channel}:{message_ts}:{name}:{value}:{context.user_id or ''}",
    )


async def edit(heard: Heard) -> None:
    entry = await heard.entry_for(steer.target(heard.raw.about).job_id, steer.may_read)
    if isinstance(entry, Complaint):
        await heard.complain(entry)
    else:
        await modals.open_edit(heard, entry)


async def show_details(heard: Heard) -> None:
    await tell_details(heard, steer.target(heard.raw.about).job_id)


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
    long = [
        section("\n".join([*([f"*{escape(name, 200)}*"] if not number else []), piece]))
        for name, value in rows
        if len(value) > 200
        for number, piece in enumerate(whole(value))
    ]
    short = [mrkdwn(f"*{escape(n, 200)}*\n{escape(v, 1700)}") for n, v in rows if len(v) <= 200]
    fields = [
        {"type": "section", "fields": short[start : start + 10]}
        for start in range(0, len(short), 10)
    ]
    await heard.tell(title, [section(f"*{title}*"), *long, *fields])


_HANDLERS: Mapping[str, Callable[[Heard], Awaitable[None]]] = {
    "edit": edit,
    "details": show_details,
    "settings": manage.open_form,
    "draw": modals.open_draw,
}
WRITTEN_DOWN = frozenset(
    {"again", "vary", "enlarge", "cancel", "delete", "drop", "fetch", "report", "export", "forget"}
)
"""Buttons that change something."""
