"""The Discord client, built without connecting: a token, or a stand-in for Discord, drives it."""

from __future__ import annotations

import re

import discord
from discord import app_commands
from discord.app_commands import TranslationContextLocation as Location
from discord.gateway import DiscordWebSocket
from discord.http import Route
from yarl import URL

from bot.compose import build_line
from bot.core.inbox import Inbox
from bot.core.line import Line
from bot.core.privacy import Privacy
from bot.discord import acts, commands, manage, modals, personal
from bot.discord.acts import Acts
from bot.discord.buttons import CardButton, PictureSelect
from bot.discord.intake import apologise, from_cdn
from bot.i18n import say
from storage.domain import Platform
from storage.settings import Settings

LONGEST_WAIT_SECONDS = 30.0
"""A rate limit that lasts longer goes back to the deliverer, which tries again later."""

_LANGUAGES = {
    discord.Locale.french: "fr",
    discord.Locale.spain_spanish: "es",
    discord.Locale.latin_american_spanish: "es",
}
_NAME = re.compile(r"[-_\w]{1,32}")
_NAMES = (Location.command_name, Location.group_name, Location.parameter_name)


class Translator(app_commands.Translator):
    """Names and descriptions of commands in the person's language, where Discord allows them."""

    async def translate(
        self,
        string: app_commands.locale_str,
        locale: discord.Locale,
        context: app_commands.TranslationContextTypes,
    ) -> str | None:
        language = _LANGUAGES.get(locale)
        words = say(language, string.message) if language else string.message
        if words == string.message:
            return None
        is_name = context.location in _NAMES
        if is_name and not isinstance(context.data, app_commands.ContextMenu):
            return words if _NAME.fullmatch(words) and words == words.lower() else None
        return words


class Tree(app_commands.CommandTree["Easel"]):
    async def on_error(
        self, interaction: discord.Interaction[Easel], error: app_commands.AppCommandError, /
    ) -> None:
        await apologise(interaction)
        await super().on_error(interaction, error)


# Easel says nothing aloud, so what is missing for that is nothing to warn of.
discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False


class Easel(discord.Client):
    def __init__(self, line: Line) -> None:
        super().__init__(
            # Guilds alone: channels, threads and their parents. No message is ever read.
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
            max_ratelimit_timeout=LONGEST_WAIT_SECONDS,
            member_cache_flags=discord.MemberCacheFlags.none(),
            max_messages=None,
        )
        # discord.py would read whatever comes, whole.
        self.http.get_from_cdn = from_cdn  # type: ignore[method-assign]
        self.line = line
        self.privacy = Privacy(line)
        settings = line.settings
        self.inbox = Inbox(
            line.database,
            Platform.DISCORD,
            Acts(self, {**acts.ACTS, **personal.ACTS, **manage.ACTS}),
            fernet=settings.fernet(),
            lease_seconds=settings.lease_seconds,
        )
        self.crowd: set[int] = set()
        """Interactions that are not acknowledged yet."""
        self.brought = modals.Brought()
        self.tree = Tree(
            self,
            # Not for people who bring the bot along as their own app: there is no message to
            # edit once the token of such an interaction is dead.
            allowed_contexts=app_commands.AppCommandContext(
                guild=True, dm_channel=True, private_channel=False
            ),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
        )
        self.tree.add_command(commands.imagine(line.catalog))
        for command in (*commands.COMMANDS, *personal.COMMANDS, *manage.COMMANDS):
            self.tree.add_command(command)
        self.add_dynamic_items(CardButton, PictureSelect)

    async def setup_hook(self) -> None:
        self.inbox.application = str(self.application_id)
        await self.tree.set_translator(Translator())
        await self.tree.sync()

    async def close(self) -> None:
        await self.inbox.close()
        await super().close()

    async def on_interaction(self, interaction: discord.Interaction[Easel]) -> None:
        """Modals only: discord.py hands out all other interactions itself."""
        if interaction.type is not discord.InteractionType.modal_submit:
            return
        try:
            await modals.submitted(interaction)
        except Exception:
            await apologise(interaction)
            raise


def create_bot(settings: Settings, line: Line | None = None) -> Easel:
    """The client, not yet connected. `line` is made from the settings when it is not given."""
    _point_at(settings)
    return Easel(line or build_line(settings))


def _point_at(settings: Settings) -> None:
    """discord.py keeps both addresses on classes and has no way to give them to one client, so
    all clients of a process talk to the same Discord."""
    Route.BASE = settings.discord_api_url.rstrip("/")
    if settings.discord_gateway_url:
        DiscordWebSocket.DEFAULT_GATEWAY = URL(settings.discord_gateway_url)
