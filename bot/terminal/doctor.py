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

from obstore.exceptions import BaseError
from pydantic import SecretStr
from rich.console import Console
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from bot.core.text import TextRules
from bot.discord import errors as discord_errors
from bot.slack import configured
from bot.slack import errors as slack_errors
from bot.slack.manifest import SCOPES
from bot.slack.workspaces import opens
from bot.terminal import causes
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
    slack_installations,
    sweep,
    troubles,
)
from storage.blobs import Blobs, NotStored, open_blobs
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


def _names(_settings: Settings) -> list[Finding]:
    found = causes.of_names(causes.written_names())
    return [(False if near else None, words) for near, words in found]


def _folder(settings: Settings) -> list[Finding]:
    folder = settings.data_folder
    if words := causes.of_folder(settings):
        return [(False, words)]
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


def _is_told(settings: Settings, address: str) -> bool:
    """What has no address of its own lies in the data folder, of which there is a finding."""
    return not address and bool(causes.of_folder(settings))


def _database(settings: Settings) -> list[Finding]:
    if _is_told(settings, settings.database_url):
        return []
    try:
        database = connect(settings)
        found, wanted = migrate.current(database), migrate.newest()
    except (ImportError, SQLAlchemyError, ValueError, OSError) as error:
        return [(False, causes.of_database(settings.resolved_database_url, error))]
    kind = "SQLite" if database.is_sqlite else "PostgreSQL"
    if found is None and database.is_sqlite:
        return [(None, "No database yet: the first command makes it.")]
    if migrate.lacking(found):
        words = f"its schema is {found}, this Easel needs {wanted}" if found else "it is empty"
        return [(False, f"{kind} answers, but {words}: run `easel migrate`.")]
    if not migrate.is_known(found):
        words = f"{kind} answers; its schema {found} is newer than {wanted}, which this Easel knows"
        return [(None, f"{words}: it goes on, but upgrade it too."), *_workers(database)]
    well = (True, f"{kind} answers; schema {found}.")
    return [well, *_workers(database), *_bans(database)]


def _waiting(settings: Settings) -> list[Finding]:
    if any(well is False for well, _ in _key(settings)):
        return []  # That is a finding of its own.
    try:
        database = connect(settings)
        if migrate.current(database) != migrate.newest():
            return []
    except (ImportError, SQLAlchemyError, ValueError, OSError):
        return []  # So is that.
    return _inbox(database, Envelope(settings.fernet()))


def _inbox(database: Database, envelope: Envelope) -> list[Finding]:
    """What was heard and nobody takes: no chat client runs, or it has another key."""
    now = database.clock()
    with database.read() as session:
        left = inbox.left(session, now - ALIVE_WITHIN, now)
    found: list[Finding] = []
    waiting = [row for row in left if envelope.opens(row.body)]
    if sealed := len(left) - len(waiting):
        words = f"{sealed} things that people asked for were written down with another key"
        found.append((False, f"{words}: set EASEL_ENCRYPTION_KEY to that one."))
    if waiting:
        since = f"{waiting[0].received_at:%Y-%m-%d %H:%M} UTC"
        words = f"{len(waiting)} things that people asked for wait since {since} at the longest"
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
    url = settings.resolved_broker_url
    if _is_told(settings, settings.broker_url):
        return []
    if words := causes.of_broker_address(url):
        return [(False, words)]
    try:
        app = doorbell.create_app(settings, (settings.default_model,))
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=PATIENCE_SECONDS)
            return [(True, f"Broker answers ({connection.transport.driver_name}).")]
    except Exception as error:  # Each library has its own.
        return [(False, causes.of_broker(url, error))]


