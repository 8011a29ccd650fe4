"""The form: by `/imagine` alone and by both shortcuts; errors stand at their field."""

from dataclasses import replace

import pytest

from bot.core.steer import FROM_OURS
from bot.slack.manifest import DRAW, REFERENCE
from bot.slack.modals import _negative
from bot.slack.workspaces import People
from storage.catalog import Catalog, ModelEntry
from storage.domain import Mode
from tests.fakes.painter import png
from tests.fakes.slack_client import Seen
from tests.fakes.slack_state import ALICE, BOB, BOT_USER, OUTSIDE, PICTURES
from tests.fakes.slack_world import World


async def form(world: World, user: str = ALICE) -> Seen:
    modal = await world.do(world.slack.modal, user)
    assert modal is not None, "no modal is open"
    return modal


async def test_the_whole_form(world: World) -> None:
    await world.imagine("")
    modal = await form(world)
    assert modal["title"] == "Draw a picture"
    names = [i["action_id"] for i in modal["inputs"]]
    assert names == [
        "prompt",
        "negative",
        "reference",
        "mask",
        "style",
        "model",
        "aspect",
        "count",
        "strength",
    ]
    files = [await world.do(world.slack.file, f"{n}.png", png(n)) for n in (1, 2)]
    values = {
        "prompt": "a red apple --seed 7",
        "negative": "leaf",
        "style": "sketch",
        "model": "builtin",
        "aspect": "3:2",
        "count": "2",
        "strength": "0.5",
    }
    given = {"reference": [files[0]], "mask": [files[1]]}
    await world.told(world.slack.submit, modal, values, given)
    request = world.entry.request
    assert (request.prompt, request.negative_prompt, request.seed) == ("a red apple", "leaf", 7)
    assert (request.style, request.count, request.strength) == ("sketch", 2, 0.5)
    assert request.mode is Mode.INPAINT
    assert request.width > request.height
    assert world.entry.place.channel_id == PICTURES
    world.painter.paint()
    await world.deliver()
    assert len((await world.seen())[-1]["images"]) == 2


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"prompt": "a fox --sed 7"}, "prompt", "--seed"),
        ({"prompt": "a fox", "strength": "0.5"}, "strength", "there is none"),
        ({"prompt": "--seed 7"}, "prompt", "Say what I should draw"),
    ],
)
async def test_errors_stand_at_their_field(
    world: World, values: dict[str, str], field: str, words: str
) -> None:
    await world.imagine("")
    modal = await form(world)
    await world.told(world.slack.submit, modal, values)
    errors = (await form(world))["errors"]
    assert errors.keys() == {field}
    assert words in errors[field].replace("\u2060", "")
    assert world.entries() == []
    await world.told(world.slack.submit, modal, {"prompt": "a fox", "strength": ""})
    assert world.entry.request.prompt == "a fox"
    assert await world.do(world.slack.modal) is None


async def test_a_strength_that_is_no_number(world: World) -> None:
    await world.imagine("")
    modal = await form(world)
    file = await world.do(world.slack.file, "a.png", png(1))
    values = {"prompt": "a fox", "strength": "much"}
    await world.told(world.slack.submit, modal, values, {"reference": [file]})
    assert "strength" in (await form(world))["errors"]


async def test_a_mask_without_a_reference(world: World) -> None:
    await world.imagine("")
    modal = await form(world)
    file = await world.do(world.slack.file, "a.png", png(1))
    await world.told(world.slack.submit, modal, {"prompt": "a fox"}, {"mask": [file]})
    assert (await form(world))["errors"].keys() == {"mask"}


async def test_a_file_that_is_no_picture(world: World) -> None:
    await world.imagine("")
    modal = await form(world)
    file = await world.do(world.slack.file, "a.png", b"words")
    await world.told(world.slack.submit, modal, {"prompt": "a fox"}, {"reference": [file]})
    assert "no picture" in (await form(world))["errors"]["reference"]


async def test_a_form_sent_five_times_is_one_job(world: World) -> None:
    await world.imagine("")
    modal = await form(world)
    told = await world.do(world.slack.submit, modal, {"prompt": "a fox"})
    await world.do(world.slack.redeliver, told, 4)
    await world.do(world.slack.heard, told)
    await world.settle()
    assert len(world.entries()) == 1


