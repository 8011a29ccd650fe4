"""Block Kit: a Card and the short private answers become blocks.

Limits (docs.slack.dev, "Block Kit reference"): 50 blocks a message, 3,000 characters a section,
10 fields of 2,000, 75 a button's label, 25 buttons an actions block, 2,000 an alt text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.i18n import say
from bot.slack.words import clip, escape
from storage.domain import Button, Card, Tone

Block = dict[str, Any]

BAR_CELLS = 16
PICK = "pick"
SUMMARY_LIMIT = 4000
"""Slack advises no more in `text` (docs.slack.dev, "chat.postMessage")."""
_MARKS = {Tone.REFUSED: "⚠️ ", Tone.FAILED: "⚠️ "}


def plain(text: str, limit: int = 75) -> Block:
    return {"type": "plain_text", "text": clip(text, limit) or "…", "emoji": False}


def mrkdwn(text: str) -> Block:
    """Text that is escaped already; Slack adds no links of its own to it."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def section(text: str) -> Block:
    return {"type": "section", "text": mrkdwn(text)}


def button(action: str, value: str, label: str, *, danger: bool = False) -> Block:
    style = {"style": "danger"} if danger else {}
    return {
        "type": "button",
        "action_id": f"easel:{action}",
        "value": value,
        "text": plain(label),
        **style,
    }


def picture(file_id: str, alt_text: str) -> Block:
    return {"type": "image", "slack_file": {"id": file_id}, "alt_text": clip(alt_text, 2000)}


def card_blocks(card: Card, files: Sequence[str] = ()) -> list[Block]:
    """`files` are the ids of the card's pictures that are in Slack, in their order."""
    blocks = [section(_text(card))]
    if card.fields:
        fields = [f"*{escape(n, 200)}*\n{escape(v, 1700)}" for n, v in card.fields[:10]]
        blocks.append({"type": "section", "fields": [mrkdwn(field) for field in fields]})
    shown = zip(files, card.pictures, strict=False)
    blocks += [picture(file_id, shown_picture.alt_text) for file_id, shown_picture in shown]
    if card.footer:
        blocks.append({"type": "context", "elements": [mrkdwn(escape(card.footer, 2000))]})
    if card.buttons:
        blocks.append({"type": "actions", "elements": _elements(card)})
    return blocks


def summary(card: Card) -> str:
    """The whole card in words: all that notifications and screen readers say of the message."""
    lines = [card.title, card.text, *(f"{name}: {value}" for name, value in card.fields)]
    if card.progress_0_1 is not None:
        lines.append(f"{card.progress_0_1:.0%}")
    lines += [*dict.fromkeys(picture.alt_text for picture in card.pictures), card.footer]
    return escape("\n".join(filter(None, lines)), SUMMARY_LIMIT) or "…"


def _text(card: Card) -> str:
    lines = [f"*{_MARKS.get(card.tone, '')}{escape(card.title, 600)}*"] if card.title else []
    lines += [escape(card.text, 2200)] if card.text else []
    if card.progress_0_1 is not None:
        done = round(card.progress_0_1 * BAR_CELLS)
        lines.append(f"`{'█' * done}{'░' * (BAR_CELLS - done)}` {card.progress_0_1:.0%}")
    return "\n".join(lines) or "…"


def _elements(card: Card) -> list[Block]:
    """Buttons; what is about one of several pictures goes into a select."""
    several = len(card.pictures) > 1
    chosen = [b for b in card.buttons if several and b.picture is not None]
    elements = [
        button(b.action, _value(card, b), b.label, danger=b.danger)
        for b in card.buttons
        if b not in chosen
    ]
    if chosen:
        options = [
            {"text": plain(b.label), "value": f"{b.action}:{_value(card, b)}"} for b in chosen
        ]
        elements.append(
            {
                "type": "static_select",
                "action_id": f"easel:{PICK}",
                "placeholder": plain(
                    say(card.locale, "Vary or enlarge one of the pictures"), limit=150
                ),
                "options": options,
            }
        )
    return elements[:25]


def _value(card: Card, wanted: Button) -> str:
    return f"{card.job_id}:{wanted.picture or 0}"
