"""Leases: who works on what. A job is claimed with a lease, renewed by the clock, and claimed
again when the lease runs out; the attempt number tells the newest holder from a zombie.

Every function takes a session of `Database.write` and the time; none commits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, ScalarSelect, and_, case, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from storage import deliveries, usage
from storage.domain import Attempt, GenerationJob, JobState, StepReport
from storage.domain.job import FailureReason, Phase
from storage.jobs import changed, place_of, request_of
from storage.tables import JobRow, RequestRow, UsageRow

FAIR_WINDOW = timedelta(minutes=10)
AGE_CAP = timedelta(minutes=10)
"""A job that has waited this long goes first, however much its server has used."""


def _claimable(now: datetime) -> ColumnElement[bool]:
    return or_(
        JobRow.state == JobState.WAITING,
        and_(JobRow.state == JobState.RUNNING, JobRow.lease_until < now),
    )


def _fairest(session: Session, models: Sequence[str], now: datetime) -> Sequence[JobRow]:
    """Claimable jobs: the longest waiting beyond the age cap, then whose server, then whose
    person, has the fewest running and has used the device least of late."""
    other_job, other = aliased(JobRow), aliased(RequestRow)

    def running(*same: ColumnElement[bool]) -> ScalarSelect[int]:
        return (
            select(func.count())
            .select_from(other_job)
            .join(other, other.id == other_job.request_id)
            .where(other_job.state == JobState.RUNNING, *same)
            .scalar_subquery()
        )

    def used(*same: ColumnElement[bool]) -> ScalarSelect[float]:
        return (
            select(func.coalesce(func.sum(UsageRow.device_seconds), 0.0))
            .where(UsageRow.created_at > now - FAIR_WINDOW, *same)
            .scalar_subquery()
        )

    platform, server, person = RequestRow.platform, RequestRow.workspace_id, RequestRow.user_id
    aged = JobRow.created_at < now - AGE_CAP
    query = (
        select(JobRow)
        .join(RequestRow, RequestRow.id == JobRow.request_id)
        .where(JobRow.model.in_(models), _claimable(now))
        .order_by(
            case((aged, 0), else_=1),
            case((aged, JobRow.created_at)),
            running(other.platform == platform, other.workspace_id == server),
            used(UsageRow.platform == platform, UsageRow.workspace_id == server),
            running(other.platform == platform, other.user_id == person),
            used(UsageRow.platform == platform, UsageRow.user_id == person),
            JobRow.created_at,
        )
        .limit(8)
    )
    return session.scalars(query).all()


def claim(
    session: Session,
    models: Sequence[str],
    *,
    worker: str,
    lease: timedelta,
    max_attempts: int,
    now: datetime,
) -> GenerationJob | None:
    """Take the fairest claimable job of these models, or None: no row, no work."""
    for job in _fairest(session, models, now):
        if job.attempt - job.released >= max_attempts:
            continue
        until = now + lease
        taken = session.execute(
            update(JobRow)
            .where(JobRow.id == job.id, JobRow.attempt == job.attempt, _claimable(now))
            .values(
                state=JobState.RUNNING,
                attempt=job.attempt + 1,
                worker=worker,
                lease_until=until,
                claimed_at=now,
                queue_seconds=(now - job.created_at).total_seconds(),
                phase=Phase.LOADING,
                step=0,
                step_count=0,
            )
            .execution_options(synchronize_session=False)
        )
        if changed(taken) == 1:
            deliveries.desire(session, job.id)
            attempt = Attempt(number=job.attempt + 1, worker=worker, lease_until=until)
            row = session.get_one(RequestRow, job.request_id)
            return _generation_job(job.id, attempt, row)
    return None


def _generation_job(job_id: UUID, attempt: Attempt, row: RequestRow) -> GenerationJob:
    return GenerationJob(
        id=job_id,
        attempt=attempt,
        request=request_of(row),
        place=place_of(row),
        prompt_labels=frozenset(row.prompt_labels),
    )


@dataclass(frozen=True, kw_only=True)
class Renewal:
    held: bool
    """False: somebody else has the job now, or it is finished; stop and write nothing."""
    cancel: bool


def renew(
    session: Session,
    job: GenerationJob,
    report: StepReport,
    *,
    lease: timedelta,
    now: datetime,
) -> Renewal:
    row = session.get(JobRow, job.id)
    if row is None or row.state != JobState.RUNNING or row.attempt != job.attempt.number:
        return Renewal(held=False, cancel=False)
    if (row.phase, row.step, row.step_count) != (report.phase, report.step, report.steps):
        deliveries.desire(session, job.id, urgent=row.phase != report.phase)
    row.lease_until = now + lease
    row.phase, row.step, row.step_count = report.phase, report.step, report.steps
    return Renewal(held=True, cancel=row.cancel_requested)


def release(session: Session, job: GenerationJob, now: datetime) -> bool:
    """Hand an unfinished job back in good order (the worker is going down)."""
    released = session.execute(
        update(JobRow)
        .where(
            JobRow.id == job.id,
            JobRow.state == JobState.RUNNING,
            JobRow.attempt == job.attempt.number,
        )
        .values(state=JobState.WAITING, lease_until=None, released=JobRow.released + 1, rung_at=now)
    )
    if changed(released) == 1:
        deliveries.desire(session, job.id)
        return True
    return False


@dataclass(frozen=True, kw_only=True)
class Ring:
    job_id: UUID
    model: str


def reap(
    session: Session, *, max_attempts: int, ring_after: timedelta, now: datetime
) -> list[Ring]:
    """Fail what crashed too often, and name what the doorbell must ring for again: expired
    leases at once, waiting jobs whose ring seems lost after `ring_after`."""
    expired = and_(JobRow.state == JobState.RUNNING, JobRow.lease_until < now)
    unheard = and_(JobRow.state == JobState.WAITING, JobRow.rung_at < now - ring_after)
    rings = []
    for job in session.scalars(
        select(JobRow).where(or_(expired, unheard)).order_by(JobRow.rung_at).limit(50)
    ):
        if job.state == JobState.RUNNING and job.cancel_requested:
            job.state, job.finished_at, job.lease_until = JobState.CANCELLED, now, None
            deliveries.desire(session, job.id)
        elif job.state == JobState.RUNNING and job.attempt - job.released >= max_attempts:
            job.state, job.finished_at, job.lease_until = JobState.FAILED, now, None
            job.failure = FailureReason.CRASHED
            usage.enter(session, job.id, 0, now)
            deliveries.desire(session, job.id)
        elif job.rung_at < now - ring_after or (job.claimed_at and job.rung_at <= job.claimed_at):
            job.rung_at = now
            rings.append(Ring(job_id=job.id, model=job.model))
    return rings
