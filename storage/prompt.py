"""The signs in a prompt: weights, and what belongs to other tools and means nothing here.

One reading for all: the worker takes its pieces, and the card says what they leave out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

MAX_WEIGHT = 2.0
_HUGE = 1e6

_ANY = re.compile(r"[(\[{<\\]|::|AND|BREAK")
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_ODD_NUMBER = re.compile(
    r"[+−-]?(?:\d[\d.,]*(?:e[+-]?\d+)?%?|[.,]\d+|nan|inf(?:inity)?)", re.ASCII | re.IGNORECASE
)
_ESCAPED = re.compile(r"\\([()])")
_SIGNS = re.compile(r"\\.|[()]", re.DOTALL)
_LORA = re.compile(r" ?<(?:lora|lyco|hypernet):[^<>]{1,200}> ?", re.IGNORECASE)
_SQUARE = re.compile(r"\[([^\[\]]+)\]")
_CHOICE = re.compile(r"\{([^{}]*\|[^{}]*)\}")
_PARTS = re.compile(r"(?<=\w)::-?(?:\d+\.?\d*|\.\d+)(?!\w)")
_JOINING = re.compile(r"\s*(?<!\S)(AND|BREAK)(?!\S)\s*")
_WORD_BEFORE = re.compile(r"(\S+)\s*\Z")
_WORD_AFTER = re.compile(r"\s*(\S+)")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A prompt without its signs. What is quoted is quoted as it was typed."""

    pieces: tuple[tuple[str, float], ...]
    """Texts with their weights, 0 to 2; an empty prompt is one empty piece."""
    capped: tuple[str, ...] = ()
    """Groups that weigh 2, since their weights multiply to more."""
    unweighed: tuple[str, ...] = ()
    """Groups whose weight cannot be read; their words weigh what they would without."""
    loras: tuple[str, ...] = ()
    """`<lora:name:weight>` and its kin, which are left out."""
    foreign: tuple[str, ...] = ()
    """Other tools' signs, left out; the words between them stay."""


def read(text: str) -> Reading:
    r"""`a ((red apple:1.4) fox:1.2)` has the pieces `("a ", 1)`, `("red apple", 1.68)` and
    `(" fox", 1.2)`: nested weights multiply, as in the tools that people know.

    Other brackets are text, and so is `(16:9)`; `\(` and `\)` are brackets that mean nothing.
    Takes time in proportion to the text.
    """
    if not _ANY.search(text):
        return Reading(pieces=((text, 1.0),))
    loras = tuple(tag.strip() for tag in _LORA.findall(text))
    foreign: list[str] = []
    # A gap stays, over which no word is put together that the text check has not seen.
    plain = _without_foreign(_LORA.sub(" ", text) if loras else text, foreign)
    groups = _Groups(plain)
    pieces = [(_plain(piece), weight) for piece, weight in groups.pieces() if piece]
    return Reading(
        pieces=tuple(pieces) or (("", 1.0),),
        capped=tuple(groups.capped),
        unweighed=tuple(groups.unweighed),
        loras=loras,
        foreign=(*foreign, *groups.doubled),
    )


def _plain(piece: str) -> str:
    return _ESCAPED.sub(r"\1", piece) if "\\" in piece else piece


def _without_foreign(text: str, foreign: list[str]) -> str:
    """Also names what is taken out."""

    def taken(sign: str, parts: list[str]) -> str:
        foreign.append(sign)
        return ", ".join(part.strip() for part in parts if part.strip())

    def scheduled(match: re.Match[str]) -> str:
        *parts, when = match[1].split(":")
        timed = bool(_NUMBER.fullmatch(when.strip()))
        # With one part and a whole number it is no more than a note, or a time of day.
        if timed and (len(parts) == 2 or (len(parts) == 1 and "." in when)):
            return taken(match[0], parts)
        return taken(match[0], match[1].split("|")) if "|" in match[1] else match[0]

    def chosen(match: re.Match[str]) -> str:
        return taken(match[0], match[1].split("|"))

    def parted(match: re.Match[str]) -> str:
        foreign.append(match[0])
        return ","

    def joined(match: re.Match[str]) -> str:
        before = _WORD_BEFORE.search(text, max(0, match.start() - 40), match.start())
        after = _WORD_AFTER.match(text, match.end())
        if any(near and _is_shouted(near[1]) for near in (before, after)):
            return match[0]
        foreign.append(match[1])
        return ", "

    if "[" in text:
        text = _SQUARE.sub(scheduled, text)
    if "|" in text:
        text = _CHOICE.sub(chosen, text)
    if "::" in text:
        text = _PARTS.sub(parted, text)
    return _JOINING.sub(joined, text)


