"""Who people are beyond their id, where a ban holds, what was heard and is not taken yet"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NEW = {
    "requests": ("tenant", "forget_at"),
    "jobs": ("allowed",),
    "deliveries": ("application", "trouble", "trouble_since"),
    "usage": ("tenant", "refused"),
    "reviews": ("opened_tenant",),
    "bans": ("carried",),
}
LOCKED = tuple(NEW)


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False, server_default="")


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=True)


def upgrade() -> None:
    op.add_column("requests", _text("tenant", 64))
    op.add_column("requests", _time("forget_at"))
    op.add_column("jobs", _flag("allowed"))
    op.add_column("deliveries", _text("application", 64))
    op.add_column("deliveries", _text("trouble", 100))
    op.add_column("deliveries", _time("trouble_since"))
    op.add_column("usage", _text("tenant", 64))
    op.add_column("usage", sa.Column("refused", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("reviews", _text("opened_tenant", 64))
    op.add_column("bans", _flag("carried"))
    to_be_forgotten = sa.text("forget_at IS NOT NULL")
    op.create_index(
        "ix_requests_forget_at",
        "requests",
        ["forget_at"],
        sqlite_where=to_be_forgotten,
        postgresql_where=to_be_forgotten,
    )
    pseudonymous = sa.text("length(user_id) = 64")
    op.create_index(
        "ix_usage_forgotten",
        "usage",
        ["day"],
        sqlite_where=pseudonymous,
        postgresql_where=pseudonymous,
    )
    op.create_index("ix_reviews_opened_by", "reviews", ["opened_by", "opened_at"])
    op.create_table(
        "sanctions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("platform", sa.String(length=16), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=True),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sanctions")),
    )
    op.create_index("ix_sanctions_platform", "sanctions", ["platform", "user_id"])
    op.create_table(
        "inbox",
        sa.Column("event_key", sa.String(length=300), nullable=False),
        sa.Column("platform", sa.String(length=16), nullable=False),
        sa.Column("application", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("leased_by", sa.String(length=200), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("event_key", name=op.f("pk_inbox")),
    )
    unfinished = sa.text("body <> ''")
    op.create_index(
        "ix_inbox_untaken",
        "inbox",
        ["platform", "application", "lease_until"],
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )
    op.create_index("ix_inbox_received_at", "inbox", ["received_at"])


def downgrade() -> None:
    op.drop_table("inbox")
    op.drop_table("sanctions")
    op.drop_index("ix_reviews_opened_by", "reviews")
    op.drop_index("ix_usage_forgotten", "usage")
    op.drop_index("ix_requests_forget_at", "requests")
    for table, names in NEW.items():
        for name in names:
            op.drop_column(table, name)
