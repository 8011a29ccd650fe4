"""What each finished job cost."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Date, Integer, bindparam, func, literal_column, select
from sqlalchemy.orm import Session

from storage import accounts
from storage.domain import Account, UsageEntry
from storage.tables import JobRow, RequestRow, UsageRow, UtcDateTime, inserting


def enter(
    session: Session, job_id: UUID, pictures: int, now: datetime, *, refused: bool = False
) -> None:
    """Write the usage entry of a job that has just been finished."""
    given = {"job": job_id, "drawn": pictures, "no": int(refused), "now": now}
    today = {"today": now.astimezone(UTC).date()}
    session.execute(_ENTER, given | today)


_ENTER = inserting(UsageRow).from_select(
    [
        *("job_id", "device_seconds", "queue_seconds"),
        *("platform", "tenant", "workspace_id", "user_id"),
        *("pictures", "refused", "day", "created_at"),
    ],
    select(
        *(JobRow.id, JobRow.device_seconds, JobRow.queue_seconds),
        *(RequestRow.platform, accounts.tenant, RequestRow.workspace_id, RequestRow.user_id),
        bindparam("drawn", type_=Integer()),
        bindparam("no", type_=Integer()),
        bindparam("today", type_=Date()),
        bindparam("now", type_=UtcDateTime()),
    )
    .join(RequestRow, RequestRow.id == JobRow.request_id)
    .where(JobRow.id == bindparam("job")),
)


def recent(session: Session, account: Account, limit: int) -> list[UsageEntry]:
    """The person's newest entries of what was drawn for them."""
    rows = session.scalars(
        select(UsageRow)
        .where(accounts.used(account), UsageRow.refused == 0)
        .order_by(UsageRow.day.desc(), UsageRow.created_at.desc())
        .limit(limit)
    )
    return [
        UsageEntry(
            job_id=row.job_id,
            pictures=row.pictures,
            device_seconds=row.device_seconds,
            queue_seconds=row.queue_seconds,
        )
        for row in rows
    ]


def mean_device_seconds(session: Session, model: str, sample: int = 20) -> float | None:
    """Device time of the newest finished jobs of a model, for estimates; None without any."""
    newest = (
        select(JobRow.device_seconds)
        .where(JobRow.model == model, JobRow.state == literal_column("'made'"))
        .order_by(JobRow.finished_at.desc())
        .limit(sample)
        .subquery()
    )
    return session.scalar(select(func.avg(newest.c.device_seconds)))
