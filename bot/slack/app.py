"""The Slack app, built without connecting: Socket Mode, signed HTTP or a test drives it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from slack_bolt.async_app import AsyncApp
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_sdk.oauth.state_store.stateless import StatelessOAuthStateStore

from bot.compose import build_line
from bot.core.line import Line
from bot.i18n import LOCALES, mark, say
from bot.slack import commands, events, manage, modals, presses
from bot.slack.intake import Places
from bot.slack.manifest import SCOPES
from bot.slack.workspaces import QUIET, Installations, People, Workspaces, web_client
from storage.settings import Settings

logger = structlog.get_logger()

STATE_SECONDS = 300
NO_WORKSPACE = mark(
    "I cannot find this workspace in Slack. Try again in a minute; if it stays so, ask an "
    "administrator to install the app again."
)


class Easel(AsyncApp):
    """Bolt's app, with what the listeners share."""

    def __init__(self, settings: Settings, line: Line) -> None:
        """Raises ValueError when the settings lack what Slack needs."""
        self.line = line
        self.people, self.places = People(), Places()
        given: dict[str, Any] = {}
        installations = None
        if settings.slack_client_id:
            installations = Installations(line, _secret(settings, "slack_encryption_key"))
            given = {
                "oauth_settings": _oauth(settings, installations),
                "installation_store": installations,
                "authorize": installations,
            }
        token = None if installations else _secret(settings, "slack_bot_token")
        secret = settings.slack_signing_secret
        super().__init__(
            name="easel",
            logger=QUIET,
            client=web_client(settings, token, patient=True),
            # Bolt wants one even where Socket Mode checks nothing with it.
            signing_secret=secret.get_secret_value() if secret else "-",
            user_facing_authorize_error_message=_in_all_languages(NO_WORKSPACE),
            **given,
        )
        self.workspaces = Workspaces(settings, installations)
        self.use(self._hear_whose)
        self.error(_failed)
        commands.register(self)
        modals.register(self)
        manage.register(self)
        presses.register(self)
        events.register(self)
        if installations:
            self.enable_token_revocation_listeners()

    async def _hear_whose(
        self, body: Mapping[str, Any], next: Callable[[], Awaitable[None]]
    ) -> None:
        self.workspaces.heard(str(body.get("api_app_id") or ""))
        await next()


def create_app(settings: Settings, line: Line | None = None) -> Easel:
    """The app, not yet connected. `line` is made from the settings when it is not given. Raises
    ValueError when the settings lack what Slack needs."""
    return Easel(settings, line or build_line(settings))


def _secret(settings: Settings, name: str) -> str:
    secret = getattr(settings, name)
    if secret is None:
        raise ValueError(f"EASEL_{name.upper()} is not set")
    return str(secret.get_secret_value())


def _in_all_languages(sentence: str) -> str:
    """Where Slack has not said yet who asks, nor in which language."""
    return "\n".join(say(locale, sentence) for locale in LOCALES)


def _oauth(settings: Settings, installations: Installations) -> AsyncOAuthSettings:
    secret = _secret(settings, "slack_client_secret")
    return AsyncOAuthSettings(
        client_id=settings.slack_client_id,
        client_secret=secret,
        scopes=list(SCOPES),
        user_scopes=[],
        installation_store=installations,
        state_store=StatelessOAuthStateStore(
            expiration_seconds=STATE_SECONDS, signing_secret=secret, logger=QUIET
        ),
        logger=QUIET,
    )


async def _failed(error: Exception) -> None:
    """Bolt's own words would quote the request."""
    logger.error("slack.failed", error=type(error).__name__)
