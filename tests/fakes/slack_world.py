"""A Slack workspace in a process of its own, the real adapter, and a painter at the other end.

A dialogue is written as what somebody says and what they hear:

    await world.imagine("a red apple")
    world.painter.paint()
    await world.deliver()
    [message] = await world.seen()
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.core.line import Line
from bot.deliver import Deliverer
from bot.slack.app import Easel, create_app
from bot.slack.manifest import EVENTS_PATH
from bot.slack.pace import Pace
from bot.slack.run import connect
from bot.slack.show import SlackShow
from storage import deliveries, log
from storage.domain import Delivery
from storage.log import LogEntry
from storage.tables import DeliveryRow
from tests.conftest import make_settings
from tests.fakes.painter import Painter
from tests.fakes.slack_client import SIGNING_SECRET, FakeSlack, Seen
from tests.fakes.slack_state import ALICE, PICTURES

PATIENCE_SECONDS = 90.0
T = TypeVar("T")


class World:
    def __init__(self, slack: FakeSlack, app: Easel) -> None:
        self.slack, self.app = slack, app
        self.show = SlackShow(app.line, app.workspaces, Pace())
        self.painter = Painter(app.line.database, app.line.blobs, tuple(app.line.catalog.models))
        self.painter.sign_of_life()

    @property
    def line(self) -> Line:
        return self.app.line

    def restart(self, app: Easel) -> None:
        """Another process with the same database: one that remembers nothing."""
        self.app = app
        self.show = SlackShow(app.line, app.workspaces, Pace())

    async def do(self, act: Callable[..., T], *args: Any, **given: Any) -> T:
        """Something at the fake, while the app goes on."""
        return await asyncio.to_thread(act, *args, **given)

    async def told(self, act: Callable[..., str], *args: Any, **given: Any) -> Seen:
        """What somebody does, once the app has acknowledged it and done its work."""
        heard = await self.do(self.slack.heard, await self.do(act, *args, **given))
        await self.settle()
        return heard

    async def settle(self) -> None:
        """Until nothing that Bolt has started is under way."""
        mine = asyncio.current_task()
        end = time.monotonic() + PATIENCE_SECONDS
        while any(
            task is not mine and _of_bolt(task) and not task.done() for task in asyncio.all_tasks()
        ):
            assert time.monotonic() < end, "the app is still at work"
            await asyncio.sleep(0.01)

    async def imagine(self, text: str = "a red apple", **given: Any) -> Seen:
        return await self.told(self.slack.command, "/imagine", text, **given)

    async def press(self, message: Seen, action: str, value: str = "", **given: Any) -> Seen:
        return await self.told(self.slack.press, message, f"easel:{action}", value, **given)

    async def once(self) -> None:
        """What is due is tried once."""
        deliverer = Deliverer(self.line, self.show)
        await deliverer.step()
        await deliverer.drain()

    async def deliver(self) -> None:
        """All that is due, shown; what has to wait for Slack is waited for."""
        deliverer = Deliverer(self.line, self.show)
        end = time.monotonic() + PATIENCE_SECONDS
        while await self.line.read(self._behind):
            assert time.monotonic() < end, self.deliveries()
            await deliverer.step()
            await deliverer.drain()
            await asyncio.sleep(0.01)

    def _behind(self, session: Session) -> bool:
        lag = DeliveryRow.shown_revision < DeliveryRow.desired_revision
        there = select(DeliveryRow.job_id).where(lag, DeliveryRow.gone.is_(None)).limit(1)
        return session.scalar(there) is not None

    async def seen(self, channel: str = PICTURES, **given: Any) -> list[Seen]:
        return await self.do(self.slack.seen, channel, **given)

    async def direct(self, user: str = ALICE) -> list[Seen]:
        return await self.do(self.slack.seen_direct, user)

    async def first(self, look: Callable[[], Awaitable[list[Seen]]]) -> list[Seen]:
        """What is seen there, once anything is."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not (found := await look()):
            assert time.monotonic() < end, "nothing is seen"
            await asyncio.sleep(0.05)
        return found

    async def drawn(self, text: str = "a red apple", **given: Any) -> Seen:
        """Asked, painted and shown: the newest message of the channel."""
        await self.imagine(text, **given)
        self.painter.paint()
        await self.deliver()
        return (await self.seen())[-1]

    def entries(self) -> list[LogEntry]:
        """Newest first."""
        with self.line.database.read() as session:
            return list(log.page(session))

    @property
    def entry(self) -> LogEntry:
        return self.entries()[0]

    def deliveries(self) -> list[Delivery | None]:
        with self.line.database.read() as session:
            return [deliveries.get(session, entry.job_id) for entry in log.page(session)]

    def delivery(self, job_id: UUID) -> Delivery:
        with self.line.database.read() as session:
            found = deliveries.get(session, job_id)
        assert found is not None
        return found


@asynccontextmanager
async def serving_http(
    slack: FakeSlack, line: Line, address: str, **given: Any
) -> AsyncIterator[World]:
    """The app on signed HTTP at an address that Slack knows; `given` are more settings."""
    settings = make_settings(
        line.settings.data_folder,
        slack_signing_secret=SIGNING_SECRET,
        slack_address=address,
        slack_api_url=slack.api_url,
        **given,
    )
    app = create_app(settings, line)
    async with connect(app, settings):
        slack.listen(f"http://{address}{EVENTS_PATH}")
        yield World(slack, app)


def _of_bolt(task: asyncio.Task[Any]) -> bool:
    name = getattr(task.get_coro(), "__qualname__", "")
    return "run_ack_function_asynchronously" in name or name in ("_talk", "Inbox.act", "Inbox._act")


def actions(message: Seen) -> list[str]:
    """Of everything that can be pressed, in the order in which it is shown."""
    return [button["action_id"].removeprefix("easel:") for button in message["buttons"]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