async def test_what_the_place_forbids_is_told_after_the_form(world: World) -> None:
    await world.imagine("", channel=OUTSIDE)
    await world.told(world.slack.submit, await form(world), {"prompt": "a fox"})
    assert world.entries() == []
    [told] = await world.direct()
    assert "/invite" in told["text"], "where else, since I am not in that channel"


async def test_the_shortcut_draws_into_direct_messages(world: World) -> None:
    await world.told(world.slack.shortcut, DRAW)
    await world.told(world.slack.submit, await form(world), {"prompt": "a red apple"})
    world.painter.paint()
    await world.deliver()
    [message] = await world.direct()
    assert message["images"]
    assert await world.seen() == []


async def test_use_as_reference_of_our_picture(world: World) -> None:
    message = await world.drawn("a red apple")
    await world.told(world.slack.message_shortcut, REFERENCE, message)
    values = {"prompt": "a blue apple", "strength": "0.4"}
    await world.told(world.slack.submit, await form(world), values)
    request, parent = world.entry.request, world.entries()[1].pictures[0]
    assert request.mode is Mode.IMAGE_TO_IMAGE
    assert request.reference is not None
    assert request.strength == 0.4
    assert parent.sha256


async def test_use_as_reference_of_what_somebody_made_again_privately(world: World) -> None:
    message = await world.drawn("a red apple --seed 7")
    await world.imagine("a red apple --seed 7 --private", user=BOB)
    world.painter.paint()
    again, first = (entry.pictures for entry in world.entries())
    assert again[0].sha256 == first[0].sha256
    await world.told(world.slack.message_shortcut, REFERENCE, message)
    await world.told(world.slack.submit, await form(world), {"prompt": "a blue apple"})
    assert len(world.entries()) == 3


async def test_use_as_reference_of_one_of_several(world: World) -> None:
    message = await world.drawn("a red apple --count 2")
    await world.told(world.slack.message_shortcut, REFERENCE, message)
    second = f"kept:{world.entry.pictures[1].sha256}"
    values = {"prompt": "a blue apple", "source": second}
    await world.told(world.slack.submit, await form(world), values)
    assert world.entry.request.mode is Mode.IMAGE_TO_IMAGE


async def test_use_as_reference_of_somebodys_picture(world: World) -> None:
    file = await world.do(world.slack.file, "sketch.png", png(3), user=BOB)
    said = await world.do(world.slack.say, "look", user=BOB, files=(file,))
    [message] = [m for m in await world.seen() if m["ts"] == said["ts"]]
    await world.told(world.slack.message_shortcut, REFERENCE, message)
    await world.told(world.slack.submit, await form(world), {"prompt": "a red apple"})
    assert world.entry.request.mode is Mode.IMAGE_TO_IMAGE


async def test_who_is_not_there_any_more_draws_from_nothing_that_is(world: World) -> None:
    file = await world.do(world.slack.file, "sketch.png", png(3), user=BOB)
    said = await world.do(world.slack.say, "look", user=BOB, files=(file,))
    [message] = [m for m in await world.seen() if m["ts"] == said["ts"]]
    await world.told(world.slack.message_shortcut, REFERENCE, message)
    await world.do(world.slack.channel, PICTURES, private=True, people=[BOB, BOT_USER])
    await world.told(world.slack.submit, await form(world), {"prompt": "a red apple"})
    assert world.entries() == []
    assert "not in this conversation" in (await world.seen())[-1]["text"]


async def test_a_form_that_does_not_open_is_apologised_for(world: World) -> None:
    """By each of its ways; Slack itself says nothing of it."""
    message = await world.drawn("a red apple")
    ways = (
        (world.slack.shortcut, (DRAW,), world.direct),
        (world.slack.message_shortcut, (REFERENCE, message), world.seen),
        (world.slack.command, ("/imagine", ""), world.seen),
        (world.slack.press, (message, "easel:edit"), world.seen),
    )
    for act, given, look in ways:
        before = len(await look())
        await world.do(world.slack.fault, path="views.open", cut=True, times=1, after=False)
        heard = await world.told(act, *given)
        assert heard["acknowledged"], given
        [told] = (await look())[before:]
        assert "Something went wrong here" in told["text"], given
        assert await world.do(world.slack.modal) is None


