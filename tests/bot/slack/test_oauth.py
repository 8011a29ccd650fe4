"""Many workspaces: who installs the app, and whose token speaks where."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from functools import partial

import aiohttp
import pytest
import pytest_asyncio
from cryptography.fernet import Fernet
from slack_sdk.oauth.installation_store import Installation

from bot.core.line import Line
from bot.i18n import LOCALES, say
from bot.showing import Operators
from bot.slack.acts import Acts
from bot.slack.app import LOCKED, NO_WORKSPACE
from bot.slack.manifest import EVENTS_PATH
from bot.slack.run import gateway
from bot.slack.workspaces import WRONG_KEY, Installations
from bot.terminal.doctor import _cards, _slack
from storage import deliveries, slack_installations
from storage.domain import EventKey, JobState, Platform, RawCommand, Requester
from storage.health import WELL
from storage.inbox import Sealed
from storage.settings import Settings
from tests.bot.slack.watched import asked, scraped
from tests.fakes.slack_client import FakeSlack
from tests.fakes.slack_methods import CLIENT_ID, CLIENT_SECRET
from tests.fakes.slack_state import ALICE, APP, BOT_USER, ENTERPRISE, TEAM
from tests.fakes.slack_world import World, free_port, serving_http

KEY, OTHER_KEY = (Fernet.generate_key().decode() for _ in range(2))


@pytest.fixture
def installations(line: Line) -> Installations:
    return Installations(line, KEY)


def given(key: str) -> dict[str, str]:
    return {
        "slack_client_id": CLIENT_ID,
        "slack_client_secret": CLIENT_SECRET,
        "encryption_key": key,
    }


@pytest_asyncio.fixture
async def world(slack: FakeSlack, line: Line, address: str) -> AsyncIterator[World]:
    """Nobody has installed the app yet."""
    async with serving_http(slack, line, address, **given(KEY)) as world:
        yield world


@pytest_asyncio.fixture
async def other(world: World, slack: FakeSlack, line: Line, address: str) -> AsyncIterator[World]:
    """The same app where the workspace installed it, started again with another key; another
    workspace has installed it since."""
    await install(world, address)
    await world.imagine("a red apple")
    await world.deliver()
    theirs = Installations(line, OTHER_KEY)
    await theirs.async_save(an_installation("xoxb-theirs", None, "T0THEIRS"))
    async with serving_http(slack, line, f"127.0.0.1:{free_port()}", **given(OTHER_KEY)) as other:
        yield other


async def install(world: World, address: str, *, team: bool = True) -> int:
    """As a browser does it: the page, Slack's, and back with a code."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(f"http://{address}/slack/install") as page:
            assert page.status == 200
            cookie = page.cookies["slack-app-oauth-state"].value
            assert f"client_id={CLIENT_ID}" in await page.text()
        code = await world.do(world.slack.authorise, team=team)
        query = {"code": code, "state": cookie}
        headers = {"Cookie": f"slack-app-oauth-state={cookie}"}
        url = f"http://{address}/slack/oauth_redirect"
        async with session.get(url, params=query, headers=headers) as back:
            return back.status


async def test_a_workspace_installs_the_app(world: World, address: str) -> None:
    assert await install(world, address) == 200
    message = await world.drawn("a red apple")
    assert len(message["images"]) == 1
    assert world.entry.place.workspace_id == TEAM


async def test_a_whole_enterprise_installs_the_app(world: World, address: str) -> None:
    await world.do(world.slack.install, token="xoxb-other", team=False)
    assert await install(world, address, team=False) == 200
    message = await world.drawn("a red apple")
    assert len(message["images"]) == 1
    assert (world.entry.place.enterprise_id, world.entry.place.workspace_id) == (ENTERPRISE, TEAM)
    await world.press(message, "again")
    assert len(world.entries()) == 2


async def test_a_workspace_that_took_the_app_off_is_gone(world: World, address: str) -> None:
    """Where its token is one of many, it is nobody's to mend."""
    await install(world, address)
    await world.imagine("a red apple")
    await world.do(world.slack.fault, path="*", error="token_revoked", after=False)
    await world.deliver()
    assert world.entry.state is JobState.CANCELLED


async def uninstall(world: World) -> None:
    """Until the app has heard of it."""
    await world.do(world.slack.revoke)
    client: object = world
    while client is not None:
        await asyncio.sleep(0.01)
        client = await world.app.workspaces.client("", TEAM)


