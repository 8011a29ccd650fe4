"""Whose somebody is: the tenant of an account, as each kind of payload tells it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.response import BoltResponse

from storage.domain import RawCommand

Json = Mapping[str, Any]


async def note(
    context: AsyncBoltContext, body: Json, next: Callable[[], Awaitable[BoltResponse]]
) -> None:
    """Bolt's middleware: what listeners need of the payload and Bolt does not tell them."""
    context["easel_tenant"] = tenant_of(context, body)
    context["easel_application"] = str(body.get("api_app_id") or "")
    await next()


def tenant_of(context: AsyncBoltContext, body: Json) -> str:
    """The person's enterprise, or else their own team. In a channel that two organisations share
    (Slack Connect) theirs may be another than the one whose app is asked: then the enterprise of
    the payload is not theirs either. Another team may also be of the same enterprise (slackapi,
    bolt-js issue 1875), which no payload tells: see `is_in_doubt`."""
    own, team = _own(body), str(context.team_id or "")
    if own.startswith("E") or (own and team and own != team):
        return own
    return str(context.enterprise_id or own or team)


def is_at_home(raw: RawCommand) -> bool:
    """Whether the person belongs to whom the app was installed for."""
    return raw.requester.tenant in (raw.place.enterprise_id, raw.place.workspace_id)


def is_in_doubt(raw: RawCommand) -> bool:
    """Whether `users.info` has to say to which enterprise the team belongs, if to any."""
    return not is_at_home(raw) and not raw.requester.tenant.startswith("E")


def _own(body: Json) -> str:
    """The team, or enterprise, that the payload names with the person; empty without."""
    event, user = body.get("event"), body.get("user")
    if isinstance(event, Mapping):
        if body.get("is_ext_shared_channel") is False:
            return ""  # Teams of one enterprise share channels too.
        return str(event.get("user_team") or event.get("source_team") or event.get("team") or "")
    return str(user.get("team_id") or "") if isinstance(user, Mapping) else ""
