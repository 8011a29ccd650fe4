"""The same conversations on Discord and on Slack; see `dialogues.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from typer.testing import CliRunner

from bot.cli import app
from bot.core.line import Line
from storage import log
from storage.domain import Decision, Refused, Subject
from storage.settings import Settings
from tests.fakes.discord_world import Wire
from tests.fakes.fresh import empty_database, line
from tests.fakes.painter import png, verdict
from tests.fakes.slack_client import FakeSlack
from tests.fakes.slack_fixtures import settings, slack, slack_process
from tests.scenarios.chats import Chat, on_discord, on_slack
from tests.wire.checking import wire_checks

__all__ = ["empty_database", "line", "settings", "slack", "slack_process", "wire_checks"]

Json = dict[str, Any]
FILE = Path(__file__).with_name("dialogues.toml")
DIALOGUES: list[Json] = tomllib.loads(FILE.read_text("utf-8"))["dialogue"]
ACTS = (
    "say",
    "choose",
    "press",
    "press_told",
    "share",
    "use",
    "inspect",
    "fill",
    "paint",
    "review",
)
SEEN = ("card", "not_card", "told", "not_told", "said", "buttons", "pictures", "cards")
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
    monkeypatch.setattr("storage.logs.configure", lambda *_, **__: None)
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
        said = await act(chat, who, step)
        await chat.deliver()
        found = await seen(chat, who, step) | {"said": said}
        expected = {key: step[key] for key in (*SEEN, *REMEMBERED) if key in step}
        differs = {key: found[key] for key in expected if not _holds(key, expected, found)}
        assert not differs, f"step {number}: {step}"


async def act(chat: Chat, who: str, step: Json) -> str:
    """What a shell answers; a chat answers in its own time."""
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
    elif verb == "review":
        return review(chat, given)
    else:
        paint(chat, given)
    return ""


def review(chat: Chat, decision: str) -> str:
    """`easel review` of the newest request, beside the chat client."""
    with chat.line.database.read() as session:
        [entry] = log.page(session, limit=1)
    settings = chat.line.settings
    where = {"EASEL_DATA_FOLDER": str(settings.data_folder)}
    where["EASEL_BROKER_URL"] = settings.broker_url
    ended = CliRunner().invoke(app, ["review", decision, str(entry.job_id)], env=where)
    assert ended.exit_code in (0, 1), ended.output
    assert bool(ended.stderr) is bool(ended.exit_code)
    return ended.output


def paint(chat: Chat, given: str | list[str]) -> None:
    """One verdict for all pictures or one for each; or the reference is held; or the worker
    fails."""
    job = chat.painter.claim()
    assert job is not None, "there is nothing to draw"
    if given == "fail":
        assert chat.painter.fail(job)
        return
    if given == "hold reference":
        held = replace(verdict(Decision.HOLD), subject=Subject.REFERENCE)
        assert chat.painter.end(job, Refused(verdict=held))
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
    if key in ("card", "told", "said"):
        return all(part in found[key] for part in expected[key])
    if key in ("not_card", "not_told"):
        return not any(part in found[key] for part in expected[key])
    return bool(expected[key] == found[key])
