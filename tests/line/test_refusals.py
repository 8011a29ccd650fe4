"""What is refused or held is not posted, is said in the right words, and is in the log."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from storage import decisions, review
from storage.domain import Decision, JobState, ReviewKind, Subject
from storage.log import LogEntry
from tests.fakes.house import House, attached

BLOCK_ALL = {"thresholds": {"nsfw": {"block": 0.0}}}


def words(house: House, entry: LogEntry) -> str:
    card = house.wall.cards[entry.job_id][-1]
    assert card.pictures == ()
    return f"{card.title} {card.text}"


@pytest.mark.parametrize(
    ("locale", "said"),
    [("en", "Your prompt was refused"), ("fr", "refusé"), ("es", "rechaz")],
)
async def test_a_prompt_that_is_refused(lone_house: House, locale: str, said: str) -> None:
    entry = await lone_house.ask("a naked woman having sex", locale=locale)
    assert entry.state is JobState.REFUSED
    told = words(lone_house, entry)
    assert said in told
    assert "naked" not in told, "the chat never repeats it"
    assert entry.verdicts[0][1].subject is Subject.PROMPT
    assert entry.request.prompt == "a naked woman having sex", "the log does"


async def test_an_output_that_is_refused(tmp_path: Path) -> None:
    house = House(tmp_path, **BLOCK_ALL)
    with house.worker():
        entry = await house.ask("a cat")
    assert entry.state is JobState.MADE
    assert "refused by the safety check" in words(house, entry)
    [picture] = entry.pictures
    assert (picture.decision, picture.kept_apart) == (Decision.BLOCK, True)
    assert house.line.blobs.get(picture.sha256, kept_apart=True)
    with pytest.raises(FileNotFoundError):
        house.line.blobs.get(picture.sha256)
    assert entry.verdicts[-1][1].scores.keys() == {"nsfw"}


async def test_a_reference_that_is_refused(tmp_path: Path) -> None:
    house = House(tmp_path, **BLOCK_ALL)
    reference = attached(Image.new("RGB", (80, 60), "teal"))
    with house.worker():
        entry = await house.ask("a cat", reference=reference)
    assert entry.state is JobState.REFUSED
    assert "Your reference image was refused" in words(house, entry)
    assert entry.pictures == ()


def broken_checker(folder: Path) -> str:
    """A real image classifier whose weights are no numbers."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=16,
        id2label={0: "fine", 1: "nsfw"},
        label2id={"fine": 0, "nsfw": 1},
    )
    model = ViTForImageClassification(config)
    with torch.no_grad():
        model.classifier.weight.fill_(float("nan"))
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return f"transformers:{folder}"


async def test_a_checker_that_fails_holds_what_it_could_not_judge(tmp_path: Path) -> None:
    checkers = f"opennsfw,{broken_checker(tmp_path / 'checker')}"
    house = House(tmp_path, safety_checkers=checkers)
    with house.worker():
        entry = await house.ask("a cat --seed 1")
        assert "moderator" in words(house, entry)
        assert [v.rule for _, v in entry.verdicts][-2:] == ["below-thresholds", "checker-failed"]
        assert entry.held
        hashes = await house.line.write(lambda s: allow(s, entry, house))
        for sha256 in hashes:
            house.line.blobs.move(sha256, to_kept_apart=False)
        await house.until(entry.job_id, lambda e: not e.held)
    assert house.picture(entry.job_id).size == (256, 256), "allowed by a moderator"


def allow(session: Any, entry: LogEntry, house: House) -> list[str]:
    [held] = review.waiting(session, ReviewKind.HOLD)
    assert held.job_id == entry.job_id
    return list(decisions.allow(session, entry.job_id, by="mod", now=house.line.database.clock()))
