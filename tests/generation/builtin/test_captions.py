"""Names and the words around them."""

import random
from collections.abc import Iterable
from typing import Any

import pytest

from generation.builtin import words
from generation.builtin.concepts import Concept, choose, singulars
from generation.builtin.scenes import Mix, draw_scene
from generation.builtin.sources import Style
from generation.builtin.words import (
    Scene,
    Thing,
    caption,
    contracted,
    known_words,
    plural,
    unknown_words,
    vocabulary,
    without_accents,
)


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
    ("language", "many", "expected"),
    [
        ("en", "books", ["book"]),
        ("en", "crossed swords", ["crossed sword"]),
        ("en", "cherries", ["cherry"]),
        ("en", "glass", []),
        ("en", "glasses", []),
        ("en", "cactus", []),
        ("en", "tennis", []),
        ("fr", "épées croisées", ["épée croisée"]),
        ("fr", "ciseaux", ["ciseau"]),
        ("fr", "cactus", []),
        ("fr", "colis", []),
        ("fr", "t-rex", []),
        ("es", "libros", ["libro"]),
        ("es", "luces", ["luz"]),
        ("es", "flores", ["flor"]),
        ("es", "autobús", []),
        ("es", "oso", []),
    ],
)
def test_singulars(language: str, many: str, expected: list[str]) -> None:
    assert list(singulars(many, language)) == expected


@pytest.mark.parametrize(
    ("language", "name", "expected"),
    [
        ("en", "cherry", "cherries"),
        ("en", "toy box", "toy boxes"),
        ("en", "snowman", "snowmen"),
        ("en", "wolf", "wolves"),
        ("en", "scissors", "scissors"),
        ("en", "bus", "buses"),
        ("fr", "tête de chien", "têtes de chien"),
        ("fr", "oiseau", "oiseaux"),
        ("fr", "cheval", "chevaux"),
        ("fr", "nez", "nez"),
        ("es", "pez", "peces"),
        ("es", "avión", "aviones"),
        ("es", "flor de cerezo", "flores de cerezo"),
    ],
)
def test_plurals(language: str, name: str, expected: str) -> None:
    assert plural(name, language) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "a apple and a pear", "an apple and a pear"),
        ("en", "a unicorn on a orange hat", "a unicorn on an orange hat"),
        ("fr", "une image de un chat", "une image d'un chat"),
        ("fr", "un chien à côté de le éléphant", "un chien à côté de l'éléphant"),
        ("fr", "près de le chat", "près du chat"),
        ("es", "un gato al lado de el perro", "un gato al lado del perro"),
    ],
)
def test_articles_agree(language: str, text: str, expected: str) -> None:
    assert contracted(text, language) == expected


def test_a_name_stands_for_one_thing_only() -> None:
    names = chosen(record("1", "cat face", ["kitty", "pet"]), record("2", "dog face", ["pet"]))
    assert names == [("dog face", "dog"), ("cat face", "cat", "kitty")]


def test_keywords_are_names_only_where_they_name_the_thing() -> None:
    tags = ["medieval", "shining", "king's", "fml4", "tiara", "a very long name", "diadem"]
    assert chosen(record("1", "crown", tags)) == [("crown", "king's", "tiara", "diadem")]
    assert chosen(record("1", "winking face", ["wink", "joke"], group=0)) == [
        ("winking face", "winking", "face")
    ]


def test_labels_lose_their_signs() -> None:
    (names,) = chosen(record("1", "Japanese “free: of charge” button (free)"))
    assert names[0] == "japanese free of charge button free"


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
        assert text.index(colour) < text.index(ground), text


