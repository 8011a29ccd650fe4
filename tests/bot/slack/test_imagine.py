"""`/imagine`: from the command to the picture in the conversation, or why there is none."""

import asyncio
import threading
from typing import Any

import pytest

from bot.core.privacy import UNDER_WAY
from bot.i18n import say
from storage import export, forget, places, sanctions
from storage.domain import Decision, JobState, Platform
from storage.domain.job import Phase
from storage.places import WorkspaceRules
from tests.fakes.painter import png
from tests.fakes.slack_client import Seen
from tests.fakes.slack_state import ALICE, ARCHIVED, BOB, OUTSIDE, SECRET, TEAM
from tests.fakes.slack_world import World, actions
from tests.fakes.threads import threads_of


async def test_a_command_becomes_a_picture(world: World) -> None:
    heard = await world.imagine("a red apple")
    assert heard["acknowledged"]

    await world.deliver()
    [message] = await world.seen()
    assert message["text"] == "*Waiting*\nYou are next."
    assert actions(message) == ["cancel"]

    job = world.painter.claim()
    assert job is not None
    world.painter.report(job, Phase.DRAWING, 3, 12)
    await world.deliver()
    [message] = await world.seen()
    assert "Step 3 of 12" in message["text"]
    assert "25%" in message["text"]

    assert world.painter.finish(job)
    await world.deliver()
    [shown] = await world.seen()
    assert shown["ts"] == message["ts"], "the same message from placeholder to result"
    assert shown["text"].startswith("*a red apple*")
    [image] = shown["images"]
    assert image["alt"] == "Picture drawn by a machine from the words: a red apple"
    assert image["size_bytes"] == len(png(job.request.seed))
    assert actions(shown) == ["again", "vary", "enlarge", "edit", "details", "delete", "report"]


async def test_flags_reach_the_request(world: World) -> None:
    await world.imagine("a red apple --seed 7 --ar 3:2 --count 2 --no leaf --steps 9")
    request = world.entry.request
    assert (request.prompt, request.negative_prompt) == ("a red apple", "leaf")
    assert (request.seed, request.count, request.steps) == (7, 2, 9)
    assert request.width > request.height


async def test_the_place_and_the_person_are_recorded(world: World) -> None:
    await world.imagine("a red apple")
    entry = world.entry
    assert (entry.place.platform, entry.place.workspace_id) == (Platform.SLACK, TEAM)
    assert (entry.user_id, entry.locale) == (ALICE, "en")
    assert not entry.place.age_restricted


async def test_several_pictures_are_one_message(world: World) -> None:
    message = await world.drawn("a red apple --count 4")
    assert len(message["images"]) == 4
    [select] = [b for b in message["buttons"] if b["action_id"] == "easel:pick"]
    assert len(select["options"]) == 8
    assert len(await world.seen()) == 1


async def test_one_of_several_is_refused(world: World) -> None:
    await world.imagine("a red apple --count 2")
    world.painter.paint(Decision.ALLOW, Decision.BLOCK)
    await world.deliver()
    [message] = await world.seen()
    assert len(message["images"]) == 1
    assert "1 of 2 pictures was refused" in message["text"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a fox --sed 7", "Did you mean --seed?"),
        ("--seed 7", "Say what I should draw"),
        ("a fox --strength 0.4", "there is none"),
        ("a fox {image: https://example.org/a.png}", "I may not fetch pictures from there"),
    ],
)
async def test_what_cannot_be_taken_is_told_to_one_person(
    world: World, text: str, words: str
) -> None:
    await world.imagine(text)
    [message] = await world.seen()
    assert message["ephemeral"]
    assert words in message["text"].replace("\u2060", "")
    assert await world.seen(user=BOB) == []
    assert world.entries() == []


