"""The queue: how much waits, and what is where in it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from storage.domain import JobState
from storage.tables import DeliveryRow, JobRow, is_open

LENGTH = select(func.count()).select_from(JobRow).where(is_open(), JobRow.state == JobState.WAITING)


def length(session: Session) -> int:
    return int(session.scalar(LENGTH) or 0)


def position(session: Session, job_id: UUID) -> int:
    """How many unfinished jobs of the same model are before this one, plus one."""
    job = session.get_one(JobRow, job_id)
    ahead = session.scalar(
        select(func.count())
        .select_from(JobRow)
        .where(
            JobRow.model == job.model,
            is_open(),
            JobRow.created_at < job.created_at,
        )
    )
    return int(ahead or 0) + 1


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A job that waits, for its turn or in place of a lost worker for another one, and what its
    card said of the queue when somebody looked last."""

    job_id: UUID
    model: str
    position: int
    """As `position` gives it."""
    created_at: datetime
    said: str


def waiting(session: Session, platform: str, now: datetime) -> list[Waiting]:
    """The waiting jobs whose cards this platform's deliverer shows."""
    place = func.rank().over(partition_by=JobRow.model, order_by=JobRow.created_at)
    unfinished = (
        select(
            *(JobRow.id, JobRow.model, JobRow.state, JobRow.created_at, JobRow.lease_until),
            place.label("position"),
        )
        .where(is_open())
        .subquery()
    )
    job = unfinished.c
    rows = session.execute(
        select(job.id, job.model, job.position, job.created_at, DeliveryRow.shown_waiting)
        .join(DeliveryRow, DeliveryRow.job_id == job.id)
        .where(
            or_(job.state == JobState.WAITING, job.lease_until < now),
            DeliveryRow.platform == platform,
            DeliveryRow.gone.is_(None),
        )
    )
    return [
        Waiting(job_id=id_, model=model, position=number, created_at=at, said=said)
        for id_, model, number, at, said in rows
    ]
