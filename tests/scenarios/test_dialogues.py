"""The same conversations on Discord and on Slack; see `dialogues.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bot.core.line import Line
from storage import log
from storage.domain import Decision
from storage.settings import Settings
from tests.fakes.discord_world import Wire
from tests.fakes.fresh import empty_database, line
from tests.fakes.painter import png
from tests.fakes.slack_client import FakeSlack
from tests.fakes.slack_fixtures import settings, slack, slack_process
from tests.scenarios.chats import Chat, on_discord, on_slack
from tests.wire.checking import wire_checks

__all__ = ["empty_database", "line", "settings", "slack", "slack_process", "wire_checks"]

Json = dict[str, Any]
FILE = Path(__file__).with_name("dialogues.toml")
DIALOGUES: list[Json] = tomllib.loads(FILE.read_text("utf-8"))["dialogue"]
ACTS = ("say", "choose", "press", "press_told", "share", "use", "inspect", "fill", "paint")
SEEN = ("card", "not_card", "told", "not_told", "buttons", "pictures", "cards")
REMEMBERED = ("requests", "request", "state")


@pytest.fixture(params=DIALOGUES, ids=lambda dialogue: str(dialogue["name"]))
def dialogue(request: pytest.FixtureRequest) -> Json:
    return dict(request.param)


@pytest_asyncio.fixture(params=["discord", "slack"])
async def chat(
    request: pytest.FixtureRequest,
    dialogue: Json,
    settings: Settings,
    line: Line,
    slack: FakeSlack,
    monkeypatch: pytest.MonkeyPatch,
    wire_checks: list[str],
) -> AsyncIterator[Chat]:
    locale = dialogue.get("locale", "en")
    if request.param == "discord":
        (wire := Wire()).install(monkeypatch)
        async with on_discord(settings, line, wire, locale) as on:
            yield on
    else:
        async with on_slack(settings, line, slack, locale) as there:
            yield there


async def test_dialogue(chat: Chat, dialogue: Json) -> None:
    for number, step in enumerate(dialogue["steps"], 1):
        unknown = set(step) - {*ACTS, *SEEN, *REMEMBERED, "who", "with_picture"}
        assert not unknown, f"step {number} has {unknown}"
        who = step.get("who", "alice")
        await act(chat, who, step)
        await chat.deliver()
        found = await seen(chat, who, step)
        expected = {key: step[key] for key in (*SEEN, *REMEMBERED) if key in step}
        differs = {key: found[key] for key in expected if not _holds(key, expected, found)}
        assert not differs, f"step {number}: {step}"


async def act(chat: Chat, who: str, step: Json) -> None:
    [(verb, given)] = [(verb, step[verb]) for verb in ACTS if verb in step]
    if verb == "say":
        await chat.say(who, given, png(3) if step.get("with_picture") else None)
    elif verb == "choose":
        [(setting, value)] = given.items()
        await chat.choose(who, setting, value)
    elif verb in ("press", "press_told"):
        await chat.press(who, given, told=verb == "press_told")
    elif verb == "share":
        await chat.share(who, png(5))
    elif verb == "use":
        await chat.use(who)
    elif verb == "inspect":
        await chat.inspect(who)
    elif verb == "fill":
        await chat.fill(who, given)
    else:
        paint(chat, given)


def paint(chat: Chat, given: str | list[str]) -> None:
    """One verdict for all pictures or one for each; or the worker fails."""
    job = chat.painter.claim()
    assert job is not None, "there is nothing to draw"
    if given == "fail":
        assert chat.painter.fail(job)
        return
    words = [given] * job.request.count if isinstance(given, str) else given
    assert chat.painter.finish(job, *(Decision(word) for word in words))


async def seen(chat: Chat, who: str, step: Json) -> Json:
    cards = await chat.cards()
    with chat.line.database.read() as session:
        entries = log.page(session)
    card, entry = cards[-1] if cards else None, entries[0] if entries else None
    told = await chat.told(who) if {"told", "not_told"} & set(step) else ""
    request = {k: getattr(entry.request, k) for k in step.get("request", {})} if entry else {}
    return {
        "card": card.text if card else "",
        "not_card": card.text if card else "",
        "told": told,
        "not_told": told,
        "buttons": card.buttons if card else [],
        "pictures": card.pictures if card else 0,
        "cards": len(cards),
        "requests": len(entries),
        "request": request,
        "state": entry.state if entry else "",
    }


def _holds(key: str, expected: Json, found: Json) -> bool:
    if key in ("card", "told"):
        return all(part in found[key] for part in expected[key])
    if key in ("not_card", "not_told"):
        return not any(part in found[key] for part in expected[key])
    return bool(expected[key] == found[key])
