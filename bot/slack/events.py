"""Mentions, direct messages and App Home: what Slack tells again until it is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import structlog
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.response import BoltResponse

from bot.slack import commands, files, personal
from bot.slack.intake import Heard, hear
from bot.slack.words import typed
from storage.domain import Complaint

if TYPE_CHECKING:
    from bot.slack.app import Easel

Json = Mapping[str, Any]
Next = Callable[[], Awaitable[BoltResponse]]

logger = structlog.get_logger()

PATIENCE_SECONDS = 2.0
"""Of the three that Slack waits. A reference that takes longer is fetched after the answer."""
MESSAGES = (None, "file_share", "thread_broadcast")
"""Subtypes of what people write; the others tell of edits, deletions and the like."""

TOO_MANY = Complaint(
    text="One reference image at a time, please: attach one picture, and a mask after it if you "
    "want to edit."
)


def register(app: Easel) -> None:
    under_way: set[asyncio.Task[None]] = set()

    async def commit_first(context: AsyncBoltContext, body: Json, event: Json, next: Next) -> None:
        """Bolt acknowledges after this. What fails before is told again by Slack."""
        work = asyncio.create_task(_message(app, context, body, event))
        under_way.add(work)
        work.add_done_callback(under_way.discard)
        done, _ = await asyncio.wait({work}, timeout=PATIENCE_SECONDS)
        for task in done:
            task.result()
        await next()

    async def nothing_more() -> None:
        pass

    async def home(context: AsyncBoltContext, event: Json) -> None:
        if event.get("tab", "home") == "home":
            heard = await hear(app, context, "home", str(event.get("event_ts", "")))
            await personal.publish_home(heard)

    app.event("app_mention", middleware=[commit_first])(nothing_more)
    app.event("message", middleware=[commit_first])(nothing_more)
    app.event("app_home_opened")(home)


async def _message(app: Easel, context: AsyncBoltContext, body: Json, event: Json) -> None:
    direct = event.get("channel_type") == "im"
    mention = event.get("type") == "app_mention"
    if event.get("subtype") not in MESSAGES or event.get("bot_id") or not (direct or mention):
        return
    channel, ts = str(event["channel"]), str(event["ts"])
    thread = str(event.get("thread_ts") or ("" if direct else ts))
    id = f"{channel}:{ts}"
    logger.info("slack.message", event_id=str(body.get("event_id", "")), message=id)
    heard = await hear(app, context, "message", id, channel_id=channel, thread_ts=thread)
    await _answer(heard, typed(str(event.get("text") or "")), event.get("files") or ())


async def _answer(heard: Heard, text: str, given: Any) -> None:
    """The first picture is the reference, a second one its mask."""
    if not given and not text:
        await commands.show_help(heard)
        return
    if not given and await commands.talk(heard, text):
        return
    sources = [files.attached(file) for file in given]
    wrong = next((source for source in sources if isinstance(source, Complaint)), None)
    if wrong is None and len(sources) > 2:
        wrong = TOO_MANY
    if wrong is not None:
        await heard.complain(wrong)
        return
    reference, mask = [*(s for s in sources if not isinstance(s, Complaint)), None, None][:2]
    await commands.draw(heard, text, reference=reference, mask=mask)
