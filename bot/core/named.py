"""What chats write as an id, as people see it: names in place of numbers."""

import re
from collections.abc import Mapping

MOST_STRANGERS = 5
"""Of so many the platform is asked who they are."""

_EMOJI = re.compile(r"<a?(:\w{1,64}:)\d{1,25}>", re.ASCII)
_NAMED = re.compile(
    r"<(@[!&]?|#|!subteam\^)(?:(\d{15,22}|[A-Z][A-Z0-9]{2,30})|([A-Za-z0-9]{1,30})(?=\|))"
    r"(?:\|([^<>|]{0,100}))?>",
    re.ASCII,
)
"""Of what has no name beside it, only what can be an id of Discord's or Slack's."""
_SAID = re.compile(r"<(?:!(here|channel|everyone)(?:\|[^<>]{0,60})?|/([\w -]{1,100}):\d{1,25})>")
_TIME = re.compile(r"<t:-?\d{1,15}(?::\w)?>", re.ASCII)
_NOT_OF_A_NAME = re.compile(r"[^\w .'’]+")


def strangers(text: str) -> tuple[str, ...]:
    """Ids of people, roles and channels that come without a name."""
    if "<" not in text:
        return ()
    ids = (match[2] for match in _NAMED.finditer(text) if match[2] and not match[4])
    return tuple(dict.fromkeys(ids))[:MOST_STRANGERS]


def introduced(text: str, names: Mapping[str, str]) -> str:
    """The same text with these names beside their ids."""

    def with_name(match: re.Match[str]) -> str:
        id_ = match[2] or match[3]
        name = _plain(match[4] or names.get(id_, ""))
        return f"<{match[1]}{id_}|{name}>" if name else match[0]

    return _NAMED.sub(with_name, text)


def shown(text: str) -> str:
    """`<@42|Bob>` is `@Bob`, so that the text check knows a mention; `<#42|general>` is the
    channel's name, `<:apple:42>` is `:apple:`. No id is left."""
    if "<" not in text:
        return text
    text = _NAMED.sub(_name, _EMOJI.sub(r"\1", text))
    return _TIME.sub(" ", _SAID.sub(lambda match: match[1] or match[2], text))


def _name(match: re.Match[str]) -> str:
    name = _plain(match[4] or "")
    if match[1] == "#":
        return name
    return f"@{name or 'someone'}"


def _plain(name: str) -> str:
    """A name can be no flag and no sign, whatever somebody calls themselves."""
    return " ".join(_NOT_OF_A_NAME.sub(" ", name).split())[:100]
