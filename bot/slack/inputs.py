"""Input blocks of modals.

Limits (docs.slack.dev, "Block Kit reference"): 2,000 characters a label or hint, 100 options of 75
characters, 3,000 characters typed, 10 files of 10 MB.
"""

from __future__ import annotations

from collections.abc import Sequence

from bot.slack.blocks import Block, plain

TYPED_LIMIT = 3000
CHOICES_LIMIT = 100
OPTION_LIMIT = 75
FILE_KINDS = ["png", "jpg", "jpeg", "webp"]


def input_block(
    name: str, label: str, element: Block, *, optional: bool = False, hint: str = ""
) -> Block:
    """`name` is the id of block and element."""
    block = {
        "type": "input",
        "block_id": name,
        "optional": optional,
        "label": plain(label, 2000),
        "element": {"action_id": name, **element},
    }
    return block | ({"hint": plain(hint, 2000)} if hint else {})


def text_box(text: str = "") -> Block:
    """`text` is there to begin with, in at most TYPED_LIMIT characters."""
    box: Block = {"type": "plain_text_input", "multiline": True, "max_length": TYPED_LIMIT}
    return box | ({"initial_value": text} if text else {})


def file_box() -> Block:
    return {"type": "file_input", "filetypes": FILE_KINDS, "max_files": 1}


def number_box(least: int, most: int, number: int | None = None) -> Block:
    box: Block = {"type": "number_input", "is_decimal_allowed": False}
    box |= {"min_value": str(least), "max_value": str(most)}
    return box | ({"initial_value": str(number)} if number is not None else {})


def select(options: Sequence[Block], chosen: str = "") -> Block:
    """`chosen` is the value that it begins with, if there is such an option."""
    shown = list(options[:CHOICES_LIMIT])
    begin = [option for option in shown if option["value"] == chosen]
    box: Block = {"type": "static_select", "options": shown}
    return box | ({"initial_option": begin[0]} if begin else {})


def channels_box(chosen: Sequence[str]) -> Block:
    """Several channels, private ones too; so many that a section can name them all."""
    kinds = {"include": ["public", "private"], "exclude_bot_users": True}
    box: Block = {"type": "multi_conversations_select", "filter": kinds}
    box["max_selected_items"] = CHOICES_LIMIT
    return box | ({"initial_conversations": list(chosen)} if chosen else {})


def option(label: str, value: str) -> Block:
    return {"text": plain(label, OPTION_LIMIT), "value": value}


def named(names: Sequence[str]) -> list[Block]:
    """An option for each name that Slack can hold."""
    return [option(name, name) for name in names if len(name) <= OPTION_LIMIT]
