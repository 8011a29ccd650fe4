"""The schema that the migrations build is the one that the tables declare."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from storage import migrate
from storage.database import Database
from storage.tables import Base, is_compared


def test_migrations_and_tables_agree(database: Database) -> None:
    with database.engine.connect() as connection:
        opts = {"compare_type": True, "include_object": is_compared}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, Base.metadata) == []


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    migrate.upgrade(database)
    assert migrate.current(database) == migrate.newest()