async def test_a_take_down_outlives_an_uninstallation(world: World, address: str) -> None:
    """What stands there still may be reached again."""
    await install(world, address)
    message = await world.drawn("a red apple")
    job = world.entry.job_id
    await uninstall(world)
    await world.line.write(lambda s: deliveries.desire(s, job, removed=True))
    await world.once()
    assert world.deliveries()[0].trouble == "NotInstalled"
    [(well, words)] = _cards(world.line.settings)
    assert (well, "taken down: Easel fails with NotInstalled since" in words) == (False, True)
    await install(world, address)
    await world.line.write(lambda s: deliveries.desire(s, job, removed=True))
    await world.once()
    assert message["ts"] not in [m["ts"] for m in await world.seen()]
    assert _cards(world.line.settings) == []


async def test_nothing_is_drawn_where_it_was_taken_off(world: World, address: str) -> None:
    await install(world, address)
    await world.imagine("a red apple")
    await uninstall(world)
    await world.once()
    assert world.entry.state is JobState.CANCELLED


async def test_a_restart_knows_whose_messages_to_show(world: World, address: str) -> None:
    await install(world, address)
    world.app.workspaces.application = ""
    await world.app.workspaces.identify(world.app.client)
    assert world.show.application == APP


async def test_an_app_in_the_place_of_another_serves_without_a_restart(
    world: World, address: str
) -> None:
    """What it started with is the old one's id; the first event has the new one's."""
    await install(world, address)
    app = world.app
    app.workspaces.application = app.inbox.application = "A0OLD"
    await world.told(world.slack.open_home)
    assert (world.show.application, app.inbox.application) == (APP, APP)
    await world.imagine("a red apple")
    await world.deliver()
    assert len(await world.seen()) == 1


async def test_a_forged_state_installs_nothing(world: World, address: str) -> None:
    code = await world.do(world.slack.authorise)
    url = f"http://{address}/slack/oauth_redirect"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, params={"code": code, "state": "mine"}) as back,
    ):
        assert back.status != 200
    assert await world.app.workspaces.client("", TEAM) is None


async def test_where_it_is_not_installed_it_says_so(world: World) -> None:
    await world.imagine("a red apple")
    assert world.entries() == []
    heard = [m["text"] for m in await world.seen() if m["ephemeral"]]
    assert [say(locale, NO_WORKSPACE) in heard[0] for locale in LOCALES] == [True] * 3


async def test_tokens_are_sealed(world: World, address: str, settings: Settings) -> None:
    await install(world, address)
    client = await world.app.workspaces.client("", TEAM)
    assert client is not None
    assert client.token is not None
    rows = sqlite3.connect(settings.data_folder / "easel.db").execute(
        "select sealed from slack_installations"
    )
    [(sealed,)] = rows.fetchall()
    assert client.token not in sealed
    assert client.token in Fernet(KEY).decrypt(sealed.encode()).decode()


def an_installation(token: str, enterprise: str | None, team: str | None) -> Installation:
    return Installation(
        bot_token=token,
        enterprise_id=enterprise,
        team_id=team,
        user_id="U0",
        app_id=APP,
        bot_id="B0",
        bot_user_id="U0EASEL",
        is_enterprise_install=team is None,
    )


async def test_whose_token_speaks_where(installations: Installations) -> None:
    for token, enterprise, team in (
        ("alone", None, "T1"),
        ("inside", "E1", "T2"),
        ("whole", "E1", None),
        ("other", "E2", None),
    ):
        await installations.async_save(an_installation(token, enterprise, team))

    async def token(enterprise: str | None, team: str | None) -> str | None:
        found = await installations.async_find_bot(enterprise_id=enterprise, team_id=team)
        return found.bot_token if found else None

    assert await token(None, "T1") == "alone"
    assert await token("E1", "T2") == "inside"
    assert await token("E1", "T3") == "whole"
    assert await token("E2", "T4") == "other"
    assert await token(None, "T2") == "inside", "a shared channel may name the workspace alone"
    assert await token(None, "T9") is None
    assert await token(None, None) is None
    await installations.async_delete_all(enterprise_id="E1", team_id="T2")
    assert await token("E1", "T2") == "whole"


async def test_a_new_installation_takes_the_place_of_the_old(installations: Installations) -> None:
    await installations.async_save(an_installation("old", None, "T1"))
    await installations.async_save(an_installation("new", None, "T1"))
    found = await installations.async_find_bot(enterprise_id=None, team_id="T1")
    assert found is not None
    assert found.bot_token == "new"


