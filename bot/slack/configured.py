"""What the settings lack to serve Slack: all of it at once, in words for the operator."""

from __future__ import annotations

from pydantic import SecretStr

from storage.settings import Settings

BOT_TOKENS, APP_TOKENS = ("xoxb-", "xoxe.xoxb-"), ("xapp-",)
"""How Slack's tokens begin (Slack: Token types; one that is rotated has a mark before it)."""
_BOT = "copy the Bot User OAuth Token from the app's page, Install App. It begins with xoxb-"
_APP = (
    "make an app-level token with the scope connections:write on the app's page, Basic "
    "Information. It begins with xapp-"
)


def is_meant(settings: Settings) -> bool:
    """Whether anything says that Slack is to be served."""
    return any(
        (
            settings.slack_bot_token,
            settings.slack_app_token,
            settings.slack_signing_secret,
            settings.slack_client_id,
            settings.slack_client_secret,
        )
    )


def lacking(settings: Settings) -> list[str]:
    """A sentence for each thing that is missing or is something else; empty if all is there."""
    bot, app = settings.slack_bot_token, settings.slack_app_token
    if _begins(bot, APP_TOKENS) and _begins(app, BOT_TOKENS):
        return [
            "EASEL_SLACK_BOT_TOKEN and EASEL_SLACK_APP_TOKEN are swapped: the one that begins with "
            "xoxb- is the bot's, the one with xapp- the app's."
        ]
    found = _many(settings) if settings.slack_client_id else _one(settings)
    if bot and not _begins(bot, BOT_TOKENS):
        found.append(f"EASEL_SLACK_BOT_TOKEN is {_kind(bot)}: {_BOT}.")
    if app and not _begins(app, APP_TOKENS):
        found.append(f"EASEL_SLACK_APP_TOKEN is {_kind(app)}: {_APP}.")
    if _begins(settings.slack_signing_secret, ("xox", "xapp-")):
        found.append(
            "EASEL_SLACK_SIGNING_SECRET is a token: copy the Signing Secret from the app's page, "
            "Basic Information."
        )
    return found


def _one(settings: Settings) -> list[str]:
    found = []
    if not settings.slack_bot_token:
        found.append(f"EASEL_SLACK_BOT_TOKEN is not set: {_BOT}.")
    if not settings.slack_app_token and not settings.slack_signing_secret:
        found.append(
            f"EASEL_SLACK_APP_TOKEN is not set: {_APP}. Or, for Slack by HTTP, set "
            "EASEL_SLACK_SIGNING_SECRET."
        )
    return found


def _many(settings: Settings) -> list[str]:
    missing = [
        f"EASEL_{name.upper()}"
        for name in ("slack_client_secret", "slack_signing_secret", "encryption_key")
        if not getattr(settings, name)
    ]
    return [
        f"{name} is not set: to be installed by workspaces, Slack needs it beside "
        "EASEL_SLACK_CLIENT_ID."
        for name in missing
    ]


def _begins(secret: SecretStr | None, heads: tuple[str, ...]) -> bool:
    return secret is not None and secret.get_secret_value().startswith(heads)


def _kind(secret: SecretStr) -> str:
    """What it looks like, and nothing of what it is."""
    if _begins(secret, BOT_TOKENS):
        return "a bot token"
    if _begins(secret, APP_TOKENS):
        return "an app-level token"
    if _begins(secret, ("xoxp-", "xoxe.xoxp-")):
        return "a person's token"
    if _begins(secret, ("xoxe-", "xoxe.")):
        return "a token of Slack's app configuration"
    return "no token of Slack's"
