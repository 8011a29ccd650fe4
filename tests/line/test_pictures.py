"""Through the whole line: what was asked is what the chat shows."""

import asyncio

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generation.provenance import read_seal
from storage.domain import JobState, Mode
from tests.fakes.house import House, attached

SEED = {"seed": 5}


def pixels(image: Image.Image, size: int = 64) -> NDArray[np.float64]:
    return np.asarray(image.resize((size, size), Image.Resampling.BOX), dtype=np.float64)


def likeness(one: Image.Image, other: Image.Image) -> float:
    """Correlation of brightness, -1 to 1."""
    flat = [pixels(image.convert("L")).ravel() for image in (one, other)]
    return float(np.corrcoef(*flat)[0, 1])


async def drawn(house: House, text: str, **given: object) -> Image.Image:
    entry = await house.ask(text, **given)
    assert entry.state is JobState.MADE, entry
    return house.picture(entry.job_id)


async def test_red_and_green_differ_as_they_should(house: House) -> None:
    red = pixels(await drawn(house, "a red apple", options=SEED))
    green = pixels(await drawn(house, "a green apple", options=SEED))
    red_over_green = [float((p[..., 0] - p[..., 1]).mean()) for p in (red, green)]
    assert red_over_green[0] > 30 > 0 > red_over_green[1]


async def test_french_and_spanish_names(house: House) -> None:
    english, french, spanish = [
        await drawn(house, text, options=SEED, locale=locale)
        for text, locale in (("apple", "en"), ("pomme", "fr"), ("manzana", "es"))
    ]
    other = await drawn(house, "a house", options=SEED)
    for same in (french, spanish):
        assert likeness(english, same) > likeness(english, other) + 0.1


async def test_the_same_seed_is_the_same_picture(house: House) -> None:
    first = await house.ask("a cat --seed 11")
    second = await house.ask("a cat --seed 11")
    other = await house.ask("a cat --seed 12")
    assert first.pictures[0].sha256 == second.pictures[0].sha256
    assert first.pictures[0].sha256 != other.pictures[0].sha256


async def test_each_of_four_is_the_picture_of_its_own_seed(house: House) -> None:
    four = await house.ask("a cat --seed 11 --count 4")
    assert [p.seed for p in four.pictures] == [11, 12, 13, 14]
    second = await house.ask("a cat --seed 12")
    assert pixels(house.picture(four.job_id, 1)).tolist() == (
        pixels(house.picture(second.job_id)).tolist()
    )
    assert len({p.sha256 for p in four.pictures}) == 4


async def test_image_to_image_keeps_the_layout(house: House) -> None:
    reference = await drawn(house, "a house", options=SEED)
    unrelated = await drawn(house, "a pizza", options={"seed": 6})
    entry = await house.ask(
        "a pizza", options={"seed": 6, "strength": 0.4}, reference=attached(reference)
    )
    assert entry.request.mode is Mode.IMAGE_TO_IMAGE
    restyled = house.picture(entry.job_id)
    assert likeness(reference, restyled) > likeness(reference, unrelated) + 0.1


async def test_inpaint_keeps_what_is_not_masked(house: House) -> None:
    reference = await drawn(house, "a house", options=SEED)
    mask = Image.new("L", reference.size, 0)
    mask.paste(255, (reference.width // 2, 0, reference.width, reference.height))
    entry = await house.ask(
        "a red apple", options=SEED, reference=attached(reference), mask=attached(mask)
    )
    assert entry.request.mode is Mode.INPAINT
    difference = np.abs(pixels(house.picture(entry.job_id)) - pixels(reference))
    assert difference[:, :30].mean() < 3
    assert difference[:, 34:].mean() > 10


async def test_transparent_parts_are_repainted(house: House) -> None:
    reference = (await drawn(house, "a house", options=SEED)).convert("RGBA")
    reference.paste((0, 0, 0, 0), (0, 0, reference.width, reference.height // 2))
    entry = await house.ask("a red apple --use edit", options=SEED, reference=attached(reference))
    assert entry.request.mode is Mode.INPAINT
    difference = np.abs(pixels(house.picture(entry.job_id)) - pixels(reference.convert("RGB")))
    assert difference[34:].mean() < 3


async def test_the_file_says_what_made_it(house: House) -> None:
    entry = await house.ask("a cat", options={"seed": 3, "negative": "dog"})
    seal = read_seal(house.line.blobs.get(entry.pictures[0].sha256))
    assert seal["digital_source_type"].endswith("/trainedAlgorithmicMedia")
    assert (seal["prompt"], seal["negative_prompt"], seal["seed"]) == ("a cat", "dog", "3")
    assert seal["model_revision"] == entry.model_revision != ""


async def test_the_same_event_five_times_at_once_is_one_job(house: House) -> None:
    raw = house.heard("a cat")
    jobs = await asyncio.gather(*(house.line.submit(raw, {}) for _ in range(5)))
    assert len(set(jobs)) == 1


async def test_the_worker_writes_no_prompt_anywhere(house: House) -> None:
    entry = await house.ask("canaryword5309 apple " * 20, options={"negative": "canaryword5310"})
    assert entry.state is JobState.MADE
    assert str(entry.job_id) in house.worker_log
    assert "canaryword" not in house.worker_log
