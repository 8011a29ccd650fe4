"""The client itself: what it asks of Discord, and what importing it brings along."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import discord
import pytest
from discord.app_commands import TranslationContext, locale_str
from discord.app_commands import TranslationContextLocation as Location
from discord.gateway import DiscordWebSocket
from discord.http import Route
from simcord import Env
from yarl import URL

from bot.core.line import Line
from bot.discord.app import Easel, Translator, create_bot
from bot.discord.commands import imagine
from bot.i18n import say
from storage.catalog import Catalog, ModelEntry
from tests.conftest import make_settings
from tests.fakes.discord_world import World
from tests.wire.discord_api import check_limits


def test_importing_the_adapter_brings_no_torch() -> None:
    code = "import sys, bot.discord.app; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


async def test_it_listens_to_servers_and_reads_no_message(bot: Easel) -> None:
    assert bot.intents == discord.Intents(guilds=True)
    mentions = bot.allowed_mentions
    assert mentions is not None
    kinds = (mentions.everyone, mentions.users, mentions.roles, mentions.replied_user)
    assert not any(kinds)


async def test_addresses_are_settings(
    tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Route, "BASE", Route.BASE)
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", DiscordWebSocket.DEFAULT_GATEWAY)
    settings = make_settings(
        tmp_path,
        discord_api_url="http://127.0.0.1:1/api/v10/",
        discord_gateway_url="ws://127.0.0.1:2/",
    )
    create_bot(settings, line)
    assert Route("GET", "/gateway").url == "http://127.0.0.1:1/api/v10/gateway"
    assert URL("ws://127.0.0.1:2/") == DiscordWebSocket.DEFAULT_GATEWAY


async def test_a_bot_of_its_own_is_built_from_the_settings(tmp_path: Path) -> None:
    bot = create_bot(make_settings(tmp_path, broker_url="memory://"))
    assert "builtin" in bot.line.catalog.models
    bot.line.database.close()
    bot.line.doorbell.close()


COMMANDS = [
    "imagine",
    "help",
    "queue",
    "usage",
    "privacy",
    "easel",
    "Use as reference",
    "Picture details",
]


async def test_the_commands_that_people_see(env: Env) -> None:
    (sync,) = [e for e in env.http_requests if e.method == "PUT" and "commands" in e.path]
    assert isinstance(sync.json, list)
    assert sorted(c["name"] for c in sync.json) == sorted(COMMANDS)
    check_limits("PUT", sync.path, sync.json)
    (easel,) = [c for c in sync.json if c["name"] == "easel"]
    assert int(easel["default_member_permissions"]) == discord.Permissions(manage_guild=True).value
    contexts = {c["name"]: c.get("contexts") for c in sync.json}
    assert (contexts["imagine"], contexts["easel"]) == ([0, 1], [0])


async def test_commands_are_described_in_three_languages(world: World) -> None:
    (sync,) = [e for e in world.env.http_requests if "commands" in e.path]
    assert isinstance(sync.json, list)
    (imagine,) = [c for c in sync.json if c["name"] == "imagine"]
    described = imagine.get("description_localizations") or {}
    for locale in ("fr", "es-ES", "es-419"):
        sentence = say(locale[:2], "Draw a picture from words")
        assert described.get(locale, imagine["description"]) == sentence


@pytest.mark.parametrize(
    ("translated", "location", "kept"),
    [
        ("imagina", Location.command_name, True),
        ("Imagina", Location.command_name, False),
        ("dos palabras", Location.parameter_name, False),
        ("x" * 33, Location.group_name, False),
        ("Dos palabras", Location.command_description, True),
        ("imagine", Location.command_name, False),
    ],
)
async def test_names_are_translated_where_discord_allows_it(
    monkeypatch: pytest.MonkeyPatch, translated: str, location: Location, kept: bool
) -> None:
    monkeypatch.setattr("bot.discord.app.say", lambda locale, text: translated)
    context: Any = TranslationContext(location, None)  # type: ignore[call-overload]
    text = locale_str("imagine")
    found = await Translator().translate(text, discord.Locale.spain_spanish, context)
    assert found == (translated if kept else None)
    assert await Translator().translate(text, discord.Locale.german, context) is None


@pytest.mark.parametrize("guidance", [0.0, 1.0, 3.0])
def test_a_negative_prompt_is_offered_where_a_model_takes_one(guidance: float) -> None:
    """CASES A3."""
    turbo = ModelEntry(source="turbo", guidance_scale=guidance)
    lcm = ModelEntry(source="lcm", guidance_scale=8.0, guidance_distilled=True)
    command = imagine(Catalog(models={"turbo": turbo, "lcm": lcm}))
    names = [parameter.name for parameter in command.parameters]
    assert ("negative" in names) is (guidance > 1)
    assert {"prompt", "reference"} <= set(names)
