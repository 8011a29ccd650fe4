"""Whose somebody is, out of the payloads of every kind that Slack sends."""

import asyncio
from typing import Any

import pytest
from slack_bolt.request.async_request import AsyncBoltRequest

from bot.slack.tenants import tenant_of
from bot.slack.workspaces import People
from storage import sanctions
from tests.fakes.slack_client import Seen
from tests.fakes.slack_state import ALICE, ENTERPRISE
from tests.fakes.slack_world import World

HOST = {"id": "T1", "domain": "host"}
GUILD = {"id": "E1", "name": "Guild"}


def event(**about: Any) -> dict[str, Any]:
    told = {"type": "app_mention", "user": "U1", "channel": "C1", "ts": "1.2"} | about.pop("event")
    authorization = {"team_id": "T1", "enterprise_id": about.pop("enterprise", None)}
    base = {"type": "event_callback", "team_id": "T1", "api_app_id": "A1"}
    return {**base, "authorizations": [authorization], "event": told, **about}


def press(own: str | None, **about: Any) -> dict[str, Any]:
    user = {"id": "U1", "name": "alice"} | ({"team_id": own} if own else {})
    return {"type": "block_actions", "team": HOST, "enterprise": None, "user": user, **about}


@pytest.mark.parametrize(
    ("body", "tenant"),
    [
        ({"command": "/imagine", "user_id": "U1", "team_id": "T1"}, "T1"),
        ({"command": "/imagine", "user_id": "U1", "team_id": "T1", "enterprise_id": "E1"}, "E1"),
        (press("T1"), "T1"),
        (press(None), "T1"),
        (press("T1", enterprise=GUILD), "E1"),
        (press("T1", enterprise=GUILD, team=None, is_enterprise_install=True), "E1"),
        # Slack Connect, or another team of the same enterprise: which, no payload tells.
        (press("T2"), "T2"),
        (press("T2", enterprise=GUILD), "T2"),
        (press("T2", type="view_submission", view={"app_installed_team_id": "T1"}), "T2"),
        (event(event={"team": "T1"}, is_ext_shared_channel=False), "T1"),
        (event(event={"team": "T3"}, is_ext_shared_channel=False, enterprise="E1"), "E1"),
        (event(event={"user_team": "T2", "team": "T1"}, is_ext_shared_channel=True), "T2"),
        (event(event={"source_team": "T2", "team": "T1"}, is_ext_shared_channel=True), "T2"),
        (event(event={"user_team": "E2"}, is_ext_shared_channel=True, enterprise="E1"), "E2"),
        (event(event={"user_team": "T2"}, is_ext_shared_channel=True, enterprise="E1"), "T2"),
        (event(event={"user_team": "T1"}, is_ext_shared_channel=True, enterprise="E1"), "E1"),
        (event(event={"type": "app_home_opened"}), "T1"),
    ],
)
def test_theirs(body: dict[str, Any], tenant: str) -> None:
    request = AsyncBoltRequest(body=body, mode="socket_mode")
    assert tenant_of(request.context, body) == tenant


ANOTHER = "T0ANOTHER"


async def drawn_in_a_grid(world: World, *, enterprise: str) -> Seen:
    """By Alice, whose interactions tell of another team, of this enterprise."""
    await world.do(world.slack.install, enterprise=True)
    await world.do(world.slack.person, ALICE, team=ANOTHER, enterprise=enterprise)
    return await world.drawn("a red apple")


async def test_who_is_banned_in_an_enterprise_presses_no_button(world: World) -> None:
    message = await drawn_in_a_grid(world, enterprise=ENTERPRISE)
    job, now = world.entry.job_id, world.line.database.clock()
    await world.line.write(lambda s: sanctions.ban(s, job, by="mod", now=now))
    await world.press(message, "again")
    assert len(world.entries()) == 1


async def test_a_form_and_a_command_are_one_persons(world: World) -> None:
    message = await drawn_in_a_grid(world, enterprise=ENTERPRISE)
    await world.press(message, "edit")
    modal = await world.do(world.slack.modal)
    assert modal is not None
    await world.told(world.slack.submit, modal, {"prompt": "a green apple"})
    assert [entry.tenant for entry in world.entries()] == [ENTERPRISE] * 2


@pytest.mark.parametrize(("enterprise", "tenant"), [("", ANOTHER), ("E0OTHER", "E0OTHER")])
async def test_of_another_organisation(world: World, enterprise: str, tenant: str) -> None:
    message = await drawn_in_a_grid(world, enterprise=enterprise)
    await world.press(message, "again")
    assert world.entry.tenant == tenant


async def test_while_slack_does_not_say_whose_they_are_nothing_is_done(world: World) -> None:
    message = await drawn_in_a_grid(world, enterprise=ENTERPRISE)
    world.app.people = People()
    await world.do(world.slack.fault, path="users.info", error="internal_error", after=False)
    await world.press(message, "again")
    assert len(world.entries()) == 1
    await world.press(message, "details")
    assert "Something went wrong" in (await world.seen())[-1]["text"]
    await world.do(world.slack.clear_faults)
    while len(world.entries()) == 1:
        await world.app.inbox.step()
        await asyncio.sleep(0.05)
    assert [entry.tenant for entry in world.entries()] == [ENTERPRISE] * 2
