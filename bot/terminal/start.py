"""What every command begins with: sound settings, or words about what is wrong and status 2."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, TypeVar

import typer
from rich.console import Console

if TYPE_CHECKING:
    from storage.database import Database
    from storage.settings import Settings

T = TypeVar("T")


def plain_console() -> Console:
    """Brackets in what people typed are brackets: no prompt can colour or break what is printed."""
    return Console(markup=False, emoji=False, highlight=False)


def read_settings(*, for_chat: bool = True) -> Settings:
    """The settings as they are written, with logging as they say; without the secrets of chats for
    who serves none."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from storage import logs
    from storage.settings import Settings

    try:
        settings = Settings() if for_chat else Settings.for_worker()
    except ValidationError as error:
        problems = error.errors(include_input=False)
        _stop(*(_words(problem["loc"], problem["msg"], Settings) for problem in problems))
    except SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        _stop(f"{_variable(field[1] if field else '')}: this is not JSON.")
    logs.configure(settings)
    return settings


def ready_settings(*, for_prompts: bool = True, upgrades: bool = False) -> Settings:
    """Settings with a sound catalog and a database that will do (see `ready_database`); also with
    sound text rules and the secrets of chats, for who takes prompts."""
    from bot.core.text import TextRules
    from storage import private
    from storage.catalog import load_catalog

    settings = read_settings(for_chat=for_prompts)
    private.make(settings.data_folder)
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
        _stop(words)
    return database


def upgrade(database: Database) -> None:
    """The newest schema, or words about who keeps it from coming."""
    from sqlalchemy.exc import OperationalError

    from storage import migrate

    try:
        migrate.upgrade(database)
    except OperationalError as error:
        name = type(error.orig).__name__
        _stop(
            f"The database is in use by somebody else, so its schema stays as it was ({name}). "
            "Wait for what runs there (a backup, a report), then try again."
        )


def open_database(settings: Settings) -> Database:
    """The database, which has answered."""
    from sqlalchemy.exc import ArgumentError, OperationalError

    from storage import migrate
    from storage.database import connect

    try:
        database = connect(settings)
        migrate.current(database)
    except ModuleNotFoundError as error:
        words = "PostgreSQL needs one more package: pip install 'easel-bot[postgres]'"
        _stop(f"{words} ({error.name})")
    except (ArgumentError, OperationalError, ValueError) as error:
        # Messages of drivers may hold the password.
        name = type(error).__name__
        _stop(f"{_variable('database_url')}: the database does not answer ({name}).")
    return database


def _try(field: str, act: Callable[[], T]) -> T:
    try:
        return act()
    except (OSError, ValueError) as error:
        _stop(f"{_variable(field)}: {said(error)}")


def said(error: Exception) -> str:
    """What is wrong with a file, in one line."""
    from pydantic import ValidationError

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


def _variable(field: str) -> str:
    return f"EASEL_{field}".upper()


def _stop(*words: str) -> NoReturn:
    for line in words:
        typer.echo(line, err=True)
    raise typer.Exit(2)
