"""Which requests descend from a picture that Easel did not draw from words alone

Empty in rows of an older Easel, also of one that still runs: `storage.origins` says what that
means.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NEW = {"requests": ("outside",)}
LOCKED = tuple(NEW)


def upgrade() -> None:
    op.add_column("requests", sa.Column("outside", sa.Boolean(), nullable=True))


def downgrade() -> None:
    op.drop_column("requests", "outside")
