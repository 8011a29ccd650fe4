"""What the buttons of a card do, for whom, and after a restart."""

import pytest

from bot.compose import build_line
from bot.slack.app import create_app
from bot.slack.blocks import button
from bot.slack.manifest import DETAILS
from bot.slack.run import connect
from storage import review
from storage.domain import JobState, Mode
from storage.settings import Settings
from tests.fakes.slack_state import ALICE, BOB, MOD, PICTURES, TEAM
from tests.fakes.slack_world import World


async def test_again(world: World) -> None:
    message = await world.drawn("a red apple --seed 7")
    await world.press(message, "again")
    first, second = world.entries()[1], world.entry
    assert second.request.prompt == first.request.prompt
    assert second.request.seed != 7
    assert second.place.channel_id == PICTURES
    world.painter.paint()
    await world.deliver()
    assert len([m for m in await world.seen() if m["images"]]) == 2


@pytest.mark.parametrize(("action", "strength"), [("vary", 0.55), ("enlarge", 0.3)])
async def test_a_picture_from_a_picture(world: World, action: str, strength: float) -> None:
    message = await world.drawn("a red apple")
    await world.press(message, action)
    parent, request = world.entries()[1].pictures[0], world.entry.request
    assert (request.mode, request.strength) == (Mode.IMAGE_TO_IMAGE, strength)
    assert request.parent_sha256 == parent.sha256


async def test_one_of_several_is_chosen(world: World) -> None:
    message = await world.drawn("a red apple --count 3")
    job = world.entry.job_id
    await world.press(message, "pick", chosen=(f"vary:{job}:2",))
    assert world.entry.request.parent_sha256 == world.entries()[1].pictures[2].sha256


async def test_pressed_twice_is_one_request(world: World) -> None:
    message = await world.drawn("a red apple")
    await world.press(message, "again")
    await world.press(message, "again")
    assert len(world.entries()) == 2


async def test_one_press_that_comes_five_times(world: World) -> None:
    message = await world.drawn("a red apple")
    told = await world.do(world.slack.press, message, "easel:again")
    await world.do(world.slack.redeliver, told, 4)
    await world.do(world.slack.heard, told)
    await world.settle()
    await world.deliver()
    assert len(world.entries()) == 2
    assert len(await world.seen()) == 2


async def test_edit_prompt(world: World) -> None:
    message = await world.drawn("a red apple --seed 7")
    await world.press(message, "edit")
    modal = await world.do(world.slack.modal)
    assert modal is not None
    assert "a red apple" in str(modal["inputs"])
    await world.told(world.slack.submit, modal, {"prompt": "a green apple --seed 3"})
    assert (world.entry.request.prompt, world.entry.request.seed) == ("a green apple", 3)
    assert world.entry.place.channel_id == PICTURES


async def test_details_are_told_to_one_person(world: World) -> None:
    message = await world.drawn("a *red* apple --seed 7")
    await world.press(message, "details", user=BOB)
    told = (await world.seen(user=BOB))[-1]
    assert told["ephemeral"]
    assert "*Seed*\n7" in told["text"]
    assert len(await world.seen(user=ALICE)) == 1


async def test_details_hold_the_whole_prompt_and_each_seed(world: World) -> None:
    """CASES D16."""
    prompt = "a red apple " + "*beside* a pear & " * 100
    message = await world.drawn(f"{prompt.strip()} --seed 7 --count 2")
    await world.press(message, "details")
    told = (await world.seen())[-1]["text"].replace("\u2060", "").replace("&amp;", "&")
    assert "*Seed*\n7, 8" in told
    words = world.entry.request.prompt.split()
    assert len(words) > 400
    assert " ".join(words) in " ".join(told.split())


async def test_details_from_the_menu_of_a_message(world: World) -> None:
    message = await world.drawn("a *red* apple --seed 7")
    await world.told(world.slack.message_shortcut, DETAILS, message, user=BOB)
    told = (await world.seen(user=BOB))[-1]
    assert told["ephemeral"]
    assert "*Seed*\n7" in told["text"]
    said = await world.do(world.slack.say, "no picture here")
    [words] = [m for m in await world.seen() if m["ts"] == said["ts"]]
    await world.told(world.slack.message_shortcut, DETAILS, words, user=BOB)
    told = (await world.seen(user=BOB))[-1]
    assert told["ephemeral"]
    assert told["text"] == "That message shows no picture of mine."


