"""What Discord refuses: tried again, told, or given up; and a take-down that nothing stops."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from simcord import InteractionResult

from bot.discord.errors import ARCHIVED, DEAD_TOKEN, NOT_THERE, OPERATORS, SORTS
from storage import deliveries, troubles
from storage.domain import JobState
from storage.tables import DeliveryRow
from tests.fakes.discord_world import World, button, custom_ids

QUARTER_HOUR = 15 * 60
MISSING_ACCESS, MISSING_PERMISSIONS = 50001, 50013
OWN_STATUS = dict.fromkeys(range(10001, 10130), 404) | {
    **dict.fromkeys((40001, 50014, 50027), 401),
    **dict.fromkeys((MISSING_ACCESS, MISSING_PERMISSIONS, 50007, 50278, 40333, 20012), 403),
}


def codes() -> list[int]:
    """All that Discord has."""
    if not (folder := os.environ.get("EASEL_SPECS")):
        pytest.skip("EASEL_SPECS is not set")
    found = json.loads((Path(folder) / "discord-error-codes.json").read_text())
    return [int(code) for code in found["codes"]]


def row(world: World) -> DeliveryRow:
    return world.delivery(world.entry.job_id)


def desire(world: World, *, removed: bool = False) -> None:
    with world.line.database.write() as session:
        deliveries.desire(session, world.entry.job_id, removed=removed)


def doctors_words(world: World) -> str:
    with world.line.database.read() as session:
        found = troubles.current(session)
    return " ".join(trouble.said(world.line.database.clock()) for trouble in found)


async def take_down(world: World, code: int, path: str = "/*", method: str = "DELETE") -> None:
    """Asked for, and answered with this code once."""
    status = OWN_STATUS.get(code, 400)
    world.env.inject_error(method, path, status=status, code=code, times=1)
    desire(world, removed=True)
    await world.deliver()
    world.env.backend.faults.clear()


@pytest.mark.parametrize("late", [False, True])
async def test_a_take_down_whatever_discord_answers(world: World, late: bool) -> None:
    """Issue 11, figure 7: by token, and by bot token."""
    said = await world.drawn()
    if late:
        await world.env.advance_time(QUARTER_HOUR)
    for code in codes():
        if code in (*NOT_THERE, ARCHIVED) or (code in DEAD_TOKEN and not late):
            continue  # In test_codes the archived thread is opened again.
        await take_down(world, code)
        assert said.response is not None, code
        assert row(world).gone is None, code
        assert row(world).address, code
        told = f"1 card cannot be taken down: Discord says {code or 400} since"
        assert told in doctors_words(world), code
    await world.env.advance_time(3600)
    await world.deliver()
    assert said.response is None
    assert doctors_words(world) == ""
    assert not row(world).address


@pytest.mark.parametrize("code", DEAD_TOKEN)
async def test_a_take_down_whose_token_died_early(world: World, code: int) -> None:
    said = await world.drawn()
    await take_down(world, code, "/webhooks/*")
    assert said.response is None
    assert not row(world).address


@pytest.mark.parametrize("code", NOT_THERE)
@pytest.mark.parametrize("late", [False, True])
async def test_a_take_down_of_what_is_not_there(world: World, code: int, late: bool) -> None:
    await world.drawn()
    if late:
        await world.env.advance_time(QUARTER_HOUR)
    await take_down(world, code)
    assert not row(world).address
    assert doctors_words(world) == ""


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_take_down_of_a_private_picture_whose_answer_was_lost(
    world: World, method: str
) -> None:
    """It lies in direct messages, and nobody has written down where."""
    await world.imagine(private=True)
    await world.env.advance_time(QUARTER_HOUR)
    world.painter.paint()
    before = row(world).address
    await world.deliver()
    [message] = world.alice.user.dm_channel.history()
    assert message.attachments
    with world.line.database.write() as session:
        session.get_one(DeliveryRow, world.entry.job_id).address = before
    path = {"GET": "/channels/*/messages*", "POST": "/users/@me/channels"}[method]
    for code in codes():
        if code in NOT_THERE:
            continue
        world.env.bot._connection._private_channels_by_user.clear()
        await take_down(world, code, path, method)
        assert row(world).gone is None
        assert row(world).address == before
    await world.env.advance_time(3600)
    await world.deliver()
    assert world.alice.user.dm_channel.history() == []


async def test_what_was_given_up_is_taken_down_all_the_same(world: World) -> None:
    """A picture was shown; then the channel refused an edit for an hour."""
    said = await world.drawn()
    await world.env.advance_time(QUARTER_HOUR)
    await refused_for_an_hour(world)
    assert row(world).gone
    desire(world, removed=True)
    await world.deliver()
    assert said.response is None


async def refused_for_an_hour(world: World, code: int = MISSING_PERMISSIONS) -> None:
    world.env.inject_error("PATCH", "/*", status=403, code=code, times=None)
    desire(world)
    for _ in range(8):
        await world.deliver()
        await world.env.advance_time(600)
    world.env.backend.faults.clear()


@pytest.mark.parametrize("code", [MISSING_ACCESS, MISSING_PERMISSIONS])
@pytest.mark.parametrize("late", [False, True])
async def test_rights_that_were_off_for_a_moment(world: World, code: int, late: bool) -> None:
    said = await world.imagine()
    await world.deliver()
    if late:
        await world.env.advance_time(QUARTER_HOUR)
    world.painter.paint()
    world.env.inject_error("PATCH", "/*", status=403, code=code, times=1)
    await world.deliver()
    assert said.response is not None
    assert not said.response.attachments
    await world.env.advance_time(10)
    await world.deliver()
    assert len(said.response.attachments) == 1
    assert not world.alice.user.dm_channel.history()


@pytest.mark.parametrize("late", [False, True])
async def test_rights_that_stay_off_are_told_and_the_queue_has_it(world: World, late: bool) -> None:
    said = await world.imagine()
    await world.deliver()
    if late:
        await world.env.advance_time(QUARTER_HOUR)
    world.painter.paint()
    await refused_for_an_hour(world)
    requests = [r for r in world.env.http_requests if r.method == "PATCH"]
    assert len(requests) < 15, "seldom"
    [told] = world.alice.user.dm_channel.history()
    assert "`/queue` has it" in told.content
    assert said.response is not None
    cancel = button(said.response.components, "cancel")
    answer = await world.alice.click(said.response, custom_id=cancel)
    assert "`/queue` has it" in answer.followups[0].content

    queue = await world.alice.slash(world.channel, "queue")
    assert queue.response is not None
    assert "can't show it" in str(queue.response.embeds[0].description)
    fetch = button(queue.response.components, "fetch")
    shown = await world.alice.click(queue.response, custom_id=fetch)
    await world.deliver()
    assert shown.response is not None
    assert shown.response.ephemeral
    assert len(shown.response.attachments) == 1
    again = await world.alice.slash(world.channel, "queue")
    assert again.response is not None
    assert custom_ids(again.response.components) == []


async def test_closed_direct_messages_leave_the_queue(world: World) -> None:
    await world.imagine()
    await world.deliver()
    world.painter.paint()
    world.env.inject_error("POST", "/channels/*/messages", status=403, code=50007, times=None)
    await refused_for_an_hour(world)
    assert row(world).gone
    assert not world.alice.user.dm_channel.history()
    queue = await world.alice.slash(world.channel, "queue")
    assert queue.response is not None
    assert button(queue.response.components, "fetch")


@pytest.mark.parametrize("how", ["message", "channel"])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("running", [False, True])
async def test_nobody_draws_for_nobody(world: World, how: str, late: bool, running: bool) -> None:
    said = await world.imagine()
    await world.deliver()
    if late:
        await world.env.advance_time(QUARTER_HOUR)
    if running:
        world.painter.claim()
    assert said.response is not None
    if how == "message":
        world.env.backend.delete_message(world.channel.id, said.response.id)
    else:
        world.env.backend.delete_channel(world.channel.id)
    desire(world)
    await world.deliver()
    assert world.entry.cancel_requested
    assert running or world.entry.state is JobState.CANCELLED


async def test_a_private_card_of_a_job_that_runs_in_silence(world: World) -> None:
    """CASES D5c: no worker has said anything for minutes when the token dies."""
    said = await world.imagine(private=True)
    assert world.painter.claim() is not None
    await world.deliver()
    assert said.response is not None
    assert "by direct message" not in str(said.response.embeds[0].description)
    await world.env.advance_time(13 * 60 + 10)
    await world.deliverer.refresh_waiting()
    await world.deliver()
    await world.env.advance_time(QUARTER_HOUR)
    await world.deliverer.refresh_waiting()
    await world.deliver()
    last = said.response.embeds[0]
    assert "by direct message" in str(last.description)
    assert "%" not in str(last.description)
    assert last.title == "Your picture"


def without_message_id(world: World) -> None:
    """As the inbox leaves it where the acknowledgement's answer was lost."""
    with world.line.database.write() as session:
        found = session.get_one(DeliveryRow, world.entry.job_id)
        found.address, found.message_id = {**found.address, "message_id": ""}, ""


