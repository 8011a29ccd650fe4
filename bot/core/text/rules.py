"""What is looked for in prompts, and what follows: the rules and words that come with the package,
and those of the operator's file."""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Self

from bot.core.text.phrases import Phrases
from storage.domain import Decision
from storage.domain.policy import Category
from storage.written import read_text

PLACES = ("strict", "age_restricted", "negative")
_HERE = files("bot.core.text")
_DISGUISED = (
    "nudity",
    "porn",
    "acts",
    "parts",
    "sexual_violence",
    "csam",
    "slur",
    "child",
    "sex",
    "xxx",
)
OWN_HONEST, OWN_NAMES, HONEST, MARKERS = "own honest", "own names", "honest", "markers"
"""Classes beside those of the languages; see also `own_class`."""
_FORMER = {"slur": "slurs", "hate_symbol": "hate_symbols", "minor_sexual": "sexual_minor"}
"""Categories of an earlier release, which operators' files may name, and what rules they are."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One reason to stop a prompt; `rules.toml` says what its fields mean."""

    name: str
    category: str
    words: Sequence[str]
    decisions: Mapping[str, Decision]
    """By place."""
    with_: Sequence[str] = ()
    near: int = 0
    order: bool = False
    also: Sequence[str] = ()
    noun: Sequence[str] = ()
    unless: Sequence[str] = ()
    least: int = 1
    senses: int = 1
    negated: bool = False
    floors: str = ""
    bare: bool = False
    hidden: bool = False
    """Only a floor asks for it."""

    def __post_init__(self) -> None:
        if self.floors not in ("", "minor", "both") or bool(self.with_) != bool(self.near):
            raise ValueError(f"text rules: rule {self.name!r} is put together wrongly")


@dataclass(frozen=True, kw_only=True)
class TextRules:
    version: str
    """Digest of the rules."""
    decisions: Mapping[str, Mapping[str, Decision]]
    """Category → place ("strict", "age_restricted", "negative") → decision."""
    rules: Sequence[Rule]
    phrases: Phrases
    unfolded: Mapping[str, re.Pattern[str]]
    """By class, for languages whose letters are not folded or that have no spaces."""
    names: "Names" = field(repr=False)

    @classmethod
    def load(cls, extra: Path | None = None) -> Self:
        """The built-in rules and those of the operator's file (`EASEL_TEXT_RULES`), which may add
        words to `honest`, to `names` of persons and to categories, set the decisions of categories
        and of rules, and have categories of its own.

        Raises OSError, tomllib.TOMLDecodeError or ValueError when the file is wrong.
        """
        text = read_text(extra) if extra is not None else ""
        own = tomllib.loads(text)
        shipped = _shipped()
        _check_own(own, shipped)
        phrases = _phrases(shipped.languages)
        phrases.add(OWN_HONEST, own.get("honest", ()))
        phrases.add(OWN_NAMES, own.get("names", ()))
        for name, table in own.get("categories", {}).items():
            phrases.add(own_class(name), table.get("words", ()))
        phrases.disguise(_DISGUISED, shipped.names.ordinary | shipped.names.given)
        return cls(
            version=hashlib.sha256("\0".join([*shipped.texts, text]).encode()).hexdigest()[:12],
            decisions=_categories(shipped.rules, own.get("categories", {})),
            rules=tuple(_rules(shipped.rules, own.get("categories", {}))),
            phrases=phrases,
            unfolded=_unfolded(shipped.languages),
            names=shipped.names,
        )


@dataclass(frozen=True, kw_only=True)
class Names:
    """Words by which a person is named, without one name of a person; see names/NOTICE."""

    given: frozenset[str]
    surnames: frozenset[str]
    ordinary: frozenset[str]
    things: frozenset[str]
    """Given names that are also names of things."""


@dataclass(frozen=True, kw_only=True)
class _Shipped:
    texts: Sequence[str]
    rules: Mapping[str, Any]
    languages: Mapping[str, Mapping[str, Any]]
    names: Names


def own_class(category: str) -> str:
    """The class of an operator's words in a category."""
    return f"own {_FORMER.get(category, category)}"


