"""Scenes: drawn at random for training, held out for judging, and laid out on the picture."""

import hashlib
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from generation.builtin.words import COLOURS, GROUNDS, RELATIONS, STYLES, Scene, Thing

_HELD_OUT_ONE_IN: Final = 10
SINGLE: Final = (0.9, 0.95)
"""The side of a single thing as a part of the picture's. Sizes and places vary little: a blurred
average of many is what a short training would learn."""
_SIZES: Final = {
    "single": SINGLE,
    "single small": (0.42, 0.46),
    "single on a ground": (0.66, 0.7),
    "paired": (0.46, 0.48),
    "paired small": (0.3, 0.32),
    "paired big": (0.6, 0.62),
    "three": (0.31, 0.32),
}
_OFF_CENTRE: Final = 1 / 64  # at most, as a part of the picture's side
_ROW: Final = 0.96  # what two things in a row may fill
_STANDING: Final = 0.93  # where the feet of things are that stand on a ground
_AIRY: Final = frozenset({"sky", "space"})  # grounds on which nothing stands
_TINTED_IN_COMPANY: Final = 0.12
_SIZED_IN_COMPANY: Final = 0.12
_GROUND_IN_COMPANY: Final = 0.3


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How often each kind of scene is drawn; the rest are plain things on paper."""

    pair: float = 0.24  # side by side
    related: float = 0.24
    three: float = 0.07
    small: float = 0.03
    tint: float = 0.1
    background: float = 0.18  # of scenes on no ground
    ground: float = 0.14  # of single things
    style: float = 0.06


class Placement(NamedTuple):
    """Where a thing lies: the centre and the side of its square, as parts of the picture's side."""

    x: float
    y: float
    side: float


def held_out_colour(code: str, colour: str) -> bool:
    """True for the tenth of things x colours that training never draws."""
    return _tenth(f"{code} {colour}")


def held_out_pair(first: str, second: str, relation: str | None = None) -> bool:
    """True for the tenth of ordered pairs in a relation (None: side by side) never drawn."""
    return _tenth(f"{first} {relation or 'beside'} {second}")


def _tenth(key: str) -> bool:
    return hashlib.sha256(key.encode()).digest()[0] % _HELD_OUT_ONE_IN == 0


def draw_scene(concept: int, codes: Sequence[str], rng: random.Random, mix: Mix) -> Scene:
    """A scene of the given concept (and perhaps others) that is not held out."""
    scene = Scene(things=(Thing(concept=concept),))
    kind = rng.random()
    if kind < mix.pair + mix.related + mix.three:
        relation = rng.choice(RELATIONS) if mix.pair <= kind < mix.pair + mix.related else None
        count = 3 if kind >= mix.pair + mix.related else 2
        scene = _company(concept, count, relation, codes, rng) or scene
    elif kind < mix.pair + mix.related + mix.three + mix.small:
        scene = Scene(things=(Thing(concept=concept, size="small"),))
    elif kind < mix.pair + mix.related + mix.three + mix.small + mix.tint:
        scene = Scene(things=(_tinted(scene.things[0], codes, rng),))
    ground = mix.ground if len(scene.things) == 1 else _GROUND_IN_COMPANY
    if rng.random() < ground:
        scene = replace(scene, ground=rng.choice(GROUNDS))
    elif rng.random() < mix.background:
        taken = {thing.colour for thing in scene.things}
        free = [name for name in COLOURS if name not in taken]
        scene = replace(scene, background=rng.choice(free))
    if rng.random() < mix.style:
        scene = replace(scene, style=rng.choice(STYLES))
    return scene


def _company(
    concept: int, count: int, relation: str | None, codes: Sequence[str], rng: random.Random
) -> Scene | None:
    """The concept and others, anywhere in the order; None where two of them are held out."""
    concepts = [concept, *(rng.randrange(len(codes)) for _ in range(count - 1))]
    rng.shuffle(concepts)
    if len(set(concepts)) < count or any(
        held_out_pair(codes[one], codes[other], relation)
        for one, other in itertools.pairwise(concepts)
    ):
        return None
    things = [Thing(concept=one) for one in concepts]
    for place, thing in enumerate(things):
        if rng.random() < _TINTED_IN_COMPANY:
            things[place] = _tinted(thing, codes, rng)
    if count == 2 and not relation and rng.random() < _SIZED_IN_COMPANY:
        place = rng.randrange(2)
        things[place] = replace(things[place], size=rng.choice(("small", "big")))
    return Scene(things=tuple(things), relation=relation)


def _tinted(thing: Thing, codes: Sequence[str], rng: random.Random) -> Thing:
    colour = rng.choice(list(COLOURS))
    return thing if held_out_colour(codes[thing.concept], colour) else replace(thing, colour=colour)


def layout(scene: Scene, rng: random.Random) -> list[Placement]:
    """Where each thing of the scene lies, in the scene's order."""
    placed = [_shifted(place, rng) for place in _planned(scene, rng)]
    if scene.relation or scene.ground is None or scene.ground in _AIRY:
        return placed
    return [place._replace(y=_STANDING - place.side / 2) for place in placed]


def _planned(scene: Scene, rng: random.Random) -> list[Placement]:
    def side(kind: str) -> float:
        return rng.uniform(*_SIZES[kind])

    match scene.relation, len(scene.things):
        case "on", _:
            return [Placement(0.5, 0.27, 0.42), Placement(0.5, 0.71, 0.5)]
        case "under", _:
            return [Placement(0.5, 0.75, 0.42), Placement(0.5, 0.28, 0.5)]
        case "in front of", _:
            return [Placement(0.7, 0.71, 0.45), Placement(0.38, 0.36, 0.62)]
        case _, 1:
            small = " small" if scene.things[0].size == "small" else ""
            ground = " on a ground" if scene.ground and not small else ""
            return [Placement(0.5, 0.5, side(f"single{small}{ground}"))]
        case _, 2:
            sides = [
                side(f"paired {thing.size}" if thing.size else "paired") for thing in scene.things
            ]
            return _in_a_row(_fitting(sides))
        case _:
            return _in_a_row([side("three") for _ in scene.things])


def _fitting(sides: list[float]) -> list[float]:
    """A big thing leaves less to its neighbour."""
    big = max(sides)
    return [side if side == big else min(side, _ROW - big) for side in sides]


def _in_a_row(sides: list[float]) -> list[Placement]:
    gap = (1 - sum(sides)) / (len(sides) + 1)
    left, placed = gap, []
    for side in sides:
        placed.append(Placement(left + side / 2, 0.5, side))
        left += side + gap
    return placed


def _shifted(place: Placement, rng: random.Random) -> Placement:
    """A little aside, but never out of the picture."""
    room = min(_OFF_CENTRE, *(max(0.0, min(c, 1 - c) - place.side / 2) for c in place[:2]))
    x, y = (centre + rng.uniform(-room, room) for centre in place[:2])
    return Placement(x, y, place.side)
