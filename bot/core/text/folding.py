"""Readings of a text: the words that a person sees in it, whatever characters it is written with.

A text is one row of words. Where it can be read in another way as well (signs for letters, words
spelled out or cut by hyphens), that way stands beside the words that it covers.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

_LOOKALIKES = str.maketrans(
    {
        lookalike: letter
        for letter, lookalikes in {
            "a": "аαᴀɑɐꓮᗅᗩᎪ",
            "b": "ЬьвβƅʙɓƀꓐᗷᏴᏏᑲ",
            "c": "сςᴄƈɕↄꓚᑕᏟϲ",
            "d": "ԁδᴅđɖɗƌðꓓᗪᎠᑯժ",
            "e": "еёєεэᴇəɛɘɜɝǝꓰᗴᎬҽ",
            "f": "ꜰƒꓝᖴϝ",
            "g": "ɡɢɠǥցꓖᏀᏳԍ",
            "h": "һнհħɦʜꓧᕼᎻᏂ",
            "i": "іιıɩɪɨꓲᎥᏆ",
            "j": "јϳʝɉɟյꓙᒍᎫ",
            "k": "кκᴋƙʞꓗᏦ",
            "l": "ӏłɫɭƚʟɬꓡᒪᏞӀ",
            "m": "мᴍɱꓟᗰᎷ",
            "n": "пηνոռɲɳŋɴꓠᑎ",
            "o": "оοσօɵøᴏөꓳᗝ",
            "p": "рρƥᴘþꓑᑭᏢ",
            "q": "ԛգʠզᑫ",
            "r": "гɹɾɽɻʀꭈꓣᖇᎡᏒ",
            "s": "ѕʂʃꜱտꓢᔕᏚ",
            "t": "тτʈƭŧᴛեꓔᎢ",
            "u": "υцʉʊᴜսµꓴᑌ",
            "v": "ѵʋʌᴠꓦᐯᏙ",
            "w": "ԝωʍᴡաꓪᗯᎳ",
            "x": "хχ×ꓫ᙭",
            "y": "уүγʏƴყꓬᎩ",
            "z": "ʐʑƶᴢꓜᏃ",
            "ae": "æ",
            "oe": "œ",
            "ss": "ß",
        }.items()
        for lookalike in lookalikes
    }
)
_SIGNS = str.maketrans(
    {
        # Letters in coloured circles and squares, and as flags; a cross.
        **{chr(start + i): chr(97 + i) for start in (0x1F150, 0x1F170, 0x1F1E6) for i in range(26)},
        "×": "x",
        # NFKC makes a sigma of it.
        "ϲ": "c",
        "Ϲ": "C",
    }
)
_LEET = "013457@$!|+€89", "oieastasiltebg"
_LEETS = str.maketrans(*_LEET), str.maketrans(_LEET[0] + "1", _LEET[1] + "l")
_LEET_SIGNS = frozenset(_LEET[0])
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\u2800")

_CHUNK = re.compile(r"\S+")
_WORD = re.compile(r"[^\W_]+|[\u2600-\u27bf\U0001f300-\U0001faff]")
_PIECE = re.compile(r"[^\s,.;:_()\[\]{}\"'’`/\\*~·•#=<>^%&?\u2010-\u2015-]+")
_WEIGHT = re.compile(r":\s?[\d.]{1,8}\s?\)")
_MENTION = re.compile(r"<@[!&]?\w{1,40}(?:\|[^<>]{0,80})?>|(?<![^\s(\[,])@[^\W\d_][\w.]{1,40}")
_ENDS_CLAUSE = re.compile(r"[,;.!?:|\u2026\u2014]")
_MASKED = re.compile(r"(?<![^\W\d_])[^\W\d_]{1,8}[*#%&?•·]{1,2}[^\W\d_]{1,8}")
_MASKS = re.compile(r"[*#%&?•·]+")
_RUN = re.compile(r"([aeiou])\1|(.)\2\2")
_LONG_RUN = re.compile(r"(.)\1{2,}")
_VOWEL_RUN = re.compile(r"([aeiou])\1+")

SHORTEST, LONGEST = 3, 14
"""Letters of a word that is put together of pieces."""
MENTION = "@"
"""The word that stands for whoever was mentioned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The words that are looked for."""

    words: Container[str]
    starts: Container[str]
    """Their first letters, SHORTEST of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A text as words. All rows are of one length; their items are about the same word."""

    words: Sequence[str]
    """Folded: no case, no accents, no look-alikes."""
    ways: Sequence[Sequence[tuple[str, int]]]
    """What begins there: a form of the word, and how many words it covers."""
    capital: Sequence[bool]
    clauses: Sequence[int]
    """Number of the clause that the word stands in."""
    seen: str
    """The text without what nobody sees, in its own script, for languages without spaces."""


def visible(text: str) -> str:
    """Full width and ornate letters become plain, and what nobody sees goes."""
    if text.isascii():
        if text.isprintable():
            return text
        flat = text
    else:
        marked = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text.translate(_SIGNS)))
        flat = "".join(c for c in marked if unicodedata.category(c) != "Mn")
    return "".join(
        " " if c.isspace() else c
        for c in flat
        if c.isspace() or (c not in _INVISIBLE and unicodedata.category(c) not in ("Cc", "Cf"))
    )


def fold(text: str) -> str:
    """Without case, accents, invisible characters and look-alikes of other scripts."""
    return _folded(visible(text))


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else "".join(map(_bare, text))


@lru_cache(maxsize=4096)
def _bare(character: str) -> str:
    apart = unicodedata.normalize("NFD", character.casefold())
    bare = "".join(c for c in apart if unicodedata.category(c) != "Mn")
    return bare.translate(_LOOKALIKES)


def forms(word: str) -> tuple[str, ...]:
    """A word as it stands, and with stretched letters (`nuuude`, `seex`) shortened."""
    if len(word) == 1 or not _RUN.search(word):
        return (word,)
    found = {word: None}
    if _LONG_RUN.search(word):
        found |= {_LONG_RUN.sub(r"\1", word): None, _LONG_RUN.sub(r"\1\1", word): None}
    return tuple(dict.fromkeys([*found, *(_VOWEL_RUN.sub(r"\1", form) for form in found)]))


def read(text: str, known: Vocabulary) -> Reading:
    """Takes time in proportion to the text. Of letters that are put together only what is `known`,
    the words that are looked for, is read."""
    seen = visible(text)
    row = _Row()
    # What is typed after the sign may be letters in disguise as well.
    marked = _MENTION.sub(_mentioned, seen) if "@" in seen else seen
    for chunk in _CHUNK.finditer(_WEIGHT.sub(")", marked)):
        row.add(chunk[0])
    for run in row.runs:
        for start, width, word in _joined(run, known):
            row.ways[start].append((word, width))
    return Reading(
        words=row.words,
        ways=row.ways,
        capital=row.capital,
        clauses=row.clauses,
        seen=seen.casefold(),
    )


def _mentioned(found: re.Match[str]) -> str:
    return f" {_NOBODY} " if found[0].startswith("<") else f" {_NOBODY} {found[0]}"


_NOBODY = "\ue000"
"""Of the private use area, so that nothing that is typed reads as a mention but a mention."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Letters that may be put together with those beside them."""

    readings: tuple[str, str, str]
    """As they stand, and with signs as letters in two ways."""
    start: int
    end: int


