"""Modals: opened here, and answered here by their custom id alone.

discord.py forgets open modals at a restart and would drop what was typed, so its own bookkeeping
is not used: `submitted` reads the event itself.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import discord
from discord import ui

from bot.core import steer
from bot.core.grammar import MAX_PROMPT_CHARACTERS
from bot.core.values import asks_privately
from bot.discord.buttons import JOB, Press, on
from bot.discord.intake import (
    Interaction,
    ask,
    attached,
    locale_of,
    quietly,
    raw_command,
    tell,
)
from bot.discord.presses import entry_for
from bot.discord.words import words
from bot.i18n import say
from storage import deliveries
from storage.domain import Attached, Complaint, Kept, Linked, Platform, Source

EDIT = re.compile(rf"easel:(?P<act>edit|reword):{JOB}")
REFERENCE = re.compile(r"easel:reference:(?P<source>(?:kept|brought):[0-9a-f]+)")
REMEMBERED = 200
DISCORDS = (".discordapp.net", ".discordapp.com", ".discord.com")
MOST_SOURCES = 25
"""What a select of Discord's shows at most (LIMITS.md)."""


class Brought:
    """Pictures of other people's messages, from "Use as reference" until the modal comes back.

    In memory: without the message content intent Discord shows them to us only this once.
    """

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[int, str], Source] = OrderedDict()

    def put(self, person_id: int, file: Source) -> str:
        """The name by which this person, and no other, gets it back."""
        name = hashlib.sha256(repr(file).encode()).hexdigest()[:32]
        self._files[person_id, name] = file
        if len(self._files) > REMEMBERED:
            self._files.popitem(last=False)
        return f"brought:{name}"

    def get(self, person_id: int, name: str) -> Source | None:
        return self._files.get((person_id, name))


def _label(text: str, item: ui.Item[Any], description: str | None = None) -> ui.Label[Any]:
    return ui.Label(text=text[:45], description=description and description[:100], component=item)


def _prompt_input(locale: str, default: str | None = None, remark: str = "") -> ui.Label[Any]:
    box: ui.TextInput[Any] = ui.TextInput(
        custom_id="prompt",
        style=discord.TextStyle.paragraph,
        default=default,
        max_length=2 * MAX_PROMPT_CHARACTERS,
    )
    hint = say(locale, "Flags such as --seed 7 or --ar 3:2 work here too; /help lists them.")
    return _label(say(locale, "Prompt"), box, remark or hint)


async def _open(interaction: Interaction, title: str, custom_id: str, *items: ui.Item[Any]) -> None:
    modal = ui.Modal(title=title[:45], custom_id=custom_id, timeout=None)
    for item in items:
        modal.add_item(item)
    await quietly(interaction.response.send_modal(modal))
    modal.stop()  # Takes it out of discord.py's memory: `submitted` needs none.


@on("edit")
async def edit(press: Press) -> None:
    """A modal answers first or not at all, so this looks into the database before."""
    interaction, locale = press.interaction, locale_of(press.interaction)
    entry = await entry_for(interaction, press.job_id, steer.may_read)
    if isinstance(entry, Complaint):
        await tell(interaction, words(locale, entry))
        return
    draft = steer.draft(entry, 2 * MAX_PROMPT_CHARACTERS)
    remark, *more = [say(locale, remark) for remark in draft.remarks] or [""]
    items: list[ui.Item[Any]] = [ui.TextDisplay(words) for words in more]
    items.append(_prompt_input(locale, draft.text, remark))
    title = say(locale, "Edit prompt")
    await _open(interaction, title, f"easel:{draft.act}:{press.job_id}", *items)


async def use_as_reference(interaction: Interaction, message: discord.Message) -> None:
    """The message command of that name."""
    locale = locale_of(interaction)
    sources = await _sources(interaction, message)
    if not sources:
        text = say(locale, "There is no picture in that message. I can use PNG, JPEG and WebP.")
        await tell(interaction, text)
        return
    items: list[ui.Item[Any]] = [_prompt_input(locale)]
    if len(sources) > 1:
        select: ui.Select[Any] = ui.Select(
            custom_id="source",
            options=[
                discord.SelectOption(
                    label=say(locale, "Picture {number}", number=number),
                    value=source,
                    default=number == 1,
                )
                for number, source in enumerate(sources, 1)
            ],
        )
        items.append(_label(say(locale, "Reference"), select))
    strength: ui.TextInput[Any] = ui.TextInput(
        custom_id="strength", required=False, max_length=8, placeholder="0.6"
    )
    hint = say(locale, "0 to 1: how far the new picture may move away from the reference.")
    items.append(_label(say(locale, "Strength"), strength, hint))
    title = say(locale, "Use as reference")
    await _open(interaction, title, f"easel:reference:{sources[0]}", *items)


