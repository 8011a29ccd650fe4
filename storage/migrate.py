"""Bring a database to the newest schema; safe to call at every start."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from storage.database import Database

LOCK_TIMEOUT_MS = 5_000
STATEMENT_TIMEOUT_MS = 600_000


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
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(database: Database) -> None:
    """Migrate in one transaction. Two processes at once run one after the other; a table that
    is in use for longer than the lock timeout ends the migration, not the service."""
    if current(database) == newest():
        return
    with database.engine.begin() as connection:
        if not database.is_sqlite:
            connection.execute(text(f"set local lock_timeout = {LOCK_TIMEOUT_MS}"))
            connection.execute(text(f"set local statement_timeout = {STATEMENT_TIMEOUT_MS}"))
            connection.execute(text("select pg_advisory_xact_lock(hashtext('easel-migrate'))"))
        command.upgrade(_config(connection), "head")
