"""The buttons of a card: pressed once, twice, by others, and after a restart."""

from typing import Any

import pytest
from simcord import InteractionResult, MemberActor
from simcord.backend.errors import SetupError

from bot.i18n import say
from storage import forget, log, review
from storage.domain import Decision, JobState, Mode, ReviewKind
from storage.settings import Settings
from tests.fakes.discord_world import World, button, refusal
from tests.fakes.nouns import account

LOCALES = ["en", "fr", "es"]


async def press(
    world: World, said: InteractionResult, action: str, who: MemberActor | None = None
) -> InteractionResult:
    assert said.response is not None
    custom_id = button(said.response.components, action)
    return await (who or world.alice).click(said.response, custom_id=custom_id)


async def pick(world: World, said: InteractionResult, value: str) -> InteractionResult:
    assert said.response is not None
    custom_id = button(said.response.components, "pick")
    return await world.alice.select(said.response, [value], custom_id=custom_id)


async def test_again_draws_the_same_words_with_another_seed(world: World) -> None:
    first = await world.drawn("a red apple", seed=7)
    second = await press(world, first, "again", world.bob)
    world.painter.paint()
    await world.deliver()
    assert second.response is not None
    assert second.response.embeds[0].title == "a red apple"
    newer, older = (entry.request for entry in world.entries())
    assert newer.prompt == older.prompt
    assert newer.seed != older.seed
    assert world.entries()[0].user_id == str(world.bob.id)
    assert len(world.channel.history()) == 2


@pytest.mark.parametrize(("action", "strength"), [("vary", 0.55), ("enlarge", 0.3)])
async def test_vary_and_enlarge_start_from_the_picture(
    world: World, action: str, strength: float
) -> None:
    said = await world.drawn()
    await press(world, said, action)
    made, parent = world.entries()
    assert made.request.mode is Mode.IMAGE_TO_IMAGE
    assert made.request.strength == strength
    assert made.request.parent_sha256 == parent.pictures[0].sha256
    assert made.request.width == parent.request.width * (2 if action == "enlarge" else 1)


async def test_one_of_four_pictures_is_chosen_from_the_select(world: World) -> None:
    said = await world.drawn(count=4)
    await pick(world, said, "vary:2")
    made, parent = world.entries()
    assert made.request.parent_sha256 == parent.pictures[2].sha256
    assert made.request.count == 1


@pytest.mark.parametrize("apart", [0.0, 1.9])
async def test_a_second_press_is_the_same_request(world: World, apart: float) -> None:
    said = await world.drawn()
    await press(world, said, "again")
    await world.env.advance_time(apart)
    second = await press(world, said, "again")
    assert second.response is None
    assert len(world.job_ids()) == 2
    assert len(world.channel.history()) == 2


async def test_a_later_press_or_another_button_is_a_new_request(world: World) -> None:
    said = await world.drawn(count=2)
    await pick(world, said, "vary:0")
    await pick(world, said, "vary:1")
    await world.env.advance_time(3)
    await pick(world, said, "vary:1")
    assert len(world.job_ids()) == 4


async def test_cancel_before_it_is_drawn(world: World) -> None:
    said = await world.imagine()
    await world.deliver()
    await press(world, said, "cancel")
    await world.deliver()
    assert said.response is not None
    assert said.response.embeds[0].title == "Cancelled."
    assert world.painter.claim() is None


async def test_cancel_while_it_is_drawn(world: World) -> None:
    said = await world.imagine()
    job = world.painter.claim()
    await world.deliver()
    await press(world, said, "cancel")
    await world.deliver()
    assert said.response is not None
    assert "Stopping" in str(said.response.embeds[0].description)
    assert job is not None
    assert world.entry.cancel_requested


async def test_cancel_comes_too_late(world: World) -> None:
    said = await world.imagine()
    await world.deliver()
    world.painter.paint()
    late = await press(world, said, "cancel")
    (words,) = late.followups
    assert words.ephemeral
    assert "Too late" in words.content


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("action", ["cancel", "delete"])
async def test_only_requester_and_managers_may_change_it(
    world: World, action: str, locale: str
) -> None:
    said = await world.imagine()
    if action == "delete":
        world.painter.paint()
    await world.deliver()
    with world.speaking(locale):
        stranger = await press(world, said, action, world.bob)
    (words,) = stranger.followups
    assert words.ephemeral
    sentence = "Only who asked for this picture, or who may manage messages here, can do that."
    assert words.content == say(locale, sentence)
    assert not world.delivery(world.entry.job_id).removed
    assert world.entry.state is not JobState.CANCELLED

    await press(world, said, action, world.mod)
    await world.deliver()
    changed = world.entry
    assert changed.message_removed if action == "delete" else changed.cancel_requested