class _Row:
    """The words of a text while it is read."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.ways: list[list[tuple[str, int]]] = []
        self.capital: list[bool] = []
        self.clauses: list[int] = []
        self.runs: list[list[_Piece]] = []
        self._clause = 0
        self._spelled = False

    def add(self, chunk: str) -> None:
        """What stands between two spaces."""
        if chunk == _NOBODY:
            self._word(MENTION, "")
            self._spelled = False
        elif len(chunk) > 1 and chunk.isalpha():
            self._word(_folded(chunk), chunk)
            self._spelled = False
        elif len(chunk) == 1 and chunk.isalnum():
            letter, at = _folded(chunk), len(self.words)
            self._word(letter, chunk)
            ways = (letter, letter.translate(_LEETS[0]), letter.translate(_LEETS[1]))
            self._run([_Piece(ways, at, at + 1)], spelled=True)
            self._spelled = True
        else:
            self._add_signs(chunk)

    def _add_signs(self, chunk: str) -> None:
        folded, first = _folded(chunk), len(self.words)
        found = list(_WORD.finditer(folded))
        if not found and len(chunk) == 1 and chunk not in _LEET_SIGNS:
            self._clause += bool(_ENDS_CLAUSE.search(chunk))
            return  # A sign between letters that are spelled out.
        shown = _WORD.findall(chunk)
        shown = shown if len(shown) == len(found) else [""] * len(found)
        end = 0
        for match, original in zip(found, shown, strict=True):
            if _ENDS_CLAUSE.search(folded, end, match.start()):
                self._clause += 1
            self._word(match[0], original)
            end = match.end()
        if _ENDS_CLAUSE.search(folded, end):
            self._clause += 1
        places = [match.start() for match in found]
        pieces = list(_pieces(folded, places, first))
        for piece in pieces:
            for letters in dict.fromkeys(piece.readings):
                if piece.start < piece.end and letters != self.words[piece.start]:
                    self.ways[piece.start].append((letters, piece.end - piece.start))
        self._masked(folded, places, first)
        single = bool(pieces) and all(len(piece.readings[0]) == 1 for piece in pieces)
        if len(pieces) > 1 or single:
            self._run(pieces, spelled=single)
        self._spelled = single

    def _word(self, folded: str, shown: str) -> None:
        self.words.append(folded)
        ways = [(form, 1) for form in forms(folded)]
        if shown and not shown.isascii() and (accented := shown.casefold()) != folded:
            ways.append((accented, 1))
        self.ways.append(ways)
        self.capital.append(shown[:1].isupper())
        self.clauses.append(self._clause)

    def _run(self, pieces: list[_Piece], *, spelled: bool) -> None:
        """Single letters go on over spaces, others do not."""
        if spelled and self._spelled and self.runs:
            self.runs[-1] += pieces
        else:
            self.runs.append(pieces)

    def _masked(self, folded: str, places: list[int], first: int) -> None:
        """`p*rn`: a sign in a letter's place."""
        for match in _MASKED.finditer(folded):
            start, end = (bisect_left(places, at) for at in match.span())
            if start < end:
                word = _MASKS.sub(lambda signs: "*" * len(signs[0]), match[0])
                self.ways[first + start].append((word, end - start))


