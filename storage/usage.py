"""What each finished job cost."""

from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from sqlalchemy import bindparam, func, literal_column, select
from sqlalchemy.orm import Session

from storage import metrics
from storage.domain import Platform, UsageEntry
from storage.tables import JobRow, RequestRow, UsageRow, add


def enter(session: Session, job_id: UUID, pictures: int, now: datetime) -> None:
    """Write the usage entry of a job that has just been finished."""
    job = session.execute(_FINISHED, {"job": job_id}).one()
    add(
        session,
        UsageRow,
        job_id=job_id,
        platform=job.platform,
        workspace_id=job.workspace_id,
        user_id=job.user_id,
        day=now.astimezone(UTC).date(),
        pictures=pictures,
        device_seconds=job.device_seconds,
        queue_seconds=job.queue_seconds,
        created_at=now,
    )
    drawn_in = (now - job.claimed_at).total_seconds() if job.claimed_at else 0.0
    metrics.after_commit(session, partial(metrics.job_took, job.model, job.queue_seconds, drawn_in))


_FINISHED = (
    select(
        *(JobRow.model, JobRow.queue_seconds, JobRow.device_seconds, JobRow.claimed_at),
        *(RequestRow.platform, RequestRow.workspace_id, RequestRow.user_id),
    )
    .join(RequestRow, RequestRow.id == JobRow.request_id)
    .where(JobRow.id == bindparam("job"))
)


def recent(session: Session, platform: Platform, user_id: str, limit: int) -> list[UsageEntry]:
    """The person's newest entries."""
    rows = session.scalars(
        select(UsageRow)
        .where(UsageRow.platform == platform, UsageRow.user_id == user_id)
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