@pytest.mark.parametrize("private", [False, True])
async def test_a_message_whose_id_is_not_known_is_the_original(world: World, private: bool) -> None:
    said = await world.imagine(private=private)
    assert said.response is not None
    without_message_id(world)
    world.painter.paint()
    await world.deliver()
    assert len(said.response.attachments) == 1
    assert row(world).message_id == str(said.response.id)
    await world.env.advance_time(QUARTER_HOUR)
    desire(world)
    await world.deliver()
    assert len(world.channel.history()) == (not private)


@pytest.mark.parametrize("killed", [False, True])
async def test_after_the_token_another_message_is_posted_once(world: World, killed: bool) -> None:
    said = await world.imagine()
    assert said.response is not None
    await world.env.advance_time(QUARTER_HOUR)
    without_message_id(world)
    await world.deliver()
    if killed:  # Before it could be written down.
        without_message_id(world)
        desire(world)
        await world.env.advance_time(3600)
    world.painter.paint()
    await world.deliver()
    _, posted = world.channel.history()
    assert posted.embeds[0].title == "a red apple"
    assert len(posted.attachments) == 1
    assert row(world).message_id == str(posted.id)
    sent = [e for e in world.env.http_requests if e.path.endswith("/messages") and e.json]
    assert isinstance(sent[0].json, dict)
    assert sent[0].json["nonce"] == world.entry.job_id.hex[:25]
    desire(world, removed=True)
    await world.deliver()
    assert len(world.channel.history()) == 1


