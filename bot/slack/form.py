"""The form that came back: what was typed, chosen and attached becomes a request, or complaints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from bot.core import steer
from bot.core.grammar import parse
from bot.references.fetch import MAX_BYTES, too_large
from bot.slack import files
from bot.slack.intake import Address, Heard, asks_privately
from bot.slack.words import clip, words
from storage import log
from storage.domain import Complaint, Kept, RawCommand, Source

OPTIONS = ("negative", "style", "model", "aspect", "count", "strength")
"""Fields that are options of the command; a complaint is shown at the field that it is about."""


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
        return files.attached(file) if file else None

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
        return await heard.line.submit(raw, address, files.reader(heard.client))

    async def _source(self) -> Source | Complaint | None:
        """The picture that the form was opened with, or that was chosen of several."""
        name = self._values.get("source") or self._about.get("source", "")
        kind, _, value = name.partition(":")
        heard = self._heard
        if kind == "file":
            return files.attached({"id": value})
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
