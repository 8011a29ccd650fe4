"""`/imagine`: words to draw, one of a few words that ask about oneself, or nothing for the form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext

from bot.i18n import mark, say
from bot.slack import files, modals, personal
from bot.slack.blocks import section
from bot.slack.intake import Address, Heard, apologise, ask, asks_privately, hear
from bot.slack.words import typed
from storage.domain import Complaint, Source

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
        # Slack tells of a command once, so it hears first that we have it.
        await ack()
        trigger, text = str(body.get("trigger_id", "")), typed(str(body.get("text", "")))
        where = str(body.get("channel_id", ""))
        heard = await hear(app, context, "trigger", trigger, channel_id=where)
        try:
            if not text:
                await modals.open_draw(heard)
            elif not await talk(heard, text):
                await draw(heard, text)
        except Exception:
            await apologise(heard)
            raise

    app.command("/imagine")(imagine)


async def talk(heard: Heard, text: str) -> bool:
    """Answer one of the few words that are no prompt. Whether it was one."""
    match text.casefold().split():
        case ["queue"]:
            await personal.show_queue(heard)
        case ["usage"]:
            await personal.show_usage(heard)
        case ["privacy"]:
            await personal.show_privacy(heard)
        case ["settings"]:
            await personal.show_settings(heard)
        case ["help"]:
            await show_help(heard)
        case _:
            return False
    return True


async def draw(
    heard: Heard, text: str, *, reference: Source | None = None, mask: Source | None = None
) -> None:
    async def submit(address: Address) -> UUID | Complaint:
        raw = heard.command(text, reference=reference, mask=mask)
        return await heard.line.submit(raw, address, files.reader(heard.client))

    await ask(heard, submit, private=asks_privately(text))


async def show_help(heard: Heard) -> None:
    lines = "\n".join(f"• {say(heard.locale, line)}" for line in HELP)
    title = say(heard.locale, "How to ask for a picture")
    await heard.tell(title, [section(f"*{title}*\n{lines}")])