async def test_delete_removes_the_message_and_keeps_the_log(world: World) -> None:
    said = await world.drawn()
    await press(world, said, "delete")
    await world.deliver()
    assert said.response is None
    assert not world.channel.history()
    assert world.entry.request.prompt == "a red apple"


@pytest.mark.parametrize("locale", LOCALES)
async def test_report_thanks_in_private_and_opens_one_review(world: World, locale: str) -> None:
    said = await world.drawn()
    with world.speaking(locale):
        first = await press(world, said, "report", world.bob)
        second = await press(world, said, "report", world.bob)
    assert refusal(first) == say(locale, "Thank you. A moderator will look at it.")
    again = "You have reported this already. A moderator will look at it."
    assert refusal(second) == say(locale, again)
    with world.line.database.read() as session:
        (opened,) = review.waiting(session, ReviewKind.REPORT)
    assert opened.opened_by == str(world.bob.id)


@pytest.mark.parametrize("locale", LOCALES)
async def test_details_are_told_in_private(world: World, locale: str) -> None:
    said = await world.drawn("a red apple", negative="leaf", seed=7)
    with world.speaking(locale):
        heard = await press(world, said, "details", world.bob)
    assert heard.response is not None
    assert heard.response.ephemeral
    fields = {field.name: field.value for field in heard.response.embeds[0].fields}
    assert fields[say(locale, "Prompt")] == "a red apple"
    assert fields[say(locale, "Negative prompt")] == "leaf"
    assert fields[say(locale, "Seed")] == "7"


async def test_a_refused_prompt_is_told_to_its_requester_alone(world: World) -> None:
    said = await world.imagine("a very particular prompt")
    world.painter.paint(Decision.BLOCK)
    await world.deliver()
    stranger = await press(world, said, "details", world.bob)
    assert "Only who asked" in refusal(stranger)
    owner = await press(world, said, "details")
    assert owner.response is not None
    assert "particular" in str(owner.response.embeds[0].to_dict())


async def test_what_was_forgotten_is_said_so(world: World) -> None:
    said = await world.drawn()
    heard = await press(world, said, "details")
    assert heard.response is not None
    components = said.response.components if said.response else []
    with world.line.database.write() as session:
        forget.forget_person(session, account(str(world.alice.id)), world.env.now())
    assert said.response is not None
    late = await world.bob.click(said.response, custom_id=button(components, "again"))
    assert "I have forgotten this request" in refusal(late)


async def test_details_hold_the_whole_prompt_and_each_seed(world: World) -> None:
    """CASES D16."""
    prompt = "a red apple " + "*beside* a pear " * 100
    said = await world.drawn(prompt.strip(), seed=7, count=2)
    heard = await press(world, said, "details")
    assert heard.response is not None
    fields = {f.name: f.value for f in heard.response.embeds[0].fields}
    assert fields["Seed"] == "7, 8"
    [file] = heard.response.attachments
    assert f"Prompt\n{world.entry.request.prompt}" == (await file.read()).decode()


@pytest.mark.parametrize("action", ["again", "vary", "details", "report", "delete"])
async def test_buttons_survive_a_restart(world: World, settings: Settings, action: str) -> None:
    said = await world.drawn()
    await world.restart(settings)
    heard = await press(world, said, action)
    await world.deliver()
    assert heard.acknowledged
    if action in ("again", "vary"):
        world.painter.paint()
        await world.deliver()
        assert heard.response is not None
        assert heard.response.embeds[0].title == "a red apple"
    if action == "delete":
        assert said.response is None


async def test_the_select_survives_a_restart(world: World, settings: Settings) -> None:
    said = await world.drawn(count=2)
    await world.restart(settings)
    await pick(world, said, "enlarge:1")
    assert len(world.job_ids()) == 2


async def test_a_private_picture_has_private_children(world: World) -> None:
    said = await world.drawn(private=True)
    again = await press(world, said, "again")
    assert again.ephemeral
    assert world.entry.request.private
    with pytest.raises(SetupError):
        await press(world, said, "again", world.bob)


async def test_five_deliveries_of_a_press_are_one_request(world: World) -> None:
    said = await world.drawn()
    world.redeliver_events(5)
    heard = await press(world, said, "again")
    assert len(world.job_ids()) == 2
    assert heard.response is not None


async def test_a_defect_in_a_button_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    said = await world.drawn()

    def broken(*args: Any) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(log, "entry", broken)
    heard = await press(world, said, "details")
    assert [m.content for m in heard.followups] or heard.response
    world.env.check_errors = False
