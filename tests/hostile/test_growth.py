"""What reads people's text takes time in proportion to it, whatever stands there; and no longer
text than anybody types is read at all."""

import importlib
import pkgutil
import re
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import chain

import pytest

import bot
from bot.core import grammar, names, values, written
from bot.core.text import TextRules, ages, check_text, folding
from bot.discord import words as discord_words
from bot.discord.buttons import CardButton, PictureSelect
from bot.i18n import LOCALES, say
from bot.slack import words as slack_words
from generation import prompts
from storage.catalog import Catalog, ModelEntry
from storage.domain import (
    Complaint,
    EventKey,
    Place,
    Platform,
    RawCommand,
    Requester,
    Subject,
)
from storage.search import words as searched
from tests.hostile.growth import LENGTH, WORST, attacks, growth, sentences

RULES = TextRules.load()
TOO_LONG = "That is too long"


def patterns() -> dict[str, re.Pattern[str]]:
    """Every pattern that a module of the chat side keeps, those of custom ids, and of weights."""
    found: dict[str, re.Pattern[str]] = {}
    modules = [importlib.import_module(m.name) for m in pkgutil.walk_packages(bot.__path__, "bot.")]
    for module in [*modules, prompts]:
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                found[f"{module.__name__}.{name}"] = value
    for item in (CardButton, PictureSelect):
        found[item.__name__] = item.__discord_ui_compiled_template__
    return found


PATTERNS = patterns()


ANCHORED = {
    "bot.core.values._NUMBER": "fullmatch",
    "bot.core.values._PAIR": "fullmatch",
    "bot.core.written._VALUE": "match",
    "bot.discord.app._NAME": "fullmatch",
    "bot.discord.modals.EDIT": "fullmatch",
    "bot.discord.modals.REFERENCE": "fullmatch",
    "bot.references.fetch._HOST": "fullmatch",
    "bot.slack.run._SECONDS": "fullmatch",
}
"""Tried at one place alone, as they are used; all others are looked for everywhere."""


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern(name: str) -> None:
    pattern = PATTERNS[name]
    act = getattr(pattern, ANCHORED[name]) if name in ANCHORED else partial(pattern.sub, "")
    tried = list(chain.from_iterable(map(attacks, sentences(pattern))))
    assert tried
    for attack in tried:
        assert growth(act, attack) < WORST, attack


def test_the_sentences_are_those_of_the_patterns() -> None:
    """Otherwise the attacks would attack nothing."""
    for name, pattern in PATTERNS.items():
        assert any(pattern.search(sentence) for sentence in sentences(pattern)), name


READERS: dict[str, Callable[[str], object]] = {
    "slack: typed": slack_words.typed,
    "slack: escape": partial(slack_words.escape, limit=10**6),
    "asks_privately": values.asks_privately,
    "discord: escape": discord_words.escape,
    "clean": written.clean,
    "written": written.read,
    "terms": written.terms,
    "groups": written._take_groups,
    "fold": folding.fold,
    "read": lambda text: folding.read(text, RULES.phrases.known),
    "forms": folding.forms,
    "ages": lambda text: deque(ages.young(folding.read(text, RULES.phrases.known), 2026), maxlen=0),
    "ages unfolded": ages.young_unfolded,
    "check_text": lambda text: check_text(
        text, RULES, subject=Subject.PROMPT, age_restricted=False
    ),
    "names": names._words,
    "quoted": grammar._quoted,
    "number": values._number,
    "weights": prompts.parse_weights,
    "search": searched,
}
ATTACKS = (
    *((("", unit, "")) for unit in (
        "<@A|", "<@A", "<a|", "<mailto:", "{image:", "{image: ", "--a ", "—se ", "--style \"",
        "--style «", "--no (", "(-", "(-a", "( - ", ", ,", "\\(", "(a:1.3", "n u d e ", "n-", "a@",
        "11 years ", "aged of: ", "\n", " \n", "# ", "1.", "ﷺ", "⒜", "a\u0301", "\u200b", "𝖆",
        "👨‍👩‍👧", "aé", "\x00", ":1.",
    )),
    ("", "(-", ")" * (LENGTH // 2)),
    ("", "(-(", ")" * (LENGTH // 2)),
    ("", "( -", " )" * (LENGTH // 4)),
    ("", "[", "]" * LENGTH),
    ("", "{\"a\":", "}" * LENGTH),
)  # fmt: skip


@pytest.mark.parametrize("name", READERS)
def test_a_reader(name: str) -> None:
    for attack in ATTACKS:
        assert growth(READERS[name], attack) < WORST, attack


UNITS = ("a", "<@A|", "(-", "—se ", "{image:", "--no ")
PLACE = Place(platform=Platform.SLACK)


def raw(text: str = "a fox", **options: str) -> RawCommand:
    return RawCommand(
        event=EventKey(platform=Platform.SLACK, kind="trigger", id="1"),
        requester=Requester(platform=Platform.SLACK, user_id="U1"),
        place=PLACE,
        text=text,
        options=options,
    )


def forty_thousand(unit: str) -> str:
    return (unit * 40_000)[:40_000]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("option", ["", "negative", "style", "aspect", "strength", "seed"])
def test_what_is_too_long_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch, unit: str, option: str
) -> None:
    long = forty_thousand(unit)
    given = raw(**{option: long}) if option else raw(long)
    if not option:
        monkeypatch.setattr(written, "clean", pytest.fail)
    assert slack_words.typed(long) is long
    catalog = Catalog(models={"builtin": ModelEntry(source="nowhere", width=64, height=64)})
    told = grammar.parse(given, catalog, default_model="builtin", random_seed=lambda: 1)
    assert isinstance(told, Complaint)
    said = {say(locale, told.text, **told.values) for locale in LOCALES}
    assert len(said) == len(LOCALES)
    assert any(TOO_LONG in words for words in said)


def test_whether_it_is_private_is_asked_of_nothing_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the event loop, before anything else is known of the text."""
    assert values.asks_privately("a fox --private")
    monkeypatch.setattr(written, "clean", pytest.fail)
    assert not values.asks_privately(forty_thousand("--private "))
