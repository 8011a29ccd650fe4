"""Every request that the adapter makes, against Discord's own description and the limits page.

`EASEL_SPECS` names a folder with `discord-openapi.json`; without it only the limits are checked.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.jsonschema import DRAFT202012

MIB = 1024 * 1024
SPEC_URI = "urn:discord"
COMMAND_NAME = re.compile(r"[-_'\w]{1,32}")
BUTTON, TEXT_INPUT, LABEL, ACTION_ROW, TEXT_DISPLAY = 2, 4, 18, 1, 10
SELECTS = (3, 5, 6, 7, 8)
MODAL, AUTOCOMPLETE_RESULT = 9, 8
LOCALES = ("", "fr", "es-ES", "es-419")


class Violation(AssertionError):
    """A request that Discord would refuse, or that its documentation forbids."""


def spec_path() -> Path | None:
    folder = os.environ.get("EASEL_SPECS")
    return Path(folder) / "discord-openapi.json" if folder else None


class Api:
    """Discord's description of its API, in the shape that a request is checked against."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._paths: Mapping[str, Any] = spec["paths"]
        resource = DRAFT202012.create_resource(spec)
        self._passed: set[tuple[str, str, str]] = set()
        """What has been found good: every dialogue starts with the same long list of commands."""
        self._registry: Registry[Any] = Registry().with_resource(SPEC_URI, resource)

    @classmethod
    @cache
    def load(cls, path: Path) -> Api:
        return cls(json.loads(path.read_text("utf-8")))

    def template(self, method: str, path: str) -> str:
        """The path of the description that this path is an instance of; literal parts win."""
        parts = path.strip("/").split("/")
        found = [
            template
            for template, operations in self._paths.items()
            if method.lower() in operations and _matches(template.strip("/").split("/"), parts)
        ]
        if not found:
            raise Violation(f"{method} {path} is in no description")
        return min(found, key=lambda template: template.count("{"))

    def check(self, method: str, path: str, body: object, *, files: bool) -> None:
        template = self.template(method, path)
        content = self._paths[template][method.lower()].get("requestBody", {}).get("content", {})
        if files and "multipart/form-data" not in content:
            raise Violation(f"{method} {template} takes no files")
        if "application/json" not in content:
            if body is not None:
                raise Violation(f"{method} {template} takes no body")
            return
        seen = (method, template, json.dumps(body, sort_keys=True))
        if seen in self._passed:
            return
        error = best_match(self._validator(template, method.lower()).iter_errors(_normal(body)))
        if error is not None:
            raise Violation(f"{method} {template}: {error.json_path}: {error.message[:300]}")
        self._passed.add(seen)

    @cache  # noqa: B019 (one Api lives as long as the tests do)
    def _validator(self, template: str, method: str) -> Draft202012Validator:
        escaped = template.replace("~", "~0").replace("/", "~1").replace("{", "%7B")
        pointer = f"/paths/{escaped.replace('}', '%7D')}/{method}/requestBody/content"
        reference = f"{SPEC_URI}#{pointer}/application~1json/schema"
        return Draft202012Validator({"$ref": reference}, registry=self._registry)


def _matches(template: Sequence[str], parts: Sequence[str]) -> bool:
    return len(template) == len(parts) and all(
        wanted.startswith("{") or wanted == part
        for wanted, part in zip(template, parts, strict=True)
    )


def _normal(body: object) -> object:
    """discord.py writes two kinds of ids as numbers where the description says strings, which
    Discord takes: those of new attachments, and who a direct message is for."""
    body = copy.deepcopy(body)
    if isinstance(body, dict):
        if "recipient_id" in body:
            body["recipient_id"] = str(body["recipient_id"])
        for holder in (body, body.get("data")):
            for item in holder.get("attachments") or [] if isinstance(holder, dict) else []:
                item["id"] = str(item["id"])
    return body


def check_limits(
    method: str,
    path: str,
    body: object,
    sizes: Sequence[int] = (),
    *,
    upload_limit_bytes: int = 10 * MIB,
) -> None:
    """What the description does not say, or only in words. `sizes` are those of the files."""
    _must(len(sizes) <= 10, "10 files")
    _must(all(size <= upload_limit_bytes for size in sizes), "the upload limit of a file")
    _must(sum(sizes) <= 25 * MIB, "25 MiB in a request")
    if path.endswith("/commands") and isinstance(body, list):
        _check_commands(body)
    if not isinstance(body, dict):
        return
    data = body.get("data") if path.endswith("/callback") else body
    if not isinstance(data, dict):
        return
    if body.get("type") == MODAL:
        _check_modal(data)
    elif body.get("type") == AUTOCOMPLETE_RESULT:
        _must(len(data["choices"]) <= 25, "25 choices")
        _must(all(1 <= len(c["name"]) <= 100 for c in data["choices"]), "100 characters a choice")
    else:
        _check_message(data, len(sizes))


