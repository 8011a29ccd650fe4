"""`easel doctor`: what is configured, what answers, what is missing, in plain words."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Collection
from datetime import timedelta
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr
from rich.console import Console
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from bot.core.text import TextRules
from bot.discord import errors as discord_errors
from bot.slack import errors as slack_errors
from bot.slack.manifest import SCOPES
from bot.terminal.start import said
from storage import (
    deliveries,
    doorbell,
    inbox,
    labels,
    migrate,
    places,
    private,
    sanctions,
    sweep,
    troubles,
)
from storage.blobs import Blobs, open_blobs
from storage.catalog import Catalog, load_catalog
from storage.database import Database, connect
from storage.inbox import Envelope
from storage.settings import Settings

ALIVE_WITHIN = timedelta(seconds=30)
PATIENCE_SECONDS = 3

_MARKS = {True: ("ok", "green"), False: ("no", "red"), None: ("– ", "yellow")}

Finding = tuple[bool | None, str]
"""Well, not well, or None for what is worth knowing; and the words."""


async def examine(settings: Settings, console: Console) -> int:
    """Print a line for each finding. The exit status: 1 if something does not work."""
    sound = True
    for check in _WRONG:
        for well, words in await asyncio.to_thread(_try, check, settings):
            console.print(Text.assemble(_MARKS[well], " ", words), soft_wrap=True)
            sound = sound and well is not False
    return 0 if sound else 1


def _try(check: Callable[[Settings], list[Finding]], settings: Settings) -> list[Finding]:
    try:
        return check(settings)
    except Exception as error:
        # URLs in messages of drivers may hold passwords, so only the kind of error is shown.
        setting, words = _WRONG[check]
        return [(False, f"{words} ({type(error).__name__}): look at {setting}.")]


def _folder(settings: Settings) -> list[Finding]:
    folder = settings.data_folder
    private.make(folder)
    probe = folder / ".doctor"
    probe.write_bytes(b"")
    probe.unlink()
    found: list[Finding] = [(True, f"Data folder {folder} can be written.")]
    if private.open_to_others(folder):
        words = f"The data folder is open to others on this machine: chmod 700 {quote(str(folder))}"
        found.append((False, words))
    return found


def _env_file(_settings: Settings) -> list[Finding]:
    file = Path(str(Settings.model_config["env_file"]))
    if file.is_file() and private.open_to_others(file):
        return [(False, f"Others on this machine may read the tokens in {file}: chmod 600 {file}")]
    return []


def _database(settings: Settings) -> list[Finding]:
    database = connect(settings)
    kind = "SQLite" if database.is_sqlite else "PostgreSQL"
    found, wanted = migrate.current(database), migrate.newest()
    if found is None and database.is_sqlite:
        return [(None, "No database yet: the first command makes it.")]
    if migrate.lacking(found):
        words = f"its schema is {found}, this Easel needs {wanted}" if found else "it is empty"
        return [(False, f"{kind} answers, but {words}: run `easel migrate`.")]
    if not migrate.is_known(found):
        words = f"{kind} answers; its schema {found} is newer than {wanted}, which this Easel knows"
        return [(None, f"{words}: it goes on, but upgrade it too."), *_workers(database)]
    well = (True, f"{kind} answers; schema {found}.")
    envelope = Envelope(settings.fernet())
    return [well, *_workers(database), *_inbox(database, envelope), *_bans(database)]


def _inbox(database: Database, envelope: Envelope) -> list[Finding]:
    """What was heard and nobody takes: no chat client runs, or it has another key."""
    with database.read() as session:
        left = inbox.left(session, database.clock() - ALIVE_WITHIN)
    found: list[Finding] = []
    sealed = sum(not envelope.opens(row.body) for row in left)
    if sealed:
        words = f"{sealed} things that people asked for were written down with another key"
        found.append((False, f"{words}: set EASEL_ENCRYPTION_KEY to that one."))
    if waiting := len(left) - sealed:
        since = f"{left[0].received_at:%Y-%m-%d %H:%M} UTC"
        words = f"{waiting} things that people asked for wait since {since} at the longest"
        found.append((None, f"{words}: the chat client takes them up when it runs."))
    return found


def _bans(database: Database) -> list[Finding]:
    """A Slack id that was banned before it was known whose it is."""
    with database.read() as session:
        several = sanctions.banned_in_several(session)
    return [
        (
            None,
            f"Slack user {user} is banned in {' and '.join(tenants)}: it was not written down "
            f"who was meant. `easel review unban slack {user} --tenant {tenants[0]}` ends one.",
        )
        for user, tenants in several.items()
    ]


def _workers(database: Database) -> list[Finding]:
    with database.read() as session:
        workers = places.live_workers(session, database.clock(), ALIVE_WITHIN)
    if not workers:
        return [(None, "No worker is running: start one with `easel worker`.")]
    return [
        (
            True,
            f"Worker {w.name} serves {', '.join(w.models)}; "
            f"in memory: {', '.join(w.loaded) or 'nothing yet'}.",
        )
        for w in workers
    ]


def _broker(settings: Settings) -> list[Finding]:
    app = doorbell.create_app(settings, (settings.default_model,))
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=PATIENCE_SECONDS)
        return [(True, f"Broker answers ({connection.transport.driver_name}).")]


def _blobs(settings: Settings) -> list[Finding]:
    blobs = open_blobs(settings)
    sha256 = blobs.put(b"doctor")
    blobs.get(sha256)
    blobs.delete(sha256)
    return [(True, "Pictures can be stored, read and deleted."), *_missing(settings, blobs)]


def _missing(settings: Settings, blobs: Blobs) -> list[Finding]:
    database = connect(settings)
    try:
        if migrate.lacking(migrate.current(database)):
            return []
        count = sweep.missing(database, blobs)
    except SQLAlchemyError:
        return []  # That is a finding of its own.
    finally:
        database.close()
    if count:
        return [(False, f"{count} pictures that requests refer to are not there: restore them.")]
    return [(True, "All pictures that requests refer to are there.")]


def _models(settings: Settings) -> list[Finding]:
    try:
        catalog: Catalog = load_catalog(settings)
    except (OSError, ValueError) as error:
        return [(False, f"The catalog cannot be read: {said(error)}")]
    names = ", ".join(catalog.models)
    return [(True, f"Models: {names}; the default is {settings.default_model}.")]


def _checkers(settings: Settings) -> list[Finding]:
    try:
        wrong = labels.deaf(settings, load_catalog(settings))
    except (OSError, ValueError):
        return []  # That the catalog cannot be read is a finding of its own.
    found: list[Finding] = [(False, words) for words in wrong]
    return found or [(True, f"Safety checkers: {', '.join(settings.safety_checkers)}.")]


def _text_rules(settings: Settings) -> list[Finding]:
    rules = TextRules.load(settings.text_rules)
    return [
        (True, f"Prompts are checked for {', '.join(rules.decisions)} (rules {rules.version}).")
    ]


def _key(settings: Settings) -> list[Finding]:
    try:
        if settings.fernet() is None:
            return []
    except ValueError as error:
        return [(False, f"EASEL_ENCRYPTION_KEY: {error}.")]
    return [(True, "Tokens that the database keeps are encrypted with EASEL_ENCRYPTION_KEY.")]


def _slack(settings: Settings) -> list[Finding]:
    if not settings.slack_bot_token and not settings.slack_client_id:
        return [(None, "No Slack token: nothing of Slack is served.")]
    found = [] if settings.slack_client_id else _slack_bot(settings)
    if settings.slack_app_token:
        answer, _ = _ask_slack(settings, settings.slack_app_token, "apps.connections.open")
        well = bool(answer.get("ok"))
        words = "takes" if well else f"refuses ({answer.get('error')})"
        found.append((well, f"Slack {words} the app-level token: Socket Mode."))
    elif settings.slack_signing_secret:
        found.append((True, f"Slack by HTTP: signed requests at {settings.slack_address}."))
    else:
        found.append(
            (
                False,
                "Slack has no way in: set EASEL_SLACK_APP_TOKEN for Socket Mode, or "
                "EASEL_SLACK_SIGNING_SECRET for HTTP.",
            )
        )
    return [*found, *_slack_installed(settings), *_slack_ways(settings)]


def _slack_bot(settings: Settings) -> list[Finding]:
    assert settings.slack_bot_token is not None  # noqa: S101 (narrows)
    answer, scopes = _ask_slack(settings, settings.slack_bot_token, "auth.test")
    if not answer.get("ok"):
        words = f"Slack refuses the bot token ({answer.get('error')}): copy it anew"
        return [(False, f"{words} from the app's page.")]
    missing = [scope for scope in SCOPES if scopes and scope not in scopes]
    if missing:
        words = f"The Slack app lacks the scopes {', '.join(missing)}"
        return [(False, f"{words}: take `easel slack manifest` and install it anew.")]
    return [(True, f"Slack answers and takes the bot token, in {answer.get('team')}.")]


def _slack_installed(settings: Settings) -> list[Finding]:
    """Many workspaces: what their installation needs."""
    if not settings.slack_client_id:
        return []
    missing = [
        f"EASEL_{name.upper()}"
        for name in ("slack_client_secret", "slack_signing_secret", "encryption_key")
        if not getattr(settings, name)
    ]
    if missing:
        return [(False, f"To be installed by workspaces, Slack needs {', '.join(missing)}.")]
    if wrong := [finding for finding in _key(settings) if finding[0] is False]:
        return wrong
    return [(True, f"Workspaces install the app at http://{settings.slack_address}/slack/install.")]


def _slack_ways(settings: Settings) -> list[Finding]:
    """Workspaces in which the newest pictures had to be posted as files."""
    database = connect(settings)
    if migrate.lacking(migrate.current(database)):
        return []
    with database.read() as session:
        teams = deliveries.slack_teams_with_files(session)
    return [
        (
            None,
            f"Slack workspace {team} shows no uploaded pictures inside messages: they are posted "
            "as files, each in a new message.",
        )
        for team in teams
    ]


def _cards(settings: Settings) -> list[Finding]:
    """What a platform refuses to show or to take down. Rights in a channel are not ours to mend."""
    database = connect(settings)
    if migrate.current(database) != migrate.newest():
        return []
    with database.read() as session:
        found = troubles.current(session)
    ours = discord_errors.OPERATORS | slack_errors.OPERATORS
    return [
        (False if t.removing or t.code in ours else None, f"{t.said(database.clock())}.")
        for t in found
    ]


def _ask_slack(
    settings: Settings, token: SecretStr, method: str
) -> tuple[dict[str, Any], Collection[str]]:
    """Slack's answer, and the scopes of the token."""
    request = urllib.request.Request(  # noqa: S310 (the operator's own setting)
        f"{settings.slack_api_url.rstrip('/')}/{method}",
        data=b"",
        headers={"Authorization": f"Bearer {token.get_secret_value()}"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:  # noqa: S310
        scopes = (response.headers.get("X-OAuth-Scopes") or "").split(",")
        return json.load(response), {scope.strip() for scope in scopes if scope.strip()}


def _discord(settings: Settings) -> list[Finding]:
    if not settings.discord_token:
        return [(None, "No Discord token: `easel demo` and `easel draw` work without one.")]
    request = urllib.request.Request(  # noqa: S310 (the operator's own setting)
        f"{settings.discord_api_url.rstrip('/')}/users/@me",
        headers={"Authorization": f"Bot {settings.discord_token.get_secret_value()}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS):  # noqa: S310
            return [(True, "Discord answers and takes the token.")]
    except urllib.error.HTTPError as error:
        if error.code == 401:
            return [(False, "Discord refuses the token: copy it anew from the developer portal.")]
        return [(False, f"Discord answers with {error.code}; try again later.")]
    except OSError:
        # The address may hold a password.
        host = urlsplit(settings.discord_api_url).hostname
        return [(False, f"Discord does not answer at {host}.")]


_WRONG: dict[Callable[[Settings], list[Finding]], tuple[str, str]] = {
    _folder: ("EASEL_DATA_FOLDER", "The data folder cannot be written"),
    _env_file: ("the file .env", "The file with the settings cannot be looked at"),
    _database: ("EASEL_DATABASE_URL", "The database does not answer"),
    _broker: ("EASEL_BROKER_URL", "The broker does not answer"),
    _blobs: ("EASEL_BLOB_URL", "Pictures cannot be stored"),
    _models: ("EASEL_CATALOG", "The catalog cannot be read"),
    _checkers: ("EASEL_SAFETY_CHECKERS", "The checkers cannot be looked at"),
    _text_rules: ("EASEL_TEXT_RULES", "The text rules cannot be read"),
    _key: ("EASEL_ENCRYPTION_KEY", "The key cannot be used"),
    _discord: ("EASEL_DISCORD_API_URL", "Discord cannot be asked"),
    _slack: ("EASEL_SLACK_API_URL", "Slack cannot be asked"),
    _cards: ("EASEL_DATABASE_URL", "The database does not answer"),
}