def _is_shouted(word: str) -> bool:
    """Beside words in capitals, AND and BREAK are words in capitals."""
    return word.isupper() and len(word) > 1 and word not in ("AND", "BREAK")


class _Groups:
    """The brackets of a text, and what their weights come to."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.capped: list[str] = []
        self.unweighed: list[str] = []
        self.doubled: list[str] = []
        self._closes: dict[int, int] = {}
        self._weights: dict[int, tuple[int, float]] = {}
        """By opening bracket: where its words end, and what they weigh."""
        self._words = self._counted()
        for start, end, inner in self._pairs():
            self._closes[start] = end
            self._look(start, end, inner)
        self._bare = self._undoubled()

    def _counted(self) -> list[int]:
        """Letters and digits before each place."""
        return list(accumulate(map(str.isalnum, self._text), initial=0))

    def _pairs(self) -> Iterator[tuple[int, int, int]]:
        """Opening and closing bracket, and where the last pair inside ends; inner ones first."""
        opened: list[list[int]] = []
        for sign in _SIGNS.finditer(self._text):
            if sign[0] == "(":
                opened.append([sign.start(), sign.end()])
            elif sign[0] == ")" and opened:
                start, inner = opened.pop()
                yield start, sign.start(), inner
                if opened:
                    opened[-1][1] = sign.end()

    def _look(self, start: int, end: int, inner: int) -> None:
        colon = self._text.rfind(":", inner, end)
        if colon < 0 or self._words[colon] == self._words[start] or end - colon > 60:
            return
        value = self._text[colon + 1 : end].strip()
        number = min(float(value), _HUGE) if _NUMBER.fullmatch(value) else None
        if number is None and not _ODD_NUMBER.fullmatch(value):
            return
        if self._is_ratio(start, colon, value, number):
            return
        self._weights[start] = (colon, 1.0 if number is None else number)
        if number is None:
            self.unweighed.append(self._text[start : end + 1])

    def _is_ratio(self, start: int, colon: int, value: str, number: float | None) -> bool:
        """`(16:9)`, `(at 12:30)`."""
        if not self._text[colon - 1].isdecimal():
            return False
        before = self._text[max(start + 1, colon - 10) : colon].strip()
        if before.isdecimal() and colon - start <= 10:
            return True
        whole = value.isdecimal() and self._text[colon + 1] != " "
        return whole and before[-1:].isdecimal() and number is not None and number > MAX_WEIGHT

    def _undoubled(self) -> set[int]:
        """Brackets of `((words))`, which are emphasis elsewhere."""
        gone: set[int] = set()
        within = -1
        for start in sorted(self._closes):
            end = self._closes[start]
            if self._closes.get(start + 1) != end - 1 or start in self._weights:
                continue
            if self._words[end] == self._words[start]:
                continue
            gone |= {start, end}
            if start + 1 not in self._weights:
                gone |= {start + 1, end - 1}
            if end > within:
                within = end
                self.doubled.append(self._text[start : end + 1])
        return gone

    def pieces(self) -> Iterator[tuple[str, float]]:
        text, at = self._text, 0
        weighed: list[tuple[int, float]] = []
        """Closing brackets of the groups that are open, with the products before them."""
        product = 1.0
        colons = {colon: start for start, (colon, _) in self._weights.items()}
        stops = sorted({*self._weights, *colons, *self._bare})
        for stop in stops:
            if stop < at:
                continue
            yield text[at:stop], min(product, MAX_WEIGHT)
            at = stop + 1
            if stop in self._weights:
                weighed.append((self._closes[stop], product))
                product *= self._weights[stop][1]
                if product > MAX_WEIGHT:
                    self.capped.append(text[stop : self._closes[stop] + 1])
            elif stop in colons:
                close, product = weighed.pop()
                at = close + 1
        yield text[at:], min(product, MAX_WEIGHT)
