"""A chat process that dies over what it has acknowledged: the next one does it, and says so."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import pytest
from simcord import InteractionResult
from sqlalchemy import select

from bot.core.inbox import UNANSWERED, Inbox, Unanswered
from bot.discord import intake
from storage import places
from storage.domain import JobState, Platform
from storage.settings import Settings
from storage.tables import InboxRow, ReviewRow
from tests.fakes.discord_world import World, button, refusal
from tests.fakes.painter import png

LEASE_SECONDS = 16.0


@contextmanager
def dying_once_acknowledged() -> Iterator[None]:
    """Nothing is done of what is heard inside the block."""

    async def act(*_: object) -> None:
        pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Inbox, "act", act)
        yield


async def started_again(world: World, settings: Settings) -> None:
    """Another process, which takes up what the one before has left."""
    await world.env.advance_time(LEASE_SECONDS)
    await world.restart(settings)
    await taken_up(world)


async def taken_up(world: World) -> None:
    inbox: Inbox = world.env.bot.inbox  # type: ignore[attr-defined]
    with world.env.time_context():
        await inbox.step()
        await inbox.drain()
    await world.env.settle()


def left(world: World) -> int:
    with world.line.database.read() as session:
        return len(session.scalars(select(InboxRow.event_key).where(InboxRow.body != "")).all())


async def test_a_command_is_drawn_by_the_next_process(world: World, settings: Settings) -> None:
    with dying_once_acknowledged():
        said = await world.imagine("a red apple", reference=("sketch.png", png(1)), seed=7)
    assert (said.deferred, world.entries(), left(world)) == (True, [], 1)
    await started_again(world, settings)
    assert (world.entry.request.seed, left(world)) == (7, 0)
    world.painter.paint()
    await world.deliver()
    assert said.response is not None
    assert said.response.embeds[0].title == "a red apple"
    assert len(world.channel.history()) == 1


async def test_it_is_taken_up_once(world: World, settings: Settings) -> None:
    with dying_once_acknowledged():
        await world.imagine()
    await started_again(world, settings)
    await started_again(world, settings)
    assert len(world.entries()) == 1


async def test_a_complaint_is_told_by_the_next_process(world: World, settings: Settings) -> None:
    with dying_once_acknowledged():
        said = await world.imagine("a fox --sed 7")
    await started_again(world, settings)
    assert "--seed" in refusal(said)
    assert (world.channel.history(), left(world)) == ([], 0)


async def test_what_was_never_acknowledged_is_nobody_s(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the row and the answer: Discord itself says that the application did not
    respond, so nothing may come of it."""

    async def die(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(intake, "_defer", die)
        said = await world.imagine()
    assert not said.deferred
    await started_again(world, settings)
    assert (world.entries(), left(world), world.channel.history()) == ([], 0, [])


@pytest.mark.parametrize("action", ["again", "vary", "enlarge"])
async def test_presses_that_draw(world: World, settings: Settings, action: str) -> None:
    said = await world.drawn()
    with dying_once_acknowledged():
        await press(world, said, action)
    await started_again(world, settings)
    assert [entry.state for entry in world.entries()] == [JobState.WAITING, JobState.MADE]


async def press(world: World, said: InteractionResult, action: str) -> InteractionResult:
    assert said.response is not None
    return await world.alice.click(
        said.response, custom_id=button(said.response.components, action)
    )


@pytest.mark.parametrize("pressed", [True, False])
async def test_what_is_taken_already_is_not_taken_up_again(
    world: World, settings: Settings, pressed: bool
) -> None:
    """Whoever has died over it had accepted it; somebody else's row may say otherwise."""
    said = await world.drawn() if pressed else None
    with dying_once_acknowledged():
        await (press(world, said, "again") if said else world.imagine())
    [key, body] = row_of_what_is_left(world)
    await started_again(world, settings)
    count = len(world.entries())
    with world.line.database.write() as session:
        session.get_one(InboxRow, key).body = body
    await started_again(world, settings)
    assert (len(world.entries()), left(world)) == (count, 0)
    assert len(world.channel.history()) == count, "its placeholder stays"


def row_of_what_is_left(world: World) -> tuple[str, str]:
    with world.line.database.read() as session:
        row = session.scalars(select(InboxRow).where(InboxRow.body != "")).one()
        return row.event_key, row.body


async def test_a_cancel(world: World, settings: Settings) -> None:
    said = await world.imagine()
    await world.deliver()
    with dying_once_acknowledged():
        await press(world, said, "cancel")
    await started_again(world, settings)
    assert (world.entry.state, left(world)) == (JobState.CANCELLED, 0)


async def test_a_delete(world: World, settings: Settings) -> None:
    said = await world.drawn()
    with dying_once_acknowledged():
        await press(world, said, "delete")
    await started_again(world, settings)
    await world.deliver()
    assert (world.channel.history(), left(world)) == ([], 0)


async def test_a_report(world: World, settings: Settings) -> None:
    said = await world.drawn()
    with dying_once_acknowledged():
        told = await press(world, said, "report")
    await started_again(world, settings)
    with world.line.database.read() as session:
        assert len(session.scalars(select(ReviewRow)).all()) == 1
    assert told.response is not None
    assert "A moderator will look at it" in told.response.content


async def test_settings_of_the_server(world: World, settings: Settings) -> None:
    with dying_once_acknowledged():
        said = await world.mod.slash(world.channel, "easel quota", pictures=7)
    await started_again(world, settings)
    with world.line.database.read() as session:
        rules = places.rules(session, Platform.DISCORD, str(world.guild.id))
    assert rules.daily_pictures == 7
    assert said.response is not None
    assert said.response.embeds[0].title == "Easel on this server"


async def test_forgetting(world: World, settings: Settings) -> None:
    await world.drawn()
    asked = await world.alice.slash(world.channel, "privacy delete")
    with dying_once_acknowledged():
        await press(world, asked, "forget")
    await started_again(world, settings)
    assert world.entry.user_id == ""
    assert asked.response is not None
    assert "I have forgotten" in asked.response.content


async def test_a_database_that_is_away_is_told_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> bool:
        raise Unanswered

    with monkeypatch.context() as patch:
        patch.setattr(Inbox, "hear", away)
        said = await world.imagine()
    assert said.response is not None
    assert (said.response.content, said.ephemeral) == (UNANSWERED, True)
    assert world.entries() == []


async def test_each_event_five_times_at_once(world: World) -> None:
    world.redeliver_events(5)
    said = await world.imagine()
    assert (said.deferred, len(world.entries())) == (True, 1)


async def test_an_acknowledgement_that_fails_is_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have got through, so that nobody may be told to try again."""

    async def broken(*_: object) -> None:
        raise aiohttp.ClientConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(intake, "_defer", broken)
        await world.imagine()
    assert (len(world.entries()), left(world)) == (1, 0)
    world.painter.paint()
    await world.deliver()
    [message] = world.channel.history()
    assert message.embeds[0].title == "a red apple"


@pytest.mark.parametrize("status", [429, 503])
async def test_a_webhook_that_is_asked_too_often_is_asked_again(world: World, status: int) -> None:
    """A report is answered by one, and made once."""
    said = await world.drawn()
    world.env.inject_error("PATCH", "/webhooks/*", status=status, times=1)
    told = await press(world, said, "report")
    assert left(world) == 1
    await world.env.advance_time(2)
    await taken_up(world)
    assert left(world) == 0
    assert told.response is not None
    assert "Something went wrong" not in told.response.content


async def test_an_acknowledgement_that_is_one_too_many_is_made_again(world: World) -> None:
    world.env.inject_error("POST", "/interactions/*", status=429, times=1)
    await world.imagine()
    assert (len(world.entries()), left(world)) == (1, 0)
