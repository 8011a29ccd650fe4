"""`/imagine`: from the command to the picture in the conversation, or why there is none."""

from dataclasses import replace
from typing import Any

import discord
import pytest
from sqlalchemy import update

from bot.core.line import Line
from bot.i18n import say
from storage import decisions, places, sanctions
from storage.domain import Decision, JobState, Mode, Platform
from storage.domain.job import FailureReason, Phase
from storage.places import WorkspaceRules
from storage.tables import JobRow
from tests.fakes.discord_world import World, button, custom_ids, refusal
from tests.fakes.painter import png


async def test_a_command_becomes_a_picture(world: World) -> None:
    said = await world.imagine("a red apple")
    assert said.deferred
    assert not said.ephemeral

    await world.deliver()
    assert said.response is not None
    assert said.response.embeds[0].title == "Waiting"
    assert said.response.embeds[0].description is not None
    assert "You are next." in said.response.embeds[0].description

    job = world.painter.claim()
    assert job is not None
    world.painter.report(job, Phase.DRAWING, 3, 12)
    await world.deliver()
    assert said.response.embeds[0].title == "Drawing"
    assert "Step 3 of 12" in str(said.response.embeds[0].description)
    assert "25%" in str(said.response.embeds[0].description)

    assert world.painter.finish(job)
    await world.deliver()
    card = said.response
    assert card.embeds[0].title == "a red apple"
    assert len(card.attachments) == 1
    assert card.attachments[0].description == (
        "Picture drawn by a machine from the words: a red apple"
    )
    assert await card.attachments[0].read() == png(job.request.seed)
    actions = [i.split(":")[1] for i in custom_ids(card.components)]
    assert actions == ["again", "vary", "enlarge", "edit", "details", "delete", "report"]
    assert len(world.channel.history()) == 1


async def test_every_option_reaches_the_request(world: World) -> None:
    reference, mask = ("sketch.png", png(1)), ("mask.png", png(2))
    await world.imagine(
        "a red apple",
        negative="leaf",
        reference=reference,
        mask=mask,
        use="edit",
        strength=0.5,
        seed=7,
        steps=9,
        guidance=4.5,
        aspect="3:2",
        count=2,
        style="sketch",
        model="builtin",
    )
    request = world.entry.request
    assert (request.prompt, request.negative_prompt) == ("a red apple", "leaf")
    assert (request.seed, request.steps, request.guidance_scale) == (7, 9, 4.5)
    assert (request.count, request.style, request.model) == (2, "sketch", "builtin")
    assert (request.strength, request.mode) == (0.5, Mode.INPAINT)
    assert request.width > request.height


async def test_the_place_and_the_person_are_recorded(world: World) -> None:
    world.wire.upload_limit_bytes = 50 * 1024 * 1024
    with world.speaking("fr"):
        await world.imagine()
    entry = world.entry
    assert entry.place.workspace_id == str(world.guild.id)
    assert entry.place.channel_id == str(world.channel.id)
    assert entry.place.upload_limit_bytes == 50 * 1024 * 1024
    assert not entry.place.age_restricted
    assert (entry.user_id, entry.locale) == (str(world.alice.id), "fr")


async def test_an_age_restricted_channel_is_known(world: World) -> None:
    world.env.bot.get_channel(world.channel.id).nsfw = True  # type: ignore[union-attr]
    await world.imagine()
    assert world.entry.place.age_restricted


@pytest.mark.parametrize(
    "wrong", ["a red apple --sead 7", "a red apple --ar x", "a red apple --use edit"]
)
async def test_a_typo_flashes_nothing_in_public(world: World, wrong: str) -> None:
    """CASES D16."""
    said = await world.imagine(wrong)
    assert refusal(said)
    [callback] = [r.json for r in world.env.http_requests if r.path.endswith("/callback")]
    assert isinstance(callback, dict)
    assert callback["data"]["flags"] == 64
    assert world.channel.history() == []


async def test_in_a_direct_message(world: World) -> None:
    said = await world.alice.user.slash("imagine", prompt="a red apple")
    world.painter.paint()
    await world.deliver()
    assert said.response.embeds[0].title == "a red apple"
    assert world.entry.place.workspace_id == ""


@pytest.mark.parametrize("how", ["option", "flag"])
async def test_a_private_picture_is_seen_by_one_person(world: World, how: str) -> None:
    if how == "option":
        said = await world.drawn("a red apple", private=True)
    else:
        said = await world.drawn("a red apple --private")
    assert world.entry.request.private
    assert said.response is not None
    assert said.response.ephemeral
    assert len(said.response.attachments) == 1
    assert not world.channel.history(viewer=world.bob)


