"""What a person reads in a Slack message, modal or home, and whom it would ping.

Formatting: docs.slack.dev, "Formatting message text". A bare `@channel` in mrkdwn counts as a ping
too unless the text is `verbatim`: Slack says that it parses "certain mentions" there.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from typing import Any

PINGS_ALL = ("channel", "here", "everyone")
_MARK = re.compile(r"<([^<>]+)>")
_BARE = re.compile(rf"(?<!\w)@({'|'.join(PINGS_ALL)})\b")
_URL = re.compile(r"(?:https?://|mailto:)[^\s<>|]+")


@dataclass
class Reading:
    lines: list[str] = field(default_factory=list)
    pings: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    buttons: list[dict[str, Any]] = field(default_factory=list)
    """Everything that can be pressed or chosen, in order."""
    inputs: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(line for line in self.lines if line)

    def mrkdwn(self, text: str, *, verbatim: bool) -> str:
        """`text` as it is read; what it pings and links to is noted."""
        if not verbatim:
            self.pings += [f"@{name}" for name in _BARE.findall(text)]
            self.links += _URL.findall(_MARK.sub(" ", text))
        return html.unescape(_MARK.sub(lambda mark: self._mark(mark[1]), text))

    def _mark(self, inside: str) -> str:
        target, _, label = inside.partition("|")
        if target.startswith("@"):
            self.pings.append(target)
            return f"@{label or target[1:]}"
        if target.startswith("!"):
            name = target[1:].partition("^")[0]
            if name in (*PINGS_ALL, "subteam"):
                self.pings.append(f"@{name}")
            return label or f"@{name}"
        if target.startswith("#"):
            return f"#{label or target[1:]}"
        self.links.append(target)
        return label or target

    def text_object(self, value: dict[str, Any] | None) -> str:
        if not value:
            return ""
        if value["type"] == "plain_text":
            return str(value["text"])
        return self.mrkdwn(value["text"], verbatim=value.get("verbatim", False))

    def block(self, block: dict[str, Any]) -> None:
        kind = block["type"]
        if kind == "markdown":
            self.lines.append(self.mrkdwn(block["text"], verbatim=False))
        elif kind == "rich_text":
            self.lines.append(self._rich(block["elements"]))
        elif kind == "image":
            self._image(block)
        else:
            self.lines.append(self.text_object(block.get("text") or block.get("label")))
            self.lines += [self.text_object(text) for text in block.get("fields", [])]
            self.lines.append(self.text_object(block.get("hint")))
        for element in [*block.get("elements", []), block.get("accessory"), block.get("element")]:
            if element and kind != "rich_text":
                self._element(element, block)

    def _image(self, image: dict[str, Any]) -> None:
        self.lines.append(self.text_object(image.get("title")))
        file = image.get("slack_file", {})
        self.images.append(
            {
                "alt": image["alt_text"],
                "url": image.get("image_url") or file.get("url", ""),
                "file": file.get("id", ""),
            }
        )

    def _element(self, element: dict[str, Any], block: dict[str, Any]) -> None:
        kind = element["type"]
        if kind in ("mrkdwn", "plain_text"):
            self.lines.append(self.text_object(element))
        elif kind == "image":
            self._image(element)
        else:
            options = [o for g in element.get("option_groups", []) for o in g["options"]]
            options += element.get("options", [])
            seen = {
                "type": kind,
                "block_id": block.get("block_id", ""),
                "action_id": element.get("action_id", ""),
                "label": self.text_object(element.get("text") or element.get("placeholder")),
                "value": element.get("value", ""),
                "url": element.get("url", ""),
                "options": [[self.text_object(o["text"]), o["value"]] for o in options],
            }
            if block["type"] != "input":
                self.buttons.append(seen)
                return
            names = ("initial_option", "initial_options", "initial_conversations")
            initial = next((element[name] for name in names if element.get(name)), None)
            label, hint = (self.text_object(block.get(key)) for key in ("label", "hint"))
            value = element.get("initial_value", initial)
            optional = block.get("optional", False)
            self.inputs.append(
                {**seen, "label": label, "hint": hint, "value": value, "optional": optional}
            )

    def _rich(self, elements: list[dict[str, Any]]) -> str:
        words = []
        for element in elements:
            kind = element["type"]
            if kind in ("user", "usergroup", "broadcast"):
                name = element.get("range") or element.get(f"{kind}_id", "")
                self.pings.append(f"@{name}")
                words.append(f"@{name}")
            elif kind == "link":
                self.links.append(element["url"])
                words.append(element.get("text", element["url"]))
            elif kind == "emoji":
                words.append(f":{element['name']}:")
            else:
                words.append(element.get("text", "") + self._rich(element.get("elements", [])))
        return "".join(words)


def read(text: str, blocks: list[dict[str, Any]]) -> Reading:
    """With blocks, `text` is what notifications show: it is no line, but it pings."""
    reading = Reading()
    shown = Reading()
    fallback = shown.mrkdwn(text, verbatim=True)
    reading.pings += shown.pings
    if not blocks:
        reading.lines, reading.links = [fallback], shown.links
    for block in blocks:
        reading.block(block)
    return reading
