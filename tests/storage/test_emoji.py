"""Emoji and mentions as words."""

import pytest

from storage.catalog import Catalog, ModelEntry
from storage.emoji import spoken
from tests.fakes.nouns import a_request


@pytest.mark.parametrize(
    ("typed", "en", "fr"),
    [
        ("🍎", "red apple", "pomme rouge"),
        ("a 🍎🍌on a table", "a red apple, banana on a table", "a pomme rouge, banane on a table"),
        ("👩\u200d🎨 painting", "woman artist painting", "artiste femme painting"),
        ("👩🏽\u200d🎨 painting", "woman artist painting", "artiste femme painting"),
        ("❤ or ❤️", "red heart or red heart", "cœur rouge or cœur rouge"),
        ("🇫🇷", "flag france", "drapeau france"),
        ("(🍎:1.3)", "(red apple:1.3)", "(pomme rouge:1.3)"),
        (":apple: and :party_cat:", "red apple and party cat", "pomme rouge and party cat"),
        (":+1::skin-tone-3: good", "thumbs up good", "pouce vers le haut good"),
        ("draw @bob", "draw @bob", "draw @bob"),
        ("me@example.org at 10:30:15, 3:2 :-)", "me@example.org at 10:30:15, 3:2 :-)", None),
        ("© 2020 ™ 漢字 می\u200cخواهم", "© 2020 ™ 漢字 می\u200cخواهم", None),
    ],
)  # fmt: skip
def test_spoken(typed: str, en: str, fr: str | None) -> None:
    assert spoken(typed, "en") == en
    assert spoken(typed, "fr") == (en if fr is None else fr)


def test_models_are_asked_in_words() -> None:
    catalog = Catalog(models={"builtin": ModelEntry(source="x")})
    styled = catalog.styled(a_request(prompt="a 🍎 for @bob", negative_prompt="🍌"))
    assert (styled.prompt, styled.negative_prompt) == ("a red apple for bob", "banana")
