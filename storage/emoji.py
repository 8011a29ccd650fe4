"""Emoji and mentions as words, for models, cards and screen readers.

A request keeps its prompt as it was typed, which is what the text check reads: there a mention is
`@name`, and an emoji is itself or stands between colons.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any

_VARIATION = "\ufe0f"
_SKIN_TONES = dict.fromkeys(range(127995, 128000))
_CODE = re.compile(r"(?<!\w):([\w+'-]{1,64}):(?::skin-tone-[2-6]:)?(?!\w)", re.ASCII)
_TOUCHING = re.compile(r"(?<=[^\W_])(?=\x01)|(?<=\x02)(?=[^\W_])")
_BETWEEN = re.compile("\x02 ?\x01")
_MARKS = re.compile("[\x01\x02]")
MENTION = re.compile(r"(?<![\w@<])@(?=\w)")
"""What stands before the name of somebody who is mentioned."""


def spoken(text: str, locale: str) -> str:
    """`🍎 for @bob` is "red apple for @bob" in English. Emoji of a server's own, `:party_cat:`, are
    called by their name. An emoji that has no name stays."""
    if ":" in text:
        text = _CODE.sub(lambda match: _of_code(match, locale), text)
    if not text.isascii():
        runs = [(known, "".join(run)) for known, run in groupby(text, _signs().__contains__)]
        named = {run: _of_run(run, locale) for run in {run for known, run in runs if known}}
        text = "".join(named.get(run, run) for _, run in runs)
    if "\x01" not in text:
        return text
    return _MARKS.sub("", _TOUCHING.sub(" ", _BETWEEN.sub("\x02, \x01", text)))


def called(keyword: str, locale: str) -> list[str]:
    """Names, in that language, of emoji that have this keyword, without accents, in any language;
    the most usual first."""
    names = _names(locale)
    signs = (tags.get(keyword, "") for tags in _data()["keywords"].values())
    return [names[sign] for group in signs for sign in group.split() if sign in names]


def _of_code(match: re.Match[str], locale: str) -> str:
    code = match[1]
    sign = _data()["short_codes"].get(code.lower())
    if sign is None and not any(c.isalpha() for c in code):
        return match[0]
    return _marked(_names(locale)[sign] if sign else " ".join(re.split(r"[_-]+", code)).strip())


def _of_run(run: str, locale: str) -> str:
    names = _names(locale)
    bare = run.replace(_VARIATION, "").translate(_SKIN_TONES)
    found, at = "", 0
    while at < len(bare):
        for end in range(min(len(bare), at + _longest()), at, -1):
            if name := names.get(bare[at:end]):
                found, at = found + _marked(name), end
                break
        else:
            found, at = found + bare[at], at + 1
    return found if "\x01" in found else run


def _marked(name: str) -> str:
    """With signs that no prompt has, where words may have to be parted from it."""
    return f"\x01{name}\x02"


@cache
def _data() -> Mapping[str, Any]:
    """`generation.builtin.emoji` writes it."""
    data: Mapping[str, Any] = json.loads(files("storage").joinpath("emoji.json").read_text("utf-8"))
    return data


@cache
def _names(locale: str) -> Mapping[str, str]:
    languages: list[str] = _data()["languages"]
    place = languages.index(locale) if locale in languages else 0
    return {sign: names[place] for sign, names in _data()["names"].items()}


@cache
def _longest() -> int:
    return max(map(len, _data()["names"]))


@cache
def _signs() -> frozenset[str]:
    """All characters of which emoji consist."""
    return frozenset(character for sign in _data()["names"] for character in sign) | {
        _VARIATION,
        *map(chr, _SKIN_TONES),
    }
