"""`/queue`, `/usage`, `/privacy` and `/help`: told to one person alone."""

import json
from datetime import timedelta

import pytest
from simcord import InteractionResult

from bot.core import mine
from bot.core.privacy import UNDER_WAY, Privacy
from bot.i18n import format_day, say
from storage import deliveries, export, forget, review
from storage.domain import Complaint, Delivery, JobState
from storage.tables import DeliveryRow
from tests.fakes.discord_world import World, button, custom_ids, refusal
from tests.fakes.nouns import account
from tests.fakes.threads import threads_of

LOCALES = ["en", "fr", "es"]


def told(said: InteractionResult) -> str:
    assert said.response is not None
    assert said.response.ephemeral
    return str(said.response.embeds[0].description)


@pytest.mark.parametrize("locale", LOCALES)
async def test_an_empty_queue(world: World, locale: str) -> None:
    with world.speaking(locale):
        said = await world.alice.slash(world.channel, "queue")
    assert told(said) == say(locale, "Nothing of yours is waiting.")


async def test_the_queue_lists_my_requests_with_position_and_estimate(world: World) -> None:
    await world.drawn("a warm-up")
    await world.imagine("a boat", who=world.bob)
    await world.imagine("a red apple")
    said = await world.alice.slash(world.channel, "queue")
    text = told(said)
    assert "a red apple" in text
    assert "Number 2 in the queue." in text
    assert "About" in text
    assert "a boat" not in text


@pytest.mark.parametrize("locale", LOCALES)
async def test_cancel_from_the_queue(world: World, locale: str) -> None:
    await world.imagine("a red apple")
    with world.speaking(locale):
        said = await world.alice.slash(world.channel, "queue")
        assert said.response is not None
        custom_id = button(said.response.components, "drop")
        await world.alice.click(said.response, custom_id=custom_id)
    assert world.entry.state is JobState.CANCELLED
    assert told(said) == say(locale, "Nothing of yours is waiting.")
    assert not custom_ids(said.response.components)


async def test_a_running_request_is_said_to_be_drawn(world: World) -> None:
    await world.imagine("a red apple")
    world.painter.claim()
    said = await world.alice.slash(world.channel, "queue")
    assert "Being drawn." in told(said)


async def test_cancelled_too_late_from_the_queue(world: World) -> None:
    await world.imagine("a red apple")
    said = await world.alice.slash(world.channel, "queue")
    assert said.response is not None
    world.painter.paint()
    late = await world.alice.click(
        said.response, custom_id=button(said.response.components, "drop")
    )
    assert "Too late" in late.followups[0].content


async def test_a_private_result_that_could_not_be_sent_is_fetched(world: World) -> None:
    await world.imagine("a red apple", private=True)
    world.painter.paint()
    job_id = world.entry.job_id
    with world.line.database.write() as session:
        delivery = deliveries.get(session, job_id)
        assert isinstance(delivery, Delivery)
        deliveries.give_up(session, delivery, "direct messages are closed")
    said = await world.alice.slash(world.channel, "queue")
    assert "I could not send it to you" in told(said)
    assert said.response is not None
    fetched = await world.alice.click(
        said.response, custom_id=button(said.response.components, "fetch")
    )
    await world.deliver()
    assert fetched.response is not None
    assert fetched.response.ephemeral
    assert len(fetched.response.attachments) == 1
    assert "Nothing" in told(await world.alice.slash(world.channel, "queue"))


