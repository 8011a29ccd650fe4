"""The trials from text alone: each draws its cases, judges them and gives rows with controls."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from generation.builtin.export import draw
from generation.builtin.goals import FIRST_FOUND, FIRST_NAMES, Found, Goals
from generation.builtin.judge import Bank, border_colour, colour_shares, distance_to
from generation.builtin.report import Row
from generation.builtin.scenes import held_out_colour, held_out_pair
from generation.builtin.sources import Style
from generation.builtin.words import COLOURS

if TYPE_CHECKING:
    from generation.builtin.evaluate import Gallery

_RETRIEVED: Final = {"en": 120, "fr": 40, "es": 40}
CASES: Final = 50
_NEAR: Final = 40.0  # distance in RGB
_FALLS: Final = 0.8  # a negative word must leave less than this part of its colour
_PLAIN_COLOURS: Final = [name for name in COLOURS if name != "white"]  # white on paper: not judged

Pictures = list[Image.Image]
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Studio:
    """What every trial needs."""

    pipe: StableDiffusionPipeline
    gallery: "Gallery"
    goals: Goals
    seed: int

    def rng(self, trial: str) -> random.Random:
        """Each trial draws its cases from its own stream."""
        return random.Random(f"{self.seed} {trial}")  # noqa: S311

    def draw(self, prompts: list[str], **options: Any) -> Pictures:
        """One picture a prompt; case n always has the same seed."""
        return draw(self.pipe, prompts, self._seeds(len(prompts)), **options)

    def generators(self, count: int) -> list[torch.Generator]:
        return [torch.Generator("cpu").manual_seed(seed) for seed in self._seeds(count)]

    def sample(self, trial: str, count: int, among: int | None = None) -> list[int]:
        """Known concepts (of the first so many), different as long as there are enough."""
        known = range(among or len(self.gallery.known))
        rng = self.rng(trial)
        return rng.sample(known, count) if count <= len(known) else rng.choices(known, k=count)

    def name(self, concept: int, language: str = "en") -> str:
        return self.gallery.known[concept].names[language][0]

    def _seeds(self, count: int) -> list[int]:
        return [1000 * self.seed + number for number in range(count)]


def share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)


def turned(items: Sequence[Item]) -> list[Item]:
    """Shuffled labels without luck: everyone gets the label of the next one."""
    return [*items[1:], *items[:1]]


def retrieval(studio: Studio, unseen: Style) -> list[Row]:
    """Does the picture of a name look most like that name's drawing, of all in the bank?

    A model that knows more than the first names is asked for those alone as well.
    """
    known = len(studio.gallery.known)
    rows, far = _retrieved(studio, "retrieval of the name", known, studio.goals.retrieval)
    if known > FIRST_NAMES:
        name = f"retrieval of the {FIRST_NAMES} first names"
        rows += _retrieved(studio, name, FIRST_NAMES, FIRST_FOUND)[0]
        rows += _as_drawn(studio, far)
    return rows + _in_another_style(studio, unseen, far)


def _retrieved(
    studio: Studio, title: str, among: int, targets: dict[str, Found]
) -> tuple[list[Row], list[tuple[Image.Image, int]]]:
    rows: list[Row] = []
    far: list[tuple[Image.Image, int]] = []
    for language, count in _RETRIEVED.items():
        wanted = studio.sample(f"retrieval {language}", count, among)
        pictures = studio.draw([studio.name(concept, language) for concept in wanted])
        bank = studio.gallery.bank
        rows += _found(f"{title}, {language}", bank, pictures, wanted, targets[language])
        far += zip(pictures, wanted, strict=True)
    return rows, far


def _as_drawn(studio: Studio, far: list[tuple[Image.Image, int]]) -> list[Row]:
    wanted = [concept for _, concept in far]
    real = [studio.gallery.compose(concept, studio.rng("real")) for concept in wanted]
    return _found("ceiling: the drawings themselves", studio.gallery.bank, real, wanted)


def _in_another_style(
    studio: Studio, unseen: Style, far: list[tuple[Image.Image, int]]
) -> list[Row]:
    other, places = studio.gallery.bank_of(unseen)
    kept = [(picture, places[concept]) for picture, concept in far if concept in places]
    name = f"the same against {unseen.name}, a style never trained"
    rows = _found(name, other, [p for p, _ in kept], [place for _, place in kept])
    real = [studio.gallery.compose(concept, studio.rng("real")) for _, concept in far]
    drawn = [(p, places[c]) for p, (_, c) in zip(real, far, strict=True) if c in places]
    name = f"ceiling: real drawings against {unseen.name}"
    rows += _found(name, other, [p for p, _ in drawn], [place for _, place in drawn])
    return rows


def _found(
    name: str,
    bank: Bank,
    pictures: Pictures,
    wanted: list[int],
    targets: Found = (None, None),
) -> list[Row]:
    ranks = [bank.rank(picture, place) for picture, place in zip(pictures, wanted, strict=True)]
    shuffled = [bank.rank(p, place) for p, place in zip(pictures, turned(wanted), strict=True)]
    return [
        Row(
            name=f"{name}, top {top} of {len(bank)}",
            value=share([rank < top for rank in ranks]),
            cases=len(ranks),
            target=target,
            control=share([rank < top for rank in shuffled]),
            control_is="shuffled names",
        )
        for top, target in zip((1, 5), targets, strict=True)
    ]


def colours(studio: Studio) -> list[Row]:
    """Is the named colour the most frequent one of the thing? Only pairs that training left out."""
    known = studio.gallery.known
    left_out = [
        (concept, colour)
        for concept in range(len(known))
        for colour in _PLAIN_COLOURS
        if held_out_colour(known[concept].code, colour)
    ]
    cases = studio.rng("colours").sample(left_out, CASES)
    asked = studio.draw([f"{colour} {studio.name(concept)}" for concept, colour in cases])
    plain = studio.draw([studio.name(concept) for concept, _ in cases])
    bank = studio.gallery.bank
    found = [bank.rank(picture, c) < 5 for picture, (c, _) in zip(asked, cases, strict=True)]
    return [
        Row(
            name="colour words, held out",
            value=share(_coloured(asked, cases)),
            cases=CASES,
            target=studio.goals.colours,
            control=share(_coloured(plain, cases)),
            control_is="without the word",
        ),
        Row(
            name="the recoloured thing among the top 5 (judge sees colour too)",
            value=share(found),
            cases=CASES,
        ),
    ]


def _coloured(pictures: Pictures, cases: list[tuple[int, str]]) -> list[bool]:
    shares = [colour_shares(picture) for picture in pictures]
    return [
        bool(found[colour]) and found[colour] == max(found.values())
        for found, (_, colour) in zip(shares, cases, strict=True)
    ]


def backgrounds(studio: Studio) -> list[Row]:
    """Is the border within _NEAR of the named colour?"""
    rng = studio.rng("backgrounds")
    cases = [(c, rng.choice(_PLAIN_COLOURS)) for c in studio.sample("backgrounds", CASES)]
    asked = studio.draw([f"{studio.name(c)} on a {colour} background" for c, colour in cases])
    plain = studio.draw([studio.name(concept) for concept, _ in cases])
    near, control = (
        share(
            [
                distance_to(border_colour(picture), COLOURS[colour]) <= _NEAR
                for picture, (_, colour) in zip(pictures, cases, strict=True)
            ]
        )
        for pictures in (asked, plain)
    )
    return [
        Row(
            name="background within 40 of the word",
            value=near,
            cases=CASES,
            target=studio.goals.backgrounds,
            control=control,
            control_is="without the words",
        )
    ]


def pairs(studio: Studio) -> list[Row]:
    """Two things that training never showed together: is each in its half?"""
    rng = studio.rng("pairs")
    known = studio.gallery.known
    cases: list[tuple[int, int]] = []
    while len(cases) < CASES:
        left, right = rng.sample(range(len(known)), 2)
        if held_out_pair(known[left].code, known[right].code):
            cases.append((left, right))
    prompts = [f"{studio.name(left)} and {studio.name(right)}" for left, right in cases]
    pictures = studio.draw(prompts)
    side = pictures[0].width
    lefts = [picture.crop((0, 0, side // 2, side)) for picture in pictures]
    rights = [picture.crop((side // 2, 0, side, side)) for picture in pictures]
    bank = studio.gallery.bank

    def ranks(halves: Pictures, places: list[int]) -> list[int]:
        return [bank.rank(half, place) for half, place in zip(halves, places, strict=True)]

    first, second = [left for left, _ in cases], [right for _, right in cases]
    found = list(zip(ranks(lefts, first), ranks(rights, second), strict=True))
    shuffled = zip(ranks(lefts, turned(first)), ranks(rights, turned(second)), strict=True)
    control = [max(two) for two in shuffled]
    return [
        Row(
            name=f"unseen pairs, both halves in the top {top} of {len(bank)}",
            value=share([max(two) < top for two in found]),
            cases=CASES,
            target=studio.goals.pairs,
            control=share([rank < top for rank in control]),
            control_is="shuffled names",
        )
        for top in (1, 5)
    ]


def negatives(studio: Studio) -> list[Row]:
    """Does a negative colour word take that colour out of a thing that has it?"""
    rng = studio.rng("negatives")
    cases: list[tuple[int, str, str]] = []
    for concept in studio.sample("negatives", len(studio.gallery.known)):
        shares = colour_shares(studio.gallery.compose(concept, rng))
        main = max(shares, key=lambda colour: shares[colour])
        absent = [colour for colour in _PLAIN_COLOURS if shares[colour] < 0.05]
        if shares[main] > 0.5 and main in _PLAIN_COLOURS and absent:
            cases.append((concept, main, rng.choice(absent)))
        if len(cases) == CASES:
            break
    prompts = [studio.name(concept) for concept, _, _ in cases]
    plain = studio.draw(prompts)
    without = studio.draw(prompts, negatives=[main for _, main, _ in cases])
    beside = studio.draw(prompts, negatives=[other for _, _, other in cases])
    mains = [main for _, main, _ in cases]
    return [
        Row(
            name="negative colour word takes a fifth of that colour away",
            value=share(_less(without, plain, mains)),
            cases=len(cases),
            target=studio.goals.negatives,
            control=share(_less(beside, plain, mains)),
            control_is="another colour as negative",
        )
    ]


def _less(after: Pictures, before: Pictures, named: list[str]) -> list[bool]:
    return [
        colour_shares(now)[colour] < _FALLS * colour_shares(then)[colour]
        for now, then, colour in zip(after, before, named, strict=True)
    ]