async def test_several_pictures_come_as_a_grid_with_a_select(world: World) -> None:
    said = await world.drawn("a red apple", count=4)
    card = said.response
    assert card is not None
    assert len(card.attachments) == 4
    assert card.embeds[0].image.url is None
    (select,) = [
        component
        for row in card.components
        for component in row["components"]
        if component["custom_id"].startswith("easel:pick:")
    ]
    assert [option["value"] for option in select["options"]] == [
        f"{action}:{index}" for index in range(4) for action in ("vary", "enlarge")
    ]


async def test_of_two_pictures_one_is_refused(world: World) -> None:
    said = await world.imagine("a red apple", count=2)
    world.painter.paint(Decision.BLOCK, Decision.ALLOW)
    await world.deliver()
    assert said.response is not None
    assert len(said.response.attachments) == 1
    assert "1 of 2 pictures was refused" in str(said.response.embeds[0].description)


async def test_a_blurred_picture_is_a_spoiler(world: World) -> None:
    said = await world.imagine()
    world.painter.paint(Decision.BLUR)
    await world.deliver()
    assert said.response is not None
    assert said.response.attachments[0].is_spoiler()
    assert said.response.embeds[0].image.url is None


@pytest.mark.parametrize("decision", [Decision.HOLD, Decision.BLOCK])
async def test_a_refused_picture_is_not_shown_and_not_quoted(
    world: World, decision: Decision
) -> None:
    said = await world.imagine("a very particular prompt")
    world.painter.paint(decision)
    await world.deliver()
    assert said.response is not None
    assert not said.response.attachments
    assert "particular" not in str(said.response.embeds[0].to_dict())


async def test_a_refused_prompt_is_logged_and_not_quoted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = await world.imagine("a nude child")
    await world.deliver()
    assert said.response is not None
    assert said.response.embeds[0].title == "Not drawn"
    assert "child" not in str(said.response.embeds[0].to_dict())
    assert world.entry.state is JobState.REFUSED


@pytest.mark.parametrize("reason", FailureReason)
async def test_a_failure_says_what_to_do(world: World, reason: FailureReason) -> None:
    said = await world.imagine()
    job = world.painter.claim()
    assert job is not None
    world.painter.fail(job, reason)
    await world.deliver()
    assert said.response is not None
    assert said.response.embeds[0].title == "Failed"


async def test_hostile_text_neither_pings_nor_renders(world: World) -> None:
    hostile = "@everyone <@1> **bold** [link](http://evil.example) `code` ||hidden||"
    said = await world.drawn(hostile)
    assert said.response is not None
    title = str(said.response.embeds[0].title)
    assert "@everyone" not in title
    assert "\\*\\*bold\\*\\*" in title
    assert "\\<@" in title
    assert "://evil" not in title
    bodies = [e.json for e in world.env.http_requests if isinstance(e.json, dict)]
    cards = [body for body in bodies if body.get("embeds")]
    assert cards
    assert all(body["allowed_mentions"]["parse"] == [] for body in cards)


async def test_cards_and_descriptions_have_names_and_no_ids(world: World) -> None:
    """CASES A12: the request keeps the mention, for whoever checks it."""
    bob, channel = world.bob.user.id, world.channel.id
    said = await world.drawn(f"<:apple:123456789012345678> for <@{bob}> in <#{channel}>, 🍌")
    assert world.entry.request.prompt == ":apple: for @bob in pictures, 🍌"
    assert said.response is not None
    assert said.response.embeds[0].title == "red apple for @\u2060bob in pictures, banana"
    assert str(said.response.attachments[0].description).endswith(
        "from the words: red apple for @bob in pictures, banana"
    )


async def test_a_mention_of_nobody_known(world: World) -> None:
    await world.imagine("draw <@123456789012345678>")
    assert world.entry.request.prompt == "draw @someone"


async def test_five_deliveries_of_an_event_are_one_request(world: World) -> None:
    world.redeliver_events(5)
    said = await world.imagine()
    world.painter.paint()
    await world.deliver()
    assert len(world.job_ids()) == 1
    assert said.response is not None
    assert said.response.embeds[0].title == "a red apple"
    assert not said.followups
    assert len(world.channel.history()) == 1


