"""A hold continues: what a moderator allows in a shell is drawn by a real worker and shown."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from storage.domain import Decision, JobState, Subject
from storage.log import LogEntry
from tests.fakes.house import House, attached

HOLD_ALL = {"thresholds": {"nsfw": {"hold": 0.0}}}
HELD_PROMPT = "a swastika on a hindu temple"


async def easel_review(house: House, decision: str, entry: LogEntry) -> str:
    """A process of its own beside the services, as a moderator starts it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EASEL_")}
    environment["EASEL_DATA_FOLDER"] = str(house.settings.data_folder)
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "bot.cli", "review", decision, str(entry.job_id)[:8]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return str(ended.stdout)


async def test_a_held_prompt_is_drawn_once_it_is_allowed(house: House) -> None:
    entry = await house.ask(HELD_PROMPT)
    assert (entry.state, entry.held) == (JobState.REFUSED, True)
    assert "it waits to be drawn" in await easel_review(house, "allow", entry)
    entry = await house.until(entry.job_id, lambda e: e.state.finished)
    assert (entry.state, entry.attempts) == (JobState.MADE, 1)
    assert house.picture(entry.job_id).size == (256, 256)


async def test_a_held_prompt_is_drawn_from_its_reference(house: House) -> None:
    """Never from the words alone instead."""
    entry = await house.ask(HELD_PROMPT, reference=attached(Image.new("RGB", (80, 60), "teal")))
    assert entry.held
    assert entry.request.reference is not None
    await easel_review(house, "allow", entry)
    entry = await house.until(entry.job_id, lambda e: e.state.finished)
    assert entry.state is JobState.MADE
    assert entry.request.reference is not None


async def test_a_held_reference_is_drawn_and_its_picture_judged(tmp_path: Path) -> None:
    """The worker holds the same reference no more; what it draws it holds, until that is allowed
    as well."""
    house = House(tmp_path, **HOLD_ALL)
    with house.worker():
        entry = await house.ask("a cat", reference=attached(Image.new("RGB", (80, 60), "teal")))
        assert (entry.state, entry.held) == (JobState.REFUSED, True)
        assert entry.verdicts[-1][1].subject is Subject.REFERENCE
        assert "a moderator will look at it" in house.wall.cards[entry.job_id][-1].text
        await easel_review(house, "allow", entry)
        entry = await house.until(entry.job_id, lambda e: e.state.finished)
        assert (entry.state, entry.held, entry.attempts) == (JobState.MADE, True, 1)
        assert entry.pictures[0].decision is Decision.HOLD
        assert "Pictures to be seen now: 1." in await easel_review(house, "allow", entry)
        entry = await house.until(entry.job_id, lambda e: not e.held)
    assert house.picture(entry.job_id).size == (288, 224), "the shape of the reference"
    titles = list(dict.fromkeys(card.title for card in house.wall.cards[entry.job_id]))
    assert titles == ["Waiting", "Drawing", "A moderator has to look first", "a cat"]


async def test_a_held_reference_that_stays_refused(tmp_path: Path) -> None:
    house = House(tmp_path, **HOLD_ALL)
    with house.worker():
        entry = await house.ask("a cat", reference=attached(Image.new("RGB", (80, 60), "teal")))
    assert "It stays refused." in await easel_review(house, "refuse", entry)
    entry = await house.until(entry.job_id, lambda e: not e.held)
    assert entry.state is JobState.REFUSED
    assert "it stays refused" in house.wall.cards[entry.job_id][-1].text
