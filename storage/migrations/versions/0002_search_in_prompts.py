"""Search in prompts, and indexes for what is asked again and again of a long log"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage import search

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BATCH = 5_000

TRIGGERS = {
    "insert": "INSERT INTO search_words (rowid, words) VALUES (new.number, new.words);",
    "delete": "INSERT INTO search_words (search_words, rowid, words)"
    " VALUES ('delete', old.number, old.words);",
}
TRIGGERS["update"] = TRIGGERS["delete"] + TRIGGERS["insert"]

requests = sa.table(
    "requests",
    sa.column("id", sa.Uuid()),
    sa.column("created_at", sa.DateTime(timezone=True)),
    sa.column("platform"),
    sa.column("workspace_id"),
    sa.column("user_id"),
    sa.column("prompt"),
)


INDEXES = (
    ("ix_jobs_made", "jobs", ["model", "finished_at"], sa.text("state = 'made'")),
    (
        "ix_pictures_blocked",
        "pictures",
        ["job_id"],
        sa.text("decision = 'block' AND removed_at IS NULL"),
    ),
)


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for name, table, columns, where in INDEXES:
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
    made = op.create_table(
        "search",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column(
            "words", sa.Text().with_variant(postgresql.TSVECTOR(), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name="fk_search_request_id"),
        sa.PrimaryKeyConstraint("number", name="pk_search"),
        sa.UniqueConstraint("request_id", name="uq_search_request_id"),
    )
    _fill(made)
    if is_sqlite:
        _index_on_sqlite()
    else:
        op.create_index(
            "ix_search_words",
            "search",
            ["words"],
            postgresql_using="gin",
            postgresql_with={"fastupdate": "off"},
        )
        op.execute("ANALYZE search")


def _fill(made: sa.Table) -> None:
    """In the order of arrival, a batch at a time."""
    bind = op.get_bind()
    order = sa.tuple_(requests.c.created_at, requests.c.id)
    query = sa.select(requests).order_by(requests.c.created_at, requests.c.id).limit(BATCH)
    last: tuple[object, object] | None = None
    while True:
        rows = bind.execute(query if last is None else query.where(order > last)).all()
        if not rows:
            return
        values = [
            {
                "request_id": row.id,
                # Who was forgotten has no prompt either.
                "words": search.indexed(row.prompt, row.platform, row.workspace_id, row.user_id)
                if row.user_id
                else "",
            }
            for row in rows
        ]
        bind.execute(made.insert(), values)
        last = (rows[-1].created_at, rows[-1].id)


def _index_on_sqlite() -> None:
    """Its words are looked up in `search`. Spaces alone part them, and every beginning of a word
    has a list of its own."""
    beginnings = " ".join(str(length) for length in range(1, search.LONGEST_WORD + 1))
    op.execute(
        "CREATE VIRTUAL TABLE search_words USING fts5"
        "(words, content='search', content_rowid='number', detail=none,"
        f" prefix='{beginnings}', tokenize=\"ascii tokenchars '_'\")"
    )
    op.execute("INSERT INTO search_words (search_words) VALUES ('rebuild')")
    for event, act in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER search_{event} AFTER {event} ON search BEGIN {act} END")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE search_words")
    op.drop_table("search")
    for name, table, *_ in INDEXES:
        op.drop_index(name, table)
