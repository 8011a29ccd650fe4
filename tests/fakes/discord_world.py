"""A Discord server in memory with people in it, the real adapter, and a painter at the other end.

A dialogue is written as what somebody says and what they hear:

    said = await world.alice.slash(world.channel, "imagine", prompt="a red apple")
    world.painter.paint()
    await world.deliver()
    heard = said.response
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import discord
import pytest
import simcord
import simcord.interactions
from simcord import ChannelHandle, Env, GuildHandle, InteractionResult, MemberActor
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.compose import build_line
from bot.core.line import Line
from bot.deliver import Deliverer
from bot.discord.app import create_bot
from bot.discord.show import DiscordShow
from storage import log
from storage.log import LogEntry
from storage.settings import Settings
from storage.tables import DeliveryRow, JobRow
from tests.fakes.painter import Painter

MIB = 1024 * 1024
PERMISSIONS = ("view_channel", "send_messages", "attach_files", "embed_links")


@dataclass
class Wire:
    """What simcord always sends the same: the person's language and the upload limit."""

    locale: str = "en-US"
    upload_limit_bytes: int = 10 * MIB
    channel: dict[str, Any] = field(default_factory=dict)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        original = simcord.interactions.base_payload

        def base_payload(*args: Any, **kwargs: Any) -> Any:
            record, payload = original(*args, **kwargs)
            payload["locale"] = self.locale
            payload["attachment_size_limit"] = self.upload_limit_bytes
            payload["channel"].update(self.channel)
            return record, payload

        patch.setattr(simcord.interactions, "base_payload", base_payload)


class World:
    def __init__(self, env: Env, line: Line, wire: Wire) -> None:
        self.env, self.line, self.wire = env, line, wire
        self.painter = Painter(line.database, line.blobs, tuple(line.catalog.models))
        self.painter.sign_of_life()
        self.guild: GuildHandle = env.create_guild("Atelier")
        self.channel: ChannelHandle = self.guild.create_text_channel("pictures")
        self.alice = self.join("alice")
        self.bob = self.join("bob")
        self.mod = self.join("mod", manage_messages=True, manage_guild=True)

    def join(self, name: str, **permissions: bool) -> MemberActor:
        granted = discord.Permissions(**permissions)
        roles = [self.guild.create_role(name, permissions=granted)] if permissions else []
        return self.guild.add_member(self.env.create_user(name), roles=roles)

    def channel_without(self, *permissions: str) -> ChannelHandle:
        """A channel in which the bot lacks these."""
        overwrite = discord.PermissionOverwrite(**dict.fromkeys(permissions, False))
        bot = self.env.bot.user
        assert bot is not None
        return self.guild.create_text_channel("locked", overwrites={bot: overwrite})

    async def restart(self, settings: Settings) -> None:
        """Another process with the same database: a bot that remembers nothing."""
        clock = self.line.database.clock
        self.line.database.close()
        self.line = build_line(settings, clock=clock)
        self.painter = Painter(self.line.database, self.line.blobs, tuple(self.line.catalog.models))
        await self.env.restart_bot(create_bot(settings, self.line))

    def redeliver_events(self, times: int) -> None:
        """From now on every interaction reaches the bot so often, all at once."""
        emit = self.env.backend.emit

        def emit_often(event: str, payload: Any) -> None:
            for _ in range(times if event == "INTERACTION_CREATE" else 1):
                emit(event, payload)

        self.env.backend.emit = emit_often  # type: ignore[method-assign]

    @property
    def deliverer(self) -> Deliverer:
        return Deliverer(self.line, DiscordShow(self.env.bot))  # type: ignore[arg-type]

    async def deliver(self) -> int:
        """Everything that is due, shown."""
        deliverer = self.deliverer
        with self.env.time_context():  # simcord's transport, in whatever task this is
            count = await deliverer.step()
            await deliverer.drain()
        await self.env.settle()
        return count

    @contextmanager
    def speaking(self, locale: str) -> Iterator[None]:
        before, self.wire.locale = self.wire.locale, locale
        yield
        self.wire.locale = before

    async def imagine(
        self, prompt: str = "a red apple", who: MemberActor | None = None, **options: Any
    ) -> InteractionResult:
        who = who or self.alice
        return await who.slash(self.channel, "imagine", prompt=prompt, **options)

    async def drawn(self, prompt: str = "a red apple", **options: Any) -> InteractionResult:
        """Asked, painted and shown."""
        said = await self.imagine(prompt, **options)
        self.painter.paint()
        await self.deliver()
        return said

    def entries(self) -> list[LogEntry]:
        """Newest first."""
        with self.line.database.read() as session:
            return list(log.page(session))

    @property
    def entry(self) -> LogEntry:
        return self.entries()[0]

    def delivery(self, job_id: UUID) -> DeliveryRow:
        with self.line.database.read() as session:
            row = session.get_one(DeliveryRow, job_id)
            session.expunge(row)
            return row

    def job_ids(self) -> list[UUID]:
        def ids(session: Session) -> list[UUID]:
            return list(session.scalars(select(JobRow.id).order_by(JobRow.created_at)))

        with self.line.database.read() as session:
            return ids(session)


def custom_ids(components: list[dict[str, Any]]) -> list[str]:
    """Of everything that can be pressed, in the order in which it is shown."""
    found = []
    for component in components:
        if "custom_id" in component:
            found.append(component["custom_id"])
        found += custom_ids(component.get("components", []))
    return found


def button(components: list[dict[str, Any]], action: str) -> str:
    """The custom id of the one button with this action."""
    (found,) = [i for i in custom_ids(components) if i.split(":")[1] == action]
    return found


def refusal(said: InteractionResult) -> str:
    """The private words with which a command was refused; the channel keeps nothing of it."""
    assert said.response is None or said.response.ephemeral
    messages = [m for m in (said.response, *said.followups) if m is not None]
    (message,) = messages
    assert message.ephemeral
    return message.content
