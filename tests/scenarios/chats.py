"""Discord and Slack as one chat: what a scenario says and hears, in each platform's own ways.

Where a platform has another way to the same thing, it is here, and in the README's table of the
two: on Slack the words that are commands of their own on Discord follow `/imagine`, a picture comes
with a mention, since slash commands carry no files there, and settings are chosen in a form.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import discord
from simcord import Env, InteractionResult

from bot.core.line import Line
from bot.discord.app import create_bot
from bot.slack.app import create_app
from bot.slack.manifest import DETAILS, REFERENCE
from bot.slack.run import connect
from storage.settings import Settings
from tests.fakes import discord_world, slack_world
from tests.fakes.discord_world import Wire
from tests.fakes.painter import Painter
from tests.fakes.slack_client import FakeSlack, Seen
from tests.fakes.slack_state import ALICE, BOB, BOT_USER, MOD, PICTURES

PEOPLE = {"alice": ALICE, "bob": BOB, "mod": MOD}
LOCALES = {"en": "en-US", "fr": "fr-FR", "es": "es-ES"}
OWN_WORDS = {
    "/queue": "queue",
    "/usage": "usage",
    "/privacy": "privacy",
    "/help": "help",
    "/easel show": "settings",
}
"""Commands of Discord, and what follows `/imagine` on Slack."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """As people read it."""

    text: str
    buttons: Sequence[str]
    pictures: int


class Chat(Protocol):
    line: Line
    painter: Painter

    async def say(self, who: str, text: str, picture: bytes | None) -> None: ...
    async def choose(self, who: str, setting: str, value: str) -> None: ...
    async def press(self, who: str, action: str, *, told: bool) -> None: ...
    async def share(self, who: str, picture: bytes) -> None: ...
    async def use(self, who: str) -> None: ...
    async def inspect(self, who: str) -> None: ...
    async def fill(self, who: str, values: dict[str, Any]) -> None: ...
    async def deliver(self) -> None: ...
    async def cards(self) -> list[Message]: ...
    async def told(self, who: str) -> str: ...


class DiscordChat:
    def __init__(self, world: discord_world.World) -> None:
        self.world, self.line, self.painter = world, world.line, world.painter
        self._said: InteractionResult | None = None
        self._shared: discord.Message | None = None

    async def say(self, who: str, text: str, picture: bytes | None) -> None:
        person, channel = getattr(self.world, who), self.world.channel
        command, _, words = text.removeprefix("/").partition(" ")
        if command == "imagine":
            more = {"reference": ("picture.png", picture)} if picture else {}
            self._said = await person.slash(channel, "imagine", prompt=words, **more)
        else:
            name = "privacy delete" if command == "privacy" else text.removeprefix("/")
            self._said = await person.slash(channel, name)

    async def choose(self, who: str, setting: str, value: str) -> None:
        name, given = setting, {"quota": "pictures"}.get(setting, setting)
        more: dict[str, Any] = {given: int(value) if value.isdecimal() else value}
        if setting == "state":
            name, more = {"paused": "pause", "open": "resume"}[value], {}
        person = getattr(self.world, who)
        self._said = await person.slash(self.world.channel, f"easel {name}", **more)

    async def press(self, who: str, action: str, *, told: bool) -> None:
        messages = self._private() if told else self.world.channel.history()
        message = next(m for m in reversed(messages) if action in _actions(m))
        custom_id = next(i for i in _custom_ids(message) if i.split(":")[1] == action)
        self._said = await getattr(self.world, who).click(message, custom_id=custom_id)

    async def share(self, who: str, picture: bytes) -> None:
        files = [("picture.png", picture)]
        person = getattr(self.world, who)
        self._shared = await person.send(self.world.channel, "look", attachments=files)

    async def use(self, who: str) -> None:
        person = getattr(self.world, who)
        self._said = await person.context_menu(self.world.channel, "Use as reference", self._shared)

    async def inspect(self, who: str) -> None:
        message = self._cards()[-1]
        person = getattr(self.world, who)
        self._said = await person.context_menu(self.world.channel, "Picture details", message)

    async def fill(self, who: str, values: dict[str, Any]) -> None:
        assert self._said is not None
        self._said = await getattr(self.world, who).submit_modal(self._said, values)

    async def deliver(self) -> None:
        while await self.world.deliver():
            pass

    async def cards(self) -> list[Message]:
        return [
            Message(
                text=_text(message),
                buttons=_actions(message),
                pictures=len(message.attachments),
            )
            for message in self._cards()
        ]

    def _cards(self) -> list[discord.Message]:
        bot = self.world.env.bot.user
        return [
            message
            for message in self.world.channel.history()
            if bot is not None and message.author.id == bot.id and not message.flags.ephemeral
        ]

    async def told(self, who: str) -> str:
        return "\n".join(map(_text, self._private()))

    def _private(self) -> list[discord.Message]:
        assert self._said is not None
        messages = (self._said.response, *self._said.followups)
        return [m.message for m in messages if m is not None and m.ephemeral]


def _custom_ids(message: discord.Message) -> list[str]:
    return discord_world.custom_ids([dict(row.to_dict()) for row in message.components])


def _actions(message: discord.Message) -> list[str]:
    return [custom_id.split(":")[1] for custom_id in _custom_ids(message)]


def _text(message: discord.Message) -> str:
    lines: list[str | None] = [message.content]
    for embed in message.embeds:
        lines += [embed.title, embed.description]
        lines += [f"{field.name}\n{field.value}" for field in embed.fields]
    return "\n".join(line for line in lines if line)


class SlackChat:
    def __init__(self, world: slack_world.World) -> None:
        self.world, self.line, self.painter = world, world.line, world.painter
        self._thread: str | None = None
        self._shared: Seen = {}

    async def say(self, who: str, text: str, picture: bytes | None) -> None:
        world, user = self.world, PEOPLE[who]
        if picture is not None:
            file = await world.do(world.slack.file, "picture.png", picture, user=user)
            words = f"<@{BOT_USER}> {text.removeprefix('/imagine ')}"
            said = await world.do(world.slack.say, words, user=user, files=(file,))
            self._thread = said["ts"]
            await world.do(world.slack.heard, said["delivery"])
            await world.settle()
            return
        await world.imagine(OWN_WORDS.get(text) or text.removeprefix("/imagine "), user=user)

    async def choose(self, who: str, setting: str, value: str) -> None:
        await self.say(who, "/easel show", None)
        await self.press(who, "settings", told=True)
        await self.fill(who, {setting: value})

    async def press(self, who: str, action: str, *, told: bool) -> None:
        messages = await self._private(who) if told else await self._cards()
        message = next(m for m in reversed(messages) if action in slack_world.actions(m))
        await self.world.press(message, action, user=PEOPLE[who])

    async def share(self, who: str, picture: bytes) -> None:
        world, user = self.world, PEOPLE[who]
        file = await world.do(world.slack.file, "picture.png", picture, user=user)
        said = await world.do(world.slack.say, "look", user=user, files=(file,))
        [self._shared] = [m for m in await world.seen() if m["ts"] == said["ts"]]

    async def use(self, who: str) -> None:
        given = {"user": PEOPLE[who]}
        await self.world.told(self.world.slack.message_shortcut, REFERENCE, self._shared, **given)

    async def inspect(self, who: str) -> None:
        message, given = (await self._cards())[-1], {"user": PEOPLE[who]}
        await self.world.told(self.world.slack.message_shortcut, DETAILS, message, **given)

    async def fill(self, who: str, values: dict[str, Any]) -> None:
        modal = await self.world.do(self.world.slack.modal, PEOPLE[who])
        assert modal is not None, "no modal is open"
        await self.world.told(self.world.slack.submit, modal, values)

    async def deliver(self) -> None:
        await self.world.deliver()

    async def cards(self) -> list[Message]:
        return [
            Message(
                text=message["text"],
                buttons=slack_world.actions(message),
                pictures=len(message["images"]),
            )
            for message in await self._cards()
        ]

    async def _cards(self) -> list[Seen]:
        """In the channel, and in the thread of the last mention."""
        there = await self.world.seen()
        if self._thread:
            there += (await self.world.seen(thread=self._thread))[1:]
        return [m for m in there if m["user"] == BOT_USER and not m["ephemeral"]]

    async def told(self, who: str) -> str:
        private = await self._private(who)
        return str(private[-1]["text"]) if private else ""

    async def _private(self, who: str) -> list[Seen]:
        there = await self.world.seen(PICTURES, user=PEOPLE[who])
        if self._thread:
            there += await self.world.seen(PICTURES, user=PEOPLE[who], thread=self._thread)
        return [message for message in there if message["ephemeral"]]


@asynccontextmanager
async def on_discord(
    settings: Settings, line: Line, wire: Wire, locale: str
) -> AsyncIterator[DiscordChat]:
    env = Env(create_bot(settings, line))
    # Simulated time stands still during an action; a microsecond a look keeps rows in order.
    looks = itertools.count()
    line.database.clock = lambda: env.now() + timedelta(microseconds=next(looks))
    wire.locale = LOCALES[locale].replace("fr-FR", "fr")
    await env.start()
    yield DiscordChat(discord_world.World(env, line, wire))
    await env.shutdown()
    env.raise_errors()


@asynccontextmanager
async def on_slack(
    settings: Settings, line: Line, slack: FakeSlack, locale: str
) -> AsyncIterator[SlackChat]:
    slack.loosen(1_000_000)
    for user in PEOPLE.values():
        slack.person(user, locale=LOCALES[locale], admin=user == MOD)
    app = create_app(settings, line)
    async with connect(app, settings):
        yield SlackChat(slack_world.World(slack, app))
    assert not any(m["pings"] for m in slack.history() if m["user"] == BOT_USER)