async def _sources(interaction: Interaction, message: discord.Message) -> Sequence[str]:
    """Our own pictures by their hash, others by what the event shows of them."""
    line = interaction.client.line
    job_id = await line.read(lambda s: deliveries.by_message(s, Platform.DISCORD, str(message.id)))
    if job_id is not None:
        entry = await entry_for(interaction, job_id, steer.may_read)
        pictures = () if isinstance(entry, Complaint) else steer.shown_pictures(entry)
        return [f"kept:{picture.sha256}" for picture in pictures]
    brought, person = interaction.client.brought, interaction.user.id
    return [brought.put(person, file) for file in pictures_of(message)[:MOST_SOURCES]]


def pictures_of(message: discord.Message) -> list[Source]:
    """Files and what embeds show: those by Discord's own copy, or by a link, which has to be on the
    list as any."""
    files = [attached(file) for file in message.attachments if _may_be_picture(file)]
    shown = [media for e in message.embeds for media in (e.image, e.thumbnail) if media.url]
    return [file for file in (*files, *map(_of_embed, shown)) if file is not None]


def _may_be_picture(file: discord.Attachment) -> bool:
    """Without a file ending Discord may not say what it is, and who decodes it finds out."""
    unknown = file.content_type is None or file.content_type == "application/octet-stream"
    guessed = file.width is not None or "." not in file.filename
    return (file.content_type or "").startswith("image/") or (unknown and guessed)


def _of_embed(media: Any) -> Source | None:
    copy = urlsplit(media.proxy_url or "")
    if copy.scheme == "https" and (copy.hostname or "").endswith(DISCORDS):
        return Attached(name=copy.path.rpartition("/")[2], size_bytes=0, address=media.proxy_url)
    return Linked(url=media.url) if media.url.startswith("https://") else None


async def submitted(interaction: Interaction) -> None:
    """Any modal that came back, whichever process opened it."""
    data: Mapping[str, Any] = interaction.data or {}
    custom_id, values = str(data.get("custom_id", "")), _values(data.get("components", ()))
    if match := EDIT.fullmatch(custom_id):
        text = str(values.get("prompt", ""))
        await _edited(interaction, match["act"], UUID(match["job"]), text)
    elif match := REFERENCE.fullmatch(custom_id):
        await _referenced(interaction, values, match["source"])


def _values(components: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What was typed or chosen, by the custom id of the box; however deep the boxes lie."""
    found: dict[str, Any] = {}
    for component in components:
        inner = [*component.get("components", ()), *filter(None, [component.get("component")])]
        found.update(_values(inner))
        if "custom_id" in component:
            found[component["custom_id"]] = component.get("values", component.get("value"))
    return found


async def _edited(interaction: Interaction, act: str, job_id: UUID, text: str) -> None:
    message = interaction.message
    private = message is not None and message.flags.ephemeral
    raw = raw_command(
        interaction,
        act,
        about=str(job_id),
        text=text,
        private=private or asks_privately(text),
    )
    await ask(interaction, raw)


async def _referenced(interaction: Interaction, values: Mapping[str, Any], first: str) -> None:
    prompt, strength = str(values.get("prompt", "")), str(values.get("strength") or "").strip()
    text = f"{prompt} --strength {strength}" if strength else prompt
    [source, *_] = values.get("source") or [first]
    reference = _source(interaction, str(source))
    if isinstance(reference, Complaint):
        await tell(interaction, words(locale_of(interaction), reference))
        return
    private = asks_privately(text)
    raw = raw_command(interaction, "draw", text=text, reference=reference, private=private)
    await ask(interaction, raw)


def _source(interaction: Interaction, name: str) -> Source | Complaint:
    kind, _, value = name.partition(":")
    if kind == "kept":
        return Kept(sha256=value)
    file = interaction.client.brought.get(interaction.user.id, value)
    return file or Complaint(
        text="I have been restarted since, and have lost that picture. Choose “Use as "
        "reference” on its message again."
    )