@cache
def _shipped() -> _Shipped:
    paths = sorted(_HERE.joinpath("languages").iterdir(), key=lambda path: path.name)
    languages = {path.name.removesuffix(".toml"): path for path in paths if _is_toml(path)}
    texts = {name: path.read_text("utf-8") for name, path in languages.items()}
    rules = _HERE.joinpath("rules.toml").read_text("utf-8")
    listed = {
        name: frozenset(_HERE.joinpath("names", f"{name}.txt").read_text("utf-8").split())
        for name in ("given", "surnames", "ordinary", "things")
    }
    return _Shipped(
        texts=[rules, *texts.values()],
        rules=tomllib.loads(rules),
        languages={name: tomllib.loads(text) for name, text in texts.items()},
        names=Names(**listed),
    )


def _is_toml(path: Traversable) -> bool:
    return path.name.endswith(".toml")


def _phrases(languages: Mapping[str, Mapping[str, Any]]) -> Phrases:
    phrases = Phrases()
    for language, tables in languages.items():
        for kind, words in tables.get("words", {}).items():
            phrases.add(kind, words)
        for kind, words in tables.get("here", {}).items():
            phrases.add(kind, words, language)
        phrases.add(MARKERS, tables.get("markers", {}).get("words", ()), language)
        phrases.add(HONEST, tables.get("honest", {}).get("phrases", ()))
    return phrases


def _unfolded(languages: Mapping[str, Mapping[str, Any]]) -> Mapping[str, re.Pattern[str]]:
    by_kind: dict[str, list[str]] = {}
    for tables in languages.values():
        for kind, words in tables.get("unfolded", {}).items():
            by_kind.setdefault(kind, []).extend(words)
        by_kind.setdefault(HONEST, []).extend(tables.get("unfolded_honest", {}).get("phrases", ()))
    return {
        kind: re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))
        for kind, words in by_kind.items()
    }


def _rules(shipped: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]) -> Iterable[Rule]:
    own = {_FORMER.get(name, name): table for name, table in own.items()}
    for name, table in shipped["rules"].items():
        category = table["category"]
        # The operator's word on the rule goes before that on the category.
        settings = {**shipped["categories"][category], **own.get(category, {})}
        given = {key: value for key, value in table.items() if key not in (*PLACES, "category")}
        given["with_"] = given.pop("with", ())
        mine = {key: table[key] for key in PLACES if key in table}
        mine |= {key: value for key, value in own.get(name, {}).items() if key in PLACES}
        yield Rule(
            name=name, category=category, decisions=_decisions({**settings, **mine}), **given
        )
    for name, table in own.items():
        rule = shipped["rules"].get(name, {})
        category = rule.get("category", name)
        base = {
            **shipped["categories"].get(category, {}),
            **{k: rule[k] for k in PLACES if k in rule},
        }
        yield Rule(
            name=name,
            category=category,
            words=[own_class(name)],
            decisions=_decisions({**base, **table}),
            floors="both" if category in (Category.SEXUAL, Category.SUGGESTIVE) else "",
            bare=category == Category.SEXUAL,
        )


def _categories(
    shipped: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Mapping[str, Decision]]:
    names = [*shipped["categories"], *(n for n in own if _FORMER.get(n, n) not in shipped["rules"])]
    return {
        name: _decisions({**shipped["categories"].get(name, {}), **own.get(name, {})})
        for name in dict.fromkeys(names)
    }


def _decisions(table: Mapping[str, Any]) -> Mapping[str, Decision]:
    defaults = {"strict": "block", "age_restricted": "block", "negative": "allow"}
    return {place: Decision(table.get(place, default)) for place, default in defaults.items()}


def _check_own(own: Mapping[str, Any], shipped: _Shipped) -> None:
    """Raises ValueError for what an operator's file cannot say."""
    unknown = own.keys() - {"honest", "names", "categories"}
    if unknown:
        raise ValueError(f"text rules: there is no {', '.join(sorted(unknown))}")
    lists = {name: own[name] for name in ("honest", "names") if name in own}
    for name, table in own.get("categories", {}).items():
        if not isinstance(table, dict) or table.keys() - {"words", *PLACES}:
            raise ValueError(f"text rules: category {name!r} has words, {', '.join(PLACES)} alone")
        lists |= {f"words of {name}": table["words"]} if "words" in table else {}
    for name, value in lists.items():
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise ValueError(f"text rules: {name!r} is not a list of words")
