"""The trials of composed scenes: relations, grounds, styles, and sentences as people type them.

Each figure stands beside its control, and beside a ceiling: what the judge (`lineup.py`) finds in
real scenes, composed as training composes them.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from PIL import Image

from generation.builtin import goals
from generation.builtin.report import Row
from generation.builtin.scenes import held_out_pair
from generation.builtin.sentences import SENTENCES
from generation.builtin.trials import CASES, Pictures, Studio, share, turned
from generation.builtin.words import (
    GROUNDS,
    RELATIONS,
    STYLES,
    Scene,
    Thing,
    known_words,
    on_ground,
    styled,
    unknown_words,
)

_RELATED: Final = 100
_STYLED: Final = 30
_WASHES: Final = 6  # watercolour runs by chance: so many candidates of each style
_OTHERS: Final = 300  # names from which the judge tells a thing apart


def relations(studio: Studio) -> list[Row]:
    """Two things in a relation in which training never showed them: is each in its place?

    Each place is compared with the same scene with other things in it.
    """
    scenes = _unseen(studio)
    prompts = []
    for scene in scenes:
        first, second = (studio.name(thing.concept) for thing in scene.things)
        prompts.append(f"{first} {scene.relation} {second}")
    real = studio.gallery.composed(scenes, studio.rng("related for real"))
    return [
        *_placed(
            studio, "unseen scenes of two things", studio.draw(prompts), scenes, goals.RELATED
        ),
        *_placed(studio, "ceiling: such scenes composed", real, scenes),
    ]


def _unseen(studio: Studio) -> list[Scene]:
    rng, known = studio.rng("related"), studio.gallery.known
    scenes: list[Scene] = []
    while len(scenes) < _RELATED:
        relation = RELATIONS[len(scenes) % len(RELATIONS)]
        first, second = rng.sample(range(len(known)), 2)
        if held_out_pair(known[first].code, known[second].code, relation):
            things = (Thing(concept=first), Thing(concept=second))
            scenes.append(Scene(things=things, relation=relation))
    return scenes


def _placed(
    studio: Studio, what: str, pictures: Pictures, scenes: list[Scene], target: float | None = None
) -> list[Row]:
    ranks, shuffled = (
        [max(_ranks(studio, *case)) for case in zip(pictures, scenes, asked, strict=True)]
        for asked in (scenes, turned(scenes))
    )
    return [
        Row(
            name=f"{what}, both in their places in the top {top} of {_OTHERS + 1}",
            value=share([rank < top for rank in ranks]),
            cases=len(ranks),
            target=target if top == 1 else None,
            control=share([rank < top for rank in shuffled]),
            control_is="shuffled names",
        )
        for top in (1, 5)
    ]


def _ranks(
    studio: Studio, picture: Image.Image, scene: Scene, asked: Scene, variant: int = 0
) -> list[int]:
    """How many other names fit better in the places of `scene` than the things of `asked`."""
    others = studio.sample("told apart", min(_OTHERS, len(studio.gallery.known)))
    ranks = []
    for slot, thing in enumerate(asked.things):
        candidates = [_with(scene, slot, concept) for concept in (thing.concept, *others)]
        scores = studio.gallery.lineup.scores(picture, candidates, thing=slot, variant=variant)
        ranks.append(int((scores > scores[0]).sum()))
    return ranks


def _with(scene: Scene, slot: int, concept: int) -> Scene:
    things = list(scene.things)
    things[slot] = replace(things[slot], concept=concept)
    return replace(scene, things=tuple(things))


def grounds(studio: Studio) -> list[Row]:
    """Is the picture most like the thing on the asked-for ground, of all grounds?"""
    scenes = [
        Scene(things=(Thing(concept=concept),), ground=GROUNDS[number % len(GROUNDS)])
        for number, concept in enumerate(studio.sample("grounds", CASES))
    ]

    def hits(pictures: Pictures) -> list[bool]:
        lineup = studio.gallery.lineup
        cases = zip(pictures, scenes, strict=True)
        return [lineup.ground(picture, scene)[0] == scene.ground for picture, scene in cases]

    return _asked(studio, "the ground is the one asked for", scenes, hits, on_ground)


def styles(studio: Studio) -> list[Row]:
    """Is the picture most like the thing in the asked-for style, of all styles and none?"""
    scenes = [
        Scene(things=(Thing(concept=concept),), style=STYLES[number % len(STYLES)])
        for number, concept in enumerate(studio.sample("styles", _STYLED))
    ]

    def hits(pictures: Pictures) -> list[bool]:
        cases = zip(pictures, scenes, strict=True)
        return [_style(studio, picture, scene) == scene.style for picture, scene in cases]

    return _asked(studio, "the style is the one asked for", scenes, hits, styled)


def _style(studio: Studio, picture: Image.Image, scene: Scene, variant: int = 0) -> str | None:
    every = [*STYLES, None] * _WASHES
    candidates = [replace(scene, style=style) for style in every]
    return every[int(studio.gallery.lineup.scores(picture, candidates, variant=variant).argmax())]


def _asked(
    studio: Studio,
    what: str,
    scenes: list[Scene],
    hits: Callable[[Pictures], list[bool]],
    worded: Callable[[str, Scene], str],
) -> list[Row]:
    """Rows for a word that the prompt has, with the same prompts without it as control."""
    names = [studio.name(scene.things[0].concept) for scene in scenes]
    asked = [worded(name, scene) for name, scene in zip(names, scenes, strict=True)]
    real = studio.gallery.composed(scenes, studio.rng(what))
    return [
        Row(
            name=what,
            value=share(hits(studio.draw(asked))),
            cases=len(scenes),
            control=share(hits(studio.draw(names))),
            control_is="without the words",
        ),
        Row(name=f"ceiling: {what}, composed", value=share(hits(real)), cases=len(scenes)),
    ]


def sentences(studio: Studio) -> list[Row]:
    """Sentences as people type them: is all that they name in the picture, each in its place?

    What no caption ever said cannot be drawn: a sentence with such words is one that the bot has to
    answer with them.
    """
    known = studio.gallery.known
    words = known_words(known)
    told = [sentence for sentence in SENTENCES if unknown_words(sentence.text, words)]
    meant = [sentence for sentence in SENTENCES if sentence not in told]
    drawable = [(s.text, scene) for s in meant if (scene := s.scene(known))]
    scenes = [scene for _, scene in drawable]
    pictures = studio.draw([text for text, _ in drawable])
    real = studio.gallery.composed(scenes, studio.rng("sentences for real"))
    found, shuffled, ceiling = (
        sum(_recognised(studio, *case) for case in zip(shown, asked, strict=True))
        for shown, asked in ((pictures, scenes), (pictures, turned(scenes)), (real, scenes))
    )
    return [
        Row(
            name=f"natural sentences {what}",
            value=(recognised + len(told)) / len(SENTENCES),
            cases=len(SENTENCES),
            target=target,
            control=(shuffled + len(told)) / len(SENTENCES),
            control_is="shuffled sentences",
        )
        for what, recognised, target in (
            ("recognised, or with words that it does not know", found, goals.RECOGNISED),
            ("composed, ceiling", ceiling, None),
        )
    ]


def _recognised(studio: Studio, picture: Image.Image, scene: Scene) -> bool:
    lineup, variant = studio.gallery.lineup, 0
    if scene.ground:
        ground, variant = lineup.ground(picture, scene)
        if ground != scene.ground:
            return False
    if scene.style and _style(studio, picture, scene, variant) != scene.style:
        return False
    return max(_ranks(studio, picture, scene, scene, variant)) == 0
