"""What is said beside a result is written down with the request"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

LOCKED = ("requests",)


def upgrade() -> None:
    op.add_column("requests", sa.Column("notes", sa.JSON(), nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("requests", "notes")