async def test_nobody_else_fetches_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not who may manage messages there either, with a client that presses what it cannot see."""
    await world.imagine("a red apple", private=True)
    world.painter.paint()
    job_id = world.entry.job_id
    before = world.delivery(job_id)
    await world.line.write(lambda s: deliveries.give_up(s, before, "direct messages are closed"))
    said = await world.alice.slash(world.channel, "queue")
    assert said.response is not None
    monkeypatch.setattr("simcord.actors.can_access_message", lambda *_: True)
    fetch = button(said.response.components, "fetch")
    for stranger in (world.mod, world.bob):
        fetched = await stranger.click(said.response, custom_id=fetch)
        await world.deliver()
        assert "Only who asked for this picture" in refusal(fetched)
        assert world.delivery(job_id).address == before.address


def refused(world: World) -> None:
    """The channel refuses the result, until something else is tried."""
    with world.line.database.write() as session:
        session.get_one(DeliveryRow, world.entry.job_id).trouble = "50013"


async def show_again(world: World, said: InteractionResult) -> InteractionResult:
    """Show, as the list of requests offers it."""
    assert said.response is not None
    fetch = button(said.response.components, "fetch")
    return await world.alice.click(said.response, custom_id=fetch)


@pytest.mark.parametrize("locale", LOCALES)
async def test_a_show_that_is_too_late_says_so(world: World, locale: str) -> None:
    """Rights have returned, and the picture is shown; it can be taken down there still."""
    with world.speaking(locale):
        drawn = await world.imagine("a red apple")
        world.painter.paint()
        refused(world)
        said = await world.alice.slash(world.channel, "queue")
        await world.deliver()
        late = await show_again(world, said)
    assert late.response is not None
    assert late.response.ephemeral
    assert late.response.content == say(locale, LATE)
    assert drawn.response is not None
    assert len(drawn.response.attachments) == 1
    await world.line.write(lambda s: deliveries.desire(s, world.entry.job_id, removed=True))
    await world.deliver()
    assert world.channel.history() == []


LATE = (
    "Nothing is left to show here: the picture is shown already, on its way to another message, or "
    "removed."
)


async def test_show_pressed_twice_shows_it_once_and_nowhere_else(world: World) -> None:
    await world.imagine("a red apple")
    await world.deliver()
    world.painter.paint()
    refused(world)
    said = await world.alice.slash(world.channel, "queue")
    first, second = [await show_again(world, said) for _ in range(2)]
    assert second.response is not None
    assert second.response.content == LATE
    assert len(world.channel.history()) == 1, "its first message"
    await world.deliver()
    assert first.response is not None
    assert len(first.response.attachments) == 1
    assert world.channel.history() == []
    await world.line.write(lambda s: deliveries.desire(s, world.entry.job_id, removed=True))
    await world.deliver()
    assert first.response is None


async def test_a_moved_result_that_comes_late_is_not_taken_for_its_former_message(
    world: World,
) -> None:
    """Its second token died too, so that it comes by direct message, where the first may lie."""
    await world.imagine("a red apple", private=True)
    await world.deliver()
    world.painter.paint()
    refused(world)
    await show_again(world, await world.alice.slash(world.channel, "queue"))
    await world.env.advance_time(15 * 60)
    await world.deliver()
    [message] = world.alice.user.dm_channel.history()
    assert len(message.attachments) == 1
    assert "former" not in world.delivery(world.entry.job_id).address


@pytest.mark.parametrize("locale", LOCALES)
async def test_usage_of_the_day(world: World, locale: str) -> None:
    await world.drawn("a red apple", count=2)
    with world.speaking(locale):
        said = await world.alice.slash(world.channel, "usage")
    text = told(said)
    assert text.startswith("2 ")
    assert say(locale, "You have {left} left until midnight UTC.", left=98) in text
    assert "a red apple" in text


async def test_export_is_a_file_with_everything(world: World) -> None:
    await world.drawn("a red apple", negative="leaf")
    await world.imagine("a boat", who=world.bob)
    said = await world.alice.slash(world.channel, "privacy export")
    assert said.response is not None
    assert said.response.ephemeral
    (file,) = said.response.attachments
    stored = json.loads(await file.read())
    (request,) = stored["requests"]
    assert (request["prompt"], request["negative_prompt"]) == ("a red apple", "leaf")
    assert {"jobs", "pictures", "verdicts", "usage", "reviews", "bans"} <= stored.keys()
    assert len(stored["pictures"]) == len(stored["usage"]) == 1
    assert "boat" not in json.dumps(stored)
    assert "simcord_interaction" not in json.dumps(stored), "no token leaves"


async def test_an_export_keeps_nobody_else_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does forgetting: both have a thread of their own."""
    ran = threads_of(monkeypatch, export, "person", "files")
    ran_too = threads_of(monkeypatch, forget, "forget")
    await world.alice.slash(world.channel, "privacy export")
    said = await world.alice.slash(world.channel, "privacy delete")
    assert said.response is not None
    await world.alice.click(said.response, custom_id=button(said.response.components, "forget"))
    threads = {**ran, **ran_too}
    assert threads.keys() == {"person", "files", "forget"}
    assert {thread.name for thread in threads.values()} == {"privacy_0"}


@pytest.mark.parametrize("locale", LOCALES)
async def test_who_presses_again_meanwhile_is_told_so(
    world: World, monkeypatch: pytest.MonkeyPatch, locale: str
) -> None:
    async def busy(*_: object) -> Complaint:
        return UNDER_WAY

    for act in ("forget", "export"):
        monkeypatch.setattr(Privacy, act, busy)
    with world.speaking(locale):
        said = await world.alice.slash(world.channel, "privacy delete")
        assert said.response is not None
        custom_id = button(said.response.components, "forget")
        again = await world.alice.click(said.response, custom_id=custom_id)
        exported = await world.alice.slash(world.channel, "privacy export")
    at_it = say(locale, UNDER_WAY.text)
    assert exported.response is not None
    assert [again.followups[0].content, exported.response.content] == [at_it, at_it]
    assert say(locale, mine.FORGETS, days=30) in said.response.content