def _blobs(settings: Settings) -> list[Finding]:
    if _is_told(settings, settings.blob_url):
        return []
    try:
        blobs = open_blobs(settings)
        sha256 = blobs.put(b"doctor")
        blobs.get(sha256)
        blobs.delete(sha256)
    except (BaseError, NotStored, ValueError, OSError) as error:
        return [(False, causes.of_blobs(settings.resolved_blob_url, error))]
    return [(True, "Pictures can be stored, read and deleted."), *_missing(settings, blobs)]


def _missing(settings: Settings, blobs: Blobs) -> list[Finding]:
    try:
        database = connect(settings)
    except (ImportError, SQLAlchemyError, ValueError, OSError):
        return []  # That is a finding of its own.
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
    if missing := _not_here(settings, catalog):
        return [(False, words) for words in missing]
    names = ", ".join(catalog.models)
    return [(True, f"Models: {names}; the default is {settings.default_model}.")]


def _not_here(settings: Settings, catalog: Catalog) -> list[str]:
    """What is to be on this machine and is not. What a worker serves lies with that worker."""
    mine = settings.worker_models or tuple(catalog.models)
    served = _served(settings)
    models = [name for name in mine if name not in served]
    found = []
    for name in models:
        source = catalog.models[name].source
        if not _is_folder(source):
            continue
        folder = Path(source).expanduser()
        if not folder.is_dir():
            found.append(
                f"Model {name}: there is no folder {folder}. Mend source under [models.{name}] in "
                f"{settings.catalog}, or put the model there"
            )
        elif not (folder / "model_index.json").is_file():
            found.append(
                f"Model {name}: {folder} is no model in diffusers layout, since model_index.json "
                f"is missing. Mend source under [models.{name}] in {settings.catalog}"
            )
    for name, lora in catalog.loras.items():
        fits = set(lora.models) & set(models)
        if fits and _is_folder(lora.source) and not Path(lora.source).expanduser().exists():
            found.append(
                f"LoRA {name}: there is no {Path(lora.source).expanduser()}. Mend source under "
                f"[loras.{name}] in {settings.catalog}"
            )
    return found


def _is_folder(source: str) -> bool:
    """Of this machine; else an id of the hub, which has one slash at most."""
    return source.startswith(("/", ".", "~")) or source.count("/") > 1 or "\\" in source


def _served(settings: Settings) -> set[str]:
    """Models that some worker serves at the moment."""
    try:
        database = connect(settings)
        if migrate.lacking(migrate.current(database)):
            return set()
        with database.read() as session:
            workers = places.live_workers(session, database.clock(), ALIVE_WITHIN)
    except (ImportError, SQLAlchemyError, ValueError, OSError):
        return set()  # That is a finding of its own.
    return {model for worker in workers for model in worker.models}


def _device(settings: Settings) -> list[Finding]:
    words = causes.of_device(settings.device)
    return [(False, words)] if words else []


def _checkers(settings: Settings) -> list[Finding]:
    try:
        catalog = load_catalog(settings)
    except (OSError, ValueError):
        return []  # That the catalog cannot be read is a finding of its own.
    found: list[Finding] = [(False, words) for words in labels.unknown(settings, catalog)]
    found += [(False, words) for words in labels.deaf(settings, catalog)]
    return found or [(True, f"Safety checkers: {', '.join(settings.safety_checkers)}.")]


def _text_rules(settings: Settings) -> list[Finding]:
    try:
        rules = TextRules.load(settings.text_rules)
    except (OSError, ValueError) as error:
        return [(False, f"EASEL_TEXT_RULES: {said(error)}")]
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
    if not configured.is_meant(settings):
        return [(None, "No Slack token: nothing of Slack is served.")]
    if wrong := configured.lacking(settings):
        return [(False, words) for words in wrong]
    host = urlsplit(settings.slack_api_url).hostname  # The address may hold a password.
    try:
        found = _slack_tokens(settings)
    except urllib.error.HTTPError as error:
        return [(False, f"Slack answers at {host} with {error.code}; try again later.")]
    except OSError:
        return [(False, f"Slack does not answer at {host}: look for the network, then try again.")]
    except ValueError:
        words = f"What answers at {host} is not Slack: look at EASEL_SLACK_API_URL"
        return [(False, f"{words}, and for a proxy on the way.")]
    return [*found, *_slack_installed(settings), *_slack_ways(settings)]


