"""What every command begins with: sound settings, or words about what is wrong and status 2."""

from __future__ import annotations

import getpass
import io
import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, TypeVar

import typer
from rich.console import Console

from bot.terminal import causes

if TYPE_CHECKING:
    from storage.database import Database
    from storage.settings import Settings

T = TypeVar("T")


def plain_console(*, stderr: bool = False) -> Console:
    """Brackets in what people typed are brackets: no prompt can colour or break what is printed."""
    return Console(markup=False, emoji=False, highlight=False, stderr=stderr)


def user_name() -> str:
    """Who sits here; by number where the system has no name for them, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"uid-{os.getuid()}"


def bear_any_output() -> None:
    """What a terminal or a pipe of another encoding cannot show is replaced, and ends nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def read_settings(*, for_chat: bool = True, serves: bool = False) -> Settings:
    """The settings as they are written, with logging as they say; without the secrets of chats for
    who serves none. Who `serves` tells a log what happens, all others tell a person."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from storage import logs
    from storage.settings import Settings

    try:
        settings = Settings() if for_chat else Settings.for_worker()
    except ValidationError as error:
        problems = error.errors(include_input=False)
        stop(*(_words(problem["loc"], problem["msg"], Settings) for problem in problems))
    except UnicodeDecodeError:
        stop(f"{_env_file()} is neither UTF-8 nor UTF-16: save it as UTF-8.")
    except OSError as error:
        stop(f"{error.filename or _env_file()} cannot be read ({error.strerror}).")
    except SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        stop(f"{_variable(field[1] if field else '')}: this is not JSON.")
    logs.configure(settings, for_person=not serves)
    if os.path.expanduser("~") == "~":
        # Libraries look for a home when they are imported, and keep what they load there.
        os.environ["HOME"] = str(settings.data_folder.absolute())
    return settings


def ready_settings(
    *, for_prompts: bool = True, upgrades: bool = False, serves: bool = False
) -> Settings:
    """Settings with a sound catalog and a database that will do (see `ready_database`); also with
    sound text rules and the secrets of chats, for who takes prompts."""
    from bot.core.text import TextRules
    from storage.catalog import load_catalog

    settings = read_settings(for_chat=for_prompts, serves=serves)
    for words in (
        causes.of_folder(settings),
        causes.of_broker_address(settings.resolved_broker_url),
    ):
        if words:
            stop(words)
    _try("catalog", lambda: load_catalog(settings))
    if for_prompts:
        _try("text_rules", lambda: TextRules.load(settings.text_rules))
    ready_database(settings, upgrades=upgrades).close()
    if for_prompts:
        _try("encryption_key", settings.fernet)
    return settings


def ready_database(settings: Settings, *, upgrades: bool = False) -> Database:
    """The database, with a schema that will do. The embedded one is made when there is none, and
    brought up to date where a command `upgrades`; for all else there are words about what to run.
    """
    from storage import migrate

    database = open_database(settings)
    found = migrate.current(database)
    if database.is_sqlite and (upgrades or found is None):
        upgrade(database)
    elif words := migrate.lacking(found):
        database.close()
        stop(words)
    return database


def upgrade(database: Database) -> None:
    """The newest schema, or words about who keeps it from coming."""
    from sqlalchemy.exc import OperationalError

    from storage import migrate

    try:
        migrate.upgrade(database)
    except OperationalError as error:
        name = type(error.orig).__name__
        stop(
            f"The database is in use by somebody else, so its schema stays as it was ({name}). "
            "Wait for what runs there (a backup, a report), then try again."
        )


def open_database(settings: Settings) -> Database:
    """The database, which has answered; and words about names that are likely misspelt."""
    from sqlalchemy.exc import SQLAlchemyError

    from storage import migrate
    from storage.database import connect

    for near, words in causes.of_names(causes.written_names()):
        if near:
            typer.echo(words, err=True)
    try:
        database = connect(settings)
        migrate.current(database)
    except (ImportError, SQLAlchemyError, ValueError, OSError) as error:
        stop(causes.of_database(settings.resolved_database_url, error))
    return database


def _try(field: str, act: Callable[[], T]) -> T:
    try:
        return act()
    except (OSError, ValueError) as error:
        stop(f"{_variable(field)}: {said(error)}")


def said(error: Exception) -> str:
    """What is wrong with a file, in one line."""
    from pydantic import ValidationError

    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    if not isinstance(error, ValidationError):
        return str(error)
    problems = error.errors(include_input=False, include_url=False)
    return "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in problems)


def _words(place: tuple[int | str, ...], message: str, settings: type[Settings]) -> str:
    message = message.removeprefix("Value error, ")
    if place:
        return f"{_variable('__'.join(map(str, place)))}: {message}"
    fields = "|".join(settings.model_fields)
    return re.sub(rf"\b(?:{fields})\b", lambda field: _variable(field[0]), message)


def _env_file() -> str:
    from storage.settings import Settings

    return str(Settings.model_config["env_file"])


def _variable(field: str) -> str:
    return f"EASEL_{field}".upper()


def stop(*words: str) -> NoReturn:
    """End the command with these lines, and status 2."""
    for line in words:
        typer.echo(line, err=True)
    raise typer.Exit(2) from None