@pytest.mark.parametrize("slow", [True, False])
async def test_a_form_opens_while_slack_is_slow_or_says_why_not(world: World, slow: bool) -> None:
    """CASES D9: `views.open` comes before who asks is known; its failure is told and logged."""
    message = await world.drawn("a red apple")
    ways = (
        (world.slack.shortcut, (DRAW,), world.direct),
        (world.slack.message_shortcut, (REFERENCE, message), world.seen),
        (world.slack.command, ("/imagine", ""), world.seen),
        (world.slack.press, (message, "easel:edit"), world.seen),
    )
    for act, given, look in ways:
        before = len(await look())
        world.app.people = People()
        if slow:
            fault = {"path": "users.info", "status": 0, "seconds": 4.0}
        else:
            fault = {"path": "views.open", "error": "expired_trigger_id"}
        await world.do(world.slack.fault, **fault, times=1, after=False)
        await world.told(act, *given)
        if slow:
            assert await world.do(world.slack.modal) is not None, given
        else:
            [told] = (await look())[before:]
            assert "The form did not open" in told["text"], given
        await world.do(world.slack.clear_faults)


async def test_a_form_is_acknowledged_before_slack_is_asked_who_sent_it(world: World) -> None:
    """CASES D10."""
    await world.imagine("")
    modal = await form(world)
    world.app.people = People()
    fault = {"path": "users.info", "status": 0, "seconds": 4.0}
    await world.do(world.slack.fault, **fault, times=1, after=False)
    heard = await world.told(world.slack.submit, modal, {"prompt": "a red apple"})
    assert heard["acknowledged"]
    assert world.entry.request.prompt == "a red apple"


async def test_a_message_without_a_picture(world: World) -> None:
    await world.do(world.slack.say, "no picture here")
    [message] = await world.seen()
    await world.told(world.slack.message_shortcut, REFERENCE, message)
    assert await world.do(world.slack.modal) is None
    assert "There is no picture" in (await world.seen())[-1]["text"]


async def test_what_is_too_long_for_the_form_stays_as_it_was(world: World) -> None:
    """CASES A7: prompt and negative prompt fit into Slack's 3,000 characters apart only."""
    prompt, negative = (
        ("a red apple " * 140)[:1679],
        ", ".join(f"worm {n}" for n in range(150))[:1388],
    )
    flags = "--seed 7 --style sketch --ar 3:2 --steps 9"
    message = await world.drawn(f"{prompt} --no {negative} {flags}")
    await world.press(message, "edit")
    modal = await form(world)
    assert modal["inputs"][0]["value"] == prompt.strip()
    await world.told(world.slack.submit, modal, {"prompt": "a green apple --seed 8"})
    new, old = world.entries()
    assert new.request == replace(old.request, prompt="a green apple", seed=8)


async def test_the_form_says_what_the_picture_comes_from(world: World) -> None:
    """CASES A8."""
    message = await world.drawn("a red apple")
    await world.press(message, "enlarge")
    world.painter.paint()
    await world.deliver()
    enlarged = (await world.seen())[-1]
    await world.press(enlarged, "edit")
    modal = await form(world)
    assert FROM_OURS in str(modal)
    text = modal["inputs"][0]["value"].replace("--use restyle", "--use none")
    await world.told(world.slack.submit, modal, {"prompt": text})
    assert world.entry.request.mode is Mode.TEXT_TO_IMAGE


@pytest.mark.parametrize(
    ("guidance", "hints"), [((0.0, 1.0), []), ((0.0, 7.0), ["Not with: a"]), ((7.0, 7.0), [None])]
)
def test_a_negative_prompt_is_offered_where_a_model_takes_one(
    guidance: tuple[float, float], hints: list[str | None]
) -> None:
    """CASES A3."""
    models = {
        name: ModelEntry(source=name, guidance_scale=scale)
        for name, scale in zip("ab", guidance, strict=True)
    }
    fields = _negative("en", Catalog(models=models))
    assert [field.get("hint", {}).get("text") for field in fields] == hints
