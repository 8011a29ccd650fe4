"""The app's manifest: everything that Slack must know of it, to paste into its settings page."""

from __future__ import annotations

from typing import Any

EVENTS_PATH = "/slack/events"
REDIRECT_PATH = "/slack/oauth_redirect"

SCOPES = (
    "app_mentions:read",
    "channels:history",
    "channels:read",
    "chat:write",
    "commands",
    "files:read",
    "files:write",
    "groups:history",
    "groups:read",
    "im:history",
    "im:read",
    "im:write",
    "mpim:history",
    "mpim:read",
    "users:read",
)
"""`…:history` only finds our own message again after an answer of Slack's was lost."""

DRAW, REFERENCE, DETAILS = "easel:draw", "easel:reference", "easel:details"


def manifest(url: str = "") -> dict[str, Any]:
    """For Socket Mode; or for HTTP at this public address."""
    command = {
        "command": "/imagine",
        "description": "Draw a picture from words",
        "usage_hint": "a red apple --ar 3:2 | queue | usage | privacy | settings | help",
        "should_escape": False,
    }
    where = {"request_url": f"{url}{EVENTS_PATH}"} if url else {}
    oauth: dict[str, Any] = {"scopes": {"bot": list(SCOPES)}}
    if url:
        command["url"] = f"{url}{EVENTS_PATH}"
        oauth["redirect_urls"] = [f"{url}{REDIRECT_PATH}"]
    return {
        "display_information": {
            "name": "Easel",
            "description": "Draws pictures from words",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": False,
            },
            "bot_user": {"display_name": "Easel", "always_online": True},
            "slash_commands": [command],
            "shortcuts": [
                {
                    "name": "Draw",
                    "type": "global",
                    "callback_id": DRAW,
                    "description": "Draw a picture from words",
                },
                {
                    "name": "Use as reference",
                    "type": "message",
                    "callback_id": REFERENCE,
                    "description": "Draw from the picture of this message",
                },
                {
                    "name": "Picture details",
                    "type": "message",
                    "callback_id": DETAILS,
                    "description": "Tell how the picture of this message was made",
                },
            ],
        },
        "oauth_config": oauth,
        "settings": {
            "event_subscriptions": {
                **where,
                "bot_events": [
                    "app_home_opened",
                    "app_mention",
                    "app_uninstalled",
                    "message.im",
                    "tokens_revoked",
                ],
            },
            "interactivity": {"is_enabled": True, **where},
            "org_deploy_enabled": True,
            "socket_mode_enabled": not url,
            "token_rotation_enabled": False,
        },
    }
