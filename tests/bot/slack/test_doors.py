"""Who may come in by HTTP: nobody without a secret that nobody else knows."""

import asyncio
from typing import Any

import aiohttp
import pytest

from bot.core.line import Line
from bot.slack.app import create_app
from bot.slack.manifest import EVENTS_PATH
from bot.slack.run import connect, web_app
from storage.settings import Settings
from tests.conftest import make_settings
from tests.fakes.slack_client import APP_TOKEN, BOT_TOKEN, FakeSlack
from tests.fakes.slack_methods import CLIENT_ID, CLIENT_SECRET

OAUTH = {
    "slack_client_id": CLIENT_ID,
    "slack_client_secret": CLIENT_SECRET,
    "encryption_key": "a" * 42 + "Y=",
}
PAYLOAD = {"command": "/imagine", "text": "a red apple", "team_id": "T0ATELIER"}
GUESSES = ["-", "", " ", "None"]


def served(slack: FakeSlack, line: Line, address: str, **given: Any) -> Settings:
    return make_settings(
        line.settings.data_folder, slack_address=address, slack_api_url=slack.api_url, **given
    )


async def is_open(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@pytest.mark.parametrize("secret", [None, "", " ", "\u200b"])
@pytest.mark.parametrize("socket_mode", [False, True])
@pytest.mark.parametrize("many", [False, True])
async def test_without_a_secret_there_is_no_way_by_http(
    slack: FakeSlack, line: Line, address: str, secret: str | None, socket_mode: bool, many: bool
) -> None:
    given: dict[str, Any] = dict(OAUTH) if many else {"slack_bot_token": BOT_TOKEN}
    given |= {"slack_app_token": APP_TOKEN} if socket_mode else {}
    settings = served(slack, line, address, slack_signing_secret=secret, **given)
    if many or not socket_mode:
        with pytest.raises(ValueError, match="EASEL_SLACK_SIGNING_SECRET is not set"):
            create_app(settings, line)
        return
    app = create_app(settings, line)
    async with connect(app, settings) as socket:
        assert socket is not None, "one workspace by Socket Mode needs none"
        assert not await is_open(address)


@pytest.mark.parametrize("guess", GUESSES)
async def test_a_secret_that_nobody_set_is_not_guessed(
    slack: FakeSlack, line: Line, address: str, guess: str
) -> None:
    """Even where somebody would serve the pages of an app that needs none."""
    given = {"slack_bot_token": BOT_TOKEN, "slack_app_token": APP_TOKEN}
    app = create_app(served(slack, line, address, **given), line)
    runner = aiohttp.web.AppRunner(web_app(app), access_log=None)
    await runner.setup()
    host, _, port = address.rpartition(":")
    await aiohttp.web.TCPSite(runner, host, int(port)).start()
    slack.listen(f"http://{address}{EVENTS_PATH}")
    told = await asyncio.to_thread(slack.forge, "slash_commands", PAYLOAD, secret=guess)
    assert told["status"] == 401
    await runner.cleanup()


async def test_variables_of_another_app_open_nothing(
    slack: FakeSlack, line: Line, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bolt reads variables of its own."""
    for name in ("CLIENT_ID", "CLIENT_SECRET", "SIGNING_SECRET", "VERIFICATION_TOKEN"):
        monkeypatch.setenv(f"SLACK_{name}", "another")
    given = {"slack_bot_token": BOT_TOKEN, "slack_app_token": APP_TOKEN}
    settings = served(slack, line, address, **given)
    app = create_app(settings, line)
    assert app.oauth_flow is None
    async with connect(app, settings):
        assert not await is_open(address)
