"""Mentions and direct messages, with files and in threads."""

import asyncio
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from storage import inbox
from storage.domain import Mode
from tests.fakes.painter import png
from tests.fakes.slack_client import Seen
from tests.fakes.slack_state import ALICE, BOB, PICTURES, SHARED
from tests.fakes.slack_world import World

ME = "<@U0EASEL>"


async def say(world: World, text: str, **given: object) -> dict[str, str]:
    said = await world.do(world.slack.say, text, **given)
    if said["delivery"]:
        await world.do(world.slack.heard, said["delivery"])
        await world.settle()
    return said


async def shown(world: World) -> None:
    world.painter.paint()
    await world.deliver()


async def test_a_mention_is_answered_in_its_thread(world: World) -> None:
    said = await say(world, f"{ME} a red apple --seed 7")
    await shown(world)
    assert (world.entry.request.prompt, world.entry.request.seed) == ("a red apple", 7)
    _, answer = await world.seen(thread=said["ts"])
    assert len(answer["images"]) == 1
    assert len(await world.seen()) == 1, "the channel shows the question alone"


async def test_who_is_mentioned_is_drawn_by_name(world: World) -> None:
    """CASES A12: the request keeps the mention, for whoever checks it."""
    await say(world, f"{ME} draw <@{BOB}> and :banana: in <#{PICTURES}>")
    await shown(world)
    name = (await world.app.people.get(world.app.client, "", BOB)).name
    assert world.entry.request.prompt == f"draw @{name} and :banana: in pictures"


async def test_a_mention_in_a_thread(world: World) -> None:
    root = await say(world, "what about fruit?")
    await say(world, f"and {ME} a red apple", thread=root["ts"])
    await shown(world)
    assert world.entry.place.thread_id == root["ts"]
    assert (await world.seen(thread=root["ts"]))[-1]["images"]


async def test_a_mention_with_a_picture(world: World) -> None:
    file = await world.do(world.slack.file, "sketch.png", png(3))
    await say(world, f"{ME} a red apple", files=(file,))
    assert world.entry.request.mode is Mode.IMAGE_TO_IMAGE


async def test_a_picture_and_its_mask(world: World) -> None:
    files = [await world.do(world.slack.file, f"{n}.png", png(n)) for n in (1, 2)]
    await say(world, f"{ME} a red apple --use edit", files=tuple(files))
    assert world.entry.request.mode is Mode.INPAINT


async def test_a_direct_message_is_answered_there(world: World) -> None:
    channel = await world.do(world.slack.direct_channel)
    file = await world.do(world.slack.file, "sketch.png", png(3))
    await say(world, "a red apple", channel=channel, files=(file,))
    await shown(world)
    assert world.entry.request.mode is Mode.IMAGE_TO_IMAGE
    question, answer = await world.direct()
    assert (question["user"], len(answer["images"])) == (ALICE, 1)


async def test_our_own_messages_are_no_requests(world: World) -> None:
    channel = await world.do(world.slack.direct_channel)
    await say(world, "a red apple", channel=channel)
    await shown(world)
    await asyncio.to_thread(world.slack.until, lambda: world.slack.status()["counts"])
    assert len(world.entries()) == 1


async def test_a_direct_message_may_ask_about_oneself(world: World) -> None:
    channel = await world.do(world.slack.direct_channel)
    await say(world, "usage", channel=channel)
    assert "You have 100 left" in (await world.direct())[-1]["text"]
    assert world.entries() == []


async def test_a_mention_without_words_gets_help(world: World) -> None:
    said = await say(world, ME)
    told = (await world.seen(thread=said["ts"]))[-1]
    assert told["ephemeral"]
    assert "How to ask for a picture" in told["text"]


@pytest.mark.parametrize("text", ["", "help", "queue", "usage", "privacy", "settings"])
async def test_who_mentions_me_for_help_is_told_when_something_breaks(
    world: World, text: str
) -> None:
    for method in ("chat.postEphemeral", "chat.postMessage"):
        await world.do(world.slack.fault, path=method, error="internal_error", times=1, after=False)
    said = await say(world, f"{ME} {text}")
    told = (await world.seen(thread=said["ts"]))[-1]
    assert told["ephemeral"]
    assert "Something went wrong here" in told["text"]


