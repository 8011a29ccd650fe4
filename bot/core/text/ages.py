"""Ages that a text names, in words and in figures, in the languages of the prompt check."""

import re
from collections.abc import Iterator, Sequence

from bot.core.text.folding import Reading

ADULT_YEARS = 18
_NOT_YET = 19
"""`under 18`, `not yet 18`: what is below is one year less."""


def _split(row: str) -> list[str]:
    return row.split()


_NUMBERS = {
    word: number
    for row in (
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen",
        "un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize",
        "uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince "
        "dieciseis diecisiete dieciocho",
        "ein zwei drei vier funf sechs sieben acht neun zehn elf zwolf dreizehn vierzehn funfzehn "
        "sechzehn siebzehn achtzehn",
        "um dois tres quatro cinco seis sete oito nove dez onze doze treze quatorze quinze "
        "dezesseis dezessete dezoito",
        "uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici "
        "quindici sedici diciassette diciotto",
        "i ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii",
    )
    for number, word in enumerate(_split(row), 1)
}
_TEN_AND = {"sept": 17, "huit": 18, "neuf": 19}
_TENS = frozenset(
    _split(
        "dix twenty thirty forty fifty sixty seventy eighty ninety hundred vingt vingts trente "
        "quarante cinquante soixante cent treinta cuarenta cincuenta sesenta setenta ochenta "
        "noventa cien vinte trinta quarenta cinquenta sessenta venti trenta quaranta cinquanta"
    )
)
_AND = frozenset(_split("and et y e"))
_ORDINALS = {
    word: number
    for number, word in enumerate(
        _split(
            "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
            "thirteenth fourteenth fifteenth sixteenth seventeenth"
        ),
        1,
    )
}
_YEARS = frozenset(_split("year years yr yrs"))
_SURE = frozenset(_split("yo yrs yr ans anos jahre jahren jahrig anni yearold yearolds summers"))
"""Units that are said of ages."""
_MONTHS = frozenset(_split("month months mois meses mesi monate monaten week weeks"))
_OLD = frozenset(_split("old olds young of alt"))
_UNITS = _YEARS | _SURE | _MONTHS | _OLD
_AGED = frozenset(_split("age aged ages agee agees edad idade eta alter"))
_BEFORE = {
    tuple(phrase.split()): below
    for below, phrases in (
        (
            _NOT_YET,
            "under|below|younger than|not yet|not even|barely|moins de|pas encore|a peine|"
            "menos de|menor de|aun no tiene|todavia no tiene|no tiene ni|sin cumplir los|unter|"
            "noch nicht|meno di|non ancora|ainda nao tem",
        ),
        (ADULT_YEARS, "is|s|was|turned|turning|she is|he is|elle a|il a|tiene|cumple|ist|ha|tem"),
    )
    for phrase in phrases.split("|")
}
_OF = frozenset(_split("of de von di"))
_SOMEBODY = frozenset(
    _split(
        "girl boy girls boys kid child lad lass fille garcon chica chico muchacha muchacho madchen "
        "junge ragazza ragazzo garota garoto"
    )
)
_BORN = frozenset(_split("born nee ne nacida nacido geboren nata nato nascida nascido"))
_GLUED = re.compile(r"(\d{1,2})(yo|y|yrs?|years?|yearolds?|yrolds?|ans|anos|jahrig\w*|th|st|nd|rd)")
_FIGURES = {"十": 10, **dict(zip("一二三四五六七八九", range(1, 10), strict=True))}
_UNFOLDED = re.compile(
    r"(\d{1,2})\s?[-‐]?\s?(?:лет|года?\b|годик|歳|才|岁|歲|살)|(十?[一二三四五六七八九]|十)(?:歳|才|岁|歲)"
    r"|(?:две|три|четыр|пят|шест|сем|восем|девят|оди)\w{0,3}надцатилет|(?:десяти|девяти|восьми|"
    r"семи|шести|пяти|четыр[её]х|тр[её]х)лет"
)


