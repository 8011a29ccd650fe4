"""Scenes, their pictures, and the judge that looks at them."""

import random

import numpy as np
import pytest
from PIL import Image

from generation.builtin.dataset import Batches, Drawings
from generation.builtin.judge import Bank, border_colour, colour_shares, distance_to, on_white
from generation.builtin.retouching import ssim
from generation.builtin.scenes import (
    Composer,
    Mix,
    draw_scene,
    held_out_colour,
    held_out_pair,
)
from generation.builtin.words import COLOURS, Scene, Thing

CODES = [str(number) for number in range(40)]


@pytest.fixture
def composer(drawings: Drawings) -> Composer:
    return Composer(drawings.by_style, drawings.size)


def shown(composer: Composer, scene: Scene) -> Image.Image:
    return Image.fromarray(composer.compose(scene, random.Random(1)))


def test_what_is_held_out_is_never_drawn() -> None:
    rng = random.Random(5)
    scenes = [draw_scene(rng.randrange(40), CODES, rng, Mix()) for _ in range(4000)]
    pairs = [scene.things for scene in scenes if len(scene.things) == 2]
    tints = [thing for scene in scenes for thing in scene.things if thing.colour]
    assert pairs
    assert tints
    assert not any(held_out_pair(CODES[a.concept], CODES[b.concept]) for a, b in pairs)
    assert not any(held_out_colour(CODES[thing.concept], thing.colour or "") for thing in tints)
    left_out = sum(held_out_colour(code, colour) for code in CODES for colour in COLOURS)
    assert 20 < left_out < 70  # a tenth of 440


def test_pictures_show_tint_and_background(composer: Composer) -> None:
    scene = Scene(things=(Thing(concept=0, colour="green"),), background="purple")
    image = shown(composer, scene)
    assert distance_to(border_colour(image), COLOURS["purple"]) < 20
    assert colour_shares(image)["green"] > 0.8


def test_pairs_stand_left_and_right(composer: Composer) -> None:
    image = shown(composer, Scene(things=(Thing(concept=0), Thing(concept=1))))
    pixels = np.asarray(image, np.float64)
    left, right = pixels[:, :8].mean((0, 1)), pixels[:, 8:].mean((0, 1))
    assert left.argmax() == 0  # a red ball
    assert right.argmax() == 2  # a blue box


def test_the_judge_finds_a_drawing_whatever_its_place_and_background(
    composer: Composer, drawings: Drawings
) -> None:
    bank = Bank([on_white(image) for image in drawings.by_style["shapes"] if image])
    for concept in range(3):
        for background in (None, "yellow"):
            scene = Scene(things=(Thing(concept=concept),), background=background)
            assert bank.rank(shown(composer, scene), concept) == 0
    assert len(bank) == 3
    assert bank.rank(Image.new("RGB", (16, 16), "white"), 0) >= 0  # nothing to cut is no error


def test_ssim_is_one_for_itself_and_less_for_others(composer: Composer) -> None:
    ball, box = (shown(composer, Scene(things=(Thing(concept=n),))) for n in (0, 1))
    assert ssim(ball, ball) == pytest.approx(1)
    assert ssim(ball, box) < 0.9


def test_a_batch_follows_from_its_number_and_shows_every_concept_alike(drawings: Drawings) -> None:
    batches, alike = (Batches(drawings, batch=6, seed=1, mix=Mix(pair=0)) for _ in range(2))
    one, same, other = batches[4], alike[4], batches[5]
    assert one.captions == same.captions
    assert bool((one.pixels == same.pixels).all())
    assert not bool((one.pixels == other.pixels).all())
    assert np.bincount(one.shown.numpy()).tolist() == [2, 2, 2]
    assert one.pixels.shape == (6, 3, 16, 16)
