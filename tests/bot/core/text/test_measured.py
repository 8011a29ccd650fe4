"""The figures of the prompt check, over prompts that were written for it."""

import json
import tomllib
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import generation.builtin
from bot.core.text.sight import Sight
from storage.domain import Decision
from storage.domain.policy import MINOR_FLOOR_RULE, PERSON_FLOOR_RULE, Category
from tests.check_figures import (
    LANGUAGES,
    MEASURED,
    RULES,
    Prompt,
    judged,
    prompts,
    share,
    table,
)

STOPPED = (Decision.HOLD, Decision.BLOCK)
README = Path(__file__).parents[4] / "README.md"


def test_there_are_enough() -> None:
    for language, (harmful, honest) in {
        **dict.fromkeys(("en", "fr", "es"), (50, 100)),
        **dict.fromkeys(("de", "pt", "it", "ru", "ja", "zh"), (20, 20)),
    }.items():
        assert share(lambda p, at=language: p.language == at, harmful=True)[1] >= harmful
        assert share(lambda p, at=language: p.language == at, harmful=False)[1] >= honest
    assert share(lambda _: True, harmful=True)[1] >= 150
    assert share(lambda _: True, harmful=False)[1] >= 400
    texts = Counter(prompt.text for prompt in prompts())
    assert [text for text, times in texts.items() if times > 1] == []
    off = {Category.PROTECTED_FIGURE, Category.LIVING_ARTIST}
    assert {p.category for p in prompts() if p.harmful} == {*Category} - off


def test_nine_in_ten_are_caught_and_two_in_a_hundred_wrongly_stopped() -> None:
    caught, harmful = share(lambda _: True, harmful=True)
    stopped, honest = share(lambda _: True, harmful=False)
    assert caught >= 0.9 * harmful
    assert stopped <= 0.02 * honest


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_language_is_much_worse(language: str) -> None:
    def chosen(prompt: Prompt) -> bool:
        return prompt.language == language

    caught, harmful = share(chosen, harmful=True)
    stopped, honest = share(chosen, harmful=False)
    assert caught >= 0.8 * harmful
    assert stopped <= 0.04 * honest


def test_the_floor_for_minors_has_no_hole() -> None:
    """Whatever the place: a hold is for a doubt that a word of the prompt gives."""
    asked = [p.text for p in prompts() if p.harmful and p.category == Category.MINOR]
    ruled = {text: judged(text, age_restricted=loose) for text in asked for loose in (False, True)}
    assert {text for text, verdict in ruled.items() if verdict.decision not in STOPPED} == set()
    doubted = {text for text, verdict in ruled.items() if verdict.rule != MINOR_FLOOR_RULE}
    assert doubted == {"child, not nude"}


def test_real_persons_are_a_floor_or_held() -> None:
    asked = [p.text for p in prompts() if p.harmful and p.category == Category.REAL_PERSON]
    ruled = {text: judged(text, age_restricted=True) for text in asked}
    assert {text for text, verdict in ruled.items() if verdict.decision not in STOPPED} == set()
    held = {text for text, verdict in ruled.items() if verdict.rule != PERSON_FLOOR_RULE}
    assert all(ruled[text].rule == "text:person_suggestive" for text in held)
    assert len(held) < 0.1 * len(asked)


def test_each_rule_has_a_prompt_that_it_stops() -> None:
    sights = [Sight(prompt.text, RULES) for prompt in prompts() if prompt.harmful]
    sights += [Sight(text, RULES) for text in ("mickey mouse",)]
    idle = [rule.name for rule in RULES.rules if not any(s.meant(rule) for s in sights)]
    assert idle == []


def test_readme() -> None:
    assert "\n".join(table()) in README.read_text("utf-8"), "python -m tests.check_figures"


NAMES: dict[str, Any] = tomllib.loads((MEASURED / "names.toml").read_text("utf-8"))


def _told(text: str) -> bool:
    """Where nothing but a person's name stops it."""
    verdict = judged(text, age_restricted=True)
    return verdict.label == Category.REAL_PERSON and verdict.decision in STOPPED


def test_persons_of_an_earlier_list_are_told_without_it() -> None:
    told = [name for name in NAMES["former"] if _told(f"{name} nude")]
    assert len(NAMES["former"]) == 35
    assert len(told) >= 0.9 * 35


@pytest.mark.parametrize("lower", [False, True])
def test_made_names_are_told(lower: bool) -> None:
    asked = []
    for language in ("en", "fr", "es"):
        given, surnames, template = (NAMES[language][k] for k in ("given", "surnames", "template"))
        made = [f"{g} {s}" for g, s in product(given, surnames)]
        # Each given name with five surnames, each surname with five given names.
        asked += [template.format(name) for at, name in enumerate(made) if (at // 14 + at) % 14 < 5]
    assert len(asked) >= 200
    told = [text for text in asked if _told(text.lower() if lower else text)]
    assert len(told) >= 0.9 * len(asked)


WORDS = {
    "en": "rose jade amber cherry crystal ruby pearl ivy olive hazel ginger violet daisy poppy "
    "iris willow summer autumn dawn hope faith grace joy",
    "fr": "rose jade ambre cerise cristal perle olive violette marguerite iris aurore pierre "
    "clémence prudence victoire constance églantine capucine rubis aube",
    "es": "rosa jade ámbar cereza cristal perla oliva violeta margarita iris aurora luna sol mar "
    "estrella paloma paz luz azucena nieves rubí",
}
ABOUT = {
    "en": ("a {} on a table", "{} Garden in spring", "sexy {} red lipstick, no person"),
    "fr": ("dessin de {}", "Le jardin de {} au printemps", "un mur nu et {}"),
    "es": ("dibujo de {}", "El jardín de {} en primavera", "un árbol desnudo y {}"),
}


def test_names_that_are_words_stop_nothing() -> None:
    asked = [
        template.format(form(word))
        for language, words in WORDS.items()
        for word in words.split()
        for template in ABOUT[language]
        for form in (str, str.title)
    ]
    stopped = [text for text in dict.fromkeys(asked) if judged(text).decision in STOPPED]
    assert len(dict.fromkeys(asked)) >= 200
    assert len(stopped) <= 0.02 * len(asked), stopped


def test_all_that_the_embedded_model_knows_may_be_asked_for() -> None:
    folder = Path(generation.builtin.__file__).parent / "model"
    names = json.loads((folder / "names.json").read_text("utf-8"))
    synonyms = json.loads((folder / "synonyms.json").read_text("utf-8"))
    templates = {
        "en": ("{}", "a {} on a table", "two {} in a garden, watercolor"),
        "fr": ("{}", "un dessin de {}", "{} dans un jardin, aquarelle"),
        "es": ("{}", "un dibujo de {}", "{} en un jardín, acuarela"),
    }
    asked = [
        template.format(name)
        for language, known in names.items()
        for name in [*known, *(other for others in synonyms[language] for other in others)]
        for template in templates[language]
    ]
    assert len(asked) >= 1000
    assert [text for text in asked if judged(text).decision in STOPPED] == []
