"""Discord with nothing left out behind it: the real broker and a real worker process."""

import asyncio
import io
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from PIL import Image
from simcord import Env, InteractionResult

from bot.demo import WallClock
from bot.discord.app import create_bot
from bot.reaper import Reaper
from storage.domain import JobState, Mode
from storage.log import LogEntry
from tests.fakes.discord_world import Wire, World, button
from tests.fakes.house import PATIENCE_SECONDS, House, png


@pytest_asyncio.fixture
async def world(house: House, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    env = Env(create_bot(house.settings, house.line))
    env.backend.clock = WallClock()
    await env.start()
    (wire := Wire()).install(monkeypatch)
    yield World(env, house.line, wire)
    await env.shutdown()
    env.raise_errors()


async def drawn(world: World) -> LogEntry:
    """The newest request, once it is finished and shown."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (entry := world.entry).state.finished:
        assert time.monotonic() < end, entry
        await Reaper(world.line).step()
        await world.deliver()
        await asyncio.sleep(0.05)
    await world.deliver()
    return entry


async def picture(said: InteractionResult) -> Image.Image:
    """The one picture of the message that a command or button left in the channel."""
    assert said.response is not None
    [attachment] = said.response.attachments
    return Image.open(io.BytesIO(await attachment.read()))


async def test_a_command(world: World) -> None:
    said = await world.imagine("a red apple (-leaf)", seed=5)
    entry = await drawn(world)
    assert (entry.state, entry.request.negative_prompt) == (JobState.MADE, "leaf")
    assert (await picture(said)).size == (256, 256)


async def test_a_command_with_a_reference(world: World) -> None:
    reference = png(Image.new("RGB", (120, 80), "gold"))
    await world.imagine("a cat", reference=("gold.png", reference), strength=0.8)
    entry = await drawn(world)
    assert (entry.state, entry.request.mode) == (JobState.MADE, Mode.IMAGE_TO_IMAGE)
    assert (entry.request.width, entry.request.height) == (80, 56), "the reference's shape"


@pytest.mark.parametrize("action", ["again", "vary", "enlarge"])
async def test_a_button(world: World, action: str) -> None:
    first = await world.imagine("a house", seed=5)
    parent = await drawn(world)
    assert first.response is not None
    second = await world.alice.click(
        first.response, custom_id=button(first.response.components, action)
    )
    entry = await drawn(world)
    assert entry.job_id != parent.job_id
    assert entry.state is JobState.MADE
    assert (await picture(second)).size == ((512, 512) if action == "enlarge" else (256, 256))


async def test_a_modal(world: World) -> None:
    first = await world.imagine("a red apple", seed=5)
    await drawn(world)
    assert first.response is not None
    editor = await world.alice.click(
        first.response, custom_id=button(first.response.components, "edit")
    )
    second = await world.alice.submit_modal(editor, {"prompt": "a green apple --seed 3"})
    entry = await drawn(world)
    assert (entry.request.prompt, entry.request.seed) == ("a green apple", 3)
    assert (await picture(second)).size == (256, 256)


async def test_a_cancel_in_mid_step(world: World) -> None:
    said = await world.imagine("a cat", steps=50, count=4)
    end = time.monotonic() + PATIENCE_SECONDS
    for _ in iter(lambda: world.entry.step < 3 and time.monotonic() < end, False):
        await asyncio.sleep(0.02)
    await world.deliver()
    assert said.response is not None
    cancel = button(said.response.components, "cancel")
    await world.alice.click(said.response, custom_id=cancel)
    assert (await drawn(world)).state is JobState.CANCELLED