def test_captions_name_all_that_a_scene_shows_and_no_other_place(
    concepts: list[Concept],
) -> None:
    rng = random.Random(11)
    codes = [concept.code for concept in concepts]
    for _ in range(1500):
        scene = draw_scene(rng.randrange(3), codes, rng, Mix(style=0.3))
        for language in ("en", "fr", "es"):
            said = without_accents(caption(scene, concepts, rng, language))
            for thing in scene.things:
                names = concepts[thing.concept].names[language]
                assert has(said, [*names, *(plural(name, language) for name in names)]), said
            for kind, asked in (
                (words._COLOUR_WORDS[language], [thing.colour for thing in scene.things]),
                (words._COLOUR_WORDS[language], [scene.background]),
                ({k: v[language] for k, v in words._WHERE.items()}, [scene.ground]),
            ):
                assert all(has(said, kind[one]) for one in asked if one), (said, scene)
            if scene.style:
                around = [form.replace("{}", "") for form in words._STYLED[scene.style][language]]
                assert has(said, [one.strip().removesuffix(" de") for one in around]), said
            for ground in set(words.GROUNDS) - {scene.ground}:
                assert not has(said, words._WHERE[ground][language]), (said, ground)


def has(text: str, any_of: Iterable[str]) -> bool:
    return any(without_accents(one) in text for one in any_of)


@pytest.mark.parametrize("relation", [None, *words.RELATIONS])
@pytest.mark.parametrize("language", ["en", "fr", "es"])
def test_captions_say_how_two_things_stand(
    concepts: list[Concept], language: str, relation: str | None
) -> None:
    scene = Scene(things=(Thing(concept=1), Thing(concept=0)), relation=relation)
    straight, turned = words._JOINS[language], words._TURNED_JOINS[language]
    if relation:
        straight, turned = (
            table[relation][language] for table in (words._RELATIONS, words._TURNED_RELATIONS)
        )
    seen = set()
    for seed in range(300):
        said = contracted(caption(scene, concepts, random.Random(seed), language), language)
        first, second = (
            min(
                place
                for name in concepts[k].names[language]
                if (place := without_accents(said).find(without_accents(name))) >= 0
            )
            for k in (1, 0)
        )
        joins = straight if first < second else turned
        between = said[min(first, second) : max(first, second)]
        assert has(without_accents(between), [join.rstrip().removesuffix(" de") for join in joins])
        seen.add(first < second)
    assert seen == ({True, False} if turned else {True})


def test_some_captions_say_more_than_the_picture_shows(concepts: list[Concept]) -> None:
    scene = Scene(things=(Thing(concept=1),))
    texts = [caption(scene, concepts, random.Random(seed), "en") for seed in range(400)]
    plain = {"a", "an", "the", "picture", "of", "emoji", "drawing", "sticker", "cute", "cartoon"}
    more = [text for text in texts if set(text.split()) - plain - {"box"}]
    assert all("box" in text for text in texts)
    assert 0.1 < len(more) / len(texts) < 0.4
    assert any(text.startswith("box ") for text in more)
    assert any(text.endswith(" box") for text in more)


def test_captions_are_written_with_articles_that_agree() -> None:
    apple = Concept(code="1", names={"en": ("apple",), "fr": ("arbre",), "es": ("oso",)})
    rng, scene = random.Random(2), Scene(things=(Thing(concept=0),))
    for language, wrong in (("en", "a apple"), ("fr", "le arbre"), ("fr", "de arbre")):
        said = [caption(scene, [apple], rng, language) for _ in range(300)]
        assert not any(wrong in text for text in said)
    assert any("an apple" in caption(scene, [apple], rng, "en") for _ in range(50))


def test_the_vocabulary_covers_captions_with_and_without_accents(concepts: list[Concept]) -> None:
    texts = set(" ".join(vocabulary(concepts)).split())
    assert {"boîte", "boite", "rouge", "amarilla", "boxes", "watercolour", "crépuscule"} <= texts
    assert without_accents("épée, ñandú") == "epee, nandu"


def test_words_that_no_caption_holds_are_named(concepts: list[Concept]) -> None:
    known = known_words(concepts)
    assert unknown_words("Two boîtes and a knight, under the stars!", known) == ["two", "knight"]
    assert unknown_words("watercolour of a BALL in the snow", known) == []
