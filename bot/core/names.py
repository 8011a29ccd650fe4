"""What a small model knows by name: an honest hint, and autocomplete."""

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import islice

from storage.catalog import Catalog, ModelEntry, builtin_names, builtin_synonyms
from storage.domain import Complaint, ImageRequest
from storage.emoji import called, spoken
from storage.prompt import Reading, read

MAX_CHOICES = 25
"""What Discord shows at most (LIMITS.md)."""
MOST_WORDS, MOST_UNKNOWN, MOST_SOUGHT, MOST_NEAR = 400, 8, 4, 6
"""Words of a prompt that are looked at, named, looked for in the neighbourhood, and offered."""
LIKE = 0.8
"""How much of two words has to be the same (`difflib`), for one to be a slip of the other."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)*")
_ACCENTS = dict.fromkeys(range(0x300, 0x370))
_PLAIN_TEXT = """
a an the some of in on at with without and or to by for from next beside near under over behind into
is are its his her their my your this that very please thanks pls picture image drawing emoji
sticker cute cartoon beautiful detailed high quality friend background style draw me everyone
un une des le la les l d du de au aux et ou dans sur sous avec sans pour par a cote pres devant
derriere est son sa ses mon ma tres s il te plait merci svp image dessin autocollant emoji
magnifique detaille ami amie fond style dessine moi
una unos unas el los las del al y e o u en sobre con sin para por junto cerca bajo tras su sus mi es
muy favor gracias porfa imagen dibujo pegatina precioso detallado amigo amiga fondo estilo dibuja

one two three four five six seven eight nine ten small tiny little big large
deux trois quatre cinq six sept huit neuf dix petit petite petits petites grand grande
uno dos tres cuatro cinco seis siete ocho nueve diez pequeno pequena pequenos pequenas

red orange yellow green blue purple pink brown grey gray black white
rouge jaune vert verte bleu bleue violet violette rose marron brun brune gris grise noir noire blanc
blanche
rojo roja naranja amarillo amarilla verde azul morado morada rosa negro negra blanco blanca
"""
_PLAIN = frozenset(_PLAIN_TEXT.split())
"""What stands between names and asks for a picture; how many and how large; colours."""


def hint(request: ImageRequest, catalog: Catalog, locale: str = "en") -> Complaint | None:
    """Say so if the model knows only certain things and the prompt names none of them.

    The request is fine all the same: show this beside the picture, not in its place.
    """
    look = _look(request, catalog, locale)
    return _nothing_known(look) if look and not look.understood else None


def unknown_words(
    request: ImageRequest, catalog: Catalog, locale: str = "en", reading: Reading | None = None
) -> Complaint | None:
    """The same, and also which words such a model did not understand beside those that it knows.
    `reading` is that of the prompt in words, where somebody has it."""
    look = _look(request, catalog, locale, reading)
    if look is None or (look.understood and not look.unknown):
        return None
    if not look.understood:
        return _nothing_known(look)
    if not look.near:
        return Complaint(
            text="I did not understand: {words}. This small model knows {n} things by name; the "
            "prompt field suggests them.",
            values=look.values,
        )
    return Complaint(
        text="I did not understand: {words}. The nearest things that I can draw: {near}.",
        values=look.values,
    )


def _nothing_known(look: "_Look") -> Complaint:
    if not look.near:
        return Complaint(
            text="This small model knows {n} things by name and none of them is in your prompt, so "
            "the picture may be anything. The prompt field suggests names; for anything else, ask "
            "who runs this bot for a larger model.",
            values=look.values,
        )
    return Complaint(
        text="This small model knows {n} things by name and none of them is in your prompt, so "
        "the picture may be anything. I did not understand: {words}. The nearest things that I can "
        "draw: {near}.",
        values=look.values,
    )


def suggest_names(
    prefix: str, entry: ModelEntry, locale: str, limit: int = MAX_CHOICES
) -> tuple[str, ...]:
    """Names that `entry` knows, in that language: first those that begin with `prefix`, then
    those of which another word does, then those that hold it. At most `limit`."""
    wanted = " ".join(_words(prefix))
    ranked: list[tuple[int, str]] = []
    for name in _of_locale(entry, locale):
        folded = " ".join(_words(name))
        if folded.startswith(wanted):
            ranked.append((0, name))
        elif f" {wanted}" in folded:
            ranked.append((1, name))
        elif wanted in folded:
            ranked.append((2, name))
    return tuple(name for _, name in sorted(ranked, key=lambda item: item[0])[:limit])


def _of_locale(entry: ModelEntry, locale: str) -> Sequence[str]:
    """The embedded model has its names in each language; others have one list for all."""
    if not entry.names:
        return ()
    known = set(entry.names)
    return [name for name in builtin_names().get(locale, ()) if name in known] or entry.names


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What became of the words of a prompt."""

    known: int
    """Things that the model can draw."""
    understood: bool
    """Some of them are named."""
    unknown: tuple[str, ...]
    near: tuple[str, ...]

    @property
    def values(self) -> Mapping[str, str | int]:
        more = ", …" if len(self.unknown) > MOST_UNKNOWN else ""
        words = ", ".join(self.unknown[:MOST_UNKNOWN]) + more
        return {"n": self.known, "words": words, "near": ", ".join(self.near)}


