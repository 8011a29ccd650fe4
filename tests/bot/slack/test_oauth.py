"""Many workspaces: who installs the app, and whose token speaks where."""

import sqlite3
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from cryptography.fernet import Fernet
from slack_sdk.oauth.installation_store import Installation

from bot.core.line import Line
from bot.i18n import LOCALES, say
from bot.slack.app import NO_WORKSPACE
from bot.slack.workspaces import Installations
from storage.domain import JobState
from storage.settings import Settings
from tests.fakes.slack_client import FakeSlack
from tests.fakes.slack_methods import CLIENT_ID, CLIENT_SECRET
from tests.fakes.slack_state import APP, ENTERPRISE, TEAM
from tests.fakes.slack_world import World, serving_http

KEY = Fernet.generate_key().decode()


@pytest.fixture
def installations(line: Line) -> Installations:
    return Installations(line, KEY)


@pytest_asyncio.fixture
async def world(slack: FakeSlack, line: Line, address: str) -> AsyncIterator[World]:
    """Nobody has installed the app yet."""
    given = {
        "slack_client_id": CLIENT_ID,
        "slack_client_secret": CLIENT_SECRET,
        "encryption_key": KEY,
    }
    async with serving_http(slack, line, address, **given) as world:
        yield world


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


async def test_a_restart_knows_whose_messages_to_show(world: World, address: str) -> None:
    await install(world, address)
    world.app.workspaces.application = ""
    await world.app.workspaces.identify(world.app.client)
    assert world.show.application == APP


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
    other = Installations(line, Fernet.generate_key().decode())
    assert await other.async_find_bot(enterprise_id=None, team_id="T1") is None
