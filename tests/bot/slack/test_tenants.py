"""Whose somebody is, out of the payloads of every kind that Slack sends."""

from typing import Any

import pytest
from slack_bolt.request.async_request import AsyncBoltRequest

from bot.slack.tenants import tenant_of

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
        # Slack Connect: theirs, not the host's.
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
