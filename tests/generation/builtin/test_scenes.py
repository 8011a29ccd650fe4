"""Scenes, their pictures, and the judges that look at them."""

import itertools
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from generation.builtin.compose import Composer, plan, to_images
from generation.builtin.dataset import Batch, Batches, Drawings, encoded
from generation.builtin.grounds import VARIANTS, draw_grounds
from generation.builtin.judge import Bank, border_colour, colour_shares, distance_to, on_white
from generation.builtin.lineup import Lineup
from generation.builtin.retouching import ssim
from generation.builtin.scenes import (
    Mix,
    draw_scene,
    held_out_colour,
    held_out_pair,
    layout,
)
from generation.builtin.train import Recipe, tokenizer_for
from generation.builtin.words import COLOURS, GROUNDS, RELATIONS, STYLES, Scene, Thing

CODES = [str(number) for number in range(40)]


Pixels = npt.NDArray[np.float64]
BALL, BOX, BAR = (Thing(concept=number) for number in range(3))  # red, blue, green


@pytest.fixture
def composer(drawings: Drawings) -> Composer:
    return Composer(drawings.pictures, draw_grounds(drawings.size), drawings.size)


def shown(composer: Composer, scene: Scene, seed: int = 1) -> Image.Image:
    chance = torch.Generator().manual_seed(seed)
    return to_images(composer.compose(plan([scene], random.Random(seed), VARIANTS), chance))[0]


def pixels(composer: Composer, scene: Scene, seed: int = 1) -> Pixels:
    return np.asarray(shown(composer, scene, seed), np.float64)


def colour_at(page: Pixels, x: float, y: float) -> int:
    """Which of red, green and blue is strongest there."""
    side = len(page)
    return int(page[int(y * side), int(x * side)].argmax())


def test_what_is_held_out_is_never_drawn() -> None:
    rng = random.Random(5)
    mix = Mix(pair=0.3, related=0.4, three=0.2)
    scenes = [draw_scene(rng.randrange(40), CODES, rng, mix) for _ in range(9000)]
    tints = [thing for scene in scenes for thing in scene.things if thing.colour]
    assert tints
    assert not any(held_out_colour(CODES[thing.concept], thing.colour or "") for thing in tints)
    for relation in (None, *RELATIONS):
        rows = [s.things for s in scenes if len(s.things) > 1 and s.relation == relation]
        pairs = {(a.concept, b.concept) for row in rows for a, b in itertools.pairwise(row)}
        assert len(pairs) > 500
        assert not any(held_out_pair(CODES[a], CODES[b], relation) for a, b in pairs)
    left_out = sum(held_out_colour(code, colour) for code in CODES for colour in COLOURS)
    assert 20 < left_out < 70  # a tenth of 440
    for relation in (None, *RELATIONS):
        out = sum(held_out_pair(one, other, relation) for one in CODES for other in CODES)
        assert 100 < out < 220  # a tenth of 1600


def test_all_kinds_of_scenes_are_drawn_and_related_ones_have_two_things() -> None:
    rng = random.Random(6)
    scenes = [draw_scene(rng.randrange(40), CODES, rng, Mix()) for _ in range(4000)]
    assert {scene.ground for scene in scenes} == {None, *GROUNDS}
    assert {scene.style for scene in scenes} == {None, *STYLES}
    assert {scene.relation for scene in scenes} == {None, *RELATIONS}
    assert {scene.background for scene in scenes} == {None, *COLOURS}
    assert {thing.size for scene in scenes for thing in scene.things} == {None, "small", "big"}
    assert {len(scene.things) for scene in scenes} == {1, 2, 3}
    assert all(len(scene.things) == 2 for scene in scenes if scene.relation)
    assert not any(scene.background and scene.ground for scene in scenes)
    assert not any(
        thing.colour == scene.background
        for scene in scenes
        for thing in scene.things
        if scene.background
    ), "no thing vanishes on its background"


