"""Captions: the words in which a scene may be asked for, in English, French and Spanish."""

import random
import re
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
    "en": ("a ", "a ", "the "),
    "fr": ("un ", "une ", "le ", "la "),
    "es": ("un ", "una ", "el ", "la "),
}
_PLURAL_ARTICLES: Final = {
    "en": ("the ", "some "),
    "fr": ("les ", "des "),
    "es": ("los ", "las ", "unos ", "unas "),
}
_PLURALS: Final = {  # the first that fits
    "en": (
        (re.compile(r"^(fish|sheep|deer|bison)$"), r"\1"),
        (re.compile(r"man$"), "men"),
        (re.compile(r"^person$"), "people"),
        (re.compile(r"^child$"), "children"),
        (re.compile(r"^mouse$"), "mice"),
        (re.compile(r"^(f|g)oo(t|se)$"), r"\1ee\2"),
        (re.compile(r"^tooth$"), "teeth"),
        (re.compile(r"(?<=el|ol|ea)f$|(?<=ni)fe$"), "ves"),
        (re.compile(r"(?<=[^aeiou])y$"), "ies"),
        (re.compile(r"(?<=[sxz])$|(?<=[cs]h)$"), "es"),
        (re.compile(r"$"), "s"),
    ),
    "fr": (
        (re.compile(r"(?<=[sxz])$"), ""),
        (re.compile(r"al$"), "aux"),
        (re.compile(r"(?<=[ae]u)$"), "x"),
        (re.compile(r"$"), "s"),
    ),
    "es": (
        (re.compile(r"(?<=[sx])$"), ""),
        (re.compile(r"z$"), "ces"),
        (re.compile(r"ón$"), "ones"),
        (re.compile(r"(?<=[aeiouáéíóú])$"), "s"),
        (re.compile(r"$"), "es"),
    ),
}
_CONTRACTED: Final = {  # as people write it: "an apple", "d'un chat", "al lado del perro"
    "en": ((re.compile(r"\ba (?=(?!uni|ufo|uk|eu|ewe|one)[aeiou]|hour)"), "an "),),
    "fr": (
        (re.compile(r"\b(l)[ea] (?=[aeiouyhâéèêîôœ])"), r"\1'"),
        (re.compile(r"\b(d)e (?=[aeiouyhâéèêîôœ])"), r"\1'"),
        (re.compile(r"\b(d)e le "), r"\1u "),
        (re.compile(r"\b(d)e les "), r"\1es "),
    ),
    "es": ((re.compile(r"\b(de|a) el "), r"\1l "),),
}
_LEADS: Final = {
    "en": ("a picture of ", "an emoji of ", "a drawing of ", "a sticker of ", "cartoon ", "draw "),
    "fr": ("une image de ", "un dessin de ", "un autocollant de ", "un émoji de ", "dessine "),
    "es": ("una imagen de ", "un dibujo de ", "una pegatina de ", "un emoji de ", "dibuja "),
}
_SIZES: Final = {
    "small": {
        "en": ("small ", "tiny ", "little "),
        "fr": ("petit ", "petite "),
        "es": ("pequeño ", "pequeña "),
    },
    "big": {
        "en": ("big ", "large ", "huge ", "giant "),
        "fr": ("grand ", "grande ", "gros ", "énorme "),
        "es": ("gran ", "enorme ", "grande "),
    },
}
_JOINS: Final[dict[str, tuple[str, ...]]] = {
    "en": (" and ", " next to ", " beside ", " with ", " near ", " to the left of "),
    "fr": (" et ", " à côté de ", " avec ", " près de ", " à gauche de "),
    "es": (" y ", " junto a ", " al lado de ", " con ", " cerca de ", " a la izquierda de "),
}
_TURNED_JOINS: Final[dict[str, tuple[str, ...]]] = {
    "en": (" to the right of ",),
    "fr": (" à droite de ",),
    "es": (" a la derecha de ",),
}
_RELATIONS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "on": {
        "en": (" on ", " on top of ", " sitting on ", " standing on ", " riding "),
        "fr": (" sur ", " assis sur ", " debout sur ", " posé sur "),
        "es": (" sobre ", " encima de ", " sentado en ", " de pie sobre "),
    },
    "under": {
        "en": (" under ", " below ", " underneath ", " sleeping under ", " sitting under "),
        "fr": (" sous ", " en dessous de ", " qui dort sous ", " assis sous "),
        "es": (" bajo ", " debajo de ", " durmiendo bajo ", " sentado bajo "),
    },
    "in front of": {
        "en": (" in front of ", " standing in front of ", " sitting in front of "),
        "fr": (" devant ", " debout devant ", " assis devant "),
        "es": (" delante de ", " frente a ", " enfrente de "),
    },
}
_TURNED_RELATIONS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "on": {"en": (), "fr": (), "es": ()},
    "under": {
        "en": (" above ", " over ", " flying over "),
        "fr": (" au-dessus de ",),
        "es": (" por encima de ",),
    },
    "in front of": {"en": (" behind ",), "fr": (" derrière ",), "es": (" detrás de ",)},
}
_BACKGROUNDS: Final = {
    "en": (" on a {} background", " on {} background", " on {}", ", {} background"),
    "fr": (" sur fond {}", " sur un fond {}", ", fond {}"),
    "es": (" sobre fondo {}", " con fondo {}", ", fondo {}"),
}
_WHERE: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "grass": {
        "en": (" on the grass", " in the grass", " in a meadow", " in a park", " in the garden"),
        "fr": (" sur l'herbe", " dans l'herbe", " dans un pré", " dans un parc", " au jardin"),
        "es": (" en la hierba", " en el césped", " en un prado", " en el parque", " en el jardín"),
    },
    "sea": {
        "en": (" at sea", " on the sea", " in the sea", " in the water", " on the ocean"),
        "fr": (" en mer", " sur la mer", " dans la mer", " dans l'eau", " sur l'océan"),
        "es": (" en el mar", " sobre el mar", " en el agua", " en el océano"),
    },
    "night": {
        "en": (" at night", " in the night", " under the stars", " under a night sky", " by night"),
        "fr": (" la nuit", " de nuit", " dans la nuit", " sous les étoiles"),
        "es": (" de noche", " por la noche", " en la noche", " bajo las estrellas"),
    },
    "snow": {
        "en": (" in the snow", " on the snow", " in winter", " on a snowy day"),
        "fr": (" dans la neige", " sur la neige", " sous la neige", " en hiver"),
        "es": (" en la nieve", " sobre la nieve", " bajo la nieve", " en invierno"),
    },
    "room": {
        "en": (" in a room", " in the living room", " in the kitchen", " at home", " indoors"),
        "fr": (" dans une pièce", " dans le salon", " dans la cuisine", " à la maison"),
        "es": (" en una habitación", " en el salón", " en la cocina", " en casa"),
    },
    "beach": {
        "en": (" on the beach", " at the beach", " on a beach", " on the sand"),
        "fr": (" sur la plage", " à la plage", " sur le sable"),
        "es": (" en la playa", " sobre la arena"),
    },
    "sunset": {
        "en": (" at sunset", " at dusk", " at sunrise", " at dawn", " in the evening"),
        "fr": (" au coucher du soleil", " au crépuscule", " à l'aube", " le soir"),
        "es": (" al atardecer", " al anochecer", " al amanecer"),
    },
    "space": {
        "en": (" in space", " in outer space", " among the stars", " in the galaxy"),
        "fr": (" dans l'espace", " parmi les étoiles", " dans la galaxie"),
        "es": (" en el espacio", " entre las estrellas", " en la galaxia"),
    },
    "forest": {
        "en": (" in a forest", " in the forest", " in the woods", " in the jungle"),
        "fr": (" dans une forêt", " dans la forêt", " dans les bois", " dans la jungle"),
        "es": (" en un bosque", " en el bosque", " en la selva"),
    },
    "city": {
        "en": (" in the city", " in a city", " in the street", " in town"),
        "fr": (" en ville", " dans la ville", " dans la rue"),
        "es": (" en la ciudad", " en una ciudad", " en la calle"),
    },
    "desert": {
        "en": (" in the desert", " in a desert"),
        "fr": (" dans le désert", " dans un désert"),
        "es": (" en el desierto", " en un desierto"),
    },
    "sky": {
        "en": (" in the sky", " in a blue sky", " in the clouds", " flying in the sky"),
        "fr": (" dans le ciel", " dans un ciel bleu", " dans les nuages"),
        "es": (" en el cielo", " en un cielo azul", " en las nubes"),
    },
}
GROUNDS: Final = tuple(_WHERE)
"""Where a scene may be, besides on paper and on plain colours."""
RELATIONS: Final = tuple(_RELATIONS)
"""How the first of two things may stand to the second, besides to the left of it."""
_STYLED: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "outline": {
        "en": ("line drawing of {}", "{}, line art", "{}, outline", "sketch of {}"),
        "fr": ("dessin au trait de {}", "{}, au trait", "croquis de {}", "coloriage de {}"),
        "es": ("dibujo de líneas de {}", "{}, solo contorno", "boceto de {}"),
    },
    "pixel art": {
        "en": ("pixel art of {}", "{}, pixel art", "8-bit {}", "{} in pixel art style"),
        "fr": ("pixel art de {}", "{}, pixel art", "{} en pixel art", "{} en 8 bits"),
        "es": ("pixel art de {}", "{}, pixel art", "{} en pixel art", "{} en 8 bits"),
    },
    "watercolour": {
        "en": ("watercolour of {}", "{}, watercolour", "watercolor painting of {}"),
        "fr": ("aquarelle de {}", "{}, aquarelle", "{} à l'aquarelle"),
        "es": ("acuarela de {}", "{}, acuarela", "{} en acuarela"),
    },
}
STYLES: Final = tuple(_STYLED)
_ASIDES: Final = {
    "en": (
        "please",
        "beautiful",
        "very detailed",
        "for my friend",
        "high quality",
        "thanks",
        "digital art",
    ),
    "fr": ("s'il te plaît", "magnifique", "très détaillé", "pour mon amie", "merci", "svp"),
    "es": ("por favor", "precioso", "muy detallado", "para mi amiga", "gracias", "porfa"),
}
_ADJECTIVES: Final = {
    "en": ("cute", "happy", "beautiful", "old", "magic", "funny", "lovely", "friendly", "fluffy"),
    "fr": ("mignon", "joyeux", "magique", "rigolo", "adorable", "ancien"),
    "es": ("lindo", "feliz", "mágico", "bonito", "divertido", "antiguo"),
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
_COMMON: Final = 8  # how much more often than a name such words stand in what tokens are made from
_LANGUAGE_WEIGHTS: Final = {"en": 0.5, "fr": 0.25, "es": 0.25}
_LABEL_SHARE: Final = 0.5
_LEAD_SHARE: Final = 0.15
_ARTICLES_SHARE: Final = 0.5
_PLURAL_SHARE: Final = 0.06
_ADJECTIVE_SHARE: Final = 0.06
_TURNED_SHARE: Final = 0.15
_UNACCENTED_SHARE: Final = 0.1
_ASIDE_SHARE: Final = 0.12


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One thing in a picture."""

    concept: int  # index into the list of concepts
    colour: str | None = None  # a key of COLOURS; None keeps its own colours
    size: str | None = None  # "small" or "big"; None is neither


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a picture shows: one to three things, where, in which style.

    With a `relation` there are two, and the first is on, under or in front of the second; without
    one they stand side by side, from left to right.
    """

    things: tuple[Thing, ...]
    relation: str | None = None  # one of RELATIONS
    background: str | None = None  # a key of COLOURS; None is PAPER, or the ground
    ground: str | None = None  # one of GROUNDS
    style: str | None = None  # one of STYLES; None is as drawn


def caption(
    scene: Scene, concepts: list[Concept], rng: random.Random, language: str | None = None
) -> str:
    """One of the many ways to ask for `scene`; the language is drawn when not given."""
    chosen = language or rng.choices(*zip(*_LANGUAGE_WEIGHTS.items(), strict=True))[0]
    words = _together(scene, concepts, chosen, rng)
    if scene.style:
        words = rng.choice(_STYLED[scene.style][chosen]).format(words)
    elif rng.random() < _LEAD_SHARE:
        words = rng.choice(_LEADS[chosen]) + words
    if scene.ground:
        words += rng.choice(_WHERE[scene.ground][chosen])
    if scene.background:
        colour = rng.choice(_COLOUR_WORDS[chosen][scene.background])
        words += rng.choice(_BACKGROUNDS[chosen]).format(colour)
    if rng.random() < _ASIDE_SHARE:
        aside = _aside(chosen, rng)
        words = f"{aside} {words}" if rng.random() < 1 / 3 else f"{words} {aside}"
    words = contracted(words, chosen)
    return without_accents(words) if rng.random() < _UNACCENTED_SHARE else words


def _together(scene: Scene, concepts: list[Concept], language: str, rng: random.Random) -> str:
    """The things and how they stand to each other."""
    article = rng.random() < _ARTICLES_SHARE
    told = [
        _thing(thing, concepts[thing.concept], language, rng, article) for thing in scene.things
    ]
    if len(told) == 1:
        return told[0]
    first, second, *third = told
    if third:
        return f"{first}, {second}{_JOINS[language][0]}{third[0]}"
    straight, turned = _JOINS, _TURNED_JOINS
    if scene.relation:
        straight, turned = _RELATIONS[scene.relation], _TURNED_RELATIONS[scene.relation]
    if turned[language] and rng.random() < _TURNED_SHARE:
        return second + rng.choice(turned[language]) + first
    return first + rng.choice(straight[language]) + second


def on_ground(words: str, scene: Scene) -> str:
    """English words for the scene's things, with those for its ground."""
    return words + _WHERE[scene.ground]["en"][0] if scene.ground else words


def styled(words: str, scene: Scene) -> str:
    """English words for the scene's things, with those for its style."""
    return _STYLED[scene.style]["en"][0].format(words) if scene.style else words


def _thing(thing: Thing, concept: Concept, language: str, rng: random.Random, article: bool) -> str:
    names = concept.names[language]
    name = names[0] if rng.random() < _LABEL_SHARE else rng.choice(names)
    many = rng.random() < _PLURAL_SHARE
    if many:
        name = plural(name, language)
    told = [rng.choice(_COLOUR_WORDS[language][thing.colour])] if thing.colour else []
    if rng.random() < _ADJECTIVE_SHARE:
        told.append(rng.choice(_ADJECTIVES[language]))
    name = " ".join([*told, name] if language == "en" else [name, *told])
    if thing.size:
        name = rng.choice(_SIZES[thing.size][language]) + name
    articles = _PLURAL_ARTICLES if many else _ARTICLES
    return rng.choice(articles[language]) + name if article else name


def contracted(text: str, language: str) -> str:
    """Articles as they are written before vowels and after prepositions."""
    for pattern, instead in _CONTRACTED[language]:
        text = pattern.sub(instead, text)
    return text


def plural(name: str, language: str) -> str:
    """The likely plural of a name: "cherry" -> "cherries", "oiseau" -> "oiseaux", "pez" -> "peces".

    Only the noun changes: the last word in English, the first in French and Spanish. One that
    looks like a plural stays as it is.
    """
    words = name.split()
    place = -1 if language == "en" else 0
    noun = words[place]
    if not (language == "en" and re.search(r"(?<![su])s$", noun)):
        for pattern, instead in _PLURALS[language]:
            if pattern.search(noun):
                words[place] = pattern.sub(instead, noun)
                break
    return " ".join(words)


def _aside(language: str, rng: random.Random) -> str:
    """What people add and no picture shows: courtesies, signs, words that nobody knows."""
    unknown = "".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 8)))
    return rng.choice((rng.choice(_ASIDES[language]), rng.choice(_SIGNS), unknown))


