"""The form: opened by `/imagine` alone, "Edit prompt", and both shortcuts; one submission for all.

What the form is about travels in its `private_metadata`, so it outlives a restart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_sdk.errors import SlackApiError

from bot.core import steer
from bot.core.grammar import echo, parse
from bot.i18n import mark, say
from bot.references.fetch import MAX_BYTES, too_large
from bot.slack import files
from bot.slack.blocks import Block, plain
from bot.slack.intake import Address, Heard, apologise, ask, asks_privately, hear
from bot.slack.manifest import DRAW, REFERENCE
from bot.slack.words import clip, words
from storage import deliveries, log
from storage.domain import Complaint, Kept, Platform, RawCommand, Source
from storage.log import LogEntry

if TYPE_CHECKING:
    from bot.slack.app import Easel

FORM = "easel:form"
TYPED_LIMIT = 3000
CHOICES_LIMIT = 100
FILE_KINDS = ["png", "jpg", "jpeg", "webp"]
ASPECTS = ("1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16")
OPTIONS = ("negative", "style", "model", "aspect", "count", "strength")
"""Fields that are options of the command; a complaint is shown at the field that it is about."""
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
        await open_draw(await hear(app, context, "trigger", str(body["trigger_id"])))

    async def reference(ack: AsyncAck, context: AsyncBoltContext, body: Mapping[str, Any]) -> None:
        await ack()
        message = body["message"]
        heard = await hear(
            app,
            context,
            "trigger",
            str(body["trigger_id"]),
            channel_id=str(body["channel"]["id"]),
            thread_ts=str(message.get("thread_ts") or ""),
            message=message,
        )
        try:
            await open_reference(heard)
        except Exception:
            await apologise(heard)
            raise

    async def submitted(ack: AsyncAck, context: AsyncBoltContext, view: Mapping[str, Any]) -> None:
        about = json.loads(view.get("private_metadata") or "{}")
        heard = await hear(
            app,
            context,
            "view",
            str(view["id"]),
            channel_id=about.get("channel", ""),
            thread_ts=about.get("thread", ""),
        )
        form = Form(heard, about, view)
        errors = await form.errors()
        if errors:
            await ack(response_action="errors", errors=errors)
            return
        await ack()
        await ask(heard, form.submit, private=form.private)

    app.shortcut(DRAW)(draw)
    app.shortcut(REFERENCE)(reference)
    app.view(FORM)(submitted)


class Form:
    """What came back: texts and choices by field, files, and what the form was about."""

    def __init__(self, heard: Heard, about: Mapping[str, str], view: Mapping[str, Any]) -> None:
        self._heard, self._about = heard, about
        self._files: dict[str, Mapping[str, Any]] = {}
        self._values: dict[str, str] = {}
        for name, block in view["state"]["values"].items():
            state = block[name]
            chosen = (state.get("selected_option") or {}).get("value")
            if value := state.get("value") or chosen:
                self._values[name] = str(value)
            if uploaded := state.get("files"):
                self._files[name] = uploaded[0]

    @property
    def _text(self) -> str:
        return self._values.get("prompt", "")

    @property
    def private(self) -> bool:
        return bool(self._about.get("private")) or asks_privately(self._text)

    async def errors(self) -> dict[str, str]:
        """Words by field; empty if all is well as far as can be told before the work begins."""
        found = {name: _wrong_file(file) for name, file in self._files.items()}
        reference, mask = self._picture("reference") or self._kept(), self._picture("mask")
        if isinstance(mask, Complaint) or isinstance(reference, Complaint):
            mask = reference = None
        elif mask is not None and reference is None:
            found["mask"] = self._try(self._heard.command("x", mask=mask))
        for name in OPTIONS:
            if value := self._values.get(name):
                alone = self._heard.command("x", options={name: value}, reference=reference)
                found[name] = self._try(alone)
        if not any(found.values()):
            whole = self._heard.command(
                self._text, options=self._options, reference=reference, mask=mask
            )
            found["prompt"] = self._try(whole)
        locale = self._heard.locale
        return {name: clip(words(locale, wrong), 2000) for name, wrong in found.items() if wrong}

    def _try(self, raw: RawCommand) -> Complaint | None:
        line = self._heard.line
        model = line.settings.default_model
        read = parse(raw, line.catalog, default_model=model, random_seed=line.seed)
        return read if isinstance(read, Complaint) else None

    @property
    def _options(self) -> dict[str, str | bool]:
        options: dict[str, str | bool] = {n: self._values[n] for n in OPTIONS if n in self._values}
        return options | ({"private": True} if self._about.get("private") else {})

    def _picture(self, name: str) -> Source | Complaint | None:
        file = self._files.get(name)
        return files.attached(self._heard.client, file) if file else None

    def _kept(self) -> Source | None:
        """Stands for the picture that the form is about, until `_source` has found it."""
        return (
            Kept(sha256="") if self._about.get("source") or self._about.get("reference") else None
        )

    async def submit(self, address: Address) -> UUID | Complaint:
        heard, mask, parent = self._heard, self._picture("mask"), None
        reference = self._picture("reference") or await self._source()
        if "job" in self._about:
            entry = await heard.entry_for(UUID(self._about["job"]), steer.may_read)
            if isinstance(entry, Complaint):
                return entry
            parent = entry.request.parent_sha256
            if reference is None and entry.request.reference:
                reference = Kept(sha256=entry.request.reference.sha256)
                kept_mask = entry.request.reference.mask_sha256
                mask = mask or (Kept(sha256=kept_mask) if kept_mask else None)
        if isinstance(reference, Complaint):
            return reference
        if isinstance(mask, Complaint):
            return mask
        raw = heard.command(
            self._text,
            options=self._options,
            reference=reference,
            mask=mask,
            parent_sha256=parent,
        )
        return await heard.line.submit(raw, address)

    async def _source(self) -> Source | Complaint | None:
        """The picture that the form was opened with, or that was chosen of several."""
        name = self._values.get("source") or self._about.get("source", "")
        kind, _, value = name.partition(":")
        heard = self._heard
        if kind == "file":
            return files.attached(heard.client, {"id": value})
        if kind != "kept":
            return None
        entry = await heard.line.read(lambda s: log.by_picture(s, value))
        if entry is None:
            return Complaint(text="This picture is not here any more.")
        known = await heard.entry_for(entry.job_id, steer.may_read)
        return known if isinstance(known, Complaint) else Kept(sha256=value)


def _wrong_file(file: Mapping[str, Any]) -> Complaint | None:
    if int(file.get("size") or 0) > MAX_BYTES:
        return too_large()
    if not files.is_picture(file):
        return Complaint(text="That is no picture. I can use PNG, JPEG and WebP.")
    return None


async def open_draw(heard: Heard) -> None:
    """The whole form, empty."""
    catalog, locale = heard.line.catalog, heard.locale
    blocks = [
        _prompt(locale),
        _input(locale, "negative", _text_box(), optional=True),
        _input(locale, "reference", _file_box(), optional=True),
        _input(
            locale,
            "mask",
            _file_box(),
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
    about = {"job": str(entry.job_id)}
    if entry.request.reference:
        about["reference"] = "1"
    if entry.request.private:
        about["private"] = "1"
    title = say(heard.locale, "Edit prompt")
    await _open(heard, title, [_prompt(heard.locale, echo(entry.request))], about)


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
            _option(say(locale, "Picture {number}", number=number), source)
            for number, source in enumerate(sources[:CHOICES_LIMIT], 1)
        ]
        select = {"type": "static_select", "options": options, "initial_option": options[0]}
        blocks.append(_input(locale, "source", select))
    title = say(locale, "Use as reference")
    await _open(heard, title, [*blocks, _strength(locale)], {"source": sources[0]})


async def _sources(heard: Heard) -> Sequence[str]:
    """Our own pictures by their hash, others by their file."""
    message_id = f"{heard.channel_id}:{heard.message.get('ts', '')}"
    job_id = await heard.line.read(lambda s: deliveries.by_message(s, Platform.SLACK, message_id))
    if job_id is not None:
        entry = await heard.entry_for(job_id, steer.may_read)
        pictures = () if isinstance(entry, Complaint) else steer.shown_pictures(entry)
        return [f"kept:{picture.sha256}" for picture in pictures]
    attached = heard.message.get("files") or ()
    return [f"file:{file['id']}" for file in attached if files.is_picture(file)]


async def _open(
    heard: Heard, title: str, blocks: Sequence[Block], about: Mapping[str, str] | None = None
) -> None:
    locale = heard.locale
    where = {"channel": heard.channel_id, "thread": heard.thread_ts}
    # The trigger lives three seconds; who was slower simply asks again.
    with suppress(SlackApiError):
        await heard.client.views_open(
            trigger_id=heard.id,
            view={
                "type": "modal",
                "callback_id": FORM,
                "title": plain(title, 24),
                "submit": plain(say(locale, "Draw"), 24),
                "close": plain(say(locale, "Cancel"), 24),
                "private_metadata": json.dumps({**where, **(about or {})}),
                "blocks": list(blocks),
            },
        )


def _input(
    locale: str, name: str, element: Block, *, optional: bool = False, hint: str = ""
) -> Block:
    block = {
        "type": "input",
        "block_id": name,
        "optional": optional,
        "label": plain(say(locale, LABELS[name]), 2000),
        "element": {"action_id": name, **element},
    }
    return block | ({"hint": plain(hint, 2000)} if hint else {})


def _prompt(locale: str, text: str = "") -> Block:
    hint = say(locale, "Flags such as --seed 7 or --ar 3:2 work here too; /help lists them.")
    hint = hint.replace("/help", "/imagine help")
    box = _text_box() | ({"initial_value": text[:TYPED_LIMIT]} if text else {})
    return _input(locale, "prompt", box, hint=hint)


def _strength(locale: str) -> Block:
    hint = say(locale, "0 to 1: how far the new picture may move away from the reference.")
    box: Block = {"type": "plain_text_input", "max_length": 8, "placeholder": plain("0.6")}
    return _input(locale, "strength", box, optional=True, hint=hint)


def _text_box() -> Block:
    return {"type": "plain_text_input", "multiline": True, "max_length": TYPED_LIMIT}


def _file_box() -> Block:
    return {"type": "file_input", "filetypes": FILE_KINDS, "max_files": 1}


def _choice(locale: str, name: str, names: Sequence[str]) -> list[Block]:
    """A select; none where there is nothing to choose."""
    if not names:
        return []
    options = [_option(n, n) for n in names[:CHOICES_LIMIT] if len(n) <= 75]
    select = {"type": "static_select", "options": options}
    return [_input(locale, name, select, optional=True)]


def _option(label: str, value: str) -> Block:
    return {"text": plain(label), "value": value}
