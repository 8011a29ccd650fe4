"""Workspaces: which token speaks to which, and what Slack knows of the people in them.

Tokens of OAuth installations are kept in the database, encrypted, by enterprise and team. An
installation of a whole enterprise (Enterprise Grid) has no team.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import structlog
from cryptography.fernet import Fernet, InvalidToken
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.authorization.async_authorize import AsyncAuthorize
from slack_bolt.context.async_context import AsyncBoltContext
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.async_handler import AsyncRetryHandler
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.http_retry.builtin_interval_calculators import FixedValueRetryIntervalCalculator
from slack_sdk.http_retry.request import HttpRequest
from slack_sdk.http_retry.response import HttpResponse
from slack_sdk.http_retry.state import RetryState
from slack_sdk.oauth.installation_store import Bot, Installation
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore
from slack_sdk.web.async_client import AsyncWebClient

from bot.core.line import Line
from bot.i18n import pick_locale
from bot.showing import Operators
from storage import slack_installations
from storage.settings import Settings

logger = structlog.get_logger()

QUIET = logging.getLogger("slack_bolt")
"""Bolt gives its loggers the root's level and logs whole requests; from this one they inherit
that nothing but a catastrophe is said (`storage.logs`)."""
REMEMBERED_SECONDS = 3600.0
REMEMBERED_PEOPLE = 10_000


LOOKS = ("auth.test", "bots.info", "users.info", "conversations.info")
"""Methods that only ask, and may be asked again."""
LOOKS_AGAIN = 4
LOOK_AGAIN_SECONDS = 0.2


class _LookAgain(AsyncRetryHandler):
    """After a broken connection and after every 5xx, also a proxy's; all well within the 3 s that
    Slack gives an answer. Those of slack_sdk know 500 and 503 alone."""

    def __init__(self) -> None:
        super().__init__(LOOKS_AGAIN, FixedValueRetryIntervalCalculator(LOOK_AGAIN_SECONDS))

    async def _can_retry_async(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> bool:
        broken = error is not None and not isinstance(error, TimeoutError)
        failed = broken or (response is not None and response.status_code >= 500)
        return failed and request.url.endswith(LOOKS)


def web_client(settings: Settings, token: str | None, *, patient: bool = False) -> AsyncWebClient:
    """Repeats nothing by itself: a second `chat.postMessage` would be a second message. One that
    is `patient` waits when Slack says that it asks too often, and looks again when a look failed,
    so that nobody's command is lost by that."""
    handlers: list[AsyncRetryHandler] = []
    if patient:
        handlers = [AsyncRateLimitErrorRetryHandler(max_retry_count=2), _LookAgain()]
    return AsyncWebClient(
        token=token,
        base_url=settings.slack_api_url,
        logger=QUIET,
        retry_handlers=handlers,
    )


def error_code(error: SlackApiError) -> str:
    """Slack's own word for it; empty where the answer is none of Slack's, such as a proxy's 502,
    which slack_sdk keeps as a text or does not even wrap."""
    data = getattr(error.response, "data", None)
    return str(data.get("error") or "") if isinstance(data, dict) else ""


SOON = (
    "external_channel_migrating",
    "fatal_error",
    "file_update_failed",
    "internal_error",
    "rate_limited",
    "ratelimited",
    "request_timeout",
    "service_unavailable",
    "streaming_state_conflict",
    "team_added_to_org",
    "update_failed",
)
"""Slack's words for what is over in a moment."""


def passes(error: Exception) -> bool:
    """Whether Slack would answer otherwise a little later."""
    if not isinstance(error, SlackApiError):
        return isinstance(error, (TimeoutError, aiohttp.ClientError, OSError))
    status = http_status(error)
    return status == 429 or status >= 500 or error_code(error) in SOON


def http_status(error: SlackApiError) -> int:
    return int(getattr(error.response, "status_code", 0) or getattr(error.response, "status", 0))


def refused(settings: Settings, error: SlackApiError) -> list[str]:
    """Words for the operator about an answer with which nothing can be served."""
    status, code = http_status(error), error_code(error)
    host = urlsplit(settings.slack_api_url).hostname
    if passes(error):
        return [f"Slack does not answer well at {host} ({code or status}). Start again later."]
    if not code:
        return [
            f"What answers at {host} is not Slack ({status}): look at EASEL_SLACK_API_URL, and for "
            "a proxy on the way."
        ]
    asked_by_app = str(getattr(error.response, "api_url", "")).endswith("apps.connections.open")
    name = "EASEL_SLACK_APP_TOKEN" if asked_by_app else "EASEL_SLACK_BOT_TOKEN"
    return [f"Slack refuses {name} ({code}): copy it anew from the app's page."]


