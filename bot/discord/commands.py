"""`/imagine`, `/help` and the message commands."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands
from discord.app_commands import Choice, locale_str

from bot.core.grammar import MAX_COUNT, MAX_PROMPT_CHARACTERS, MAX_SEED
from bot.core.names import suggest_names
from bot.core.values import asks_privately
from bot.discord.intake import (
    Interaction,
    ask,
    attached,
    locale_of,
    quietly,
    raw_command,
)
from bot.discord.modals import use_as_reference
from bot.discord.presses import answer_details
from bot.i18n import mark, say
from storage import deliveries
from storage.catalog import Catalog
from storage.domain import Platform

SUGGESTIONS = 25


OPTIONS = {
    mark("prompt"): mark("What to draw"),
    mark("negative"): mark("What should not be in the picture"),
    mark("reference"): mark("A picture to start from: PNG, JPEG or WebP"),
    mark("mask"): mark("What is white here is repainted in the reference, the rest stays"),
    mark("use"): mark("What the reference is for"),
    mark("strength"): mark("0 to 1: how far the picture may move away from the reference"),
    mark("seed"): mark("The same seed and settings draw the same picture"),
    mark("steps"): mark("More steps take longer and show finer detail"),
    mark("guidance"): mark("How closely the picture follows the words"),
    mark("aspect"): mark("Shape or size, such as 3:2 or 512x768"),
    mark("count"): mark("How many pictures"),
    mark("style"): mark("A look to draw it in"),
    mark("model"): mark("Which model draws"),
    mark("private"): mark("Only you see the picture"),
}


@app_commands.rename(**{name: locale_str(name) for name in OPTIONS})
@app_commands.describe(**{name: locale_str(text) for name, text in OPTIONS.items()})
@app_commands.choices(
    use=[
        Choice(name=locale_str(mark("restyle: redraw the whole picture")), value="restyle"),
        Choice(name=locale_str(mark("edit: repaint what the mask shows")), value="edit"),
    ]
)
async def _imagine(
    interaction: Interaction,
    prompt: app_commands.Range[str, 1, MAX_PROMPT_CHARACTERS],
    negative: app_commands.Range[str, 1, MAX_PROMPT_CHARACTERS] | None = None,
    reference: discord.Attachment | None = None,
    mask: discord.Attachment | None = None,
    use: str | None = None,
    strength: app_commands.Range[float, 0, 1] | None = None,
    seed: app_commands.Range[int, -1, MAX_SEED] | None = None,
    steps: app_commands.Range[int, 1, 1000] | None = None,
    guidance: app_commands.Range[float, 0, 100] | None = None,
    aspect: app_commands.Range[str, 1, 20] | None = None,
    count: app_commands.Range[int, 1, MAX_COUNT] | None = None,
    style: str | None = None,
    model: str | None = None,
    private: bool = False,
) -> None:
    raw = raw_command(
        interaction,
        "draw",
        text=prompt,
        options={
            "negative": negative,
            "use": use,
            "strength": strength,
            "seed": seed,
            "steps": steps,
            "guidance": guidance,
            "aspect": aspect,
            "count": count,
            "style": style,
            "model": model,
            "private": private or None,
        },
        reference=attached(reference),
        mask=attached(mask),
        private=private or asks_privately(prompt),
    )
    await ask(interaction, raw)


Choices = list[Choice[str]]


def _matching(names: Any, typed: str) -> Choices:
    found = [name for name in names if typed.lower() in name.lower() and len(name) <= 100]
    return [Choice(name=name, value=name) for name in found[:SUGGESTIONS]]


async def _suggest_style(interaction: Interaction, typed: str) -> Choices:
    return _matching(interaction.client.line.catalog.styles, typed)


async def suggest_model(interaction: Interaction, typed: str) -> Choices:
    return _matching(interaction.client.line.catalog.models, typed)


async def _suggest_prompt(interaction: Interaction, typed: str) -> Choices:
    line = interaction.client.line
    name = getattr(interaction.namespace, "model", None) or line.settings.default_model
    entry = line.catalog.models.get(name)
    if entry is None or not entry.names:
        return []
    names = suggest_names(typed, entry, locale_of(interaction), SUGGESTIONS)
    return [Choice(name=name[:100], value=name[:100]) for name in names]


Command = app_commands.Command[Any, ..., None]


def imagine(catalog: Catalog) -> Command:
    """The command as this catalog needs it: without models that know only certain names, free
    text gets no list that says "no options match"; and where no model takes a negative prompt,
    there is none."""
    command: Command = app_commands.Command(
        name=locale_str(mark("imagine")),
        description=locale_str(mark("Draw a picture from words")),
        callback=_imagine,
    )
    command.autocomplete("style")(_suggest_style)
    command.autocomplete("model")(suggest_model)
    if any(entry.names for entry in catalog.models.values()):
        command.autocomplete("prompt")(_suggest_prompt)
    if not any(entry.takes_negative for entry in catalog.models.values()):
        del command._params["negative"]  # discord.py has no other way to leave an option out.
    return command


HELP = (
    mark("Words that describe the picture: `/imagine prompt: a red apple on a table`"),
    mark("More weight for a word: `a (red:1.3) apple`"),
    mark("What should not be there: `a red apple --no leaf, worm` or `a red apple (-leaf -worm)`"),
    mark("A picture to start from: attach it, or write `{{image: https://…}}` in the prompt"),
    mark("Shape, number, seed: `a red apple --ar 3:2 --count 4 --seed 7`"),
    mark("More flags: `--steps`, `--guidance`, `--strength`, `--style`, `--model`"),
    mark("Any picture in the conversation: right-click its message, Apps, “Use as reference”"),
    mark("Your requests: `/queue`. What you have left today: `/usage`. Your data: `/privacy`"),
)


@app_commands.command(name=locale_str(mark("help")), description=locale_str(mark("How to ask")))
async def help_command(interaction: Interaction) -> None:
    locale = locale_of(interaction)
    embed = discord.Embed(
        title=say(locale, "How to ask for a picture"),
        description="\n".join(f"• {say(locale, line)}" for line in HELP),
    )
    await quietly(interaction.response.send_message(embed=embed, ephemeral=True))


@app_commands.context_menu(name=locale_str(mark("Use as reference")))
async def reference_menu(interaction: Interaction, message: discord.Message) -> None:
    await use_as_reference(interaction, message)


@app_commands.context_menu(name=locale_str(mark("Picture details")))
async def details_menu(interaction: Interaction, message: discord.Message) -> None:
    if not await quietly(interaction.response.defer(ephemeral=True, thinking=True)):
        return
    line = interaction.client.line
    job_id = await line.read(lambda s: deliveries.by_message(s, Platform.DISCORD, str(message.id)))
    if job_id is None:
        locale = locale_of(interaction)
        text = say(locale, "That message shows no picture of mine.")
        await interaction.edit_original_response(content=text)
        return
    await answer_details(interaction, job_id)


COMMANDS: tuple[Command | app_commands.ContextMenu, ...] = (
    help_command,
    reference_menu,
    details_menu,
)
