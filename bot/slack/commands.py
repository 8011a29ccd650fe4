"""`/imagine`: words to draw, one of a few words that ask about oneself, or nothing for the form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext

from bot.core.values import asks_privately
from bot.i18n import mark, say
from bot.slack import modals, personal
from bot.slack.blocks import section
from bot.slack.intake import (
    FORM_PATIENCE_SECONDS,
    Heard,
    hearing,
    raw_command,
    take,
)
from bot.slack.words import typed
from storage.domain import RawCommand

if TYPE_CHECKING:
    from bot.slack.app import Easel

HELP = (
    mark("Words that describe the picture: `/imagine a red apple on a table`"),
    mark("More weight for a word: `a (red:1.3) apple`"),
    mark("What should not be there: `a red apple --no leaf, worm` or `a red apple (-leaf -worm)`"),
    mark("Shape, number, seed: `a red apple --ar 3:2 --count 4 --seed 7`"),
    mark("More flags: `--steps`, `--guidance`, `--strength`, `--style`, `--model`"),
    mark("`/imagine` alone opens a form, also for a picture to start from and a mask"),
    mark("In a thread, or with a picture: mention me, or write to me in a direct message"),
    mark("Any picture in the conversation: its menu, “Use as reference”"),
    mark(
        "Your requests: `/imagine queue`. What you have left today: `/imagine usage`. Your data: "
        "`/imagine privacy`"
    ),
    mark("What holds in this workspace: `/imagine settings`"),
)


def register(app: Easel) -> None:
    async def imagine(ack: AsyncAck, context: AsyncBoltContext, body: Mapping[str, Any]) -> None:
        trigger, me = str(body.get("trigger_id", "")), str(context.bot_user_id or "")
        text = typed(str(body.get("text", "")), me)
        where = str(body.get("channel_id", ""))
        if text and not is_talk(text):
            raw = drawing(context, "trigger", trigger, text, channel_id=where)
            await take(app, raw, ack)
            return
        await ack()
        raw = raw_command(context, "trigger", trigger, channel_id=where)
        patience = None if text else FORM_PATIENCE_SECONDS
        async with hearing(app, context, raw, patience=patience) as heard:
            if text:
                await talk(heard, text)
            else:
                await modals.open_draw(heard)

    app.command("/imagine")(imagine)


Talk = Callable[[Heard], Awaitable[None]]


def is_talk(text: str) -> bool:
    """Whether it is one of the few words that are no prompt."""
    return text.strip().casefold() in TALK


async def talk(heard: Heard, text: str) -> None:
    await TALK[text.strip().casefold()](heard)


def drawing(context: AsyncBoltContext, kind: str, id: str, text: str, **given: Any) -> RawCommand:
    private = {"private": True} if asks_privately(text) else {}
    return raw_command(context, kind, id, "draw", text=text, options=private, **given)


async def show_help(heard: Heard) -> None:
    lines = "\n".join(f"• {say(heard.locale, line)}" for line in HELP)
    title = say(heard.locale, "How to ask for a picture")
    await heard.tell(title, [section(f"*{title}*\n{lines}")])


TALK: Mapping[str, Talk] = {
    "queue": personal.show_queue,
    "usage": personal.show_usage,
    "privacy": personal.show_privacy,
    "settings": personal.show_settings,
    "help": show_help,
}