class Installations(AsyncInstallationStore, AsyncAuthorize):
    """Bolt's installation store on our database, and Bolt's way to ask it for a token. Asking
    Slack's `auth.test` for each event, as Bolt does, would cost a round trip before the answer."""

    def __init__(self, line: Line, key: str) -> None:
        """Raises ValueError if `key` is no Fernet key."""
        self._line = line
        self._fernet = Fernet(key)

    @property
    def logger(self) -> logging.Logger:
        return QUIET

    async def async_save(self, installation: Installation) -> None:
        """A new one takes the place of the old one."""
        sealed = self._fernet.encrypt(_packed(installation)).decode()
        enterprise, team = _key(
            installation.enterprise_id, installation.team_id, installation.is_enterprise_install
        )
        now = self._line.database.clock()
        await self._line.write(lambda s: slack_installations.put(s, enterprise, team, sealed, now))

    async def async_find_installation(
        self,
        *,
        enterprise_id: str | None,
        team_id: str | None,
        user_id: str | None = None,
        is_enterprise_install: bool | None = False,
    ) -> Installation | None:
        """The workspace's own, or that of its whole enterprise. Raises Operators when the key does
        not open it."""
        enterprise, team = _key(enterprise_id, team_id, is_enterprise_install)
        sealed = await self._line.read(lambda s: slack_installations.find(s, enterprise, team))
        return opened(self._fernet, sealed) if sealed is not None else None

    async def app_id(self) -> str:
        """Of the newest installation that the key opens; empty while there is none. Raises
        Operators when it opens none of them."""
        wrong = None
        for row in await self._line.read(slack_installations.newest_first):
            try:
                return str(opened(self._fernet, row.sealed).app_id or "")
            except Operators as error:
                wrong = error
        if wrong is not None:
            raise wrong
        return ""

    async def async_find_bot(
        self,
        *,
        enterprise_id: str | None,
        team_id: str | None,
        is_enterprise_install: bool | None = False,
    ) -> Bot | None:
        found = await self.async_find_installation(
            enterprise_id=enterprise_id,
            team_id=team_id,
            is_enterprise_install=is_enterprise_install,
        )
        return found.to_bot() if found else None

    async def async_delete_bot(self, *, enterprise_id: str | None, team_id: str | None) -> None:
        enterprise, team = enterprise_id or "", team_id or ""
        await self._line.write(lambda s: slack_installations.delete(s, enterprise, team))

    async def async_delete_installation(
        self, *, enterprise_id: str | None, team_id: str | None, user_id: str | None = None
    ) -> None:
        """Nothing of one person's is kept here; the bot's own goes with `async_delete_bot`."""

    async def __call__(
        self,
        *,
        context: AsyncBoltContext,
        enterprise_id: str | None,
        team_id: str | None,
        user_id: str | None,
        **_more: object,
    ) -> AuthorizeResult | None:
        found = await self.async_find_installation(
            enterprise_id=enterprise_id,
            team_id=team_id,
            is_enterprise_install=context.is_enterprise_install,
        )
        if found is None:
            return None
        return AuthorizeResult(
            enterprise_id=enterprise_id,
            team_id=team_id,
            bot_id=found.bot_id,
            bot_user_id=found.bot_user_id,
            bot_token=found.bot_token,
            user_id=user_id,
        )


WRONG_KEY = "WrongEncryptionKey"
"""Our own code, and no word of Slack's."""


def opened(fernet: Fernet, sealed: str) -> Installation:
    """Raises Operators when it was encrypted with another key."""
    try:
        return _unpacked(fernet.decrypt(sealed.encode()))
    except InvalidToken:
        raise Operators(WRONG_KEY) from None


def opens(fernet: Fernet, sealed: str) -> bool:
    try:
        opened(fernet, sealed)
    except Operators:
        return False
    return True


def _key(
    enterprise_id: str | None, team_id: str | None, whole_enterprise: bool | None
) -> tuple[str, str]:
    return enterprise_id or "", "" if whole_enterprise else team_id or ""


