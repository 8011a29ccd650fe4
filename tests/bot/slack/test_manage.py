"""Settings of the workspace: everybody may look, owners and administrators choose."""

from typing import Any

import pytest

from bot.i18n import say
from bot.slack.manage import FORBIDDEN
from bot.slack.workspaces import People
from storage import places
from storage.domain import Platform
from storage.places import WorkspaceRules
from tests.fakes.slack_client import Seen
from tests.fakes.slack_state import ALICE, BOB, MOD, PICTURES, SKETCHES, TEAM
from tests.fakes.slack_world import World, actions

LOCALES = {"en": "en-US", "fr": "fr-FR", "es": "es-ES"}


async def shown(world: World, user: str) -> Seen:
    await world.imagine("settings", user=user)
    told = (await world.seen(user=user))[-1]
    assert told["ephemeral"]
    return told


async def form(world: World, user: str = MOD) -> Seen:
    await world.press(await shown(world, user), "settings", user=user)
    modal = await world.do(world.slack.modal, user)
    assert modal is not None
    return modal


async def choose(world: World, **values: Any) -> Seen:
    """What the moderator is told after the form was sent."""
    await world.told(world.slack.submit, await form(world), values)
    return (await world.seen(user=MOD))[-1]


async def rules(world: World) -> WorkspaceRules:
    return await world.line.read(lambda s: places.rules(s, Platform.SLACK, TEAM))


@pytest.mark.parametrize("locale", LOCALES)
async def test_everybody_may_look(world: World, locale: str) -> None:
    await world.do(world.slack.person, ALICE, locale=LOCALES[locale])
    told = await shown(world, ALICE)
    assert f"*{say(locale, 'State')}:* {say(locale, 'Open for requests')}" in told["text"]
    assert f"*{say(locale, 'Channels')}:* {say(locale, 'All')}" in told["text"]
    assert "100" in told["text"]
    assert actions(told) == [], "nothing to change them with"
    assert world.entries() == [], "it is no prompt"


async def test_the_form_begins_with_what_holds(world: World) -> None:
    chosen = WorkspaceRules(channels=(SKETCHES,), default_model="builtin", daily_pictures=7)
    await world.line.write(lambda s: places.set_rules(s, Platform.SLACK, TEAM, chosen))
    modal = await form(world)
    begin = {i["action_id"]: i["value"] for i in modal["inputs"]}
    assert (begin["channels"], begin["quota"]) == ([SKETCHES], "7")
    assert begin["model"]["value"] == "builtin"
    await world.told(world.slack.submit, modal)
    assert await rules(world) == chosen, "sent as it was, it changes nothing"


async def test_pause_and_resume(world: World) -> None:
    told = await choose(world, state="paused")
    assert "*State:* Paused" in told["text"]
    await world.imagine("a red apple")
    assert "paused" in (await world.seen())[-1]["text"]
    assert world.entries() == []
    told = await choose(world, state="open")
    assert "*State:* Open for requests" in told["text"]
    await world.imagine("a red apple")
    assert len(world.entries()) == 1


async def test_channels(world: World) -> None:
    told = await choose(world, channels=[SKETCHES])
    assert f"*Channels:* #{SKETCHES}" in told["text"]
    await world.imagine("a red apple", channel=PICTURES)
    assert f"#{SKETCHES}" in (await world.seen())[-1]["text"]
    await world.imagine("a red apple", channel=SKETCHES)
    assert len(world.entries()) == 1
    await choose(world, channels=[])
    await world.imagine("a red apple", channel=PICTURES)
    assert len(world.entries()) == 2


async def test_a_quota_and_back_to_the_default(world: World) -> None:
    told = await choose(world, quota="1")
    assert "1 picture per person and day" in told["text"]
    await world.imagine("a red apple --count 2")
    assert "your limit is 1" in (await world.seen())[-1]["text"]
    told = await choose(world, quota="")
    assert "100 pictures per person and day" in told["text"]


async def test_a_default_model(world: World) -> None:
    assert "*Default model:* builtin" in (await choose(world, model="builtin"))["text"]
    assert "*Default model:* The bot's own" in (await choose(world, model="-"))["text"]
    assert await rules(world) == WorkspaceRules()


async def test_from_a_mention(world: World) -> None:
    """Which brings no trigger; the button does."""
    said = await world.do(world.slack.say, "<@U0EASEL> settings", user=MOD)
    await world.do(world.slack.heard, said["delivery"])
    await world.settle()
    told = (await world.seen(user=MOD, thread=said["ts"]))[-1]
    assert "Open for requests" in told["text"]
    assert actions(told) == ["settings"]


async def test_in_app_home(world: World) -> None:
    await world.told(world.slack.open_home, user=ALICE)
    home = await world.do(world.slack.home, ALICE)
    assert home is not None
    assert "Open for requests" in home["text"]
    assert "easel:settings" not in [b["action_id"] for b in home["buttons"]]
    await world.told(world.slack.open_home, user=MOD)
    home = await world.do(world.slack.home, MOD)
    assert home is not None
    await world.told(world.slack.press_in_view, home, "easel:settings")
    modal = await world.do(world.slack.modal, MOD)
    assert modal is not None
    await world.told(world.slack.submit, modal, {"state": "paused"})
    home = await world.do(world.slack.home, MOD)
    assert home is not None
    assert "*State:* Paused" in home["text"]


async def test_who_manages_no_more_changes_nothing(world: World) -> None:
    """The button and the form outlive the right to use them."""
    button, modal = await shown(world, MOD), await form(world)
    await world.do(world.slack.person, MOD, admin=False)
    world.app.people = People()  # Which remembers nobody.
    await world.told(world.slack.submit, modal, {"state": "paused"})
    assert FORBIDDEN.text in (await world.seen(user=MOD))[-1]["text"]
    assert await rules(world) == WorkspaceRules()
    await world.press(button, "settings", user=MOD)
    assert await world.do(world.slack.modal, MOD) is None
    assert [m for m in await world.seen(user=BOB) if m["ephemeral"]] == []