def young(reading: Reading, year: int) -> Iterator[tuple[int, int]]:
    """Where somebody under 18 is told by their age; `year` is the current one."""
    row = reading.words
    for at, word in enumerate(row):
        number, end = _number(reading, at)
        if number is not None and _told(reading, at, end, number):
            while end < len(row) and row[end] in _UNITS:
                end += 1
            yield at, max(end, at + 1)
        elif word in _BORN:
            for later in row[at + 1 : at + 5]:
                if later.isdecimal() and len(later) == 4 and 0 <= year - int(later) < ADULT_YEARS:
                    yield at, at + 1


def young_unfolded(text: str) -> bool:
    """The same where words are not parted or not in our letters."""
    for match in _UNFOLDED.finditer(text):
        figures, signs = match[1], match[2]
        if figures is not None:
            if int(figures) < ADULT_YEARS:
                return True
        elif signs is None or sum(_FIGURES[sign] for sign in signs) < ADULT_YEARS:
            return True
    return False


def _number(reading: Reading, at: int) -> tuple[int | None, int]:
    """The number that stands there, and where it ends."""
    row = reading.words
    word = row[at]
    if word.isdecimal():
        return (int(word) if len(word) <= 3 else None), at + 1
    if word == "dix" and row[at + 1 : at + 2] and row[at + 1] in _TEN_AND:
        return _TEN_AND[row[at + 1]], at + 2
    if word in _NUMBERS and not _is_of_tens(row, at):
        return _NUMBERS[word], at + 1
    if word[:1].isdecimal() and (glued := _GLUED.fullmatch(word)):
        return int(glued[1]), at
    if word in _ORDINALS:
        return _ORDINALS[word], at
    return None, at


def _is_of_tens(row: Sequence[str], at: int) -> bool:
    """`thirty-two`, `quarante et un`."""
    last = at - 2 if at > 1 and row[at - 1] in _AND else at - 1
    return last >= 0 and row[last] in _TENS


def _told(reading: Reading, start: int, end: int, number: int) -> bool:
    """Whether it is an age, and one below 18."""
    row = reading.words
    if end == start:
        # Figures with their unit in one word, or an ordinal.
        ordinal = row[start] in _ORDINALS or row[start].endswith(("th", "st", "nd", "rd"))
        return number < ADULT_YEARS and (not ordinal or row[start + 1 : start + 2] == ["birthday"])
    before, after = tuple(row[max(0, start - 3) : start]), row[end : end + 2]
    below = max(
        (limit for phrase, limit in _BEFORE.items() if before[-len(phrase) :] == phrase), default=0
    )
    unit = after[0] if after else ""
    if unit in _MONTHS:
        return after[1:] in (["old"], ["alt"])
    if unit in _SURE or unit.startswith("jahrig"):
        return number < (_NOT_YET if below == _NOT_YET else ADULT_YEARS)
    if number >= (below or ADULT_YEARS):
        return False
    if (unit in _YEARS and after[1:] and after[1] in _OLD) or list(after) == ["y", "o"]:
        return True
    return _is_said_before(before) or _stands_alone(reading, start, end, number, below)


def _is_said_before(before: tuple[str, ...]) -> bool:
    """`aged`, `age of`, `girl of`."""
    if before[-1:] and before[-1] in _AGED:
        return True
    if len(before) < 2 or before[-1] not in {*_OF, "is"}:
        return False
    return before[-2] in _AGED or (before[-1] in _OF and before[-2] in _SOMEBODY)


def _stands_alone(reading: Reading, start: int, end: int, number: int, below: int) -> bool:
    """`she is twelve`, `under 18`, `a girl, twelve`: with nothing after it that is counted."""
    row, clauses = reading.words, reading.clauses
    alone = end == len(row) or clauses[end] != clauses[end - 1] or row[end] in ("and", "but")
    if below == _NOT_YET:
        return number > 5 and (alone or number > 11)
    apart = start > 0 and clauses[start - 1] != clauses[start]
    return alone and ((below > 0 and number > 5) or (apart and number > 9))