def _pieces(chunk: str, places: list[int], first: int) -> Iterator[_Piece]:
    """Of a folded chunk whose words begin at `places`, the first of which is the `first`."""
    at = 0
    for match in _PIECE.finditer(chunk):
        start = at
        while at < len(places) and places[at] < match.end():
            at += 1
        whole = match[0]
        if whole.isalpha():
            yield _Piece((whole, whole, whole), first + start, first + at)
            continue
        plain = "".join(_WORD.findall(whole))
        readings = [plain, plain, plain]
        core = whole.rstrip("!|+")
        lone = len(whole) == 1
        if not _LEET_SIGNS.isdisjoint(core) and (lone or any(c.isalpha() for c in core)):
            readings[1:] = ["".join(_WORD.findall(core.translate(table))) for table in _LEETS]
        if any(readings):
            yield _Piece(
                (readings[0] or whole, readings[1], readings[2]), first + start, first + at
            )


def _joined(run: list[_Piece], known: Vocabulary) -> Iterator[tuple[int, int, str]]:
    """First word, number of words and letters of what neighbours in a run make together."""
    for row in dict.fromkeys(zip(*(piece.readings for piece in run), strict=True)):
        letters = "".join(row)
        places = [0, *accumulate(map(len, row))]
        begins = {place: at for at, place in enumerate(places)}
        for start, place in enumerate(places[:-2]):
            if letters[place : place + SHORTEST] not in known.starts:
                continue
            for length in range(SHORTEST, LONGEST + 1):
                end = begins.get(place + length)
                if end is None or end - start < 2:
                    continue
                if (word := letters[place : place + length]) in known.words:
                    yield run[start].start, run[end - 1].end - run[start].start, word
