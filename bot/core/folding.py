"""Ways to read a text: what a person sees in it, whatever characters it is written with."""

import re
import unicodedata
from collections.abc import Iterator, Mapping

_HOMOGLYPHS = {
    **dict(zip("авсеһіјкӏмнорѕтухѵԁԛԝгп", "abcehijklmhopstyxvdqwrn", strict=True)),
    **dict(zip("αβεικνορτυχηωµμςγδ", "abeiknoptuxnwuusyd", strict=True)),
    **dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz", strict=True)),
    **dict(zip("ıłøđħŧƅɑɡɩʋ×", "ilodhtbagivx", strict=True)),
    "æ": "ae",
    "œ": "oe",
    # Letters in coloured circles, in coloured squares, and as flags.
    **{chr(start + i): chr(97 + i) for start in (0x1F150, 0x1F170, 0x1F1E6) for i in range(26)},
}
_LOOKALIKES = str.maketrans(_HOMOGLYPHS)
_LEET = "013457@$!|+€89", "oieastasiltebg"
_LEETS = (
    str.maketrans(*_LEET),
    str.maketrans(_LEET[0] + "1", _LEET[1] + "l"),
)
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\u2800")

_WORD = re.compile(r"[^\W_]+")
_LEET_WORD = re.compile(r"[^\s,.;:_()\[\]{}\"'/*~-]+")
_LEET_SIGNS = frozenset(_LEET[0])
_WEIGHT = re.compile(r":\s?[\d.]{1,8}\s?\)")
_INNER = re.compile(r"(?<=[^\W_])[-._·•*~|()\[\]{}:;/+=#^\u2010-\u2015]+(?=[^\W_])")
_SPELLED = re.compile(r"(?<![^\W_])[^\W_](?:[\W_]{1,3}[^\W_](?![^\W_])){2,}")
_LONG_RUN = re.compile(r"(.)\1{2,}")
_VOWEL_RUN = re.compile(r"([aeiou])\1+")


def fold(text: str) -> str:
    """Without case, accents, invisible characters and look-alikes of other scripts."""
    seen = visible(text).casefold()
    bare = "".join(c for c in unicodedata.normalize("NFD", seen) if unicodedata.category(c) != "Mn")
    return bare.translate(_LOOKALIKES)


def visible(text: str) -> str:
    """NFKC (full width and ornate letters become plain) without what nobody sees."""
    flat = unicodedata.normalize("NFKC", text)
    return "".join(
        " " if c.isspace() else c
        for c in flat
        if c.isspace() or (c not in _INVISIBLE and unicodedata.category(c) not in ("Cc", "Cf"))
    )


def accented(text: str) -> list[str]:
    """Words with their accents, to tell `año` from its look-alike."""
    return _WORD.findall(unicodedata.normalize("NFC", visible(text).casefold()))


def readings(text: str) -> Iterator[list[str]]:
    """Word lists of a folded text: as it stands, with words put together again that were
    spelled out (`n u d e`, `nu-de`, `(nu:1.2)de`), and each with digits and signs as letters."""
    text = _WEIGHT.sub(")", text)
    for view in dict.fromkeys((text, _INNER.sub("", text))):
        yield _WORD.findall(view)
        for table in _LEETS:
            yield _WORD.findall(_unleet(view, table))
    for view in dict.fromkeys(text.translate(table) for table in ({}, *_LEETS)):
        for run in _SPELLED.findall(view):
            letters = "".join(_WORD.findall(run))
            # Where words begin in it is anybody's guess.
            for start in range(len(letters) - 2):
                yield from ([letters[start:end]] for end in range(start + 3, start + 13))


def _unleet(text: str, table: Mapping[int, int]) -> str:
    """Only in words that have letters too: `3` alone is a number."""

    def translated(match: re.Match[str]) -> str:
        word = match[0].rstrip("!|+")
        if _LEET_SIGNS.isdisjoint(word) or not any(c.isalpha() for c in word):
            return match[0]
        return word.translate(table)

    return _LEET_WORD.sub(translated, text)


def forms(word: str) -> set[str]:
    """A word as it stands, and with stretched letters (`nuuude`, `seex`) shortened."""
    found = {word}
    if _LONG_RUN.search(word):
        found |= {_LONG_RUN.sub(r"\1", word), _LONG_RUN.sub(r"\1\1", word)}
    return found | {_VOWEL_RUN.sub(r"\1", form) for form in found}