def _slack_tokens(settings: Settings) -> list[Finding]:
    """Raises OSError where Slack does not answer, and ValueError where another does."""
    found = [] if settings.slack_client_id else _slack_bot(settings)
    if settings.slack_app_token:
        answer, _ = _ask_slack(settings, settings.slack_app_token, "apps.connections.open")
        well = bool(answer.get("ok"))
        words = "Slack takes the app-level token: Socket Mode."
        if not well:
            refused = f"Slack refuses EASEL_SLACK_APP_TOKEN ({answer.get('error')})"
            words = f"{refused}: copy it anew from the app's page."
        found.append((well, words))
    elif settings.slack_signing_secret:
        found.append((True, f"Slack by HTTP: signed requests at {settings.slack_address}."))
    return found


def _slack_bot(settings: Settings) -> list[Finding]:
    assert settings.slack_bot_token is not None  # noqa: S101 (narrows)
    answer, scopes = _ask_slack(settings, settings.slack_bot_token, "auth.test")
    if not answer.get("ok"):
        words = f"Slack refuses EASEL_SLACK_BOT_TOKEN ({answer.get('error')}): copy it anew"
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
    if wrong := [finding for finding in _key(settings) if finding[0] is False]:
        return wrong
    if sealed := _sealed_installations(settings):
        words = f"The Slack tokens of {', '.join(sealed)} are encrypted with another key"
        again = "have the app installed there again"
        gone = f"or take them out with `easel slack forget {sealed[0]}`"
        return [(False, f"{words}: set EASEL_ENCRYPTION_KEY to that one, {again}, {gone}.")]
    return [(True, f"Workspaces install the app at http://{settings.slack_address}/slack/install.")]


def _sealed_installations(settings: Settings) -> list[str]:
    """Ids of the workspaces, or enterprises, whose tokens the key does not open."""
    fernet, database = settings.fernet(), connect(settings)
    if fernet is None or migrate.lacking(migrate.current(database)):
        return []
    with database.read() as session:
        found = slack_installations.newest_first(session)
    return [row.team_id or row.enterprise_id for row in found if not opens(fernet, row.sealed)]


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
    try:
        database = connect(settings)
        if migrate.current(database) != migrate.newest():
            return []
    except (ImportError, SQLAlchemyError, ValueError, OSError):
        return []  # That is a finding of its own.
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
    _names: ("the file .env", "The names of settings cannot be looked at"),
    _folder: ("EASEL_DATA_FOLDER", "The data folder cannot be written"),
    _env_file: ("the file .env", "The file with the settings cannot be looked at"),
    _database: ("EASEL_DATABASE_URL", "The database does not answer"),
    _waiting: ("EASEL_DATABASE_URL", "What waits cannot be looked at"),
    _broker: ("EASEL_BROKER_URL", "The broker does not answer"),
    _blobs: ("EASEL_BLOB_URL", "Pictures cannot be stored"),
    _models: ("EASEL_CATALOG", "The catalog cannot be read"),
    _device: ("EASEL_DEVICE", "The device cannot be looked at"),
    _checkers: ("EASEL_SAFETY_CHECKERS", "The checkers cannot be looked at"),
    _text_rules: ("EASEL_TEXT_RULES", "The text rules cannot be read"),
    _key: ("EASEL_ENCRYPTION_KEY", "The key cannot be used"),
    _discord: ("EASEL_DISCORD_API_URL", "Discord cannot be asked"),
    _slack: ("EASEL_SLACK_API_URL", "Slack cannot be asked"),
    _cards: ("EASEL_DATABASE_URL", "The database does not answer"),
}
