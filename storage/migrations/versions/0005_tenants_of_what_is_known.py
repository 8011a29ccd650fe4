"""Tenants of what is known, and today's bans as sanctions that hold everywhere

Apart from 0004, so that no table is locked while rows are filled.
"""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SLACK = "slack"

requests = sa.table(
    "requests",
    *(sa.column(name) for name in ("id", "platform", "user_id", "workspace_id", "enterprise_id")),
    sa.column("tenant"),
)
jobs = sa.table("jobs", sa.column("id"), sa.column("request_id"))
usage = sa.table("usage", *(sa.column(name) for name in ("job_id", "platform", "tenant")))
reviews = sa.table("reviews", *(sa.column(n) for n in ("job_id", "opened_by", "opened_tenant")))
deliveries = sa.table(
    "deliveries",
    *(sa.column(name) for name in ("job_id", "platform", "application")),
    sa.column("address", sa.JSON()),
)
bans = sa.table(
    "bans",
    *(sa.column(name) for name in ("platform", "user_id", "banned_by")),
    sa.column("banned_at", sa.DateTime(timezone=True)),
    sa.column("carried", sa.Boolean()),
)
sanctions = sa.table(
    "sanctions",
    sa.column("id", sa.Uuid()),
    *(sa.column(n) for n in ("platform", "tenant", "user_id", "workspace_id", "kind")),
    sa.column("started_at", sa.DateTime(timezone=True)),
    sa.column("decided_by"),
)


def upgrade() -> None:
    bind = op.get_bind()
    enterprise = sa.func.nullif(requests.c.enterprise_id, "")
    bind.execute(
        requests.update()
        .where(requests.c.platform == SLACK)
        .values(tenant=sa.func.coalesce(enterprise, requests.c.workspace_id))
    )
    of_job = (
        sa.select(requests.c.tenant)
        .join(jobs, jobs.c.request_id == requests.c.id)
        .where(requests.c.platform == SLACK)
    )
    bind.execute(
        usage.update()
        .where(usage.c.platform == SLACK)
        .values(
            tenant=sa.func.coalesce(of_job.where(jobs.c.id == usage.c.job_id).scalar_subquery(), "")
        )
    )
    # Who reported is known by id alone; of the two teams of a shared channel the picture's is
    # likelier to be theirs.
    bind.execute(
        reviews.update()
        .where(reviews.c.opened_by != "")
        .values(
            opened_tenant=sa.func.coalesce(
                of_job.where(jobs.c.id == reviews.c.job_id).scalar_subquery(), ""
            )
        )
    )
    # Discord's addresses name the application; Slack's do not.
    application = deliveries.c.address["application_id"].as_string()
    bind.execute(
        deliveries.update()
        .where(deliveries.c.platform == "discord")
        .values(application=sa.func.coalesce(application, ""))
    )
    _carry_bans(bind)


def _carry_bans(bind: sa.Connection) -> None:
    """One for each tenant that a banned id is known in; where none is known, for all."""
    for ban in bind.execute(sa.select(bans).where(bans.c.carried.is_(False))).all():
        tenants: list[str | None] = [""]
        if ban.platform == SLACK:
            known = sa.select(requests.c.tenant).where(
                requests.c.platform == SLACK, requests.c.user_id == ban.user_id
            )
            tenants = list(bind.scalars(known.distinct())) or [None]
        for tenant in tenants:
            bind.execute(
                sanctions.insert().values(
                    id=uuid4(),
                    platform=ban.platform,
                    tenant=tenant,
                    user_id=ban.user_id,
                    workspace_id="",
                    kind="ban",
                    started_at=ban.banned_at,
                    decided_by=ban.banned_by,
                )
            )
    bind.execute(bans.update().values(carried=True))


def downgrade() -> None:
    """Nothing of what 0004 knew is changed."""