async def test_another_key_opens_nothing(installations: Installations, line: Line) -> None:
    await installations.async_save(an_installation("secret", None, "T1"))
    other = Installations(line, OTHER_KEY)
    with pytest.raises(Operators, match=WRONG_KEY):
        await other.async_find_bot(enterprise_id=None, team_id="T1")
    assert await other.async_find_bot(enterprise_id=None, team_id="T2") is None


async def test_a_card_waits_for_the_right_key(world: World, other: World) -> None:
    world.painter.paint()
    await other.once()
    said = f"1 card cannot be shown: Easel fails with {WRONG_KEY} since"
    assert [well for well, words in _cards(other.line.settings) if said in words] == [False]
    status, body = asked(other)
    assert (status, said in body) == (503, True)
    assert f'easel_deliveries_refused{{code="{WRONG_KEY}",platform="slack"}} 1.0' in scraped(other)
    await world.deliver()
    [message] = await world.seen()
    assert len(message["images"]) == 1
    assert asked(world)[0] == 200


async def test_nothing_is_cancelled_for_a_wrong_key(world: World, other: World) -> None:
    job = world.entry.job_id
    await world.line.write(lambda s: deliveries.desire(s, job))
    await other.once()
    assert world.entry.state is JobState.WAITING


async def test_a_take_down_waits_for_the_right_key(world: World, other: World) -> None:
    job = world.entry.job_id
    await world.line.write(lambda s: deliveries.desire(s, job, removed=True))
    await other.once()
    assert len(await world.seen()) == 1
    [(well, words)] = _cards(other.line.settings)
    assert (well, f"taken down: Easel fails with {WRONG_KEY}" in words) == (False, True)
    await world.deliver()
    assert await world.seen() == []


async def test_who_asks_hears_that_the_settings_are_wrong(other: World) -> None:
    """Not that the workspace is none of ours."""
    await other.imagine("a blue boat")
    [heard] = [m["text"] for m in await other.seen() if m["ephemeral"]]
    assert [say(locale, LOCKED) in heard for locale in LOCALES] == [True] * 3
    assert len(other.entries()) == 1


async def test_a_mention_comes_again_until_the_key_is_right(
    world: World, other: World, address: str
) -> None:
    said = await other.do(other.slack.say, f"<@{BOT_USER}> a blue boat")
    heard = await other.do(other.slack.heard, said["delivery"])
    assert not heard["acknowledged"], "what is acknowledged does not come again"
    await other.do(other.slack.listen, f"http://{address}{EVENTS_PATH}")
    await other.do(other.slack.redeliver, said["delivery"])
    acknowledged = partial(other.slack.delivery, said["delivery"])
    await other.do(other.slack.until, lambda: acknowledged()["acknowledged"])
    await world.settle()
    assert [entry.request.prompt for entry in world.entries()] == ["a blue boat", "a red apple"]


async def test_a_command_that_is_written_down_waits_for_the_right_key(
    world: World, other: World
) -> None:
    """Its row opens, and its workspace's token does not."""
    raw = RawCommand(
        event=EventKey(platform=Platform.SLACK, workspace_id=TEAM, kind="trigger", id="1"),
        requester=Requester(platform=Platform.SLACK, tenant=TEAM, user_id=ALICE),
        place=world.entry.place,
    )
    with pytest.raises(Sealed):
        await Acts(other.app, {}).act(raw)


async def test_a_lost_key_is_no_trouble_for_good(world: World, other: World, line: Line) -> None:
    settings = other.app.workspaces._settings
    assert [well for well, _ in _slack(settings)] == [True, False]
    assert await line.write(lambda s: slack_installations.forget(s, TEAM))
    assert [well for well, _ in _slack(settings)] == [True, True]


async def test_where_no_token_opens_it_says_so(
    world: World, slack: FakeSlack, line: Line, address: str
) -> None:
    await install(world, address)
    elsewhere = f"127.0.0.1:{free_port()}"
    async with serving_http(slack, line, elsewhere, **given(OTHER_KEY)) as other:
        assert "EASEL_ENCRYPTION_KEY opens" in gateway(other.app, None)
        assert other.show.application == ""
        [*_, (well, words)] = _slack(other.app.workspaces._settings)  # The line's know no Slack.
        assert well is False
        assert f"tokens of {TEAM} are encrypted with another key" in words
        assert f"`easel slack forget {TEAM}`" in words
        await install(other, elsewhere)
        await other.imagine("a red apple")
        assert gateway(other.app, None) == WELL
        assert other.show.application == APP