def test_things_lie_inside_in_their_relation_and_in_their_order() -> None:
    rng = random.Random(7)
    for _ in range(4000):
        scene = draw_scene(rng.randrange(40), CODES, rng, Mix())
        places = layout(scene, rng)
        for x, y, side in places:
            assert side / 2 <= min(x, y) + 1e-9, scene
            assert max(x, y) + side / 2 <= 1 + 1e-9, scene
        if scene.relation:
            first, second = places
            above = (first.y + first.side / 2) - (second.y - second.side / 2)
            if scene.relation == "on":
                assert abs(above) < 0.06
            elif scene.relation == "under":
                assert second.y + second.side / 2 < first.y - first.side / 2 + 0.06
            else:
                assert first.y + first.side / 2 > second.y + second.side / 2
        else:
            for left, right in itertools.pairwise(places):
                assert left.x + left.side / 2 < right.x - right.side / 2 + 0.04
            if scene.ground and scene.ground not in ("sky", "space"):
                assert {round(y + side / 2, 6) for _, y, side in places} == {0.93}


def test_big_and_small_things_differ_in_size() -> None:
    def sides(*sizes: str | None) -> list[float]:
        things = tuple(Thing(concept=k, size=size) for k, size in enumerate(sizes))
        return [place.side for place in layout(Scene(things=things), random.Random(1))]

    assert sides("small")[0] < 0.5 < 0.9 < sides(None)[0]
    small, usual = sides("small", None)
    assert small < 0.7 * usual
    usual, big = sides(None, "big")
    assert big > 1.5 * usual


def test_pictures_show_tint_and_background(composer: Composer) -> None:
    scene = Scene(things=(replace(BALL, colour="green"),), background="purple")
    image = shown(composer, scene)
    assert distance_to(border_colour(image), COLOURS["purple"]) < 20
    assert colour_shares(image)["green"] > 0.8


def test_things_stand_side_by_side_in_the_order_of_the_scene(composer: Composer) -> None:
    page = pixels(composer, Scene(things=(BALL, BOX)))
    assert [colour_at(page, x, 0.5) for x in (0.25, 0.75)] == [0, 2]
    page = pixels(composer, Scene(things=(BOX, BAR, BALL)))
    assert [colour_at(page, x, 0.5) for x in (0.17, 0.5, 0.83)] == [2, 1, 0]


def test_things_stand_in_their_relation(composer: Composer) -> None:
    page = pixels(composer, Scene(things=(BALL, BOX), relation="on"))
    assert [colour_at(page, 0.5, y) for y in (0.27, 0.71)] == [0, 2]
    page = pixels(composer, Scene(things=(BALL, BOX), relation="under"))
    assert [colour_at(page, 0.5, y) for y in (0.75, 0.28)] == [0, 2]


def test_the_first_thing_lies_in_front(composer: Composer) -> None:
    for first, second in ((BALL, BOX), (BOX, BALL)):
        page = pixels(composer, Scene(things=(first, second), relation="in front of"))
        strongest = {BALL: 0, BOX: 2}
        assert colour_at(page, 0.6, 0.6) == strongest[first]  # where both are
        assert colour_at(page, 0.25, 0.3) == strongest[second]


def test_grounds_are_drawn_behind_things(composer: Composer, drawings: Drawings) -> None:
    grounds = [np.asarray(ground, np.float64) for ground in draw_grounds(drawings.size)]
    for number, ground in enumerate(GROUNDS):
        page = pixels(composer, Scene(things=(BAR,), ground=ground))
        own = grounds[number * VARIANTS : (number + 1) * VARIANTS]
        corner = min(float(np.abs(page[:6] - one[:6]).mean()) for one in own)
        assert corner < 1.5, ground
    page = pixels(composer, Scene(things=(BALL,), ground="sky"))
    assert colour_at(page, 0.5, 0.5) == 0


