"""Names and the words around them."""

import random
from typing import Any

import pytest

from generation.builtin.concepts import Concept, choose, singulars
from generation.builtin.sources import Style
from generation.builtin.words import Scene, Thing, caption, vocabulary, without_accents


def record(code: str, label: str, tags: list[str] | None = None, **more: Any) -> dict[str, Any]:
    plain = {"group": 3, "subgroup": 34, "version": 1, "order": int(code)}
    return {"hexcode": code, "label": label, "tags": tags or [], **plain, **more}


def style_of(codes: list[str]) -> Style:
    return Style(
        name="x",
        size=8,
        bodies=dict.fromkeys(codes, "<g/>"),
        by_code={code: code for code in codes},
    )


def chosen(*records: dict[str, Any], count: int = 9) -> list[tuple[str, ...]]:
    style = style_of([record["hexcode"] for record in records])
    every = {language: list(records) for language in ("en", "fr", "es")}
    return [concept.names["en"] for concept in choose(every, style, count)]


@pytest.mark.parametrize(
    ("language", "plural", "expected"),
    [
        ("en", "books", ["book"]),
        ("en", "cherries", ["cherry"]),
        ("en", "glass", []),
        ("en", "cactus", []),
        ("fr", "épées croisées", ["épée croisée"]),
        ("es", "libros", ["libro"]),
        ("es", "oso", []),
    ],
)
def test_singulars(language: str, plural: str, expected: list[str]) -> None:
    assert list(singulars(plural, language)) == expected


def test_a_name_stands_for_one_thing_only() -> None:
    names = chosen(record("1", "cat face", ["kitty", "pet"]), record("2", "dog face", ["pet"]))
    assert names == [("dog face", "dog"), ("cat face", "cat", "kitty")]


def test_everyday_words_and_head_nouns() -> None:
    assert chosen(record("1", "crossed swords")) == [
        ("crossed swords", "sword", "crossed sword", "swords")
    ]


def test_favourites_come_first_then_the_oldest_and_flags_never() -> None:
    names = chosen(
        record("1", "flag: Chad", group=9, subgroup=98),
        record("2", "oncoming taxi", subgroup=54),
        record("3", "harp", subgroup=68, version=17),
        record("4", "banjo", subgroup=68),
        record("5", "fox", version=3),
    )
    assert [name[0] for name in names] == ["fox", "banjo", "harp", "oncoming taxi"]


@pytest.mark.parametrize(
    ("language", "names", "colour", "ground"),
    [
        ("en", {"ball", "round thing"}, "green", "blue"),
        ("fr", {"balle"}, "vert", "bleu"),
        ("es", {"pelota"}, "verde", "azul"),
    ],
)
def test_captions_say_what_the_scene_shows(
    concepts: list[Concept], language: str, names: set[str], colour: str, ground: str
) -> None:
    scene = Scene(things=(Thing(concept=0, colour="green"),), background="blue")
    for seed in range(50):
        text = caption(scene, concepts, random.Random(seed), language)
        assert any(name in text for name in names), text
        assert colour in text, text
        assert text.index(colour) < text.index(ground), text


def test_the_left_thing_is_named_first(concepts: list[Concept]) -> None:
    scene = Scene(things=(Thing(concept=1), Thing(concept=2)))
    texts = {caption(scene, concepts, random.Random(seed), "en") for seed in range(50)}
    assert len(texts) > 5
    assert all(text.index("box") < text.index("bar") for text in texts)


def test_some_captions_say_more_than_the_picture_shows(concepts: list[Concept]) -> None:
    scene = Scene(things=(Thing(concept=1),))
    texts = [caption(scene, concepts, random.Random(seed), "en") for seed in range(400)]
    plain = {"a", "an", "the", "picture", "of", "emoji", "drawing", "sticker", "cute", "cartoon"}
    more = [text for text in texts if set(text.split()) - plain - {"box"}]
    assert all("box" in text for text in texts)
    assert 0.05 < len(more) / len(texts) < 0.25
    assert any(text.startswith("box ") for text in more)
    assert any(text.endswith(" box") for text in more)


def test_the_vocabulary_covers_captions_with_and_without_accents(concepts: list[Concept]) -> None:
    words = set(" ".join(vocabulary(concepts, ["noto"])).split())
    assert {"boîte", "boite", "rouge", "amarilla", "noto"} <= words
    assert without_accents("épée, ñandú") == "epee, nandu"
