"""Prompts of people who mean harm, over the wire: what others see pings nobody, links nowhere, and
reads as it was typed."""

import re
from pathlib import Path

import pytest

from bot.slack.words import typed
from storage import log
from storage.domain import Decision, JobState
from storage.emoji import spoken
from storage.log import LogEntry
from storage.settings import Settings
from tests.fakes.slack_client import FakeSlack, Seen
from tests.fakes.slack_fixtures import slack_settings
from tests.fakes.slack_state import BOT_USER
from tests.fakes.slack_world import World, actions
from tests.hostile.prompts import PROMPTS

AT_ONCE = 45
CHANNELS = tuple(f"C0WALL{number}" for number in range(AT_ONCE))
TYPED = tuple(prompt for prompt in PROMPTS if len(prompt) <= 300 and typed(prompt))
"""The long ones are for `tests/hostile`: they say nothing more of what is read, and take long. What
is nothing but mentions opens the form."""
JOINER = "\u2060"
SHOWN = 100
"""Characters of a title that are there however many of them had to be escaped."""
pytestmark = pytest.mark.timeout(600)

_SIGN = re.compile(rf"(?<!{JOINER})[*_~`@:]|[*_~`@:](?!{JOINER})|[<>]")


@pytest.fixture
def settings(tmp_path: Path, slack: FakeSlack) -> Settings:
    much = dict.fromkeys(("daily_pictures", "person_queue_limit", "queue_limit"), 10_000)
    return slack_settings(tmp_path, slack, **much)


def prepare(slack: FakeSlack) -> None:
    slack.loosen(1_000_000)
    for channel in CHANNELS:
        slack.channel(channel)


def say(slack: FakeSlack, texts: tuple[str, ...]) -> None:
    """Each in a channel of its own, all at once; until the app has heard them."""
    said = [
        slack.command("/imagine", text, channel=channel)
        for text, channel in zip(texts, CHANNELS, strict=False)
    ]
    for delivery in said:
        slack.heard(delivery)


def paint(world: World) -> None:
    """Every tenth picture; the others are covered, which Slack cannot do, and cost no upload."""
    number = 0
    while (job := world.painter.claim()) is not None:
        shown = (Decision.BLUR if number % 10 else Decision.ALLOW,) * job.request.count
        assert world.painter.finish(job, *shown)
        number += 1


def check_card(raw: Seen, seen: Seen, entry: LogEntry) -> None:
    """The title is the prompt, letter for letter but for emoji, which are words; its bold is the
    only markup."""
    title = raw["blocks"][0]["text"]["text"]
    assert _SIGN.findall(title) == ["*", "*"], title
    prompt = f"*{spoken(entry.request.prompt, entry.locale)}".replace(JOINER, "")[:SHOWN]
    assert seen["text"].replace(JOINER, "").startswith(prompt)


async def test_hostile_prompts(world: World) -> None:
    await world.do(prepare, world.slack)
    for start in range(0, len(TYPED), AT_ONCE):
        await world.do(say, world.slack, TYPED[start : start + AT_ONCE])
        await world.settle()
        paint(world)
        await world.deliver()
    with world.line.database.read() as session:
        entries = {str(entry.job_id): entry for entry in log.page(session, limit=len(TYPED))}
    messages = [m for m in await world.do(world.slack.history) if m["user"] == BOT_USER]
    told = [m for m in messages if m["ephemeral"]]
    cards = [m for m in messages if not m["ephemeral"]]
    assert len(entries) + len(told) == len(TYPED), "drawn, or told why not"
    assert len(cards) == len(entries)
    assert min(len(cards), len(told)) > 10
    for message in messages:
        assert (message["pings"], message["links"]) == ([], []), message
    for card in cards:
        entry = entries[card["metadata"]["event_payload"]["job"]]
        if entry.state is JobState.MADE:
            check_card(await world.do(world.slack.message, card), card, entry)


async def test_what_is_told_of_hostile_prompts(world: World) -> None:
    """The queue, App Home and details quote them too."""
    await world.do(prepare, world.slack)
    await world.do(say, world.slack, TYPED[:AT_ONCE])
    await world.settle()
    await world.imagine("queue")
    await world.told(world.slack.open_home)
    home = await world.do(world.slack.home)
    assert home is not None
    assert home["pings"] == []
    paint(world)
    await world.deliver()
    there = [message for channel in CHANNELS[:20] for message in await world.seen(channel)]
    cards = [message for message in there if "details" in actions(message)]
    for card in cards:
        await world.press(card, "details")
    messages = [m for m in await world.do(world.slack.history) if m["user"] == BOT_USER]
    told = [m for m in messages if m["ephemeral"]]
    assert len(told) >= len(cards) > 10
    for message in told:
        assert (message["pings"], message["links"]) == ([], []), message
