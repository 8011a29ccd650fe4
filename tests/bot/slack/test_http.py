"""Signed HTTP: what does not come from Slack gets 401, and what comes twice makes one job."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from bot.core.line import Line
from bot.slack.manifest import EVENTS_PATH
from tests.fakes.slack_client import BOT_TOKEN, SIGNING_SECRET, FakeSlack
from tests.fakes.slack_world import World, serving_http


@pytest_asyncio.fixture
async def world(slack: FakeSlack, line: Line, address: str) -> AsyncIterator[World]:
    async with serving_http(slack, line, address, slack_bot_token=BOT_TOKEN) as world:
        yield world


async def test_the_address_is_verified(world: World) -> None:
    answer = await world.do(world.slack.verify_url)
    assert (answer["status"], answer["body"]) == (200, {"challenge": "3eZbrw1aB"})


async def test_a_command_becomes_a_picture(world: World) -> None:
    message = await world.drawn("a red apple")
    assert len(message["images"]) == 1


async def test_a_form_and_its_errors(world: World) -> None:
    await world.imagine("")
    modal = await world.do(world.slack.modal)
    assert modal is not None
    await world.told(world.slack.submit, modal, {"prompt": "a fox --sed 7"})
    modal = await world.do(world.slack.modal)
    assert modal is not None
    assert modal["errors"].keys() == {"prompt"}


async def test_a_mention(world: World) -> None:
    said = await world.do(world.slack.say, "<@U0EASEL> a red apple")
    heard = await world.do(world.slack.heard, said["delivery"])
    assert heard["acknowledged"]
    await world.settle()
    assert len(world.entries()) == 1


PAYLOAD = {"command": "/imagine", "text": "a red apple", "team_id": "T0ATELIER"}


@pytest.mark.parametrize("kind", ["slash_commands", "interactive", "events_api"])
@pytest.mark.parametrize("given", [{}, {"secret": SIGNING_SECRET, "age_seconds": 301.0}])
async def test_forged_and_stale(world: World, kind: str, given: dict[str, Any]) -> None:
    answer = await world.do(world.slack.forge, kind, PAYLOAD, **given)
    assert answer["status"] == 401
    assert "a red apple" not in str(answer["body"])
    assert world.entries() == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Slack-Request-Timestamp": "soon", "X-Slack-Signature": "v0=1"},
        {"X-Slack-Request-Timestamp": "9" * 400, "X-Slack-Signature": "v0=1"},
        {"X-Slack-Request-Timestamp": "1700000000"},
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"text=x",
        b"\xff\xfe\x00",
        b'{"type": "x"',
        b'{"authorizations": [' * 40_000,
        b'{"authorizations": [' * 900 + b"]}" * 900,
        b'{"authorizations": "x"}',
        b"payload=[]",
        b"payload=" + b"[" * 40_000,
    ],
)
async def test_garbage(world: World, address: str, headers: dict[str, str], body: bytes) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"http://{address}{EVENTS_PATH}"
        async with session.post(url, data=body, headers=headers) as answer:
            assert answer.status == 401


async def test_a_replay_inside_the_window_is_one_job(world: World, address: str) -> None:
    """The same bytes with the same signature, five times."""
    told = await world.do(world.slack.command, "/imagine", "a red apple")
    heard = await world.do(world.slack.heard, told)
    await world.settle()
    for _ in range(4):
        answer = await world.do(
            world.slack.forge, "slash_commands", heard["payload"], secret=SIGNING_SECRET
        )
        assert answer["status"] == 200
    await world.settle()
    world.painter.paint()
    await world.deliver()
    assert len(world.entries()) == 1
    assert len(await world.seen()) == 1
