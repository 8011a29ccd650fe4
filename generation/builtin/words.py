"""Captions: the words in which a scene may be asked for, in English, French and Spanish."""

import random
import string
import unicodedata
from dataclasses import dataclass
from typing import Final

from generation.builtin.concepts import Concept

RGB = tuple[int, int, int]

COLOURS: Final[dict[str, RGB]] = {
    "red": (222, 44, 44),
    "orange": (245, 135, 31),
    "yellow": (250, 212, 40),
    "green": (60, 168, 72),
    "blue": (45, 105, 220),
    "purple": (130, 62, 190),
    "pink": (248, 130, 185),
    "brown": (128, 80, 46),
    "grey": (140, 140, 145),
    "black": (38, 38, 42),
    "white": (250, 250, 250),
}
PAPER: Final[RGB] = (255, 255, 255)
"""The background when a prompt names none."""

_COLOUR_WORDS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "en": {name: (name,) for name in COLOURS} | {"grey": ("grey", "gray")},
    "fr": {
        "red": ("rouge",),
        "orange": ("orange",),
        "yellow": ("jaune",),
        "green": ("vert", "verte"),
        "blue": ("bleu", "bleue"),
        "purple": ("violet", "violette"),
        "pink": ("rose",),
        "brown": ("marron", "brun", "brune"),
        "grey": ("gris", "grise"),
        "black": ("noir", "noire"),
        "white": ("blanc", "blanche"),
    },
    "es": {
        "red": ("rojo", "roja"),
        "orange": ("naranja",),
        "yellow": ("amarillo", "amarilla"),
        "green": ("verde",),
        "blue": ("azul",),
        "purple": ("morado", "morada"),
        "pink": ("rosa",),
        "brown": ("marrón",),
        "grey": ("gris",),
        "black": ("negro", "negra"),
        "white": ("blanco", "blanca"),
    },
}
_ARTICLES: Final = {
    "en": ("a ", "an ", "the "),
    "fr": ("un ", "une ", "le "),
    "es": ("un ", "una "),
}
_LEADS: Final = {
    "en": ("a picture of ", "an emoji of ", "a drawing of ", "a sticker of ", "cute ", "cartoon "),
    "fr": ("une image de ", "un dessin de ", "un autocollant de ", "un émoji de "),
    "es": ("una imagen de ", "un dibujo de ", "una pegatina de ", "un emoji de "),
}
_SMALL: Final = {
    "en": ("small ", "tiny ", "little "),
    "fr": ("petit ", "petite "),
    "es": ("pequeño ", "pequeña "),
}
_JOINS: Final = {
    "en": (" and ", " next to ", " beside ", " and a ", " with a "),
    "fr": (" et ", " à côté de ", " et un ", " et une ", " avec "),
    "es": (" y ", " junto a ", " y un ", " y una ", " con "),
}
_GROUNDS: Final = {
    "en": (" on a {} background", " on {} background", " on {}", ", {} background"),
    "fr": (" sur fond {}", " sur un fond {}", ", fond {}"),
    "es": (" sobre fondo {}", " con fondo {}", ", fondo {}"),
}
_STYLES: Final = {
    "en": (" in {} style", ", {}"),
    "fr": (" en style {}", ", {}"),
    "es": (" en estilo {}", ", {}"),
}
_ASIDES: Final = {
    "en": (
        "please",
        "beautiful",
        "very detailed",
        "for my friend",
        "high quality",
        "thanks",
        "pls",
    ),
    "fr": ("s'il te plaît", "magnifique", "très détaillé", "pour mon amie", "merci", "svp"),
    "es": ("por favor", "precioso", "muy detallado", "para mi amiga", "gracias", "porfa"),
}
_SIGNS: Final = (
    "🏰",
    "✨",
    "😀",
    "❤️",
    "🎨",
    "@everyone",
    "!!!",
    "...",
    "4k",
    "8k",
    "(",
    "#1",
    "<3",
)
_LANGUAGE_WEIGHTS: Final = {"en": 0.5, "fr": 0.25, "es": 0.25}
_LABEL_SHARE: Final = 0.5
_LEAD_SHARE: Final = 0.15
_ARTICLE_SHARE: Final = 0.45
_UNACCENTED_SHARE: Final = 0.1
_ASIDE_SHARE: Final = 0.12


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One thing in a picture."""

    concept: int  # index into the list of concepts
    colour: str | None = None  # a key of COLOURS; None keeps its own colours


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a picture shows: one thing, or two side by side (left first)."""

    things: tuple[Thing, ...]
    background: str | None = None  # a key of COLOURS; None is PAPER
    small: bool = False
    style: str | None = None  # a set of drawings, named only where several are trained


def caption(
    scene: Scene, concepts: list[Concept], rng: random.Random, language: str | None = None
) -> str:
    """One of the many ways to ask for `scene`; the language is drawn when not given."""
    chosen = language or rng.choices(*zip(*_LANGUAGE_WEIGHTS.items(), strict=True))[0]
    words = rng.choice(_JOINS[chosen]).join(
        _thing(thing, concepts[thing.concept], chosen, scene.small, rng) for thing in scene.things
    )
    if rng.random() < _LEAD_SHARE:
        words = rng.choice(_LEADS[chosen]) + words
    elif rng.random() < _ARTICLE_SHARE:
        words = rng.choice(_ARTICLES[chosen]) + words
    if scene.background:
        colour = rng.choice(_COLOUR_WORDS[chosen][scene.background])
        words += rng.choice(_GROUNDS[chosen]).format(colour)
    if scene.style:
        words += rng.choice(_STYLES[chosen]).format(scene.style)
    if rng.random() < _ASIDE_SHARE:
        aside = _aside(chosen, rng)
        words = f"{aside} {words}" if rng.random() < 1 / 3 else f"{words} {aside}"
    return without_accents(words) if rng.random() < _UNACCENTED_SHARE else words


def _thing(thing: Thing, concept: Concept, language: str, small: bool, rng: random.Random) -> str:
    names = concept.names[language]
    name = names[0] if rng.random() < _LABEL_SHARE else rng.choice(names)
    if thing.colour:
        colour = rng.choice(_COLOUR_WORDS[language][thing.colour])
        name = f"{colour} {name}" if language == "en" else f"{name} {colour}"
    return rng.choice(_SMALL[language]) + name if small else name


def _aside(language: str, rng: random.Random) -> str:
    """What people add and no picture shows: courtesies, signs, words that nobody knows."""
    unknown = "".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 8)))
    return rng.choice((rng.choice(_ASIDES[language]), rng.choice(_SIGNS), unknown))


def without_accents(text: str) -> str:
    """As people type on keyboards that lack the accents."""
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def vocabulary(concepts: list[Concept], styles: list[str]) -> list[str]:
    """Every text that captions are made of: what the tokenizer is trained on."""
    texts = [name for c in concepts for names in c.names.values() for name in names]
    for table in (_ARTICLES, _LEADS, _SMALL, _JOINS, _GROUNDS, _STYLES, _ASIDES):
        texts += [text for choices in table.values() for text in choices]
    for colours in _COLOUR_WORDS.values():
        texts += [word for forms in colours.values() for word in forms] * 8
    texts += styles
    return texts + [without_accents(text) for text in texts]