async def test_a_model_that_is_gone_breaks_no_button(world: World) -> None:
    """CASES C1."""
    said = await world.drawn()
    assert said.response is not None
    waits = await world.imagine("a blue house")
    await world.deliver()
    line = replace(world.line, catalog=world.line.catalog.model_copy(update={"models": {}}))
    world.line = world.env.bot.line = line  # type: ignore[attr-defined]
    for action in ("again", "vary", "enlarge"):
        pressed = button(said.response.components, action)
        answer = await world.alice.click(said.response, custom_id=pressed)
        assert "“builtin” is not here any more" in answer.followups[0].content
    assert waits.response is not None
    pressed = button(waits.response.components, "cancel")
    await world.alice.click(waits.response, custom_id=pressed)
    await world.deliver()
    assert waits.response.embeds[0].title == "Cancelled."
    pressed = button(said.response.components, "delete")
    await world.alice.click(said.response, custom_id=pressed)
    await world.deliver()
    assert said.response is None


async def test_what_the_operator_has_to_mend_is_tried_until_it_is(world: World) -> None:
    said: InteractionResult = await world.imagine()
    world.env.inject_error("PATCH", "/*", status=401, code=0, times=None)
    for _ in range(5):
        await world.deliver()
        await world.env.advance_time(60)
    assert "401" in OPERATORS
    assert "1 card cannot be shown: Discord says 401 since" in doctors_words(world)
    world.env.backend.faults.clear()
    await world.deliver()
    assert said.response is not None
    assert said.response.embeds[0].title == "Waiting"


def test_what_is_sorted_are_codes_of_discords() -> None:
    named = [c for c in SORTS if c not in codes()]
    assert named == []
