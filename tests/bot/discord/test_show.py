"""One message, edited: also when the token is dead, when Discord fails, and when nobody is left."""

from typing import Any

import pytest
from simcord import InteractionResult

from bot.discord.show import BAR_CELLS
from storage import decisions, deliveries
from storage.domain.job import Phase
from tests.fakes.discord_world import World

QUARTER_HOUR = 15 * 60


def edits(world: World, kind: str) -> list[Any]:
    return [e for e in world.env.http_requests if e.method == "PATCH" and kind in e.path]


async def test_after_the_token_the_same_message_is_edited_by_the_bot(world: World) -> None:
    said = await world.imagine()
    await world.deliver()
    await world.env.advance_time(QUARTER_HOUR)
    world.painter.paint()
    await world.deliver()
    assert said.response is not None
    assert said.response.embeds[0].title == "a red apple"
    assert len(said.response.attachments) == 1
    assert len(world.channel.history()) == 1
    assert len(edits(world, "/channels/")) == 1


@pytest.mark.parametrize(("status", "code"), [(401, 50027), (404, 10015)])
async def test_a_token_that_died_early(world: World, status: int, code: int) -> None:
    said = await world.imagine()
    world.env.inject_error("PATCH", "/webhooks/*", status=status, code=code, times=None)
    await world.deliver()
    world.painter.paint()
    await world.deliver()
    assert said.response is not None
    assert len(said.response.attachments) == 1
    assert len(edits(world, "/webhooks/")) == 1, "a dead token is tried once"


async def test_pictures_are_uploaded_once(world: World) -> None:
    said = await world.drawn()
    with world.line.database.write() as session:
        deliveries.desire(session, world.entry.job_id)
    await world.deliver()
    bodies = [e.json for e in edits(world, "/webhooks/")]
    assert ["attachments" in body for body in bodies] == [True, False]
    assert said.response is not None
    assert len(said.response.attachments) == 1


async def test_a_private_result_after_the_token_comes_by_direct_message(world: World) -> None:
    said = await world.imagine(private=True)
    await world.deliver()
    await world.env.advance_time(QUARTER_HOUR)
    job = world.painter.claim()
    assert job is not None
    await world.deliver()
    assert not world.alice.user.dm_channel.history(), "progress makes no message"
    world.painter.finish(job)
    await world.deliver()
    (message,) = world.alice.user.dm_channel.history()
    assert message.embeds[0].title == "a red apple"
    assert len(message.attachments) == 1
    sent = [e for e in world.env.http_requests if e.path.endswith("/messages")]
    assert isinstance(sent[-1].json, dict)
    assert sent[-1].json["nonce"] == world.entry.job_id.hex[:25]
    assert sent[-1].json["enforce_nonce"] is True
    assert said.acknowledged

    address = world.delivery(world.entry.job_id).address
    assert address["message_id"] == str(message.id)
    await world.alice.user.click(message, label="Again")
    world.painter.paint()
    await world.deliver()
    assert len(world.alice.user.dm_channel.history()) == 2


@pytest.mark.parametrize("private", [False, True])
async def test_what_is_allowed_hours_later_is_shown_once(world: World, private: bool) -> None:
    """In its message, by the bot's own token; or by direct message, where the token was all."""
    said = await world.imagine("a swastika on a hindu temple", private=private)
    await world.deliver()
    await world.env.advance_time(4 * 3600)
    job = world.entry.job_id
    with world.line.database.write() as session:
        decisions.allow(session, job, by="mod", now=world.env.now())
    await world.deliver()
    world.painter.paint()
    await world.deliver()
    assert said.response is not None
    direct = world.alice.user.dm_channel.history() if private else []
    assert len(said.response.attachments) == (not private)
    assert [len(message.attachments) for message in direct] == [1] * private