@pytest.mark.parametrize("locale", ["fr-FR", "es-LA", "en-GB"])
async def test_everybody_is_answered_in_their_language(world: World, locale: str) -> None:
    await world.do(world.slack.person, ALICE, locale=locale)
    await world.imagine("a red apple")
    await world.deliver()
    [message] = await world.seen()
    assert message["text"].startswith(f"*{say(locale[:2], 'Waiting')}*")
    await world.imagine("--seed 7")
    complaint = (await world.seen())[-1]
    wanted = "Say what I should draw, for example: a red fox in the snow."
    assert complaint["text"] == say(locale[:2], wanted)


@pytest.mark.parametrize(
    ("channel", "words"),
    [(OUTSIDE, "/invite"), (SECRET, "/invite"), (ARCHIVED, "archived")],
)
async def test_where_i_may_not_post_i_say_what_to_do(
    world: World, channel: str, words: str
) -> None:
    await world.imagine("a red apple", channel=channel)
    [message] = await world.seen(channel)
    assert message["ephemeral"]
    assert words in message["text"]
    assert world.entries() == []


@pytest.mark.parametrize("path", ["conversations.info", "users.info"])
async def test_what_slack_does_not_say_keeps_nobody_from_asking(world: World, path: str) -> None:
    """A proxy's page where Slack's answer should be."""
    await world.do(world.slack.fault, path=path, after=False, times=1)
    await world.imagine("a red apple")
    assert await world.do(world.slack.clear_faults) == 1
    assert len(world.entries()) == 1


async def test_a_private_picture_comes_by_direct_message(world: World) -> None:
    await world.imagine("a red apple --private")
    world.painter.paint()
    await world.deliver()
    [notice] = await world.seen()
    assert notice["ephemeral"]
    assert "direct message" in notice["text"]
    [message] = await world.direct()
    assert len(message["images"]) == 1


async def test_the_same_command_five_times_is_one_job(world: World) -> None:
    told = await world.do(world.slack.command, "/imagine", "a red apple")
    await world.do(world.slack.redeliver, told, 4)
    await world.do(world.slack.heard, told)
    await world.settle()
    world.painter.paint()
    await world.deliver()
    assert len(world.entries()) == 1
    [message] = await world.seen()
    assert len(message["images"]) == 1


async def test_a_refused_prompt_is_not_repeated(world: World) -> None:
    await world.imagine("nude woman, explicit porn")
    assert world.entry.state is JobState.REFUSED
    await world.deliver()
    [message] = await world.seen()
    assert "Not drawn" in message["text"]
    assert "nude" not in str(message["text"]) + str(message["notification"])


async def test_rules_of_the_workspace(world: World) -> None:
    rules = WorkspaceRules(channels=("C0OTHER",))
    await world.line.write(lambda s: places.set_rules(s, Platform.SLACK, TEAM, rules))
    await world.imagine()
    [message] = await world.seen()
    assert "I may not draw in this channel" in message["text"]


async def test_who_is_barred_hears_so(world: World) -> None:
    await world.imagine()
    job, now = world.entry.job_id, world.line.database.clock()
    await world.line.write(lambda s: sanctions.ban(s, job, by="mod", now=now))
    await world.imagine("a second one")
    assert "barred" in (await world.seen())[-1]["text"]
    assert len(world.entries()) == 1


@pytest.mark.parametrize(
    ("word", "heard"),
    [
        ("queue", "Nothing of yours is waiting."),
        ("usage", "You have 100 left until midnight UTC."),
        ("help", "/imagine a red apple"),
        ("privacy", "It cannot be undone."),
        ("settings", "Open for requests"),
    ],
)
async def test_words_about_oneself_are_answered_privately(
    world: World, word: str, heard: str
) -> None:
    await world.imagine(word)
    [message] = await world.seen()
    assert message["ephemeral"]
    assert heard in message["text"].replace("\u2060", "")
    assert world.entries() == []


