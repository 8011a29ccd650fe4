"""Alembic's entry: the connection comes from `storage.migrate`, never from an ini file."""

from alembic import context

from storage.tables import Base, is_compared

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    include_object=is_compared,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
