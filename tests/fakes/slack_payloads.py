"""The nouns of the fake Slack as Slack writes them in JSON."""

from __future__ import annotations

from typing import Any

from tests.fakes.slack_state import (
    APP,
    BOT,
    BOT_USER,
    ENTERPRISE,
    MOD,
    TEAM,
    Channel,
    File,
    Installation,
    Message,
    Person,
    State,
    View,
)

DOMAIN = "atelier"
SITE = f"https://{DOMAIN}.slack.com"
ENTERPRISE_NAME = "Guild"


def team_payload(team: str, enterprise: str | None = None) -> dict[str, Any]:
    payload = {"id": team, "domain": DOMAIN}
    if enterprise:
        payload |= {"enterprise_id": enterprise, "enterprise_name": ENTERPRISE_NAME}
    return payload


def enterprise_payload(enterprise: str | None) -> dict[str, Any] | None:
    return {"id": enterprise, "name": ENTERPRISE_NAME} if enterprise else None


def user_payload(person: Person, *, with_locale: bool) -> dict[str, Any]:
    name = person.id[2:].lower()
    enterprise = {"enterprise_id": person.enterprise, "enterprise_name": ENTERPRISE_NAME}
    return {
        "id": person.id,
        "team_id": person.team,
        "name": name,
        "deleted": False,
        "real_name": name.title(),
        "tz": "Europe/Madrid",
        "tz_label": "Central European Time",
        "tz_offset": 3600,
        "profile": {"real_name": name.title(), "display_name": name, "team": person.team},
        "is_admin": person.admin,
        "is_owner": False,
        "is_primary_owner": False,
        "is_restricted": False,
        "is_ultra_restricted": False,
        "is_bot": person.bot,
        "is_app_user": False,
        "updated": 1_700_000_000,
        **({"locale": person.locale} if with_locale else {}),
        **({"enterprise_user": {"id": person.id, **enterprise}} if person.enterprise else {}),
    }


def channel_payload(channel: Channel) -> dict[str, Any]:
    if channel.direct:
        payload = {"id": channel.id, "created": 1_700_000_000, "is_im": True}
        return {**payload, "is_org_shared": False, "is_archived": False}
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": not channel.private,
        "is_group": channel.private,
        "is_im": False,
        "is_mpim": False,
        "is_private": channel.private,
        "created": 1_700_000_000,
        "creator": MOD,
        "is_archived": channel.archived,
        "is_general": False,
        "is_shared": channel.shared,
        "is_ext_shared": channel.shared,
        "is_org_shared": False,
        "is_member": channel.member,
        "topic": {"value": "", "creator": "", "last_set": 0},
        "purpose": {"value": "", "creator": "", "last_set": 0},
        "previous_names": [],
    }


def file_payload(state: State, file: File, base_url: str) -> dict[str, Any]:
    """Without a media type, addresses and size until Slack has processed it."""
    ready = state.ready(file)
    mimetype, kind = file.kind
    url = f"{base_url}/files-pri/{TEAM}-{file.id}"
    shown = {channel: (ts, state.channels[channel]) for channel, ts in file.shares}
    ims = [id for id, (_, channel) in shown.items() if channel.direct]
    groups = [id for id, (_, channel) in shown.items() if channel.private]
    channels = [id for id in shown if id not in (*ims, *groups)]
    shares: dict[str, dict[str, Any]] = {}
    for id, (ts, channel) in shown.items():
        of_its_kind = shares.setdefault("public" if id in channels else "private", {})
        of_its_kind[id] = [{"ts": ts, "channel_name": channel.name, "team_id": TEAM}]
    payload: dict[str, Any] = {
        "id": file.id,
        "created": int(file.created),
        "timestamp": int(file.created),
        "name": file.name,
        "title": file.title or file.name,
        "mimetype": mimetype if ready else "",
        "filetype": kind if ready else "",
        "pretty_type": kind.upper() if ready else "",
        "user": file.user,
        "user_team": TEAM,
        "editable": False,
        "size": file.size,
        "mode": "hosted",
        "is_external": False,
        "external_type": "",
        "is_public": bool(channels),
        "public_url_shared": False,
        "display_as_bot": False,
        "username": "",
        "alt_txt": file.alt,
        "permalink": f"{SITE}/files/{file.user}/{file.id}/{file.name}",
        "shares": shares,
        "channels": channels,
        "groups": groups,
        "ims": ims,
        "has_more_shares": False,
        "file_access": "visible",
    }
    if ready:
        payload["url_private"] = f"{url}/{file.name}"
        payload["url_private_download"] = f"{url}/download/{file.name}"
        payload["media_display_type"] = "unknown"
        payload["has_rich_preview"] = False
    return payload


def _in_message(state: State, file: File, base_url: str) -> dict[str, Any]:
    """There it is not said where else the file is shown."""
    payload = file_payload(state, file, base_url)
    return {key: v for key, v in payload.items() if key not in ("channels", "groups", "ims")}


def _stub(_state: State, file: File, _base_url: str) -> dict[str, Any]:
    """In Slack Connect channels: ask files.info for the rest."""
    times = {"created": int(file.created), "timestamp": int(file.created)}
    return {"id": file.id, **times, "mode": "file_access", "file_access": "check_file_info"}


def message_payload(
    state: State, message: Message, base_url: str, *, metadata: bool = False
) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "type": "message",
        "user": message.user,
        "ts": message.ts,
        "text": message.text,
        "team": TEAM,
    }
    if message.user == BOT_USER:
        payload |= {"bot_id": BOT, "app_id": APP}
        payload["bot_profile"] = {
            "id": BOT,
            "app_id": APP,
            "name": "Easel",
            "deleted": False,
            "updated": 1_700_000_000,
            "team_id": TEAM,
            "icons": {"image_36": "", "image_48": "", "image_72": ""},
        }
    if message.blocks:
        payload["blocks"] = [
            {"block_id": f"b{index}", **block} for index, block in enumerate(message.blocks)
        ]
    if message.files:
        look = _stub if state.channels[message.channel].shared else _in_message
        files = [state.files[id] for id in message.files]
        payload["files"] = [look(state, file, base_url) for file in files]
        payload["upload"] = False
    if message.thread_ts:
        payload["thread_ts"] = message.thread_ts
    if message.edited_ts:
        payload["edited"] = {"user": message.user, "ts": message.edited_ts}
    if metadata and message.metadata:
        payload["metadata"] = message.metadata
    return payload


def view_payload(
    view: View, installation: Installation, *, state_values: dict[str, Any] | None = None
) -> dict[str, Any]:
    body = view.body
    return {
        "id": view.id,
        "team_id": TEAM,
        "type": body["type"],
        "blocks": [
            {"block_id": f"b{index}", **block} for index, block in enumerate(body["blocks"])
        ],
        "private_metadata": body.get("private_metadata", ""),
        "callback_id": body.get("callback_id", ""),
        "external_id": body.get("external_id", ""),
        "state": {"values": state_values or {}},
        "hash": view.hash,
        "title": body.get("title"),
        "submit": body.get("submit"),
        "close": body.get("close"),
        "clear_on_close": body.get("clear_on_close", False),
        "notify_on_close": body.get("notify_on_close", False),
        "root_view_id": view.root,
        "previous_view_id": view.previous,
        "app_id": APP,
        "app_installed_team_id": installation.team_id or ENTERPRISE,
        "bot_id": BOT,
    }