def without_accents(text: str) -> str:
    """As people type on keyboards that lack the accents."""
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def vocabulary(concepts: list[Concept]) -> list[str]:
    """Every text that captions are made of: what the tokenizer is trained on."""
    names = [(name, k) for c in concepts for k, every in c.names.items() for name in every]
    texts = [name for name, _ in names] + [plural(name, language) for name, language in names]
    plain: tuple[dict[str, tuple[str, ...]], ...]
    plain = (_ARTICLES, _PLURAL_ARTICLES, _LEADS, _JOINS, _TURNED_JOINS, _BACKGROUNDS)
    plain += (_ASIDES, _ADJECTIVES)
    nested = (_SIZES, _RELATIONS, _TURNED_RELATIONS, _WHERE, _STYLED)
    for table in (*plain, *(inner for outer in nested for inner in outer.values())):
        texts += [text for choices in table.values() for text in choices] * _COMMON
    for colours in _COLOUR_WORDS.values():
        texts += [word for forms in colours.values() for word in forms] * _COMMON
    return texts + [without_accents(text) for text in texts]


def known_words(concepts: list[Concept]) -> frozenset[str]:
    """Every word that captions are made of, without accents."""
    return frozenset(word for text in vocabulary(concepts) for word in _words(text))


def unknown_words(text: str, known: frozenset[str]) -> list[str]:
    """The words of a prompt that no caption held, in their order, without accents."""
    return [word for word in _words(text) if word not in known]


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", without_accents(text.casefold())) if len(word) > 1]