def _look(
    request: ImageRequest, catalog: Catalog, locale: str, reading: Reading | None = None
) -> _Look | None:
    """None for a model that draws whatever it is asked."""
    model = catalog.models.get(request.model)
    if model is None or not model.names:
        return None
    index = _index(model.names)
    reading = reading or read(spoken(request.prompt, "en"))
    text = "".join(piece for piece, _ in reading.pieces)
    shown = [match[0] for match in islice(_WORD.finditer(text), MOST_WORDS)]
    by_word = {word: _forms(_folded(word)) for word in set(shown)}
    forms = [by_word[word] for word in shown]
    unknown: dict[str, frozenset[str]] = {}
    understood, at = False, 0
    while at < len(forms):
        if length := index.length_at(forms, at):
            understood, at = True, at + length
            continue
        word = forms[at]
        if len(unknown) <= MOST_UNKNOWN and not _PLAIN & word and not shown[at].isdecimal():
            unknown.setdefault(shown[at].casefold(), word)
        at += 1
    own = _of_locale(model, locale)
    near: dict[str, None] = {}
    for word in list(unknown.values())[:MOST_SOUGHT]:
        near |= dict.fromkeys(list(_nearest(word, index, frozenset(own), locale))[:2])
    return _Look(
        known=len(_of_locale(model, "en")),
        understood=understood,
        unknown=tuple(word[:40] for word in unknown),
        near=tuple(near)[:MOST_NEAR],
    )


def _nearest(
    word: Collection[str], index: "_Index", own: Collection[str], locale: str
) -> Iterator[str]:
    """First what the word is a keyword of, then what it may be a slip of."""
    found = [name for form in word for name in called(form, locale) if name in own]
    alike = () if found else index.alike(min(word, key=len))
    yield from found
    yield from (label for name in alike if (label := _labelled(name, locale)) in own)


def _labelled(name: str, locale: str) -> str:
    """What the same thing is called first in that language."""
    place, names = _things().get(name), builtin_names().get(locale, ())
    return names[place] if place is not None and place < len(names) else name


@lru_cache(maxsize=1)
def _things() -> Mapping[str, int]:
    """Every name of the embedded model's things → which of them it is."""
    found: dict[str, int] = {}
    for names in builtin_names().values():
        for place, name in enumerate(names):
            found.setdefault(name, place)
    for things in builtin_synonyms().values():
        for place, words in enumerate(things):
            for word in words:
                found.setdefault(word, place)
    return found


_Node = dict[str, "_Node"]
"""Names by their first word, then by their second; an empty one ends a name."""


class _Index:
    """Names by their words, made once for each model."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names: _Node = {}
        self._begun: dict[str, list[tuple[str, str]]] = {}
        for name in names:
            node = self._names
            for word in _words(name):
                node = node.setdefault(word, {})
                if len(word) > 3:
                    self._begun.setdefault(word[:2], []).append((word, name))
            node[""] = {}

    def length_at(self, forms: Sequence[Collection[str]], at: int) -> int:
        """Words of the longest name that stands there; 0 if there is none."""
        return self._longest(self._names, forms, at, 0)

    def _longest(
        self, node: "_Node", forms: Sequence[Collection[str]], at: int, length: int
    ) -> int:
        best = length if "" in node else 0
        if at < len(forms):
            for form in forms[at]:
                if form in node:
                    best = max(best, self._longest(node[form], forms, at + 1, length + 1))
        return best

    def alike(self, word: str) -> list[str]:
        """Names with a word of which this one may be a slip, the likest first."""
        if len(word) < 4:
            return []
        near = [
            (name_word, name)
            for name_word, name in self._begun.get(word[:2], ())
            if abs(len(name_word) - len(word)) <= 2
        ]
        matcher = SequenceMatcher(b=word, autojunk=False)
        ranked: list[tuple[float, str]] = []
        for name_word, name in near[:60]:
            matcher.set_seq1(name_word)
            if matcher.quick_ratio() >= LIKE and (ratio := matcher.ratio()) >= LIKE:
                ranked.append((-ratio, name))
        return [name for _, name in sorted(ranked)[:3]]


_index = lru_cache(maxsize=8)(_Index)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", _folded(text))


def _folded(text: str) -> str:
    """Without case and accents."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text).translate(_ACCENTS)
    return text.casefold()


def _forms(word: str) -> frozenset[str]:
    """The word and what it may be the plural of, in any of the three languages; without an elided
    article or a genitive."""
    found = {word}
    if "'" in word or "’" in word:
        parts = re.split("['’]", word)
        found |= {parts[-1] if len(parts[0]) <= 2 else parts[0]}
    for end in ("s", "es", "x"):
        if word.endswith(end):
            found.add(word[: -len(end)])
    if word.endswith("ies"):
        found.add(word[:-3] + "y")
    return frozenset(found)
