"""`/easel`: what the people who manage a server choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands
from discord.app_commands import locale_str

from bot.core.rules import rows
from bot.discord.acts import Act
from bot.discord.commands import suggest_model
from bot.discord.intake import Interaction, hear, locale_of, quietly, raw_command
from bot.discord.reply import Reply
from bot.i18n import mark, say
from storage import places
from storage.domain import Platform, RawCommand
from storage.places import WorkspaceRules

if TYPE_CHECKING:
    from bot.discord.app import Easel

easel = app_commands.Group(
    name=locale_str(mark("easel")),
    description=locale_str(mark("Settings of this server")),
    default_permissions=discord.Permissions(manage_guild=True),
    allowed_contexts=app_commands.AppCommandContext(
        guild=True, dm_channel=False, private_channel=False
    ),
)
channels = app_commands.Group(
    name=locale_str(mark("channels")),
    description=locale_str(mark("Where I may draw; without a list, everywhere")),
    parent=easel,
)


def _changed(rules: WorkspaceRules, what: str, to: Any) -> WorkspaceRules:
    """`what` is changed about the rules, as the commands below name it."""
    match what:
        case "add":
            return replace(rules, channels=tuple(dict.fromkeys((*rules.channels, str(to)))))
        case "remove":
            return replace(rules, channels=tuple(c for c in rules.channels if c != to))
        case "model":
            return replace(rules, default_model=to)
        case "quota":
            return replace(rules, daily_pictures=to)
        case _:
            return replace(rules, paused=what == "pause")


async def _choose(interaction: Interaction, what: str, to: str | int | None = None) -> None:
    """Change the rules of this server."""
    raw = raw_command(interaction, "rules", about=what, options={"to": to}, private=True)
    await hear(interaction, raw)


async def _rules(client: Easel, raw: RawCommand) -> bool:
    """Change the rules, and show them as they are now."""
    place, line = raw.place, client.line
    rules = await line.write(
        lambda s: places.change(
            s,
            place.platform,
            place.workspace_id,
            lambda rules: _changed(rules, raw.about, raw.options.get("to")),
        )
    )
    embed = _embed(client, raw.requester.locale, rules)
    await Reply(client, raw).edit(embed=embed)
    return False


ACTS: Mapping[str, Act] = {"rules": _rules}


def _embed(client: Easel, locale: str, rules: WorkspaceRules) -> discord.Embed:
    embed = discord.Embed(title=say(locale, "Easel on this server"))
    for name, value in rows(locale, rules, client.line.settings.daily_pictures):
        embed.add_field(name=name, value=value[:1024], inline=False)
    return embed


@easel.command(
    name=locale_str(mark("show")), description=locale_str(mark("Show the settings of this server"))
)
async def show(interaction: Interaction) -> None:
    if not await quietly(interaction.response.defer(ephemeral=True, thinking=True)):
        return
    client, server = interaction.client, str(interaction.guild_id)
    rules = await client.line.read(lambda s: places.rules(s, Platform.DISCORD, server))
    embed = _embed(client, locale_of(interaction), rules)
    await interaction.edit_original_response(embed=embed)


class ChannelId(app_commands.Transformer):
    """Channels where people write. discord.py's own lists name kinds that the API description
    does not have."""

    @property
    def type(self) -> discord.AppCommandOptionType:
        return discord.AppCommandOptionType.channel

    @property
    def channel_types(self) -> list[discord.ChannelType]:
        kinds = discord.ChannelType
        return [kinds.text, kinds.news, kinds.voice, kinds.forum, kinds.public_thread]

    async def transform(self, interaction: discord.Interaction[Any], value: Any, /) -> str:
        return str(value.id)


Channel = app_commands.Transform[str, ChannelId]


@channels.command(
    name=locale_str(mark("add")), description=locale_str(mark("Let me draw in this channel"))
)
@app_commands.rename(channel=locale_str(mark("channel")))
@app_commands.describe(channel=locale_str(mark("Which channel; its threads count too")))
async def add(interaction: Interaction, channel: Channel) -> None:
    await _choose(interaction, "add", channel)


@channels.command(
    name=locale_str(mark("remove")), description=locale_str(mark("Take a channel off the list"))
)
@app_commands.rename(channel=locale_str(mark("channel")))
@app_commands.describe(channel=locale_str(mark("Which channel; its threads count too")))
async def remove(interaction: Interaction, channel: Channel) -> None:
    await _choose(interaction, "remove", channel)


@easel.command(
    name=locale_str(mark("model")),
    description=locale_str(mark("Which model draws when nobody names one")),
)
@app_commands.rename(model=locale_str(mark("model")))
@app_commands.describe(model=locale_str(mark("Leave it out to go back to the bot's own")))
@app_commands.autocomplete(model=suggest_model)
async def model_command(interaction: Interaction, model: str | None = None) -> None:
    if model is not None and model not in interaction.client.line.catalog.models:
        known = ", ".join(interaction.client.line.catalog.models)
        text = say(locale_of(interaction), "I know no such model. I know: {known}.", known=known)
        await quietly(interaction.response.send_message(text[:2000], ephemeral=True))
        return
    await _choose(interaction, "model", model)


@easel.command(
    name=locale_str(mark("quota")),
    description=locale_str(mark("How many pictures one person may ask for in a day")),
)
@app_commands.rename(pictures=locale_str(mark("pictures")))
@app_commands.describe(pictures=locale_str(mark("Leave it out to go back to the bot's own")))
async def quota(
    interaction: Interaction, pictures: app_commands.Range[int, 0, 100_000] | None = None
) -> None:
    await _choose(interaction, "quota", pictures)


@easel.command(
    name=locale_str(mark("pause")), description=locale_str(mark("Take no new requests here"))
)
async def pause(interaction: Interaction) -> None:
    await _choose(interaction, "pause")


@easel.command(name=locale_str(mark("resume")), description=locale_str(mark("Take requests again")))
async def resume(interaction: Interaction) -> None:
    await _choose(interaction, "resume")


COMMANDS = (easel,)