def test_styles_change_how_a_scene_looks(composer: Composer) -> None:
    plain = Scene(things=(BALL,))
    lines, squares, wash = (pixels(composer, replace(plain, style=style)) for style in STYLES)
    assert np.ptp(lines, axis=-1).max() == 0  # no colour
    assert lines[16, 16].min() > 240  # white inside
    assert lines.min() < 120  # dark at the edge
    large = Composer([Image.new("RGBA", (128, 128), "red")], draw_grounds(128), 128)
    blocks = pixels(large, replace(plain, style="pixel art")).reshape(32, 4, 32, 4, 3)
    assert np.ptp(blocks, axis=(1, 3)).max() == 0
    assert squares.shape == wash.shape
    red = pixels(composer, plain)[16, 16]
    assert wash[16, 16][1] > red[1] + 20  # paler
    again = pixels(composer, replace(plain, style="watercolour"), seed=2)
    assert np.abs(again - wash).max() > 5  # each wash runs in its own way


def test_the_judge_finds_a_drawing_whatever_its_place_and_background(
    composer: Composer, drawings: Drawings
) -> None:
    bank = Bank([on_white(image) for image in drawings.pictures])
    for concept in range(3):
        for background in (None, "yellow"):
            scene = Scene(things=(Thing(concept=concept),), background=background)
            assert bank.rank(shown(composer, scene), concept) == 0
    assert len(bank) == 3
    assert bank.rank(Image.new("RGB", (16, 16), "white"), 0) >= 0  # nothing to cut is no error


@pytest.mark.parametrize("relation", RELATIONS)
def test_the_lineup_finds_each_thing_in_its_place(composer: Composer, relation: str) -> None:
    lineup = Lineup(composer)
    for first, second in ((BALL, BOX), (BAR, BALL), (BOX, BAR)):
        scene = Scene(things=(first, second), relation=relation)
        image = shown(composer, scene, seed=4)
        swapped = shown(composer, replace(scene, things=(second, first)), seed=4)
        for slot in range(2):
            candidates = [
                replace(scene, things=(thing, second) if slot == 0 else (first, thing))
                for thing in (BALL, BOX, BAR)
            ]
            asked = scene.things[slot].concept
            assert lineup.scores(image, candidates, thing=slot).argmax() == asked
            assert lineup.scores(swapped, candidates, thing=slot).argmax() != asked


def test_the_lineup_knows_grounds_in_variants_that_it_never_saw(drawings: Drawings) -> None:
    others = draw_grounds(drawings.size, "judge ")
    lineup = Lineup(Composer(drawings.pictures, others, drawings.size))
    composer = Composer(drawings.pictures, draw_grounds(drawings.size), drawings.size)
    scenes = [Scene(things=(BALL,), ground=ground) for ground in GROUNDS]
    found = [lineup.ground(shown(composer, scene), scene)[0] for scene in scenes]
    assert sum(one == ground for one, ground in zip(found, GROUNDS, strict=True)) >= 11


def test_ssim_is_one_for_itself_and_less_for_others(composer: Composer) -> None:
    ball, box = (shown(composer, Scene(things=(Thing(concept=n),))) for n in (0, 1))
    assert ssim(ball, ball) == pytest.approx(1)
    assert ssim(ball, box) < 0.9


def test_a_batch_follows_from_its_number_and_shows_every_concept_alike(
    drawings: Drawings, recipe: Recipe, work: Path
) -> None:
    tokenizer = tokenizer_for(drawings, recipe, work)
    mix = Mix(pair=0, related=0, three=0)
    batches, alike = (Batches(drawings.concepts, tokenizer, 6, 1, mix) for _ in range(2))
    one, same, other = batches[4], alike[4], batches[5]
    assert same_batch(one, same)
    assert not same_batch(one, other)
    assert np.bincount(one.shown.numpy()).tolist() == [2, 2, 2]
    assert one.tokens.shape == (6, recipe.shape.tokens)


def same_batch(one: Batch, other: Batch) -> bool:
    tables = zip((*one.plans, *one[1:]), (*other.plans, *other[1:]), strict=True)
    return all(torch.equal(a, b) for a, b in tables)


def test_a_part_of_the_captions_is_dropped(drawings: Drawings, recipe: Recipe, work: Path) -> None:
    tokenizer = tokenizer_for(drawings, recipe, work)
    batch = Batches(drawings.concepts, tokenizer, 2000, 1)[0]
    nothing = encoded(tokenizer, [""])
    assert 0.08 < (batch.tokens == nothing).all(dim=1).float().mean() < 0.12
