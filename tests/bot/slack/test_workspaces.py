"""What Slack says of people, and which of its failures are over soon."""

from dataclasses import dataclass
from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.workspaces import SOON, People, Person, passes, web_client
from storage.settings import Settings
from tests.fakes.slack_client import BOT_TOKEN, FakeSlack
from tests.fakes.slack_state import MOD, TEAM

PASSING: tuple[dict[str, Any], ...] = (
    *({"error": code} for code in SOON),
    {"status": 429, "seconds": 1.0},
    *({"status": status} for status in (500, 502, 503, 504)),
    {"cut": True},
)
LASTING: tuple[dict[str, Any], ...] = (
    *({"error": code} for code in ("user_not_found", "missing_scope", "token_revoked")),
    *({"status": status} for status in (403, 404)),
)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def client(settings: Settings) -> AsyncWebClient:
    return web_client(settings, BOT_TOKEN)


def name(fault: dict[str, Any]) -> str:
    return str(next(iter(fault.values())))


@pytest.mark.parametrize(
    ("fault", "over_soon"),
    [*((fault, True) for fault in PASSING), *((fault, False) for fault in LASTING)],
    ids=lambda given: name(given) if isinstance(given, dict) else "",
)
async def test_who_has_to_be_sure_of_rights_hears_of_what_passes(
    slack: FakeSlack, client: AsyncWebClient, fault: dict[str, Any], over_soon: bool
) -> None:
    slack.person(MOD, admin=True, locale="fr-FR")
    slack.fault(path="users.info", after=False, **fault)
    people = People()
    assert await people.get(client, TEAM, MOD) == Person(), "who only looks is told something"
    if over_soon:
        with pytest.raises(Exception) as failed:  # noqa: PT011 (of whatever class)
            await people.get(client, TEAM, MOD, sure=True)
        assert passes(failed.value)
    else:
        assert await people.get(client, TEAM, MOD, sure=True) == Person()
    slack.loosen(1000.0)
    assert slack.clear_faults() >= 2
    known = await people.get(client, TEAM, MOD, sure=True)
    assert (known.locale, known.manages) == ("fr", True), "a failure is not remembered"


async def test_what_is_known_is_not_asked_again_for_an_hour(
    slack: FakeSlack, client: AsyncWebClient
) -> None:
    clock = Clock()
    people = People(clock)
    slack.person(MOD, admin=True)
    assert (await people.get(client, TEAM, MOD)).manages
    slack.fault(path="users.info", error="internal_error", after=False)
    clock.now += 3599.0
    assert (await people.get(client, TEAM, MOD, sure=True)).manages
    clock.now += 2.0
    assert (await people.get(client, TEAM, MOD)).manages, "what was known is better than nothing"
    with pytest.raises(Exception, match="internal_error"):
        await people.get(client, TEAM, MOD, sure=True)


@pytest.mark.parametrize("error", [KeyError("user"), ValueError("no JSON")])
def test_a_defect_of_ours_does_not_pass(error: Exception) -> None:
    assert not passes(error)
