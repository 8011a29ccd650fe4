"""Tenants of what is known, and today's bans as sanctions that hold everywhere

Apart from 0004, so that no table is locked while rows are filled. What an older Easel writes later
stays as it writes it: who reads asks `storage.accounts`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SLACK = "slack"
PART = 2_000

requests = sa.table(
    "requests",
    sa.column("id", sa.Uuid()),
    *(sa.column(name) for name in ("platform", "user_id", "workspace_id", "enterprise_id")),
    sa.column("tenant"),
)
jobs = sa.table("jobs", sa.column("id"), sa.column("request_id"))
usage = sa.table(
    "usage", sa.column("job_id", sa.Uuid()), *(sa.column(name) for name in ("platform", "tenant"))
)
reviews = sa.table(
    "reviews",
    sa.column("id", sa.Uuid()),
    *(sa.column(name) for name in ("job_id", "opened_by", "opened_tenant")),
)
deliveries = sa.table(
    "deliveries",
    sa.column("job_id", sa.Uuid()),
    *(sa.column(name) for name in ("platform", "application")),
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

_tenant = sa.func.coalesce(sa.func.nullif(requests.c.enterprise_id, ""), requests.c.workspace_id)
_application = deliveries.c.address["application_id"].as_string()


def _of_job(job_id: sa.ColumnElement[object]) -> sa.Select[tuple[str]]:
    return (
        sa.select(_tenant)
        .join(jobs, jobs.c.request_id == requests.c.id)
        .where(requests.c.platform == SLACK, jobs.c.id == job_id)
    )


FILLS = (
    (
        *(requests, requests.c.id, {"tenant": _tenant}),
        sa.and_(requests.c.platform == SLACK, requests.c.tenant == ""),
    ),
    (
        *(usage, usage.c.job_id, {"tenant": _of_job(usage.c.job_id).scalar_subquery()}),
        sa.and_(usage.c.platform == SLACK, usage.c.tenant == "", _of_job(usage.c.job_id).exists()),
    ),
    # Who reported is known by id alone; of the two teams of a shared channel the picture's is
    # likelier to be theirs.
    (
        *(reviews, reviews.c.id, {"opened_tenant": _of_job(reviews.c.job_id).scalar_subquery()}),
        sa.and_(
            reviews.c.opened_by != "",
            reviews.c.opened_tenant == "",
            _of_job(reviews.c.job_id).exists(),
        ),
    ),
    # Discord's addresses name the application; Slack's do not.
    (
        *(deliveries, deliveries.c.job_id, {"application": _application}),
        sa.and_(
            deliveries.c.platform == "discord",
            deliveries.c.application == "",
            _application.is_not(None),
        ),
    ),
)
"""A table, its key, what is to be filled, and in which rows, so that none is filled twice."""


def ahead(transaction: Callable[[], AbstractContextManager[sa.Connection]]) -> None:
    """What `upgrade` does to rows, a part in each transaction, so that nobody waits for long. Safe
    to repeat, and to be left off anywhere."""
    for table, key, values, lacking in FILLS:
        rest: sa.ColumnElement[bool] = sa.true()
        while True:
            with transaction() as connection:
                part = sa.select(key).where(rest).order_by(key).offset(PART - 1).limit(1)
                last = connection.scalar(part)
                until = rest if last is None else sa.and_(rest, key <= last)
                connection.execute(table.update().where(until, lacking).values(values))
            if last is None:
                break
            rest = key > last


def upgrade() -> None:
    bind = op.get_bind()
    for table, _, values, lacking in FILLS:
        bind.execute(table.update().where(lacking).values(values))
    _carry_bans(bind)


def _carry_bans(bind: sa.Connection) -> None:
    """One for each tenant that a banned id is known in; where none is known, for all."""
    # A ban of somebody who had been forgotten bans nobody.
    found = sa.select(bans).where(bans.c.carried.is_(False), bans.c.user_id != "")
    for ban in bind.execute(found).all():
        tenants: list[str | None] = [""]
        if ban.platform == SLACK:
            known = sa.select(_tenant).where(
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
