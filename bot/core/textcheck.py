"""The check of prompts in English, French and Spanish.

It sees words, not meanings: it stops what is plainly asked for and what is disguised by spelling,
and leaves the rest to the checkers of the pictures.
"""

import hashlib
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from bot.core.folding import accented, fold, forms, readings
from storage.domain import Decision, Subject, Verdict, worst
from storage.domain.policy import MINOR_FLOOR_RULE, MINOR_LABEL
from storage.written import read_text

CHECKER = "easel-text"
ADULT_YEARS = 18

_NUMBERS = {
    word: number
    for words in (
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen",
        "un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize",
        "uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince "
        "dieciseis diecisiete",
    )
    for number, word in enumerate(words.split(), 1)
}
_AGE = re.compile(
    r"(?<![^\W_])(\d{1,3}|[a-z]{2,10})[\W_]{0,3}(?:(?:years?|yrs?)[\W_]{0,3}olds?|yo|y[/.]o|ans|anos)"
    r"(?![^\W_])"
)
_AGED = re.compile(r"(?<![^\W_])age[ds]?(?: of|:)? {0,2}(\d{1,3})(?![\d%])")

MAX_CHARACTERS = 10_000
"""The grammar lets far less pass; what is longer is not judged, and so it is held."""

SEXUAL = frozenset({"sexual", "suggestive", "sexual_violence", "minor_sexual"})
"""The labels that, beside a minor, are the floor."""


@dataclass(frozen=True, kw_only=True)
class _Words:
    """Labelled phrases by their first word, whole or as the beginning of a word (`porn*`)."""

    whole: Mapping[str, Sequence[tuple[str, Sequence[str]]]]
    begun: Mapping[str, Sequence[tuple[str, Sequence[str]]]]
    lengths: Sequence[int]

    @classmethod
    def of(cls, entries: Mapping[str, Iterable[str]]) -> Self:
        whole: dict[str, list[tuple[str, Sequence[str]]]] = {}
        begun: dict[str, list[tuple[str, Sequence[str]]]] = {}
        for label, phrases in entries.items():
            for phrase in phrases:
                first, *rest = phrase.casefold().split()
                by_word = begun if first.endswith("*") else whole
                by_word.setdefault(first.rstrip("*"), []).append((label, rest))
        return cls(whole=whole, begun=begun, lengths=sorted({len(stem) for stem in begun}))

    def at(self, words: Sequence[Collection[str]], start: int) -> Iterator[tuple[str, int]]:
        """Label and number of words of each phrase that begins there."""
        for form in words[start]:
            named = list(self.whole.get(form, ()))
            for length in self.lengths:
                named += self.begun.get(form[:length], ())
            for label, rest in named:
                following = words[start + 1 : start + 1 + len(rest)]
                if len(following) == len(rest) and all(map(_fits, rest, following)):
                    yield label, 1 + len(rest)

    def labels(self, views: Iterable[Sequence[Collection[str]]]) -> set[str]:
        return {
            label
            for view in views
            for start in range(len(view))
            for label, _ in self.at(view, start)
        }


def _fits(pattern: str, word: Collection[str]) -> bool:
    if pattern.endswith("*"):
        return any(form.startswith(pattern[:-1]) for form in word)
    return pattern in word


@dataclass(frozen=True, kw_only=True)
class TextRules:
    """What is looked for. `load` reads it from `text_rules.toml` and the operator's file."""

    version: str
    """Digest of the rules."""
    decisions: Mapping[str, Mapping[str, Decision]]
    """Category → place ("strict", "age_restricted", "negative") → decision."""
    words: _Words
    honest: _Words
    contrary: _Words

    @classmethod
    def load(cls, extra: Path | None = None) -> Self:
        """The built-in rules and those of the operator's file (`EASEL_TEXT_RULES`), which may add
        words to `honest` and to categories, set their decisions, and have categories of its own.

        Raises OSError, tomllib.TOMLDecodeError or ValueError when the file is wrong.
        """
        texts = [files("bot.core").joinpath("text_rules.toml").read_text("utf-8")]
        if extra is not None:
            texts.append(read_text(extra))
        rules: dict[str, Any] = {}
        for text in texts:
            _merge(rules, tomllib.loads(text))
        categories: dict[str, Any] = rules["categories"]
        return cls(
            version=hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12],
            decisions={name: _decisions(name, table) for name, table in categories.items()},
            words=_Words.of({name: table.get("words", ()) for name, table in categories.items()}),
            honest=_Words.of({"honest": rules["honest"]}),
            contrary=_Words.of(
                {"sexual": rules["unwanted_clothes"], MINOR_LABEL: rules["unwanted_age"]}
            ),
        )


