"""Mentions, direct messages and App Home: what Slack tells again until it is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

import structlog
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.response import BoltResponse

from bot.slack import commands, files, personal
from bot.slack.intake import client_of, hear, hearing, raw_command
from bot.slack.words import typed
from storage.domain import Complaint, RawCommand

if TYPE_CHECKING:
    from bot.slack.app import Easel

Json = Mapping[str, Any]
Next = Callable[[], Awaitable[BoltResponse]]

logger = structlog.get_logger()

MESSAGES = (None, "file_share", "thread_broadcast")
"""Subtypes of what people write; the others tell of edits, deletions and the like."""

TOO_MANY = Complaint(
    text="One reference image at a time, please: attach one picture, and a mask after it if you "
    "want to edit."
)


def register(app: Easel) -> None:
    under_way: set[asyncio.Task[None]] = set()

    def go_on(work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    async def written_first(context: AsyncBoltContext, body: Json, event: Json, next: Next) -> None:
        """Bolt acknowledges after this. What is not written down is told again by Slack."""
        direct = event.get("channel_type") == "im"
        mention = event.get("type") == "app_mention"
        ours = event.get("subtype") in MESSAGES and not event.get("bot_id") and (direct or mention)
        if ours:
            logger.info("slack.message", event_id=str(body.get("event_id", "")))
            text = typed(str(event.get("text") or ""), str(context.bot_user_id or ""))
            given = event.get("files") or ()
            if not given and (not text or commands.is_talk(text)):
                go_on(_talk(app, context, _raw(context, event, ""), text))
            else:
                raw = _raw(context, event, text, given)
                if await app.inbox.hear(raw):
                    go_on(app.inbox.act(raw))
        await next()

    async def nothing_more() -> None:
        pass

    async def home(context: AsyncBoltContext, event: Json) -> None:
        if event.get("tab", "home") == "home":
            raw = raw_command(context, "home", str(event.get("event_ts", "")))
            await personal.publish_home(await hear(app, client_of(context), raw))

    app.event("app_mention", middleware=[written_first])(nothing_more)
    app.event("message", middleware=[written_first])(nothing_more)
    app.event("app_home_opened")(home)


def _raw(context: AsyncBoltContext, event: Json, text: str, given: Any = ()) -> RawCommand:
    """The first picture is the reference, a second one its mask."""
    channel, ts = str(event["channel"]), str(event["ts"])
    direct = event.get("channel_type") == "im"
    thread = str(event.get("thread_ts") or ("" if direct else ts))
    where = {"channel_id": channel, "thread_ts": thread}
    sources = [files.attached(file) for file in given]
    wrong = next((source for source in sources if isinstance(source, Complaint)), None)
    if wrong is None and len(sources) > 2:
        wrong = TOO_MANY
    if wrong is not None:
        return raw_command(
            context, "message", f"{channel}:{ts}", "complain", text=wrong.text, **where
        )
    reference, mask = [*sources, None, None][:2]
    return commands.drawing(
        context, "message", f"{channel}:{ts}", text, reference=reference, mask=mask, **where
    )


async def _talk(app: Easel, context: AsyncBoltContext, raw: RawCommand, text: str) -> None:
    async with hearing(app, context, raw) as heard:
        await (commands.talk(heard, text) if text else commands.show_help(heard))