async def test_five_deliveries_of_a_wrong_command_leave_nothing(world: World) -> None:
    world.redeliver_events(5)
    said = await world.imagine("--seed 7")
    assert not world.job_ids()
    assert refusal(said)
    assert world.channel.history() == []


async def test_an_interaction_that_discord_gave_up_on_makes_nothing(world: World) -> None:
    world.env.inject_error("POST", "/interactions/*/callback", status=404, code=10062)
    await world.imagine()
    assert not world.job_ids()


async def test_a_thread_counts_as_its_channel(world: World) -> None:
    channel: Any = world.env.bot.get_channel(world.channel.id)
    thread = await channel.create_thread(name="talk", type=discord.ChannelType.public_thread)
    await world.env.settle()
    (handle,) = world.channel.threads
    await world.alice.slash(handle, "imagine", prompt="a red apple")
    place = world.entry.place
    assert (place.channel_id, place.thread_id) == (str(world.channel.id), str(thread.id))


REFUSED = {
    "an unknown model": ("a red apple --model bulitin", "bulitin"),
    "an unknown flag": ("a red apple --sed 7", "--seed"),
    "nothing to draw": ("--seed 7", "Say what I should draw"),
    "a host that is not on the list": (
        "apple {image: https://evil.example/a.png}",
        "only from: cdn",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_wrong_is_told_to_the_person_alone(world: World, case: str) -> None:
    prompt, words = REFUSED[case]
    said = await world.imagine(prompt)
    assert words in refusal(said)
    assert not world.job_ids()
    assert not world.channel.history()


async def test_a_wrong_private_request_is_answered_in_its_place(world: World) -> None:
    said = await world.imagine("a red apple --sed 7", private=True)
    assert "--seed" in refusal(said)


async def test_an_attachment_that_is_no_picture(world: World) -> None:
    said = await world.imagine("a red apple", reference=("notes.txt", b"not a picture"))
    assert refusal(said)
    assert not world.job_ids()


@pytest.mark.parametrize("locale", ["en", "fr", "es"])
@pytest.mark.parametrize(
    ("permission", "name"), [("attach_files", "Attach Files"), ("embed_links", "Embed Links")]
)
async def test_missing_permissions_are_named(
    world: World, locale: str, permission: str, name: str
) -> None:
    channel = world.channel_without(permission)
    with world.speaking(locale):
        said = await world.alice.slash(channel, "imagine", prompt="a red apple")
    assert say(locale, name) in refusal(said)
    assert not world.job_ids()


async def test_the_right_to_write_in_threads_is_another(world: World) -> None:
    locked = world.channel_without("send_messages_in_threads")
    channel: Any = world.env.bot.get_channel(locked.id)
    await channel.create_thread(name="talk", type=discord.ChannelType.public_thread)
    await world.env.settle()
    (thread,) = locked.threads
    said = await world.alice.slash(thread, "imagine", prompt="a red apple")
    assert "Send Messages in Threads" in refusal(said)
    await world.alice.slash(locked, "imagine", prompt="a red apple")
    assert len(world.job_ids()) == 1


async def test_a_private_picture_needs_no_right_to_write(world: World) -> None:
    channel = world.channel_without("send_messages")
    said = await world.alice.slash(channel, "imagine", prompt="a red apple")
    assert "Send Messages" in refusal(said)
    await world.alice.slash(channel, "imagine", prompt="a red apple", private=True)
    assert len(world.job_ids()) == 1


@pytest.fixture
def rules(world: World) -> Any:
    def set_rules(**changes: Any) -> None:
        with world.line.database.write() as session:
            chosen = WorkspaceRules(**changes)
            places.set_rules(session, Platform.DISCORD, str(world.guild.id), chosen)

    return set_rules


async def test_a_channel_that_is_not_on_the_list(world: World, rules: Any) -> None:
    other = world.guild.create_text_channel("atelier")
    rules(channels=(str(other.id),))
    assert f"<#{other.id}>" in refusal(await world.imagine())
    await world.alice.slash(other, "imagine", prompt="a red apple")
    assert len(world.job_ids()) == 1


@pytest.mark.parametrize("locale", ["en", "fr", "es"])
async def test_a_paused_server(world: World, rules: Any, locale: str) -> None:
    rules(paused=True)
    with world.speaking(locale):
        said = await world.imagine()
    sentence = "Drawing is paused here. Try again later, or ask a moderator."
    assert refusal(said) == say(locale, sentence)


async def test_what_is_held_needs_room_in_the_day_as_well(world: World, rules: Any) -> None:
    """It is drawn once it is allowed. What is blocked is logged, whatever the day holds."""
    rules(daily_pictures=1)
    held, blocked = "a swastika on a hindu temple", "a nude child"
    assert "your limit is 1" in refusal(await world.imagine(held, count=2))
    await world.imagine(blocked, count=2)
    assert [entry.request.prompt for entry in world.entries()] == [blocked]


async def test_what_is_allowed_is_drawn_though_the_place_is_paused(
    world: World, rules: Any
) -> None:
    """As whatever was asked for before that."""
    await world.imagine("a swastika on a hindu temple")
    rules(paused=True)
    with world.line.database.write() as session:
        decisions.allow(session, world.entry.job_id, by="mod", now=world.env.now())
    assert world.painter.paint().id == world.entry.job_id


async def test_the_quota_of_the_day(world: World, rules: Any) -> None:
    rules(daily_pictures=2)
    assert "your limit is 2" in refusal(await world.imagine(count=3))
    await world.imagine(count=2)
    assert "You have 0 left" in refusal(await world.imagine())


async def test_a_banned_person(world: World) -> None:
    await world.drawn()
    with world.line.database.write() as session:
        sanctions.ban(session, world.entry.job_id, by="mod", now=world.env.now())
    assert "barred" in refusal(await world.imagine())


async def test_a_full_queue(world: World, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    small = line.settings.model_copy(update={"queue_limit": 1, "person_queue_limit": 1})
    world.env.bot.line = replace(line, settings=small)  # type: ignore[attr-defined]
    await world.imagine()
    assert "1 requests waiting already" in refusal(await world.imagine())
    assert "The queue is full" in refusal(await world.imagine(who=world.bob))


async def test_no_worker_for_two_minutes(world: World) -> None:
    said = await world.imagine()
    await world.env.advance_time(130)
    await world.deliverer.refresh_waiting()
    await world.deliver()
    assert said.response is not None
    assert "No worker has answered" in str(said.response.embeds[0].description)


async def test_the_model_is_loading(world: World) -> None:
    said = await world.imagine()
    job = world.painter.claim()
    assert job is not None
    world.painter.report(job, Phase.LOADING)
    await world.deliver()
    assert said.response is not None
    assert "Loading the model “builtin”…" in str(said.response.embeds[0].description)


async def test_a_defect_is_told_and_leaves_no_placeholder(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*args: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(Line, "submit", broken)
    said = await world.imagine()
    assert "Something went wrong" in refusal(said)


async def test_suggestions_are_what_the_catalog_has(world: World) -> None:
    styles = await world.alice.autocomplete(world.channel, "imagine", "style", "sk")
    assert [choice["value"] for choice in styles] == ["sketch"]
    models = await world.alice.autocomplete(world.channel, "imagine", "model", "")
    assert [choice["value"] for choice in models] == ["builtin"]
    with world.speaking("fr"):
        names = await world.alice.autocomplete(world.channel, "imagine", "prompt", "pom")
    assert names
    assert all("pom" in choice["name"].lower() for choice in names)


async def test_a_claimed_job_of_a_dead_worker_is_drawn_once(world: World) -> None:
    said = await world.imagine()
    zombie = world.painter.claim()
    assert zombie is not None
    await world.env.advance_time(20)
    job = world.painter.paint()
    assert job.attempt.number == 2
    assert not world.painter.finish(zombie)
    await world.deliver()
    assert said.response is not None
    assert len(said.response.attachments) == 1


async def test_a_held_picture_appears_once_it_is_allowed(world: World) -> None:
    said = await world.imagine()
    world.painter.paint(Decision.HOLD)
    await world.deliver()
    entry = world.entry
    with world.line.database.write() as session:
        for sha256 in decisions.allow(session, entry.job_id, by="mod", now=world.env.now()):
            world.line.blobs.move(sha256, to_kept_apart=False)
    await world.deliver()
    assert said.response is not None
    assert len(said.response.attachments) == 1
    assert button(said.response.components, "again")


async def test_a_lost_revision_is_shown_at_the_next_look(world: World) -> None:
    said = await world.imagine()
    with world.line.database.write() as session:
        session.execute(update(JobRow).values(state=JobState.CANCELLED))
    await world.deliver()
    assert said.response is not None
    assert said.response.embeds[0].title == "Cancelled."