def _check_message(data: Mapping[str, Any], files: int) -> None:
    content, embeds = data.get("content") or "", data.get("embeds") or []
    _must(len(content) <= 2000, "2,000 characters of content")
    _must(len(embeds) <= 10, "10 embeds")
    _must(sum(map(_embed_length, embeds)) <= 6000, "6,000 characters in embeds")
    if content or embeds:
        pings = data.get("allowed_mentions")
        _must(isinstance(pings, dict) and not any(pings.values()), "no pings")
    attachments = data.get("attachments") or []
    new = [item for item in attachments if int(item["id"]) < files]
    _must(len(new) == files, "an attachments entry for every file")
    _must(all(len(item.get("description") or "") <= 1024 for item in new), "alt text of 1,024")
    _must(all(item.get("description") for item in new if _is_picture(item)), "alt text")
    _check_rows(data.get("components") or [])


def _is_picture(item: Mapping[str, Any]) -> bool:
    return str(item.get("filename", "")).endswith((".png", ".jpg", ".webp"))


def _embed_length(embed: Mapping[str, Any]) -> int:
    fields = embed.get("fields", [])
    _must(len(fields) <= 25, "25 fields")
    parts = [
        (embed.get("title", ""), 256),
        (embed.get("description", ""), 4096),
        (embed.get("footer", {}).get("text", ""), 2048),
        *((field["name"], 256) for field in fields),
        *((field["value"], 1024) for field in fields),
    ]
    _must(all(len(text) <= limit for text, limit in parts), "the length of an embed's part")
    _must(all(f["name"].strip() and f["value"].strip() for f in fields), "no empty field")
    return sum(len(text) for text, _ in parts)


def _check_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    _must(len(rows) <= 5, "5 rows")
    ids = []
    for row in rows:
        _must(row["type"] == ACTION_ROW, "rows of components")
        items = row["components"]
        alone = any(item["type"] in SELECTS for item in items)
        _must(len(items) <= (1 if alone else 5), "5 buttons or one select in a row")
        for item in items:
            ids.append(item["custom_id"])
            _check_item(item)
    _must(len(ids) == len(set(ids)), "custom ids that differ")
    _must(all(1 <= len(i) <= 100 for i in ids), "100 characters of custom id")


def _check_item(item: Mapping[str, Any]) -> None:
    if item["type"] == BUTTON:
        _must(1 <= len(item.get("label") or "") <= 80, "80 characters on a button, and some")
    if item["type"] in SELECTS:
        options = item.get("options", [])
        _must(1 <= len(options) <= 25, "25 options")
        _must(len(item.get("placeholder") or "") <= 150, "150 characters of placeholder")
        _must(all(len(o["label"]) <= 100 and len(o["value"]) <= 100 for o in options), "options")


def _check_modal(data: Mapping[str, Any]) -> None:
    _must(1 <= len(data["title"]) <= 45, "45 characters of modal title")
    _must(len(data["custom_id"]) <= 100, "100 characters of custom id")
    _must(1 <= len(data["components"]) <= 5, "5 boxes in a modal")
    for label in data["components"]:
        if label["type"] == TEXT_DISPLAY:
            _must(1 <= len(label["content"]) <= 4000, "4,000 characters of text")
            continue
        _must(label["type"] == LABEL, "boxes with a label")
        _must(len(label["label"]) <= 45, "45 characters of label")
        _must(len(label.get("description") or "") <= 100, "100 characters of description")
        box = label["component"]
        if box["type"] == TEXT_INPUT:
            _must(box.get("max_length", 4000) <= 4000, "4,000 characters in a box")
            _must(len(box.get("value") or "") <= box.get("max_length", 4000), "what fits in a box")
            _must(len(box.get("placeholder") or "") <= 100, "100 characters of placeholder")
        else:
            _check_item(box)


def _check_commands(commands: Sequence[Mapping[str, Any]]) -> None:
    slash = [c for c in commands if c.get("type", 1) == 1]
    _must(len(slash) <= 100, "100 commands")
    for kind in (2, 3):
        _must(sum(c.get("type", 1) == kind for c in commands) <= 5, "5 menus of a kind")
    for locale in LOCALES:
        _check_names(slash, locale)
    for command in commands:
        longest = max(_characters(command, locale) for locale in LOCALES)
        _must(longest <= 8000, "8,000 characters in a command")


def _check_names(nodes: Sequence[Mapping[str, Any]], locale: str) -> None:
    names = [_said(node, "name", locale) for node in nodes]
    _must(len(names) == len(set(names)), f"names that differ: {names}")
    _must(len(nodes) <= 25, "25 options")
    for node, name in zip(nodes, names, strict=True):
        _must(COMMAND_NAME.fullmatch(name) is not None, f"a name like {name!r}")
        _must(name == name.lower(), f"lower case, not {name!r}")
        _must(1 <= len(_said(node, "description", locale)) <= 100, f"a description of {name}")
        _must(len(node.get("choices") or []) <= 25, "25 choices")
        _check_names(node.get("options") or [], locale)


def _said(node: Mapping[str, Any], key: str, locale: str) -> str:
    return str((node.get(f"{key}_localizations") or {}).get(locale, node.get(key, "")))


def _characters(node: Mapping[str, Any], locale: str) -> int:
    own = len(_said(node, "name", locale)) + len(_said(node, "description", locale))
    return own + sum(_characters(child, locale) for child in _children(node))


def _children(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from node.get("options") or []
    yield from node.get("choices") or []


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(f"limit: {what}")
