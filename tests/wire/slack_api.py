"""What Slack takes and what it sends: limits of Block Kit and views, and Slack's sample payloads.

Limits: docs.slack.dev, "Block Kit reference" and "Views". `EASEL_SPECS` names a folder with
`slack/`, Slack's published sample payloads (java-slack-sdk); without it only limits are checked.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

Json = Mapping[str, Any]

MESSAGE, MODAL, HOME, UPLOAD = "message", "modal", "home", "upload"
"""Where blocks are shown; `UPLOAD` is the message with which a file is shared."""
MOST_BLOCKS = {MESSAGE: 50, UPLOAD: 50, MODAL: 100, HOME: 100}
MOST_TEXT = 13_200
"""Characters of all blocks of a message; measured, not documented (bolt-js #2509)."""
MOST_MARKDOWN = 12_000
VIEW_BYTES = 250_000

SELECTS = tuple(
    f"{kind}_select" for kind in ("static", "external", "users", "conversations", "channels")
)
CHOICES = (*SELECTS, "radio_buttons", "checkboxes", "datepicker", "timepicker", "datetimepicker")
MULTIPLE = tuple(f"multi_{select}" for select in SELECTS)
TYPED = ("plain_text_input", "number_input", "email_text_input", "url_text_input")
ELEMENTS_OF = {
    "section": ("button", "image", "overflow", *CHOICES, *MULTIPLE),
    "actions": ("button", "overflow", *CHOICES),
    "input": (*TYPED, "file_input", "rich_text_input", *CHOICES, *MULTIPLE),
    "context": ("image", "plain_text", "mrkdwn"),
}
EVERYWHERE = ("actions", "context", "divider", "header", "image", "input", "rich_text", "section")
BLOCKS_OF = {
    MESSAGE: (*EVERYWHERE, "file", "markdown", "table", "video"),
    UPLOAD: ("rich_text", "section"),
    MODAL: (*EVERYWHERE, "video"),
    HOME: (*EVERYWHERE, "video"),
}


CHANNEL_ID = re.compile(r"C0\w{7}")


class Violation(AssertionError):
    """What Slack would refuse, or would not send."""


def _string(most: int, least: int = 0) -> Json:
    return {"type": "string", "minLength": least, "maxLength": most}


def _object(required: Json, optional: Json | None = None) -> Json:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


def _list(most: int, items: Json, least: int = 1) -> Json:
    return {"type": "array", "minItems": least, "maxItems": most, "items": items}


BOOLEAN: Json = {"type": "boolean"}
ANY: Json = {}
ID = _string(255)


def _plain(most: int) -> Json:
    kind = {"type": {"const": "plain_text"}, "text": _string(most, 1)}
    return _object(kind, {"emoji": BOOLEAN})


def _text(most: int) -> Json:
    kind = {"type": {"const": "mrkdwn"}, "text": _string(most, 1)}
    return {
        "if": {"properties": {"type": {"const": "plain_text"}}},
        "then": _plain(most),
        "else": _object(kind, {"verbatim": BOOLEAN}),
    }


CONFIRM = _object(
    {"title": _plain(100), "text": _text(300), "confirm": _plain(30), "deny": _plain(30)},
    {"style": {"enum": ["primary", "danger"]}},
)
OPTION = _object({"text": _text(75), "value": _string(150, 1)}, {"description": _plain(75)})
OPTIONS = {"options": _list(100, OPTION)}
GROUPS = _list(100, _object({"label": _plain(75), **OPTIONS}))
ACTION = {"action_id": ID, "confirm": CONFIRM, "focus_on_load": BOOLEAN}
PLACEHOLDER = {"placeholder": _plain(150)}
SLACK_FILE = {"oneOf": [_object({"id": ID}), _object({"url": _string(3000)})]}
PICTURE = {"image_url": _string(3000, 1), "slack_file": SLACK_FILE}
DISPATCH = {"dispatch_action_config": ANY}


def _typed(extra: Json, required: Json | None = None) -> Json:
    return _object(required or {}, {**ACTION, **PLACEHOLDER, **DISPATCH, **extra})


def _picker(extra: Json) -> Json:
    return _object({}, {**ACTION, **PLACEHOLDER, **extra})


_STATIC = {**OPTIONS, "option_groups": GROUPS, "initial_option": OPTION}
_STATICS = {**_STATIC, "initial_options": _list(100, OPTION), "max_selected_items": ANY}
_OF_TEN = {"options": _list(10, OPTION), "initial_option": OPTION}
_LISTED = {
    "static_select": _STATIC,
    "multi_static_select": _STATICS,
    "external_select": {"initial_option": OPTION, "min_query_length": ANY},
    "multi_external_select": {"initial_options": ANY, "min_query_length": ANY},
    "datepicker": {"initial_date": ANY},
    "timepicker": {"initial_time": ANY, "timezone": ANY},
    "datetimepicker": {"initial_date_time": ANY},
}
_PEOPLE = {
    f"{many}{kind}s_select": {
        f"initial_{kind}{'s' if many else ''}": ANY,
        "filter": ANY,
        **({"max_selected_items": ANY} if many else {}),
    }
    for kind in ("user", "conversation", "channel")
    for many in ("", "multi_")
}
ELEMENTS: dict[str, Json] = {
    **{kind: _picker(extra) for kind, extra in {**_LISTED, **_PEOPLE}.items()},
    "plain_text": _object({"text": _string(3000, 1)}, {"emoji": BOOLEAN}),
    "mrkdwn": _object({"text": _string(3000, 1)}, {"verbatim": BOOLEAN}),
    "button": _object(
        {"text": _plain(75)},
        {
            **ACTION,
            "value": _string(2000),
            "url": _string(3000),
            "style": {"enum": ["primary", "danger"]},
            "accessibility_label": _string(75),
        },
    ),
    "image": _object({"alt_text": _string(2000, 1)}, PICTURE),
    "overflow": _object({"options": _list(5, OPTION)}, ACTION),
    "radio_buttons": _object({"options": _list(10, OPTION)}, {**ACTION, **_OF_TEN}),
    "checkboxes": _object(
        {"options": _list(10, OPTION)}, {**ACTION, "initial_options": _list(10, OPTION)}
    ),
    "plain_text_input": _typed(
        {
            "initial_value": _string(3000),
            "multiline": BOOLEAN,
            "min_length": {"type": "integer", "minimum": 0, "maximum": 3000},
            "max_length": {"type": "integer", "minimum": 1, "maximum": 3000},
        }
    ),
    "number_input": _typed(
        dict.fromkeys(("initial_value", "min_value", "max_value"), _string(255)),
        {"is_decimal_allowed": BOOLEAN},
    ),
    "email_text_input": _typed({"initial_value": _string(3000)}),
    "url_text_input": _typed({"initial_value": _string(3000)}),
    "rich_text_input": _typed({"initial_value": ANY}),
    "file_input": _object(
        {},
        {
            **ACTION,
            "filetypes": {"type": "array", "items": {"type": "string"}},
            "max_files": {"type": "integer", "minimum": 1, "maximum": 10},
        },
    ),
}
BLOCKS: dict[str, Json] = {
    "section": {
        **_object(
            {},
            {
                "text": _text(3000),
                "fields": _list(10, _text(2000)),
                "accessory": ANY,
                "expand": BOOLEAN,
            },
        ),
        "anyOf": [{"required": ["text"]}, {"required": ["fields"]}],
    },
    "header": _object({"text": _plain(150)}),
    "divider": _object({}),
    "context": _object({"elements": _list(10, ANY)}),
    "actions": _object({"elements": _list(25, ANY)}),
    "image": _object({"alt_text": _string(2000, 1)}, {**PICTURE, "title": _plain(2000)}),
    "input": _object(
        {"label": _plain(2000), "element": ANY},
        {"hint": _plain(2000), "optional": BOOLEAN, "dispatch_action": BOOLEAN},
    ),
    "markdown": _object({"text": _string(MOST_MARKDOWN, 1)}),
    "rich_text": _object({"elements": _list(1000, {"type": "object", "required": ["type"]})}),
    "file": _object({"external_id": ID, "source": {"const": "remote"}}),
    "table": {"type": "object", "required": ["rows"]},
    "video": {"type": "object", "required": ["alt_text", "title", "video_url", "thumbnail_url"]},
}
_VIEW = {
    "blocks": ANY,
    "callback_id": ID,
    "external_id": ID,
    "private_metadata": _string(3000),
}
_MODAL = {
    "close": _plain(24),
    "submit": _plain(24),
    "clear_on_close": BOOLEAN,
    "notify_on_close": BOOLEAN,
    "submit_disabled": BOOLEAN,
}
VIEWS: dict[str, Json] = {
    MODAL: _object({"title": _plain(24), "blocks": ANY}, {**_VIEW, **_MODAL}),
    HOME: _object({"blocks": ANY}, _VIEW),
}


@cache
def _validator(table: str, kind: str) -> Draft202012Validator:
    return Draft202012Validator(
        {"elements": ELEMENTS, "blocks": BLOCKS, "views": VIEWS}[table][kind]
    )


def _must(holds: object, what: str) -> None:
    if not holds:
        raise Violation(what)


def _fits(table: str, kind: str, value: Json, where: str) -> None:
    given = {key: item for key, item in value.items() if key not in ("type", "block_id")}
    error = best_match(_validator(table, kind).iter_errors(given))
    if error is not None:
        place = "/".join([where, *(str(step) for step in error.absolute_path)])
        raise Violation(f"{kind}: {error.message[:200]} [json-pointer:{place}]")


def check_blocks(blocks: object, surface: str) -> None:
    """Raises Violation for what Slack answers with `invalid_blocks`."""
    _must(isinstance(blocks, list), "blocks are an array")
    assert isinstance(blocks, list)
    _must(len(blocks) <= MOST_BLOCKS[surface], f"no more than {MOST_BLOCKS[surface]} blocks")
    for index, block in enumerate(blocks):
        _must(isinstance(block, dict) and "type" in block, f"a type of block {index}")
        _check_block(block, surface, f"/blocks/{index}")
    ids = [block["block_id"] for block in blocks if block.get("block_id")]
    _must(len(ids) == len(set(ids)), "block_id must be unique")
    markdown = sum(len(block["text"]) for block in blocks if block["type"] == "markdown")
    _must(markdown <= MOST_MARKDOWN, f"no more than {MOST_MARKDOWN} characters of markdown")
    if surface in (MESSAGE, UPLOAD):
        _must(text_length(blocks) <= MOST_TEXT, "msg_blocks_too_long")


def _check_block(block: Json, surface: str, where: str) -> None:
    kind = block["type"]
    _must(kind in BLOCKS_OF[surface], f"unsupported type: {kind} [json-pointer:{where}/type]")
    _must(len(str(block.get("block_id", ""))) <= 255, f"255 characters of block_id [{where}]")
    _fits("blocks", kind, block, where)
    if kind == "image":
        _one_picture(block, where)
    elements = [block[key] for key in ("accessory", "element") if key in block]
    elements += block["elements"] if kind in ("actions", "context") else []
    for element in elements:
        _check_element(element, kind, surface, where)
    ids = [element["action_id"] for element in elements if element.get("action_id")]
    _must(len(ids) == len(set(ids)), f"action_id must be unique in its block [{where}]")


def _check_element(element: Json, block_kind: str, surface: str, where: str) -> None:
    kind = element.get("type")
    _must(kind in ELEMENTS_OF[block_kind], f"unsupported element: {kind} [json-pointer:{where}]")
    _must(kind != "file_input" or surface == MODAL, f"file_input is for modals [{where}]")
    _fits("elements", str(kind), element, where)
    if kind == "image":
        _one_picture(element, where)
    if kind in ("static_select", "multi_static_select"):
        _must(("options" in element) != ("option_groups" in element), f"options [{where}]")
    longest = element.get("max_length", 3000) if kind == "plain_text_input" else 3000
    if kind in TYPED:
        _must(len(str(element.get("initial_value", ""))) <= longest, f"initial_value [{where}]")


def _one_picture(value: Json, where: str) -> None:
    _must(("image_url" in value) != ("slack_file" in value), f"image_url or slack_file [{where}]")


def check_view(view: object) -> None:
    """Raises Violation for what Slack answers with `invalid_arguments`."""
    _must(isinstance(view, dict) and view.get("type") in VIEWS, "a view is a modal or home")
    assert isinstance(view, dict)
    _fits("views", view["type"], view, "/view")
    check_blocks(view["blocks"], view["type"])
    inputs = any(block["type"] == "input" for block in view["blocks"])
    _must(view["type"] == HOME or not inputs or "submit" in view, "submit, as there are inputs")


def text_length(value: object) -> int:
    """Characters in everything that is read."""
    if isinstance(value, dict):
        return sum(
            len(item) if key == "text" and isinstance(item, str) else text_length(item)
            for key, item in value.items()
        )
    return sum(map(text_length, value)) if isinstance(value, list) else 0


def pictures(value: object) -> Iterator[Json]:
    """Every image block and image element."""
    if isinstance(value, dict):
        if value.get("type") == "image" and "alt_text" in value:
            yield value
        for item in value.values():
            yield from pictures(item)
    elif isinstance(value, list):
        for item in value:
            yield from pictures(item)


# Slack's sample payloads: every key with a value of its type.


def specs_folder() -> Path | None:
    folder = os.environ.get("EASEL_SPECS")
    return Path(folder) / "slack" if folder else None


@cache
def sample(name: str) -> Any:
    """Of a Web API method's answer, or of a payload. Raises FileNotFoundError."""
    folder = specs_folder()
    if folder is None:
        raise FileNotFoundError("EASEL_SPECS is not set")
    return json.loads((folder / f"{name}.json").read_text("utf-8"))


def check_sample(name: str, given: object) -> None:
    """Raises Violation where `given` has a key or a type that Slack's sample has not."""
    _alike(sample(name), given, name)


def _alike(example: Any, given: object, where: str) -> None:
    if given is None or example in ({}, []):
        return
    if isinstance(example, dict):
        _must(isinstance(given, dict), f"{where} is an object")
        assert isinstance(given, dict)
        by_id = next((item for key, item in example.items() if CHANNEL_ID.match(key)), None)
        for key, value in given.items():
            if key == "blocks":  # They are the app's own; `check_blocks` has judged them.
                continue
            _must(by_id is not None or key in example, f"{where} has no {key}")
            _alike(example.get(key, by_id), value, f"{where}.{key}")
    elif isinstance(example, list):
        _must(isinstance(given, list), f"{where} is an array")
        assert isinstance(given, list)
        for item in given:
            _alike(_merged(example), item, f"{where}[]")
    else:
        kind = type(example)
        _must(type(given) is kind, f"{where} is {kind.__name__}, not {given!r}")


def _merged(examples: Sequence[Any]) -> Any:
    """Of several objects in an array, what any of them may have."""
    if not all(isinstance(example, dict) for example in examples):
        return examples[0]
    merged: dict[str, Any] = {}
    for example in examples:
        for key, value in example.items():
            known = merged.get(key)
            if isinstance(known, dict) and isinstance(value, dict):
                merged[key] = _merged([known, value])
            elif isinstance(known, list) and isinstance(value, list):
                merged[key] = [*known, *value]
            elif known in (None, {}, []) or isinstance(value, dict):
                merged[key] = value
    return merged


TIERS = {"Tier1": 1, "Tier2": 20, "Tier3": 50, "Tier4": 100}
"""Calls a minute (docs.slack.dev, "Rate limits")."""
HUNDREDS = 300
"""Of the special tiers: "hundreds of requests per minute"."""


def per_minute(method: str) -> int:
    """Without the published tiers every method has the third."""
    if specs_folder() is None:
        return TIERS["Tier3"]
    return TIERS.get(sample("rate_limit_tiers").get(method, ""), HUNDREDS)