async def test_a_refusal_hours_later_is_told(world: World) -> None:
    said = await world.imagine("a swastika on a hindu temple")
    await world.deliver()
    await world.env.advance_time(4 * 3600)
    with world.line.database.write() as session:
        decisions.refuse(session, world.entry.job_id, by="mod", now=world.env.now())
    await world.deliver()
    assert said.response is not None
    assert "it stays refused" in str(said.response.embeds[0].description)


async def test_closed_direct_messages_wait_in_the_queue(world: World) -> None:
    await world.imagine(private=True)
    await world.env.advance_time(QUARTER_HOUR)
    world.env.inject_error("POST", "/channels/*/messages", status=403, code=50007)
    world.painter.paint()
    await world.deliver()
    gone = world.delivery(world.entry.job_id).gone
    assert gone is not None
    assert "50007" in gone
    said = await world.alice.slash(world.channel, "queue")
    assert said.response is not None
    assert "I could not send it to you" in str(said.response.embeds[0].description)


async def test_a_private_card_says_in_time_where_the_picture_will_come(world: World) -> None:
    said = await world.imagine(private=True)
    await world.deliver()
    for minutes, told in ((3, False), (10.2, True)):
        await world.env.advance_time(minutes * 60)
        await world.deliverer.refresh_waiting()
        await world.deliver()
        assert said.response is not None
        assert ("by direct message" in str(said.response.embeds[0].description)) is told


async def vanish(world: World, said: InteractionResult, how: str) -> None:
    assert said.response is not None
    backend = world.env.backend
    if how == "message":
        backend.delete_message(world.channel.id, said.response.id)
    else:
        backend.delete_channel(world.channel.id)


@pytest.mark.parametrize("how", ["message", "channel"])
@pytest.mark.parametrize("late", [False, True])
async def test_nobody_left_to_show_it_to_is_final(world: World, how: str, late: bool) -> None:
    said = await world.imagine()
    await world.deliver()
    if late:
        await world.env.advance_time(QUARTER_HOUR)
    await vanish(world, said, how)
    world.painter.paint()
    await world.deliver()
    assert world.delivery(world.entry.job_id).gone
    requests = len(world.env.http_requests)
    await world.deliver()
    assert len(world.env.http_requests) == requests


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_trouble_at_discord_is_tried_again(world: World, status: int) -> None:
    said = await world.imagine()
    world.env.inject_error("PATCH", "/webhooks/*", status=status, times=2)
    for _ in range(3):
        await world.deliver()
        await world.env.advance_time(10)
    assert said.response is not None
    assert said.response.embeds[0].title == "Waiting"
    assert world.delivery(world.entry.job_id).gone is None


async def test_removing_what_is_gone_already_is_fine(world: World) -> None:
    said = await world.drawn()
    with world.line.database.write() as session:
        deliveries.desire(session, world.entry.job_id, removed=True)
    assert said.response is not None
    world.env.backend.delete_message(world.channel.id, said.response.id)
    await world.deliver()
    row = world.delivery(world.entry.job_id)
    assert row.shown_revision == row.desired_revision
    assert not row.address


async def test_a_removed_message_after_the_token(world: World) -> None:
    said = await world.drawn()
    await world.env.advance_time(QUARTER_HOUR)
    with world.line.database.write() as session:
        deliveries.desire(session, world.entry.job_id, removed=True)
    await world.deliver()
    assert said.response is None
    with world.line.database.write() as session:
        deliveries.desire(session, world.entry.job_id)
    await world.deliver()
    assert world.delivery(world.entry.job_id).gone is None


@pytest.mark.parametrize(("step", "full"), [(0, 0), (6, BAR_CELLS // 2), (12, BAR_CELLS)])
async def test_progress_is_a_bar(world: World, step: int, full: int) -> None:
    said = await world.imagine()
    job = world.painter.claim()
    assert job is not None
    world.painter.report(job, Phase.DRAWING, step, 12)
    await world.deliver()
    assert said.response is not None
    assert str(said.response.embeds[0].description).count("█") == full
