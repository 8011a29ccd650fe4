"""What people typed, made harmless for Slack's mrkdwn; and what Slack made of it, undone."""

import re

from bot.core.written import MAX_TEXT_CHARACTERS
from bot.i18n import say
from storage.domain import Complaint

_NO_BREAK = "\u2060"
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
LONGEST_PIECE = 5
"""Characters that one may become."""
_SYNTAX = frozenset("*_~`@:")
_MENTION = re.compile(r"<@[A-Z0-9]{1,30}(?:\|[^<>]{0,100})?>")
_COMMAND = re.compile(r"(?<![\w/])/(?=(?:queue|usage|privacy|help)\b)")
_LINK = re.compile(r"<(?!(?:lora|lyco|hypernet):)(?:mailto:)?([^<>|!@#][^<>|]*)(?:\|[^<>]*)?>")


def escape(text: str, limit: int = 3000) -> str:
    """`text` as it was typed: no markup, no mention, no link, no emoji, in at most `limit`
    characters of mrkdwn, cut before an entity rather than inside it.

    Slack has no escape for markup; an invisible word joiner keeps the sign from meaning anything.
    """
    pieces: list[str] = []
    length = 0
    for character in text:
        piece = _ENTITIES.get(character, character)
        if character in _SYNTAX:
            piece = f"{_NO_BREAK}{character}{_NO_BREAK}"
        elif character == ">":
            piece = f"{_NO_BREAK}{piece}"  # Even as an entity it makes a quote of a line.
        if length + len(piece) > limit - 1:
            return "".join(pieces) + "…"
        pieces.append(piece)
        length += len(piece)
    return "".join(pieces)


def whole(text: str, limit: int = 2700) -> list[str]:
    """All of `text` as `escape` makes it, in pieces of at most `limit` characters."""
    if len(piece := escape(text, LONGEST_PIECE * len(text) + 2)) < limit:
        return [piece]
    middle = len(text) // 2
    cut = text.rfind(" ", 0, middle) + 1 or middle
    return [*whole(text[:cut], limit), *whole(text[cut:], limit)]


def clip(text: str, limit: int) -> str:
    """At most `limit` characters of plain text."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def typed(text: str, me: str = "") -> str:
    """What somebody wrote, out of what Slack sends: links as they were typed, the three entities
    undone (docs.slack.dev, "Retrieving messages"), and our own mention left out; `me` is our user
    id, and where nobody knows it, who is mentioned first is taken for us. What is too long to be
    read anyhow stays as it is."""
    if len(text) > MAX_TEXT_CHARACTERS:
        return text
    if me:
        text = re.sub(rf"<@{re.escape(me)}(?:\|[^<>]{{0,100}})?>", " ", text)
    else:
        text = _MENTION.sub(" ", text, count=1)
    text = _LINK.sub(r"\1", text)
    for character, entity in reversed(_ENTITIES.items()):
        text = text.replace(entity, character)
    return text.strip()


def words(locale: str, complaint: Complaint) -> str:
    """A complaint in that language. Its values may quote what was typed, but for the channel
    links that `accept` makes."""
    values = {
        name: escape(value) if isinstance(value, str) and name != "channels" else value
        for name, value in complaint.values.items()
    }
    # What are commands of their own elsewhere are words of the one command here.
    return clip(_COMMAND.sub("/imagine ", say(locale, complaint.text, **values)), 3000)