async def test_cancel(world: World) -> None:
    await world.imagine()
    await world.deliver()
    [message] = await world.seen()
    await world.press(message, "cancel")
    await world.deliver()
    assert world.entry.state is JobState.CANCELLED
    [message] = await world.seen()
    assert "Cancelled." in message["text"]


async def test_nobody_else_may_cancel_or_delete(world: World) -> None:
    message = await world.drawn()
    await world.press(message, "delete", user=BOB)
    told = (await world.seen(user=BOB))[-1]
    assert told["ephemeral"]
    assert "Only who asked" in told["text"]
    await world.deliver()
    assert len(await world.seen()) == 1


async def press_elsewhere(world: World, who: str, action: str) -> None:
    """A button of the newest card, in a message that all see."""
    value = f"{world.entry.job_id}" + (":0" if action in ("vary", "enlarge") else "")
    client = await world.app.workspaces.client("", TEAM)
    assert client is not None
    elements = [button(action, value, "x")]
    blocks = [{"type": "actions", "elements": elements}]
    await client.chat_postMessage(channel=PICTURES, text="hello", blocks=blocks)
    await world.press((await world.seen())[-1], action, value, user=who)


@pytest.mark.parametrize("who", [BOB, MOD])
@pytest.mark.parametrize(
    "action", ["again", "vary", "enlarge", "edit", "details", "fetch", "report"]
)
async def test_nobody_else_has_a_private_one(world: World, who: str, action: str) -> None:
    """Nor do they who may manage messages."""
    await world.do(world.slack.person, MOD, admin=True)
    await world.imagine("a very particular prompt --private")
    world.painter.paint()
    await press_elsewhere(world, who, action)
    told = (await world.seen(user=who))[-1]
    assert told["ephemeral"]
    said = "Only who asked for this picture can do that."
    if action == "report":
        said = "Pictures are reported where they are shown."
    assert told["text"] == said
    assert await world.do(world.slack.modal) is None
    await world.deliver()
    assert len(world.entries()) == 1
    assert "particular" not in str(await world.seen(user=who))


@pytest.mark.parametrize("action", ["again", "vary", "enlarge"])
async def test_a_private_one_has_private_children(world: World, action: str) -> None:
    """Wherever the button stands."""
    await world.imagine("a very particular prompt --private")
    world.painter.paint()
    await press_elsewhere(world, ALICE, action)
    world.painter.paint()
    await world.deliver()
    assert len(world.entries()) == 2
    assert world.entry.request.private
    assert "particular" not in str(await world.seen(user=BOB))


@pytest.mark.parametrize("who", [ALICE, MOD])
async def test_delete_takes_message_and_file_away(world: World, who: str) -> None:
    await world.do(world.slack.person, MOD, admin=True)
    message = await world.drawn()
    await world.press(message, "delete", user=who)
    await world.deliver()
    assert await world.seen() == []
    assert await world.do(world.slack.files) == []
    assert world.entry.request.prompt == "a red apple", "the log keeps it"


async def test_report(world: World) -> None:
    message = await world.drawn()
    await world.press(message, "report", user=BOB)
    await world.press(message, "report", user=BOB)
    first, second = [m for m in await world.seen(user=BOB) if m["ephemeral"]]
    assert "A moderator will look at it." in first["text"]
    assert "already" in second["text"]
    [open_review] = await world.line.read(review.waiting)
    assert open_review.opened_by == BOB


async def test_buttons_outlive_a_restart(world: World, settings: Settings) -> None:
    message = await world.drawn()
    line = build_line(settings)
    app = create_app(settings, line)
    await world.do(world.slack.drop)
    async with connect(app, settings):
        world.restart(app)
        await world.press(message, "again")
        assert len(world.entries()) == 2
    line.database.close()
    line.doorbell.close()


async def test_in_a_thread_the_answer_is_in_the_thread(world: World) -> None:
    said = await world.do(world.slack.say, "<@U0EASEL> a red apple")
    await world.do(world.slack.heard, said["delivery"])
    await world.settle()
    world.painter.paint()
    await world.deliver()
    message = (await world.seen(thread=said["ts"]))[-1]
    await world.press(message, "again")
    await world.deliver()
    assert world.entry.place.thread_id == said["ts"]
    assert world.entry.place.workspace_id == TEAM
    assert len(await world.seen(thread=said["ts"])) == 3