async def test_a_bad_mention_is_refused_privately(world: World) -> None:
    said = await say(world, f"{ME} a fox --sed 7")
    told = (await world.seen(thread=said["ts"]))[-1]
    assert told["ephemeral"]
    assert "--seed" in told["text"].replace("\u2060", "")
    assert world.entries() == []


async def test_what_is_no_picture_is_refused(world: World) -> None:
    file = await world.do(world.slack.file, "notes.png", b"no picture at all")
    said = await say(world, f"{ME} a red apple", files=(file,))
    assert (await world.seen(thread=said["ts"]))[-1]["ephemeral"]
    assert world.entries() == []


async def test_three_pictures_are_too_many(world: World) -> None:
    files = [await world.do(world.slack.file, f"{n}.png", png(n)) for n in range(3)]
    said = await say(world, f"{ME} a red apple", files=tuple(files))
    assert "One reference image" in (await world.seen(thread=said["ts"]))[-1]["text"]


async def test_a_stub_of_a_shared_channel_is_looked_up(world: World) -> None:
    file = await world.do(world.slack.file, "sketch.png", png(3))
    await say(world, f"{ME} a red apple", channel=SHARED, files=(file,))
    assert world.entry.request.mode is Mode.IMAGE_TO_IMAGE


async def test_a_message_that_comes_five_times_is_one_job(world: World) -> None:
    said = await world.do(world.slack.say, f"{ME} a red apple")
    await world.do(world.slack.redeliver, said["delivery"], 4)
    await world.do(world.slack.heard, said["delivery"])
    await world.settle()
    await shown(world)
    assert len(world.entries()) == 1
    assert len(await world.seen(thread=said["ts"])) == 2


async def test_an_event_is_written_down_before_it_is_acknowledged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not comes again, and is drawn then."""
    failures = iter([OperationalError("insert", {}, OSError("the disk is full"))])

    def fail_once(*args: Any, **given: Any) -> object:
        for failure in failures:
            raise failure
        return put(*args, **given)

    put = inbox.put
    monkeypatch.setattr(inbox, "put", fail_once)
    said = await world.do(world.slack.say, f"{ME} a red apple")
    heard: Seen = await world.do(world.slack.until, lambda: _acknowledged(world, said["delivery"]))
    await world.settle()
    assert len(heard["attempts"]) >= 2
    assert len(world.entries()) == 1


async def test_what_is_written_down_is_acknowledged_whatever_comes_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays in the inbox, and is drawn when the trouble is over."""

    async def fail(*args: object, **given: object) -> object:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.line), "submit", fail)
        said = await world.do(world.slack.say, f"{ME} a red apple")
        heard: Seen = await world.do(world.slack.heard, said["delivery"])
        await world.settle()
    assert (len(heard["attempts"]), heard["acknowledged"]) == (1, True)
    assert world.entries() == []
    while not world.entries():  # What fails for the first time is due after a second.
        await asyncio.sleep(0.05)
        await world.app.inbox.step()
        await world.settle()
    assert len(world.entries()) == 1


def _acknowledged(world: World, delivery: str) -> Seen | None:
    found = world.slack.delivery(delivery)
    return found if found["acknowledged"] else None


async def test_app_home_shows_what_is_mine(world: World) -> None:
    message = await world.drawn("a red apple")
    await world.imagine("a blue fish")
    await world.told(world.slack.open_home)
    home = await world.do(world.slack.home)
    assert home is not None
    for words in ("a blue fish", "a red apple", "You have 98 left", "builtin", "English"):
        assert words in home["text"], home["text"]
    assert [i["sha256"] for i in home["images"]] == [i["sha256"] for i in message["images"]]
    await world.told(world.slack.press_in_view, home, "easel:drop")
    home = await world.do(world.slack.home)
    assert home is not None
    assert "Nothing of yours is waiting." in home["text"]
    assert world.entry.place.channel_id == PICTURES