def _merge(rules: dict[str, Any], added: Mapping[str, Any]) -> None:
    """Lists grow, tables merge, other values are replaced."""
    for name, value in added.items():
        if isinstance(value, list) and all(
            isinstance(entry, str) and entry.strip() for entry in value
        ):
            rules[name] = [*rules.get(name, []), *value]
        elif isinstance(value, dict):
            _merge(rules.setdefault(name, {}), value)
        elif isinstance(value, str):
            rules[name] = value
        else:
            raise ValueError(f"text rules: {name!r} is not a list of words")


def _decisions(name: str, table: Mapping[str, Any]) -> Mapping[str, Decision]:
    unknown = table.keys() - {"words", "strict", "age_restricted", "negative"}
    if unknown:
        raise ValueError(f"text rules: category {name!r} has no {', '.join(sorted(unknown))}")
    defaults = {"strict": "block", "age_restricted": "block", "negative": "allow"}
    return {place: Decision(table.get(place, default)) for place, default in defaults.items()}


def check_text(
    text: str, rules: TextRules, *, subject: Subject, age_restricted: bool
) -> tuple[Verdict, frozenset[str]]:
    """Judge a prompt or a negative prompt; also the labels found, for the policy on the output.

    Labels are the names of categories, with `minor` for whatever names one. Whoever names a thing
    in a negative prompt steers away from it ("nsfw, child" is what careful people write), so
    there only slurs count, and the contrary of what is left out: without clothes is `sexual`,
    without adults is `minor`, and both together are the floor.
    """
    if len(text) > MAX_CHARACTERS:
        return _verdict([(Decision.HOLD, "text:too-long", "")], rules, subject), frozenset()
    negative = subject is Subject.NEGATIVE_PROMPT
    views, ages = _views(text, rules)
    found = rules.words.labels(views)
    place = "negative" if negative else "age_restricted" if age_restricted else "strict"
    decided = [
        (decisions[place], f"text:{name}", name)
        for name, decisions in rules.decisions.items()
        if name in found
    ]
    labels = rules.contrary.labels(views) if negative else found
    if not negative and ("minor_sexual" in found or any(age < ADULT_YEARS for age in ages)):
        labels = found | {MINOR_LABEL}
    if MINOR_LABEL in labels and labels & SEXUAL:
        decided.append((Decision.BLOCK, MINOR_FLOOR_RULE, MINOR_LABEL))
    if "real_person" in labels and "sexual" in labels:
        decided.append((Decision.BLOCK, "text:real_person_sexual", "real_person"))
    return _verdict(decided, rules, subject), frozenset(labels)


def _verdict(
    decided: Sequence[tuple[Decision, str, str]], rules: TextRules, subject: Subject
) -> Verdict:
    """The gravest of what was decided. Of equals the last: the floor outranks what led to it."""
    allowed = (Decision.ALLOW, "text:nothing-found", "")
    return worst(
        Verdict(
            subject=subject,
            decision=decision,
            rule=rule,
            label=label,
            score=float(decision is not Decision.ALLOW),
            scores={name: 1.0 for _, _, name in decided},
            checker=CHECKER,
            checker_version=rules.version,
        )
        for decision, rule, label in [*reversed(decided), allowed]
    )


def _views(text: str, rules: TextRules) -> tuple[list[list[Collection[str]]], list[int]]:
    """Every way to read the text as words, without what is honest, and the ages it names."""
    folded = fold(text)
    lists = dict.fromkeys(tuple(words) for words in readings(folded))
    known = {word: forms(word) for word in {word for words in lists for word in words}}
    views: list[list[Collection[str]]] = [[known[word] for word in words] for words in lists]
    with_accents = accented(text)
    if views and len(with_accents) == len(views[0]):
        views[0] = [{*word, shown} for word, shown in zip(views[0], with_accents, strict=True)]
    ages = [
        int(age) if age.isdecimal() else _NUMBERS.get(age, ADULT_YEARS)
        for age in (*_AGE.findall(folded), *_AGED.findall(folded))
    ]
    return [_without(view, rules.honest) for view in views], ages


def _without(view: list[Collection[str]], honest: _Words) -> list[Collection[str]]:
    """With every honest phrase cut down to a gap, over which no phrase reaches."""
    kept: list[Collection[str]] = []
    at = 0
    while at < len(view):
        length = max((length for _, length in honest.at(view, at)), default=0)
        kept.append(() if length else view[at])
        at += max(1, length)
    return kept
