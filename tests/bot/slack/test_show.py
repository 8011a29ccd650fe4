"""Showing when things go wrong: every step may be repeated, and nothing is seen twice."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest

from bot.deliver import Deliverer
from bot.showing import RetryLater
from bot.slack import files
from storage import decisions, deliveries
from storage.domain import Decision
from storage.domain.job import Phase
from tests.fakes.slack_client import Seen
from tests.fakes.slack_state import PICTURES, TEAM
from tests.fakes.slack_world import World


async def once(world: World) -> None:
    """What is due is tried once."""
    deliverer = Deliverer(world.line, world.show)
    await deliverer.step()
    await deliverer.drain()


async def pictures(world: World) -> list[Seen]:
    return [m for m in await world.seen() if m["images"] or m["files"]]


async def too_often(world: World) -> list[str]:
    """Methods that Slack has refused for being called too often."""
    counts = (await world.do(world.slack.status))["counts"]
    return [name for name in counts if name.endswith(" 429")]


class Killed(BaseException):
    """The process ends here."""


STEPS = ("begin", "upload", "ready")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True])
async def test_a_restart_in_the_middle_of_an_upload(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    await world.imagine("a red apple")
    await world.deliver()
    world.painter.paint()
    original: Callable[..., Awaitable[Any]] = getattr(files, step)

    async def killed(*given: Any, **more: Any) -> Any:
        if after:
            await original(*given, **more)
        raise Killed

    monkeypatch.setattr(files, step, killed)
    delivery = world.delivery(world.entry.job_id)
    card = await Deliverer(world.line, world.show)._card(delivery)
    leased = await _lease(world)
    with pytest.raises(Killed):
        await world.show.show(leased, card, _read(world))
    monkeypatch.undo()
    await _expire(world)
    world.restart(world.app)
    await world.deliver()
    [message] = await world.seen()
    assert len(message["images"]) == 1
    shown = {image["id"] for image in message["images"]}
    assert {f["id"] for f in await world.do(world.slack.files) if f["mimetype"]} >= shown


async def _lease(world: World) -> Any:
    from datetime import timedelta

    from storage.domain import Platform

    now = world.line.database.clock()
    [leased] = await world.line.write(
        lambda s: deliveries.lease_due(
            s,
            Platform.SLACK,
            owner="the killed",
            lease=timedelta(seconds=30),
            pace=timedelta(0),
            now=now,
            application=world.show.application,
        )
    )
    return leased


async def _expire(world: World) -> None:
    from sqlalchemy import update

    from storage.tables import DeliveryRow

    await world.line.write(lambda s: s.execute(update(DeliveryRow).values(lease_until=None)))


def _read(world: World) -> Any:
    async def read(picture: Any) -> bytes:
        return await asyncio.to_thread(world.line.blobs.get, picture.sha256)

    return read


@pytest.mark.parametrize("thread", [False, True])
async def test_a_post_whose_answer_is_lost_is_not_repeated(world: World, thread: bool) -> None:
    await world.do(world.slack.fault, path="chat.postMessage", times=1)
    if thread:
        said = await world.do(world.slack.say, "<@U0EASEL> a red apple")
        await world.do(world.slack.heard, said["delivery"])
        await world.settle()
        seen = await _shown_in(world, said["ts"])
        assert len(seen) == 2
    else:
        await world.imagine("a red apple")
        seen = await _shown_in(world, None)
        assert len(seen) == 1
    assert await world.do(world.slack.clear_faults) == 1
    assert len(seen[-1]["images"]) == 1


async def _shown_in(world: World, thread: str | None) -> list[Seen]:
    await world.deliver()
    world.painter.paint()
    await world.deliver()
    return await world.seen(thread=thread)


@pytest.mark.parametrize(
    "path",
    [
        "chat.update",
        "files.getUploadURLExternal",
        "upload",
        "files.completeUploadExternal",
        "files.info",
    ],
)
@pytest.mark.parametrize("effect", [False, True])
async def test_any_step_may_fail_and_be_repeated(world: World, path: str, effect: bool) -> None:
    await world.imagine("a red apple")
    await world.deliver()
    world.painter.paint()
    await world.do(world.slack.fault, path=path, times=2, after=effect)
    await world.deliver()
    assert await world.do(world.slack.clear_faults) >= 1
    [message] = await world.seen()
    assert len(message["images"]) == 1


async def test_slack_says_wait(world: World) -> None:
    await world.imagine("a red apple")
    await world.deliver()
    world.painter.paint()
    await world.do(world.slack.fault, path="chat.update", status=429, seconds=1, times=1)
    await world.deliver()
    assert (await pictures(world))[0]["images"]


async def test_one_post_a_second_in_order(world: World) -> None:
    """Eight at once in one channel: all are shown, in the order in which they were asked."""
    for number in range(8):
        await world.imagine(f"apple number {number}")
    for _ in range(8):
        world.painter.paint()
    await world.deliver()
    shown = await pictures(world)
    assert [m["notification"].splitlines()[0] for m in shown] == [
        f"apple number {n}" for n in range(8)
    ]
    posted = [float(m["ts"]) for m in shown]
    assert all(later - sooner > 0.9 for sooner, later in pairwise(posted))
    assert await too_often(world) == []


async def test_progress_leaves_room_for_results(world: World) -> None:
    await world.imagine()
    await world.deliver()
    job = world.painter.claim()
    assert job is not None
    for step in range(40):
        world.painter.report(job, Phase.DRAWING, step, 40)
        await world.deliver()
    world.painter.finish(job)
    await world.deliver()
    assert len((await pictures(world))[0]["images"]) == 1
    assert await too_often(world) == []


async def test_a_workspace_that_refuses_pictures_in_messages(world: World) -> None:
    """The picture comes as a file in a message of its own; the placeholder goes."""
    await world.imagine("a red apple --count 2")
    await world.deliver()
    [placeholder] = await world.seen()
    world.painter.paint()
    await world.do(
        world.slack.fault, path="chat.update", error="invalid_blocks", times=3, after=False
    )
    await world.deliver()
    [message] = await world.seen()
    assert message["ts"] != placeholder["ts"]
    assert len(message["files"]) == 2
    assert message["text"].startswith("*a red apple*")
    assert "easel:again" in [b["action_id"] for b in message["buttons"]]
    assert len(await world.do(world.slack.files)) == 2, "the first uploads are gone"
    assert world.show.desk.refusing == {TEAM}
    teams = await world.line.read(deliveries.slack_teams_with_files)
    assert teams == [TEAM]
    await world.press(message, "delete")
    await world.deliver()
    assert await world.seen() == []


async def test_a_restart_while_a_file_is_shared(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.show.desk.refusing.add(TEAM)
    await world.imagine("a red apple")
    await world.deliver()
    world.painter.paint()
    original = files.shared_at

    def killed(*given: Any) -> str:
        raise Killed

    monkeypatch.setattr(files, "shared_at", killed)
    leased = await _lease(world)
    card = await Deliverer(world.line, world.show)._card(leased)
    with pytest.raises(Killed):
        await world.show.show(leased, card, _read(world))
    monkeypatch.setattr(files, "shared_at", original)
    await _expire(world)
    await world.deliver()
    [message] = await world.seen()
    assert len(message["files"]) == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"uploads_allowed": False}, "does not let me upload files"),
        ({"upload_limit_bytes": 10}, "too large for this workspace"),
    ],
)
async def test_uploads_that_the_workspace_forbids(
    world: World, given: dict[str, Any], words: str
) -> None:
    await world.do(world.slack.settings, **given)
    message = await world.drawn("a red apple")
    assert words in message["text"]
    assert message["images"] == []


async def test_what_cannot_be_posted_is_told_to_who_asked(world: World) -> None:
    await world.imagine()
    await world.do(world.slack.channel, PICTURES, member=False)
    await once(world)
    [message] = await world.direct()
    assert "/invite" in message["text"]
    assert (await world.line.read(world._behind)) is False


async def test_a_message_that_somebody_deleted_stays_deleted(world: World) -> None:
    await world.imagine()
    await world.deliver()
    [message] = await world.seen()
    await world.do(world.slack.remove, message)
    world.painter.paint()
    await world.deliver()
    assert await world.seen() == []


async def test_a_covered_picture_is_left_out(world: World) -> None:
    await world.imagine("a red apple --count 2")
    world.painter.paint(Decision.ALLOW, Decision.BLUR)
    await world.deliver()
    [message] = await world.seen()
    assert len(message["images"]) == 1
    assert "left out here" in message["text"]


async def test_a_moderator_lets_a_held_picture_be_seen(world: World) -> None:
    await world.imagine("a red apple --count 2")
    world.painter.paint(Decision.ALLOW, Decision.HOLD)
    await world.deliver()
    job, now = world.entry.job_id, world.line.database.clock()
    hashes = await world.line.write(lambda s: decisions.allow(s, job, by="mod", now=now))
    for sha256 in hashes:
        await asyncio.to_thread(world.line.blobs.move, sha256, to_kept_apart=False)
    await world.deliver()
    [message] = await world.seen()
    assert len(message["images"]) == 2
    assert len(await world.do(world.slack.files)) == 2


async def test_a_deleted_request_leaves_nothing_half_way(world: World) -> None:
    """Deleted after a post whose answer was lost: the message is found, and goes."""
    await world.do(world.slack.fault, path="chat.postMessage", times=1)
    await world.imagine()
    await once(world)
    job, now = world.entry.job_id, world.line.database.clock()
    from bot.core import steer

    await world.line.write(lambda s: steer.delete(s, job, now))
    await world.deliver()
    assert await world.seen() == []
    assert world.delivery(job).address == {}


async def test_who_has_lost_the_message_meanwhile_posts_nothing(world: World) -> None:
    await world.imagine("a red apple")
    late = await _lease(world)
    card = await Deliverer(world.line, world.show)._card(late)
    await _expire(world)
    await _lease(world)
    with pytest.raises(RetryLater):
        await world.show.show(late, card, _read(world))
    assert await world.seen() == []


async def test_the_whole_card_is_in_the_words_of_its_message(world: World) -> None:
    """CASES D12: of a message with blocks, screen readers read `text` alone."""
    await world.imagine("a red apple --seed 7")
    await world.deliver()
    [message] = await world.seen()
    assert message["notification"] == "Waiting\nYou are next."
    job = world.painter.claim()
    assert job is not None
    world.painter.report(job, Phase.DRAWING, 3, 12)
    await world.deliver()
    [message] = await world.seen()
    assert "Step 3 of 12\n25%" in message["notification"]
    world.painter.finish(job)
    await world.deliver()
    [message] = await world.seen()
    words = message["notification"].replace("\u2060", "")
    assert words.startswith("a red apple\n")
    assert "Picture drawn by a machine from the words: a red apple" in words
    assert "seed 7" in words


async def test_who_waits_for_posts_before_theirs_hears_that_it_is_under_way(world: World) -> None:
    """CASES D11."""
    for number in range(5):
        await world.imagine(f"a red apple --seed {number}")
    told = [message["text"] for message in await world.seen() if message["ephemeral"]]
    assert told == [
        f"I have it: number {number} of what I still have to post here." for number in (4, 5)
    ]
    await world.imagine("a red apple --private")
    told = [message["text"] for message in await world.seen() if message["ephemeral"]]
    assert len(told) == 3, "which says that it comes by direct message"
