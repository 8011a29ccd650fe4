"""The queue: how much waits, and what is where in it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
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
class Unfinished:
    """An unfinished job, and what its card said of the queue when somebody looked last."""

    job_id: UUID
    model: str
    waiting: bool
    """For its turn, or in place of a lost worker for another one."""
    position: int
    """As `position` gives it."""
    created_at: datetime
    token_expires_at: datetime | None
    """When the message can be edited in this way no more (Discord)."""
    said: str


def unfinished(
    session: Session, platform: str, now: datetime, application: str = ""
) -> list[Unfinished]:
    """The jobs whose cards this platform's deliverer shows as this application."""
    place = func.rank().over(partition_by=JobRow.model, order_by=JobRow.created_at)
    open_jobs = (
        select(
            *(JobRow.id, JobRow.model, JobRow.state, JobRow.created_at, JobRow.lease_until),
            place.label("position"),
        )
        .where(is_open())
        .subquery()
    )
    job, expires_at = open_jobs.c, DeliveryRow.address["token_expires_at"].as_string()
    rows = session.execute(
        select(
            *(job.id, job.model, job.state, job.lease_until, job.position, job.created_at),
            *(expires_at, DeliveryRow.shown_waiting),
        )
        .join(DeliveryRow, DeliveryRow.job_id == job.id)
        .where(
            DeliveryRow.platform == platform,
            DeliveryRow.application.in_(("", application)),
            DeliveryRow.gone.is_(None),
        )
    )
    return [
        Unfinished(
            job_id=id_,
            model=model,
            waiting=state == JobState.WAITING or (lease is not None and lease < now),
            position=number,
            created_at=at,
            token_expires_at=_moment(expires),
            said=said,
        )
        for id_, model, state, lease, number, at, expires, said in rows
    ]


def _moment(text: str | None) -> datetime | None:
    """None where that cannot be read: one address that is wrong keeps no other card as it is."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None
