"""The form that came back: what was typed, chosen and attached becomes a request, or complaints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from slack_bolt.context.async_context import AsyncBoltContext

from bot.core.grammar import parse
from bot.core.line import Line
from bot.core.values import asks_privately
from bot.i18n import pick_locale
from bot.references.fetch import MAX_BYTES, too_large
from bot.slack import files
from bot.slack.intake import raw_command
from bot.slack.words import clip, words
from storage.domain import Complaint, Kept, Linked, RawCommand, Source

OPTIONS = ("negative", "style", "model", "aspect", "count", "strength")
"""Fields that are options of the command; a complaint is shown at the field that it is about."""


class Form:
    """What came back: texts and choices by field, files, and what the form was about."""

    def __init__(self, line: Line, context: AsyncBoltContext, view: Mapping[str, Any]) -> None:
        self._line, self._context, self._id = line, context, str(view["id"])
        self._about: Mapping[str, str] = json.loads(view.get("private_metadata") or "{}")
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
    def _private(self) -> bool:
        return bool(self._about.get("private")) or asks_privately(self._text)

    def errors(self) -> dict[str, str]:
        """Words by field; empty if all is well as far as can be told before the work begins."""
        found = {name: _wrong_file(file) for name, file in self._files.items()}
        reference, mask = self._source(), self._picture("mask")
        if "job" in self._about and self._about.get("reference"):
            reference = reference or Kept(sha256="")  # Stands for the one that the job has.
        if isinstance(mask, Complaint) or isinstance(reference, Complaint):
            mask = reference = None
        elif mask is not None and reference is None:
            found["mask"] = self._try("x", mask=mask)
        for name in OPTIONS:
            if value := self._values.get(name):
                found[name] = self._try("x", options={name: value}, reference=reference)
        if not any(found.values()):
            found["prompt"] = self._try(
                self._text, options=self._options, reference=reference, mask=mask
            )
        locale = pick_locale(self._about.get("locale"))
        return {name: clip(words(locale, wrong), 2000) for name, wrong in found.items() if wrong}

    def _try(self, text: str, **given: Any) -> Complaint | None:
        line, raw = self._line, self._command("draw", text=text, **given)
        model = line.settings.default_model
        read = parse(raw, line.catalog, default_model=model, random_seed=line.seed)
        return read if isinstance(read, Complaint) else None

    @property
    def _options(self) -> dict[str, str | bool]:
        options: dict[str, str | bool] = {n: self._values[n] for n in OPTIONS if n in self._values}
        return options | ({"private": True} if self._private else {})

    def _picture(self, name: str) -> Source | Complaint | None:
        file = self._files.get(name)
        return files.attached(file) if file else None

    def _source(self) -> Source | Complaint | None:
        """The picture that was brought, that the form was opened with, or that was chosen of
        several."""
        brought = self._picture("reference")
        kind, _, value = (self._values.get("source") or self._about.get("source", "")).partition(
            ":"
        )
        if brought is not None or not value:
            return brought
        if kind == "link":
            return Linked(url=value)
        return Kept(sha256=value) if kind == "kept" else files.attached({"id": value})

    def command(self) -> RawCommand:
        reference, mask = self._source(), self._picture("mask")
        for source in (reference, mask):
            if isinstance(source, Complaint):
                return self._command("complain", text=source.text)
        job = self._about.get("job", "")
        return self._command(
            self._about.get("act", "edit") if job else "draw",
            about=job,
            text=self._text,
            options=self._options,
            reference=reference,
            mask=mask,
        )

    def _command(self, act: str, **given: Any) -> RawCommand:
        return raw_command(
            self._context,
            files.FORM,
            self._id,
            act,
            channel_id=self._about.get("channel", ""),
            thread_ts=self._about.get("thread", ""),
            **given,
        )


def _wrong_file(file: Mapping[str, Any]) -> Complaint | None:
    if int(file.get("size") or 0) > MAX_BYTES:
        return too_large()
    if not files.is_picture(file):
        return Complaint(text="That is no picture. I can use PNG, JPEG and WebP.")
    return None
