"""A private picture is its requester's alone: also for who presses its buttons without having seen
them, by a custom id put into a message of another place."""

from typing import Any

import pytest
from simcord import InteractionResult, MemberActor

from bot.i18n import say
from storage import review
from storage.domain import JobState
from storage.tables import DeliveryRow
from tests.fakes.discord_world import World, button, refusal

LOCALES = ["en", "fr", "es"]
PROMPT = "a very particular prompt"
ALONE = "Only who asked for this picture can do that."
SEEN = (
    "That picture is yours alone, and everybody here would see the new one. Use the button under "
    "the picture itself, or ask again with /imagine and --private."
)


async def put(world: World, component: dict[str, Any]) -> Any:
    """A message that all see, with this in it."""
    channel = world.env.bot.get_channel(world.channel.id)
    await channel.send("hello")  # type: ignore[union-attr]
    message = world.channel.history()[-1]
    stored = world.env.backend.get_message(world.channel.id, message.id)
    stored.components = [{"type": 1, "components": [component]}]
    return message


async def press(world: World, who: MemberActor, action: str) -> InteractionResult:
    """A button of the private card, in a message that all see."""
    name, _, picture = action.partition(":")
    custom_id = ":".join(filter(None, ("easel", name, str(world.entry.job_id), picture)))
    message = await put(world, {"type": 2, "style": 2, "label": name, "custom_id": custom_id})
    return await who.click(message, custom_id=custom_id)


async def pick(world: World, who: MemberActor, value: str) -> InteractionResult:
    custom_id = f"easel:pick:{world.entry.job_id}"
    options = [{"label": value, "value": value}]
    message = await put(world, {"type": 3, "custom_id": custom_id, "options": options})
    return await who.select(message, [value], custom_id=custom_id)


def nothing_came_of_it(world: World, heard: InteractionResult) -> None:
    assert len(world.job_ids()) == 1
    assert "particular" not in str([heard.response, heard.followups, heard.modal])
    assert world.delivery(world.entry.job_id).address["user_id"] == str(world.alice.id)


@pytest.mark.parametrize("who", ["bob", "mod"])
@pytest.mark.parametrize("action", ["again", "vary:0", "enlarge:1", "edit", "details", "fetch"])
async def test_nobody_else_has_it_by_a_button(world: World, who: str, action: str) -> None:
    await world.drawn(PROMPT, private=True, count=2)
    heard = await press(world, getattr(world, who), action)
    assert refusal(heard) == ALONE
    await world.deliver()
    nothing_came_of_it(world, heard)
    assert heard.modal is None


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("value", ["vary:1", "enlarge:0"])
async def test_nobody_else_has_it_by_the_select(world: World, value: str, locale: str) -> None:
    await world.drawn(PROMPT, private=True, count=2)
    with world.speaking(locale):
        heard = await pick(world, world.mod, value)
    assert refusal(heard) == say(locale, ALONE)
    nothing_came_of_it(world, heard)


@pytest.mark.parametrize("who", ["bob", "mod"])
async def test_nobody_else_has_it_by_a_form(world: World, who: str) -> None:
    """That was opened on something of their own."""
    person: MemberActor = getattr(world, who)
    own = await world.drawn(who=person)
    assert own.response is not None
    edit = button(own.response.components, "edit")
    shown = await person.click(own.response, custom_id=edit)
    await world.drawn(PROMPT, private=True)
    assert shown._interaction.modal is not None
    shown._interaction.modal["custom_id"] = f"easel:edit:{world.entry.job_id}"
    heard = await person.submit_modal(shown, {"prompt": "a green apple"})
    assert refusal(heard) == ALONE
    assert len(world.job_ids()) == 2


@pytest.mark.parametrize("who", ["bob", "mod"])
async def test_nobody_else_draws_from_it(world: World, who: str) -> None:
    person: MemberActor = getattr(world, who)
    own = await world.drawn(who=person)
    shown = await person.context_menu(world.channel, "Use as reference", own.response)
    await world.drawn(PROMPT, private=True)
    [picture] = world.entry.pictures
    assert shown._interaction.modal is not None
    shown._interaction.modal["custom_id"] = f"easel:reference:kept:{picture.sha256}"
    heard = await person.submit_modal(shown, {"prompt": "a green apple"})
    assert refusal(heard) == ALONE
    assert len(world.job_ids()) == 2


@pytest.mark.parametrize("who", ["bob", "mod"])
async def test_nobody_else_reports_it(world: World, who: str) -> None:
    await world.drawn(PROMPT, private=True)
    heard = await press(world, getattr(world, who), "report")
    assert refusal(heard) == "Pictures are reported where they are shown."
    with world.line.database.read() as session:
        assert review.waiting(session) == []


@pytest.mark.parametrize("action", ["cancel", "drop", "delete"])
async def test_it_is_stopped_by_who_may_manage_messages(world: World, action: str) -> None:
    """They take down what they cannot see, and see nothing by that."""
    await world.imagine(PROMPT, private=True)
    heard = await press(world, world.bob, action)
    assert "particular" not in str([heard.response, heard.followups])
    assert world.entry.state is JobState.WAITING
    heard = await press(world, world.mod, action)
    assert "particular" not in str([heard.response, heard.followups])
    assert world.entry.state is JobState.CANCELLED


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("action", ["again", "vary:0", "enlarge:1"])
async def test_what_comes_of_it_is_shown_to_nobody_else(
    world: World, action: str, locale: str
) -> None:
    """Its own person, where all would see it."""
    await world.drawn(PROMPT, private=True, count=2)
    with world.speaking(locale):
        heard = await press(world, world.alice, action)
    assert refusal(heard) == say(locale, SEEN)
    await world.deliver()
    nothing_came_of_it(world, heard)


async def test_an_edit_of_it_is_shown_to_nobody_else(world: World) -> None:
    await world.drawn(PROMPT, private=True)
    shown = await press(world, world.alice, "edit")
    heard = await world.alice.submit_modal(shown, {"prompt": "a green apple"})
    assert refusal(heard) == SEEN
    shown = await press(world, world.alice, "edit")
    assert shown.modal is not None
    text = shown.modal["components"][0]["component"]["value"]
    heard = await world.alice.submit_modal(shown, {"prompt": text})
    assert heard.ephemeral, "as its text says"
    assert len(world.job_ids()) == 2
    assert world.entry.request.private


@pytest.mark.parametrize("action", ["details", "fetch"])
async def test_its_own_person_has_it_alone_wherever_they_are(world: World, action: str) -> None:
    await world.drawn(PROMPT, private=True)
    if action == "fetch":
        with world.line.database.write() as session:
            lost = session.get_one(DeliveryRow, world.entry.job_id)
            lost.gone, lost.shown_pictures = "50007", False
    heard = await press(world, world.alice, action)
    await world.deliver()
    assert heard.ephemeral
    assert heard.response is not None
    assert "particular" in str(heard.response.embeds[0].to_dict())
