"""Which schema a database has, and how it gets the newest."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic, sleep

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from storage.database import Database

LOCK_TIMEOUT_MS = 5_000
STATEMENT_TIMEOUT_MS = 600_000
TRY_MS = 100
"""Well below PostgreSQL's `deadlock_timeout` (1 s by default), and what others wait at most."""


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def newest() -> str:
    """The revision that this code was written for."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise RuntimeError("no migrations are installed")
    return head


def current(database: Database) -> str | None:
    """The revision that the database has; None when it is empty."""
    with database.snapshot() as connection:
        return revision(connection)


def revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def is_known(revision: str | None) -> bool:
    """Whether this code has the migration. If not, a newer one has been at the database."""
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return revision is None or revision in {script.revision for script in scripts}


class Behind(Exception):
    """The database is older than this code; the message says what to run."""


def lacking(found: str | None) -> str:
    """What has to be run before this code can use a database that has this revision, in words;
    empty if nothing. A newer one will do: migrations only add."""
    if found is None:
        return "The database is empty. Run `easel migrate`, then start this again."
    if found == newest() or not is_known(found):
        return ""
    words = f"The database has the schema {found}, this Easel needs {newest()}."
    return f"{words} Back it up with the old release, run `easel migrate`, then start this again."


def begin(database: Database) -> None:
    """Make the tables of a new installation. One that has older ones is brought up to date when
    its operator says so: raises Behind."""
    found = current(database)
    if found is None:
        upgrade(database)
    elif words := lacking(found):
        raise Behind(words)


def run(connection: Connection, revision: str = "head") -> None:
    """Migrate up to a revision inside the transaction that `connection` has open."""
    command.upgrade(_config(connection), revision)


def upgrade(database: Database) -> None:
    """Migrate, each revision in one transaction. Two processes at once run one after the other; a
    table that is in use for longer than the lock timeout ends the migration, not the service.

    A schema that is newer than this code is left as it is: migrations only add, so that what runs
    goes on while the rest is upgraded. Raises sqlalchemy.exc.OperationalError when the lock
    cannot be had; what this revision changes is not changed then.
    """
    while (found := current(database)) != newest() and is_known(found):
        _one_further(database, found)


def _one_further(database: Database, found: str | None) -> None:
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    [script] = [script for script in scripts if script.down_revision == found]
    if ahead := getattr(script.module, "ahead", None):
        ahead(partial(_part, database))
    with _transaction(database) as connection:
        if not database.is_sqlite:
            # Without the lock timeout: who waits here waits for a migration that gets on.
            connection.execute(text("select pg_advisory_xact_lock(hashtext('easel-migrate'))"))
            connection.execute(text(f"set local lock_timeout = {LOCK_TIMEOUT_MS}"))
        if revision(connection) == found:  # Who waited may find that it has been done.
            _lock(connection, getattr(script.module, "LOCKED", ()))
            # At once, so that nobody takes a new database for an old one.
            run(connection, "+1" if found else "head")


def _lock(connection: Connection, tables: Sequence[str]) -> None:
    """All of them or none: who works in one and comes to another must not wait for us while we wait
    for them, or PostgreSQL ends one of the two. SQLite has one lock for all."""
    if not tables or connection.dialect.name == "sqlite":
        return
    give_up = monotonic() + LOCK_TIMEOUT_MS / 1000
    connection.execute(text(f"set local lock_timeout = {min(TRY_MS, LOCK_TIMEOUT_MS)}"))
    while True:
        try:
            with connection.begin_nested():
                connection.execute(text(f"lock table {', '.join(tables)}"))
            return
        except OperationalError:
            if monotonic() > give_up:
                raise
        sleep(TRY_MS / 1000)


@contextmanager
def _transaction(database: Database) -> Iterator[Connection]:
    with database.engine.begin() as connection:
        if not database.is_sqlite:
            connection.execute(text(f"set local statement_timeout = {STATEMENT_TIMEOUT_MS}"))
        yield connection


@contextmanager
def _part(database: Database) -> Iterator[Connection]:
    """A transaction of many, and as long a pause: who waits for SQLite's write lock looks for it
    only now and then."""
    begun = monotonic()
    with _transaction(database) as connection:
        yield connection
    sleep(monotonic() - begun)
