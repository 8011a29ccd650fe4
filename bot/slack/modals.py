"""The form: opened by `/imagine` alone, "Edit prompt" and two shortcuts; one submission for all.

What the form is about travels in its `private_metadata`, so it outlives a restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext

from bot.core import steer
from bot.i18n import mark, say
from bot.slack import files
from bot.slack.blocks import Block, plain, section
from bot.slack.form import Form
from bot.slack.inputs import (
    CHOICES_LIMIT,
    TYPED_LIMIT,
    file_box,
    input_block,
    named,
    option,
    select,
    text_box,
)
from bot.slack.intake import (
    FORM_PATIENCE_SECONDS,
    Heard,
    hearing,
    in_menu,
    raw_command,
    take,
)
from bot.slack.manifest import DRAW, REFERENCE
from bot.slack.words import clip
from storage.catalog import Catalog
from storage.domain import Complaint
from storage.log import LogEntry

if TYPE_CHECKING:
    from bot.slack.app import Easel

FORM = "easel:form"
SOURCE_LIMIT = 150
ASPECTS = ("1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16")
LABELS = {
    "prompt": mark("Prompt"),
    "negative": mark("Negative prompt"),
    "reference": mark("Reference image"),
    "mask": mark("Mask"),
    "source": mark("Reference"),
    "style": mark("Style"),
    "model": mark("Model"),
    "aspect": mark("Shape"),
    "count": mark("Pictures"),
    "strength": mark("Strength"),
}


def register(app: Easel) -> None:
    async def draw(ack: AsyncAck, context: AsyncBoltContext, body: Mapping[str, Any]) -> None:
        await ack()
        raw = raw_command(context, "trigger", str(body["trigger_id"]))
        async with hearing(app, context, raw, patience=FORM_PATIENCE_SECONDS) as heard:
            await open_draw(heard)

    async def reference(ack: AsyncAck, context: AsyncBoltContext, body: Mapping[str, Any]) -> None:
        await ack()
        async with hearing(
            app,
            context,
            in_menu(context, body),
            body["message"],
            patience=FORM_PATIENCE_SECONDS,
        ) as heard:
            await open_reference(heard)

    async def submitted(ack: AsyncAck, context: AsyncBoltContext, view: Mapping[str, Any]) -> None:
        form = Form(app.line, context, view)
        if errors := form.errors():
            await ack(response_action="errors", errors=errors)
        else:
            await take(app, form.command(), partial(acknowledge, ack, "prompt"))

    app.shortcut(DRAW)(draw)
    app.shortcut(REFERENCE)(reference)
    app.view(FORM)(submitted)


async def acknowledge(ack: AsyncAck, field: str, words: str) -> None:
    """Words for the person are shown at that field, and the form stays open."""
    if words:
        await ack(response_action="errors", errors={field: clip(words, 2000)})
    else:
        await ack()


async def open_draw(heard: Heard) -> None:
    """The whole form, empty."""
    catalog, locale = heard.line.catalog, heard.locale
    blocks = [
        _prompt(locale),
        *_negative(locale, catalog),
        _input(locale, "reference", file_box(), optional=True),
        _input(
            locale,
            "mask",
            file_box(),
            optional=True,
            hint=say(locale, "What is white here is repainted in the reference, the rest stays"),
        ),
        *_choice(locale, "style", list(catalog.styles)),
        *_choice(locale, "model", list(catalog.models)),
        *_choice(locale, "aspect", ASPECTS),
        *_choice(locale, "count", ("1", "2", "3", "4")),
        _strength(locale),
    ]
    await _open(heard, say(locale, "Draw a picture"), blocks)


async def open_edit(heard: Heard, entry: LogEntry) -> None:
    """The prompt of a request, with all its settings, to change and send again."""
    draft, locale = steer.draft(entry, TYPED_LIMIT), heard.locale
    about = {"job": str(entry.job_id), "act": draft.act}
    if entry.request.reference:
        about["reference"] = "1"
    if entry.request.private:
        about["private"] = "1"
    remarks = [section(say(locale, words)) for words in draft.remarks]
    title = say(locale, "Edit prompt")
    await _open(heard, title, [*remarks, _prompt(locale, draft.text)], about)


async def open_reference(heard: Heard) -> None:
    """The message shortcut: draw from the picture of a message."""
    locale, sources = heard.locale, await _sources(heard)
    if not sources:
        await heard.tell(
            say(locale, "There is no picture in that message. I can use PNG, JPEG and WebP.")
        )
        return
    blocks = [_prompt(locale)]
    if len(sources) > 1:
        options = [
            option(say(locale, "Picture {number}", number=number), source)
            for number, source in enumerate(sources, 1)
        ]
        blocks.append(_input(locale, "source", select(options, chosen=sources[0])))
    title = say(locale, "Use as reference")
    await _open(heard, title, [*blocks, _strength(locale)], {"source": sources[0]})


async def _sources(heard: Heard) -> Sequence[str]:
    """Our own pictures by their hash, others by their file."""
    job_id = await heard.job_of_message()
    if job_id is not None:
        entry = await heard.entry_for(job_id, steer.may_read)
        pictures = () if isinstance(entry, Complaint) else steer.shown_pictures(entry)
        return [f"kept:{picture.sha256}" for picture in pictures]
    attached = heard.message.get("files") or ()
    found = [f"file:{file['id']}" for file in attached if files.is_picture(file)]
    found += files.shown(heard.message)
    # Slack holds so much with a choice.
    return [source for source in found if len(source) <= SOURCE_LIMIT][:CHOICES_LIMIT]


async def _open(
    heard: Heard, title: str, blocks: Sequence[Block], about: Mapping[str, str] | None = None
) -> None:
    await heard.open_form(FORM, title, say(heard.locale, "Draw"), blocks, about)


def _input(
    locale: str, name: str, element: Block, *, optional: bool = False, hint: str = ""
) -> Block:
    return input_block(name, say(locale, LABELS[name]), element, optional=optional, hint=hint)


def _prompt(locale: str, text: str = "") -> Block:
    hint = say(locale, "Flags such as --seed 7 or --ar 3:2 work here too; /help lists them.")
    return _input(locale, "prompt", text_box(text), hint=hint.replace("/help", "/imagine help"))


def _negative(locale: str, catalog: Catalog) -> list[Block]:
    """None where no model takes one; the models that take none are named."""
    without = [name for name, model in catalog.models.items() if not model.takes_negative]
    if len(without) == len(catalog.models):
        return []
    hint = say(locale, "Not with: {models}", models=", ".join(without)) if without else ""
    return [_input(locale, "negative", text_box(), optional=True, hint=hint)]


def _strength(locale: str) -> Block:
    hint = say(locale, "0 to 1: how far the new picture may move away from the reference.")
    box: Block = {"type": "plain_text_input", "max_length": 8, "placeholder": plain("0.6")}
    return _input(locale, "strength", box, optional=True, hint=hint)


def _choice(locale: str, name: str, names: Sequence[str]) -> list[Block]:
    """A select; none where there is nothing to choose."""
    options = named(names)
    return [_input(locale, name, select(options), optional=True)] if options else []