def _packed(installation: Installation) -> bytes:
    kept = ("app_id", "enterprise_id", "team_id", "bot_token", "bot_id", "bot_user_id", "user_id")
    values: dict[str, Any] = {name: getattr(installation, name) for name in kept}
    values["bot_scopes"] = ",".join(installation.bot_scopes or ())
    values["is_enterprise_install"] = bool(installation.is_enterprise_install)
    return json.dumps(values).encode()


def _unpacked(data: bytes) -> Installation:
    return Installation(**json.loads(data))


class Workspaces:
    """A client for each workspace: the one of the settings, or those that installed the app."""

    def __init__(self, settings: Settings, installations: Installations | None) -> None:
        self._settings, self._installations = settings, installations
        self.session: aiohttp.ClientSession | None = None
        """Shared by all clients while the bot serves."""
        self.application = ""
        """The app's id, once `identify` or an event has told it."""
        self.locked = False
        """Workspaces have installed the app, and the key opens the token of none."""

    @property
    def installed(self) -> bool:
        """By workspaces, each with a token of its own."""
        return self._installations is not None

    async def identify(self, client: AsyncWebClient) -> None:
        """Learn whose messages we show. Raises SlackApiError when the one token of the settings is
        refused."""
        if self._installations is not None:
            try:
                self.application = await self._installations.app_id()
            except Operators as wrong:
                logger.error("slack.locked", error=wrong.code)
                self.locked = True
            return
        answer = await client.auth_test()
        self.application = str(answer.get("app_id") or "")
        if not self.application:  # Slack names it for some kinds of tokens only.
            with suppress(SlackApiError, aiohttp.ClientError, OSError):
                bot: dict[str, Any] = (await client.bots_info(bot=answer["bot_id"]))["bot"]
                self.application = str(bot.get("app_id") or "")

    def heard(self, app_id: str) -> None:
        """Every event names the app that it is for, which may have been replaced since the newest
        workspace installed it."""
        self.application, self.locked = app_id or self.application, False

    async def client(
        self, enterprise_id: str, team_id: str, *, patient: bool = False
    ) -> AsyncWebClient | None:
        """None when nobody there has the app installed any more. Raises Operators when the key does
        not open their token."""
        token = None
        if self._installations is None:
            secret = self._settings.slack_bot_token
            token = secret.get_secret_value() if secret else None
        else:
            found = await self._installations.async_find_installation(
                enterprise_id=enterprise_id, team_id=team_id
            )
            token = found.bot_token if found else None
        if token is None:
            return None
        client = web_client(self._settings, token, patient=patient)
        client.session = self.session
        return client


@dataclass(frozen=True, kw_only=True)
class Person:
    locale: str = "en"
    manages: bool = False
    """Owner or administrator of the workspace."""
    name: str = ""
    """As it is shown beside what they write."""
    enterprise_id: str = ""
    """Empty where there is none."""


class People:
    """What `users.info` says of somebody, remembered for an hour."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[float, Person]] = {}

    async def get(
        self, client: AsyncWebClient, team_id: str, user_id: str, *, sure: bool = False
    ) -> Person:
        """Somebody whom Slack does not tell us about speaks English and manages nothing. Who has to
        be `sure` of them is given the error instead, if it passes."""
        key = (team_id, user_id)
        until, person = self._known.get(key, (0.0, Person()))
        if self._clock() < until:
            return person
        try:
            answer = await client.users_info(user=user_id, include_locale=True)
        except (TimeoutError, SlackApiError, aiohttp.ClientError, OSError) as error:
            if sure and passes(error):
                raise
            return person
        user: dict[str, Any] = answer.get("user") or {}
        profile: dict[str, Any] = user.get("profile") or {}
        person = Person(
            locale=pick_locale(user.get("locale")),
            manages=bool(user.get("is_admin") or user.get("is_owner")),
            name=str(
                profile.get("display_name") or user.get("real_name") or user.get("name") or ""
            ),
            enterprise_id=str((user.get("enterprise_user") or {}).get("enterprise_id") or ""),
        )
        if len(self._known) >= REMEMBERED_PEOPLE:
            self._known.clear()
        self._known[key] = (self._clock() + REMEMBERED_SECONDS, person)
        return person
