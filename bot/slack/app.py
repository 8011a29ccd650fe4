"""The Slack app, built without connecting: Socket Mode, signed HTTP or a test drives it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from slack_bolt.async_app import AsyncApp
from slack_bolt.context.respond.async_respond import AsyncRespond
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_bolt.response import BoltResponse
from slack_sdk.oauth.state_store.stateless import StatelessOAuthStateStore

from bot.compose import build_line
from bot.core.inbox import Inbox
from bot.core.line import Line
from bot.core.privacy import Privacy
from bot.i18n import mark
from bot.showing import Operators
from bot.slack import acts, commands, events, manage, modals, presses, tenants
from bot.slack.acts import Acts
from bot.slack.intake import Places, in_all_languages
from bot.slack.manifest import SCOPES
from bot.slack.workspaces import QUIET, Installations, People, Workspaces, web_client
from storage.domain import Platform
from storage.settings import Settings

logger = structlog.get_logger()

STATE_SECONDS = 300
LOCKED = mark(
    "I can do nothing in this workspace just now: my own settings are wrong. Tell who runs me."
)
NO_WORKSPACE = mark(
    "I cannot find this workspace in Slack. Try again in a minute; if it stays so, ask an "
    "administrator to install the app again."
)


class Easel(AsyncApp):
    """Bolt's app, with what the listeners share."""

    def __init__(self, settings: Settings, line: Line) -> None:
        """Raises ValueError when the settings lack what Slack needs."""
        self.line = line
        self.people, self.places, self.privacy = People(), Places(), Privacy(line)
        self.inbox = Inbox(
            line.database,
            Platform.SLACK,
            Acts(self, {**acts.ACTS, **manage.ACTS}),
            fernet=settings.fernet(),
            lease_seconds=settings.lease_seconds,
        )
        given: dict[str, Any] = {}
        installations = None
        if settings.slack_client_id:
            installations = Installations(line, _secret(settings, "encryption_key"))
            given = {
                "oauth_settings": _oauth(settings, installations),
                "installation_store": installations,
                "authorize": installations,
            }
        token = None if installations else _secret(settings, "slack_bot_token")
        self.speaks_http = installations is not None or settings.slack_app_token is None
        """Whether Slack and browsers reach the app at `slack_address`."""
        with _without_bolts_variables():
            super().__init__(
                name="easel",
                logger=QUIET,
                client=web_client(settings, token, patient=True),
                signing_secret=self._signing_secret_of(settings),
                user_facing_authorize_error_message=in_all_languages(NO_WORKSPACE),
                **given,
            )
        self.workspaces = Workspaces(settings, installations)
        self.use(self._hear_whose)
        self.error(_failed)
        self.middleware(tenants.note)
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
        self.inbox.application = self.workspaces.application
        await next()

    def _signing_secret_of(self, settings: Settings) -> str:
        """Bolt wants one even where Socket Mode checks nothing with it: then one of the moment,
        which nobody knows."""
        if self.speaks_http:
            return _secret(settings, "slack_signing_secret")
        return secrets.token_hex(32)


def create_app(settings: Settings, line: Line | None = None) -> Easel:
    """The app, not yet connected. `line` is made from the settings when it is not given. Raises
    ValueError when the settings lack what Slack needs."""
    return Easel(settings, line or build_line(settings))


def _secret(settings: Settings, name: str) -> str:
    secret = getattr(settings, name)
    if secret is None:
        raise ValueError(f"EASEL_{name.upper()} is not set{_WHY.get(name, '')}")
    return str(secret.get_secret_value())


_WHY = {
    "slack_signing_secret": ": without it nothing is taken by HTTP, where Slack's events come in "
    "and workspaces install the app. Set it, or EASEL_SLACK_APP_TOKEN and EASEL_SLACK_BOT_TOKEN "
    "alone, for Socket Mode with one workspace.",
}


@contextmanager
def _without_bolts_variables() -> Iterator[None]:
    """Bolt takes what it is not given from variables of its own, which may be another app's: it
    would install itself in workspaces with them."""
    kept = {name: os.environ.pop(name) for name in _BOLTS if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


_BOLTS = ("SLACK_BOT_TOKEN", "SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET", "SLACK_VERIFICATION_TOKEN")


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


async def _failed(error: Exception, respond: AsyncRespond) -> BoltResponse | None:
    """Bolt's own words would quote the request."""
    logger.error("slack.failed", error=type(error).__name__)
    if isinstance(error, Operators) and respond.response_url:
        await respond(in_all_languages(LOCKED))
        return BoltResponse(status=200)
    return None  # Slack is answered 500, and tells its events again.
