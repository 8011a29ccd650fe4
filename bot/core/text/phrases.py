"""One matcher for all phrases: words, beginnings of words (`porn*`) and rows of both."""

import re
import unicodedata
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bot.core.text.folding import LONGEST, SHORTEST, Reading, Vocabulary

MASK = "*"
_WRITTEN = re.compile(r"[^\W_]+\*?|[\u2600-\u27bf\U0001f300-\U0001faff]")
_SWAPPED_FROM, _MASKED_FROM, _MASKED_TO = 5, 3, 8
"""Letters of a word that is still read when two of them have changed places, or one is a sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A phrase of a class, from one word to before another."""

    kind: str
    start: int
    end: int
    language: str
    """Empty, or the language in which alone it means this."""


@dataclass(frozen=True, slots=True)
class _Phrase:
    kind: str
    rest: Sequence[str]
    """What follows the first word."""
    language: str


class _ByWord:
    """Phrases by one of their words, whole or as a beginning."""

    def __init__(self) -> None:
        self.whole: dict[str, list[_Phrase]] = {}
        self.begun: dict[str, list[_Phrase]] = {}
        self._lengths: set[int] = set()

    def add(self, word: str, phrase: _Phrase) -> None:
        stem = word.rstrip(MASK)
        by_word = self.whole if stem == word else self.begun
        by_word.setdefault(stem, []).append(phrase)
        if stem != word:
            self._lengths.add(len(stem))

    def of(self, form: str) -> list[_Phrase]:
        found = list(self.whole.get(form, ()))
        for length in self._lengths:
            if length <= len(form):
                found += self.begun.get(form[:length], ())
        return found


class _Begins:
    """All phrases that a word begins."""

    def __init__(self, phrases: Sequence[_Phrase]) -> None:
        self.alone = [phrase for phrase in phrases if not phrase.rest]
        self.longer = len(self.alone) < len(phrases)
        self._second = _ByWord()
        for phrase in phrases:
            if phrase.rest:
                self._second.add(phrase.rest[0], phrase)

    def going_on(self, ways: Sequence[tuple[str, int]]) -> Iterator[_Phrase]:
        """Those whose second word may be what stands there."""
        for form in dict.fromkeys(form for form, _ in ways):
            yield from self._second.of(form)


class Phrases:
    """Phrases by class. Words are written as they are folded; one that is written with an accent is
    found only with it. A `*` at the end of a word stands for any ending."""

    def __init__(self) -> None:
        self._by_first = _ByWord()
        self._known: set[str] = set()
        self._starts: set[str] = set()
        self._first = lru_cache(maxsize=16_384)(self._look_up)

    def add(self, kind: str, phrases: Iterable[str], language: str = "") -> None:
        """Raises ValueError for a `*` that stands for whole words."""
        for phrase in phrases:
            first, *rest = words = _words(phrase)
            self._by_first.add(first, _Phrase(kind, rest, language))
            self._known |= {word.rstrip(MASK) for word in words}
            self._starts |= {word[:SHORTEST] for word in words}
        self._first.cache_clear()

    def disguise(self, kinds: Iterable[str], honest: Container[str]) -> None:
        """Of the single words of these classes, read also those with two letters swapped and those
        with a sign for a letter or two; but not what is `honest`, a word of its own."""
        whole, disguised = self._by_first.whole, dict[str, list[_Phrase]]()
        for word, phrases in [*whole.items(), *self._by_first.begun.items()]:
            alone = [phrase for phrase in phrases if not phrase.rest and phrase.kind in kinds]
            if not alone or not word.isalpha():
                continue
            for other in {*_swapped(word), *_masked(word)} - whole.keys():
                if other not in honest:
                    disguised.setdefault(other, alone)
        whole |= disguised
        self._first.cache_clear()

    @property
    def known(self) -> Vocabulary:
        """All that phrases hold, as words or as what a word begins with."""
        return Vocabulary(words=self._known, starts=self._starts)

    def find(self, reading: Reading) -> Iterator[Found]:
        """All phrases wherever they begin, also those inside of others."""
        for start, ways in enumerate(reading.ways):
            for form, width in ways:
                begins = self._first(form)
                for phrase in begins.alone:
                    yield _found(phrase, start, start + width)
                if begins.longer and start + width < len(reading.ways):
                    for phrase in begins.going_on(reading.ways[start + width]):
                        for end in _ends(phrase.rest, 0, start + width, reading):
                            yield _found(phrase, start, end)

    def _look_up(self, form: str) -> _Begins:
        return _Begins(self._by_first.of(form))


def _found(phrase: _Phrase, start: int, end: int) -> Found:
    return Found(kind=phrase.kind, start=start, end=end, language=phrase.language)


def _ends(rest: Sequence[str], done: int, at: int, reading: Reading) -> Iterator[int]:
    """Where the phrase is over, if what is left of it stands there."""
    if done == len(rest):
        yield at
    elif at < len(reading.ways):
        pattern = rest[done]
        for width in {width for form, width in reading.ways[at] if _fits(pattern, form)}:
            yield from _ends(rest, done + 1, at + width, reading)


def _fits(pattern: str, form: str) -> bool:
    return form.startswith(pattern[:-1]) if pattern.endswith(MASK) else form == pattern


def _words(phrase: str) -> list[str]:
    """Raises ValueError for a `*` that is not the end of a word, and where there is no word."""
    written = unicodedata.normalize("NFC", phrase.casefold())
    words = _WRITTEN.findall(written)
    if not words or written.count(MASK) != sum(word.endswith(MASK) for word in words):
        raise ValueError(f"text rules: {phrase!r} is no phrase; a * stands at the end of a word")
    return words


def _swapped(word: str) -> set[str]:
    if len(word) < _SWAPPED_FROM:
        return set()
    return {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)} - {
        word
    }


def _masked(word: str) -> set[str]:
    if not _MASKED_FROM <= len(word) <= min(_MASKED_TO, LONGEST):
        return set()
    inner = range(1, len(word) - 1)
    single = {word[:at] + MASK + word[at + 1 :] for at in inner}
    return single | {word[:at] + MASK * 2 + word[at + 2 :] for at in inner[:-1]}