async def test_an_export_larger_than_a_file_may_be_comes_in_parts(world: World) -> None:
    for prompt in ("a red apple", "a blue boat", "a green fox"):
        await world.drawn(prompt)
    world.wire.upload_limit_bytes = 4_000
    said = await world.alice.slash(world.channel, "privacy export")
    assert said.response is not None
    messages = [said.response, *said.followups]
    assert len(messages) > 2
    assert all(message.ephemeral for message in messages)
    prompts, names = set(), []
    for message in messages:
        (file,) = message.attachments
        data = await file.read()
        assert len(data) <= 4_000
        prompts |= {request["prompt"] for request in json.loads(data)["requests"]}
        names.append(file.filename)
    assert prompts == {"a red apple", "a blue boat", "a green fox"}
    assert names[0] == f"easel-privacy-1-of-{len(messages)}.json"


@pytest.mark.parametrize("locale", LOCALES)
async def test_delete_names_what_a_moderator_has_still_to_look_at(
    world: World, locale: str
) -> None:
    await world.drawn()
    with world.line.database.write() as session:
        now = world.line.database.clock()
        assert review.report(session, world.entry.job_id, by=account("bob"), now=now)
    with world.speaking(locale):
        said = await world.alice.slash(world.channel, "privacy delete")
        assert said.response is not None
        assert say(locale, mine.FORGETS, days=30) in said.response.content
        custom_id = button(said.response.components, "forget")
        await world.alice.click(said.response, custom_id=custom_id)
    day = format_day(locale, now + timedelta(days=30))
    assert day in said.response.content
    assert say(locale, "Done. I have forgotten what you asked for.") in said.response.content
    await world.deliver()
    assert not world.channel.history()
    told = await world.alice.slash(world.channel, "privacy export")
    assert told.response is not None
    (file,) = told.response.attachments
    (request,) = json.loads(await file.read())["requests"]
    assert request["forget_at"].startswith(f"{now + timedelta(days=30):%Y-%m-%d}")


@pytest.mark.parametrize("locale", LOCALES)
async def test_delete_asks_first_then_forgets(world: World, locale: str) -> None:
    picture = await world.drawn("a red apple")
    sha256 = world.entry.pictures[0].sha256
    with world.speaking(locale):
        said = await world.alice.slash(world.channel, "privacy delete")
        assert said.response is not None
        assert world.entry.request.prompt == "a red apple"
        custom_id = button(said.response.components, "forget")
        await world.alice.click(said.response, custom_id=custom_id)
    assert said.response.content == say(locale, "Done. I have forgotten what you asked for.")
    assert not said.response.components
    assert world.entry.request.prompt == ""
    with pytest.raises(FileNotFoundError):
        world.line.blobs.get(sha256)
    await world.deliver()
    assert picture.response is None
    assert not world.delivery(world.entry.job_id).address


async def test_forgetting_empties_the_address_of_a_lost_message(world: World) -> None:
    """Once it has been looked for: it may have shown a picture."""
    await world.imagine("a red apple", private=True)
    job_id = world.entry.job_id
    assert world.delivery(job_id).address["user_id"] == str(world.alice.id)
    with world.line.database.write() as session:
        delivery = deliveries.get(session, job_id)
        assert delivery is not None
        deliveries.give_up(session, delivery, "direct messages are closed")
        forget.forget_person(session, account(str(world.alice.id)), world.env.now())
    await world.deliver()
    assert not world.delivery(job_id).address


@pytest.mark.parametrize("locale", LOCALES)
async def test_help_shows_the_grammar(world: World, locale: str) -> None:
    with world.speaking(locale):
        said = await world.alice.slash(world.channel, "help")
    text = told(said)
    for sign in ("--no", "(red:1.3)" if locale == "en" else ":1.3)", "{image: https", "--seed"):
        assert sign in text
    assert len(text) < 4096


async def test_help_teaches_only_what_works(world: World) -> None:
    """Each example of the help text is taken by the grammar."""
    for prompt in (
        "a red apple on a table",
        "a (red:1.3) apple",
        "a red apple --no leaf, worm",
        "a red apple (-leaf -worm)",
        "a red apple --ar 3:2 --count 4 --seed 7",
    ):
        await world.imagine(prompt)
    assert len(world.job_ids()) == 5
    said = await world.imagine("a red apple --colour red")
    assert refusal(said)