async def test_a_waiting_request_is_cancelled_from_the_queue(world: World) -> None:
    await world.imagine("a red apple")
    await world.imagine("queue")
    [listed] = await world.seen()
    assert "a red apple" in listed["text"]
    await world.press(listed, "drop")
    assert world.entry.state is JobState.CANCELLED
    [listed] = await world.seen()
    assert "Nothing of yours is waiting." in listed["text"]


async def test_my_data_can_be_had_and_deleted(world: World) -> None:
    message = await world.drawn("a red apple")
    await world.imagine("privacy")
    asked = (await world.seen())[-1]
    await world.press(asked, "export")
    [sent] = await world.first(world.direct)
    assert sent["files"][0]["name"] == "easel-privacy.json"
    await world.press(asked, "forget")
    await world.deliver()
    left = [m["ts"] for m in await world.seen()]
    assert message["ts"] not in left
    assert world.entry.request.prompt == ""
    ours = [f for f in await world.do(world.slack.files) if f["name"].endswith(".png")]
    assert ours == [], "the picture is gone from Slack, too"


async def test_an_export_keeps_nobody_else_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does forgetting: both have a thread of their own."""
    ran = threads_of(monkeypatch, export, "person", "files")
    ran_too = threads_of(monkeypatch, forget, "forget")
    await world.imagine("privacy")
    asked = (await world.seen())[-1]
    await world.press(asked, "export")
    await world.press(asked, "forget")
    threads = {**ran, **ran_too}
    assert threads.keys() == {"person", "files", "forget"}
    assert {thread.name for thread in threads.values()} == {"privacy_0"}


async def test_who_presses_again_meanwhile_is_told_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.imagine("privacy")
    asked = (await world.seen())[-1]
    begun, go_on, really = threading.Event(), threading.Event(), forget.forget

    def slow(*given: Any, **more: Any) -> forget.Remains:
        begun.set()
        assert go_on.wait(30)
        return really(*given, **more)

    monkeypatch.setattr(forget, "forget", slow)
    first = await world.do(world.slack.press, asked, "easel:forget")
    await world.do(begun.wait, 30)
    for number, action in enumerate(("forget", "export"), 1):
        await world.do(world.slack.press, asked, f"easel:{action}")
        at_it: list[Seen] = []
        while len(at_it) < number:
            at_it = [m for m in await world.seen() if m["text"] == UNDER_WAY.text]
            await asyncio.sleep(0.02)
    go_on.set()
    await world.do(world.slack.heard, first)
    await world.settle()
    assert "Done." in (await world.seen())[-1]["text"]


async def test_what_a_moderator_has_still_to_look_at_stays_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.slack.intake.PICTURE_BYTES", 3_000)
    message = await world.drawn("a red apple")
    await world.press(message, "report", user=BOB)
    await world.imagine("privacy")
    asked = (await world.seen())[-1]
    await world.press(asked, "forget")
    answers = await world.seen()
    assert any(
        "1 request that a moderator has still to look at is kept until" in m["text"]
        for m in answers
    )
    await world.deliver()
    assert message["ts"] not in [m["ts"] for m in await world.seen()]
    assert world.entry.request.prompt == "a red apple"
    await world.press(asked, "export")
    sent = await world.first(world.direct)
    names = sorted(file["name"] for m in sent for file in m["files"])
    assert len(names) > 1
    assert names[0] == f"easel-privacy-1-of-{len(names)}.json"


@pytest.mark.parametrize("path", ["auth.test", "users.info", "conversations.info"])
@pytest.mark.parametrize(
    "fault", [{"cut": True}, {"status": 500, "after": False}, {"status": 502, "times": 3}]
)
async def test_a_look_that_fails_loses_no_command(
    world: World, path: str, fault: dict[str, Any]
) -> None:
    fault = {"times": 1, **fault}
    await world.do(world.slack.fault, path=path, **fault)
    await world.imagine("a red apple")
    await world.deliver()
    assert await world.do(world.slack.clear_faults) == fault["times"]
    world.painter.paint()
    await world.deliver()
    [message] = await world.seen()
    assert len(message["images"]) == 1
