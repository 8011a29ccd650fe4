"""What people typed, made harmless for Discord, and our own words in their language."""

import re

from bot.i18n import say
from storage.domain import Complaint

_SYNTAX = re.compile(r"[\\*_~|`\[\]<>]|^(?=[^\S\n]*(?:#{1,3}|-#|[-+]|\d+\.)\s)", re.MULTILINE)
_NO_BREAK = "\u2060"


def escape(text: str) -> str:
    """`text` as it was typed: no markdown, no link, no mention, whoever wrote it.

    A backslash shows the next sign as it is; a word joiner (invisible) breaks `@name` and
    `http://`, where no backslash helps.
    """
    text = _SYNTAX.sub(lambda sign: f"\\{sign[0]}" if sign[0] else _NO_BREAK, text)
    return text.replace("@", f"@{_NO_BREAK}").replace("://", f":{_NO_BREAK}//")


def clip(text: str, limit: int) -> str:
    """At most `limit` characters, without half an escape at the end."""
    if len(text) <= limit:
        return text
    return text[: limit - 1].rstrip("\\" + _NO_BREAK) + "…"


def words(locale: str, complaint: Complaint) -> str:
    """A complaint in that language. Its values may quote what was typed, but for the channel
    links that `accept` makes."""
    values = {
        name: escape(value) if isinstance(value, str) and name != "channels" else value
        for name, value in complaint.values.items()
    }
    return clip(say(locale, complaint.text, **values), 2000)
