"""Leases: who works on what. A job is claimed with a lease, renewed by the clock, and claimed
again when the lease runs out; the attempt number tells the newest holder from a zombie.

Every function takes a session of `Database.write` and the time; none commits.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Date,
    Float,
    Integer,
    Row,
    ScalarSelect,
    Select,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from storage import accounts, deliveries, jobs, metrics, origins, usage
from storage.domain import Attempt, Cancelled, GenerationJob, JobState, StepReport
from storage.domain.job import FailureReason, Phase
from storage.tables import JobRow, RequestRow, UsageRow, UtcDateTime, is_open, table

FAIR_WINDOW = timedelta(minutes=10)
AGE_CAP = timedelta(minutes=10)
"""A job that has waited this long goes first, however much its server has used."""


# Statements that every job passes are built once: putting the largest together takes more of the
# processor than the database takes to answer it.
_now, _lately = bindparam("now", type_=UtcDateTime()), bindparam("lately", type_=UtcDateTime())

_claimable = or_(
    JobRow.state == JobState.WAITING,
    and_(
        JobRow.state == JobState.RUNNING,
        JobRow.lease_until < _now,
        JobRow.cancel_requested.is_(False),
        JobRow.attempt - JobRow.released < bindparam("max_attempts", type_=Integer()),
    ),
)
"""What nobody works on and somebody should; the reaper ends the rest."""


_lost = JobRow.attempt > JobRow.released
"""Of a claimable job: it had its turn, and its worker died or fell silent."""


def _fairest() -> Select[*tuple[Any, ...]]:
    """Claimable jobs: those whose worker was lost, then the longest waiting beyond the age cap,
    then whose server, then whose person, has the fewest running and has used the device least of
    late. One that ends its workers is first three times; what they spent puts its person's other
    jobs behind everybody's for a while."""
    running = (
        select(
            *(RequestRow.platform, RequestRow.workspace_id, RequestRow.user_id),
            accounts.tenant.label("tenant"),
        )
        .join(JobRow, JobRow.request_id == RequestRow.id)
        .where(is_open(), JobRow.state == JobState.RUNNING, JobRow.lease_until >= _now)
        .cte("running")
        .prefix_with("MATERIALIZED")
    )
    at_work = running.c

    def count(*same: ColumnElement[bool]) -> ScalarSelect[int]:
        return select(func.count()).select_from(running).where(*same).scalar_subquery()

    def used(*same: ColumnElement[bool]) -> ScalarSelect[float]:
        return (
            select(func.coalesce(func.sum(UsageRow.device_seconds), 0.0))
            .where(UsageRow.created_at > _lately, *same)
            .scalar_subquery()
        )

    # Days too, since they are in the index of what a person has used.
    lately = UsageRow.day >= bindparam("day", type_=Date())
    platform, server = RequestRow.platform, RequestRow.workspace_id
    running_theirs = and_(at_work.user_id == RequestRow.user_id, at_work.tenant == accounts.tenant)
    used_theirs = and_(
        UsageRow.user_id == RequestRow.user_id, UsageRow.tenant.in_([accounts.tenant, ""])
    )
    aged = JobRow.created_at < bindparam("aged", type_=UtcDateTime())
    return (
        select(
            *(JobRow.id, JobRow.attempt, JobRow.released, JobRow.created_at),
            *(JobRow.claimed_at, JobRow.lease_until, JobRow.device_seconds),
            *(JobRow.allowed, RequestRow),
        )
        .join(RequestRow, RequestRow.id == JobRow.request_id)
        .where(is_open(), JobRow.model.in_(bindparam("models", expanding=True)), _claimable)
        .order_by(
            case((_lost, 0), else_=1),
            case((aged, 0), else_=1),
            case((aged, JobRow.created_at)),
            # Direct messages are no server: there each person counts as one.
            count(
                *(at_work.platform == platform, at_work.workspace_id == server),
                or_(server != "", running_theirs),
            ),
            used(
                *(UsageRow.platform == platform, UsageRow.workspace_id == server),
                or_(server != "", used_theirs),
            ),
            count(at_work.platform == platform, running_theirs),
            used(UsageRow.platform == platform, used_theirs, lately),
            JobRow.created_at,
        )
        .limit(8)
    )


_FAIREST = _fairest()
_TAKE = (
    update(table(JobRow))
    .where(JobRow.id == bindparam("job"), JobRow.attempt == bindparam("seen"), _claimable)
    .values(
        state=JobState.RUNNING,
        attempt=JobRow.attempt + 1,
        worker=bindparam("by"),
        lease_until=bindparam("until", type_=UtcDateTime()),
        claimed_at=_now,
        queue_seconds=bindparam("waited", type_=Float()),
        phase=Phase.LOADING,
        step=0,
        step_count=0,
        device_seconds=bindparam("spent", type_=Float()),
    )
    .returning(JobRow.id)
)


def claim(
    session: Session,
    models: Sequence[str],
    *,
    worker: str,
    lease: timedelta,
    max_attempts: int,
    now: datetime,
    in_hand: Container[UUID] = (),
) -> GenerationJob | None:
    """Take the fairest claimable job of these models, or None: no row, no work. What this worker
    has `in_hand` it does not take from itself, even if it could not renew the lease in time."""
    lately = now - FAIR_WINDOW
    given = {"now": now, "max_attempts": max_attempts}
    fairest = session.execute(
        _FAIREST,
        given
        | {
            "models": models,
            "aged": now - AGE_CAP,
            "lately": lately,
            "day": lately.astimezone(UTC).date(),
        },
    )
    for job, request in ((row, row.RequestRow) for row in fairest):
        if job.id in in_hand:
            continue
        until = now + lease
        values = {
            "job": job.id,
            "seen": job.attempt,
            "by": worker,
            "until": until,
            "waited": (now - job.created_at).total_seconds(),
            "spent": _spent(job, now),
        }
        if session.execute(_TAKE, given | values).one_or_none():
            deliveries.desire(session, job.id)
            attempt = Attempt(
                number=job.attempt + 1,
                worker=worker,
                lease_until=until,
                crashes=job.attempt - job.released,
            )
            return GenerationJob(
                id=job.id,
                attempt=attempt,
                request=jobs.request_of(request),
                place=jobs.place_of(request),
                prompt_labels=frozenset(request.prompt_labels),
                outside=origins.of_row(request),
                allowed=job.allowed,
            )
    return None


def _spent(job: JobRow | Row[*tuple[Any, ...]], now: datetime) -> float:
    """Device time of a job's attempts that were lost, the last one among them: from each claim
    until its lease ran out, since nobody has seen more of it. What ends well, or as its worker
    says, costs what that worker spent and no more; who crashes them all pays for all."""
    if not job.lease_until or not job.claimed_at:
        return float(job.device_seconds)
    lost = min(job.lease_until, now) - job.claimed_at
    return float(job.device_seconds + lost.total_seconds())


UNTOUCHED = Cancelled()


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
    row = session.get(JobRow, job.id, with_for_update=True)
    if row is None or row.state != JobState.RUNNING or row.attempt != job.attempt.number:
        return Renewal(held=False, cancel=False)
    if (row.phase, row.step, row.step_count) != (report.phase, report.step, report.steps):
        deliveries.desire(session, job.id, urgent=row.phase != report.phase)
    row.lease_until = now + lease
    row.phase, row.step, row.step_count = report.phase, report.step, report.steps
    return Renewal(held=True, cancel=row.cancel_requested)


def release(
    session: Session, job: GenerationJob, now: datetime, cancelled: Cancelled = UNTOUCHED
) -> bool:
    """Hand an unfinished job back in good order (the worker is going down). False if nobody is
    to take it up: it has another holder, or its person has cancelled it, so that it ends here,
    as `cancelled`."""
    row = session.get(JobRow, job.id, with_for_update=True)
    if row is None or row.state != JobState.RUNNING or row.attempt != job.attempt.number:
        return False
    if row.cancel_requested:
        jobs.finish(session, job, cancelled, now)
        return False
    deliveries.desire(session, job.id)
    row.lease_until = None
    row.state, row.released, row.rung_at = JobState.WAITING, row.released + 1, now
    return True


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
        select(JobRow)
        .where(is_open(), or_(expired, unheard))
        .order_by(JobRow.rung_at)
        .limit(50)
        .with_for_update(skip_locked=True)
    ):
        if job.state == JobState.RUNNING and job.cancel_requested:
            end(session, job, JobState.CANCELLED, now)
        elif job.state == JobState.RUNNING and job.attempt - job.released >= max_attempts:
            job.failure = FailureReason.CRASHED
            end(session, job, JobState.FAILED, now)
        elif (first := _first_look(job)) or job.rung_at < now - ring_after:
            if first:
                deliveries.desire(session, job.id)
            job.rung_at = now
            rings.append(Ring(job_id=job.id, model=job.model))
    return rings


def _first_look(job: JobRow) -> bool:
    """Whether nobody has rung for it since it was claimed: its card says still that it is drawn."""
    return job.claimed_at is not None and job.rung_at <= job.claimed_at


def end(session: Session, job: JobRow, state: JobState, now: datetime) -> None:
    """End a running job in place of its worker, which may be lost. Its person pays for what is
    known to have been drawn if they cancelled it, and otherwise with time alone."""
    pictures = 0
    if state == JobState.CANCELLED:
        report = StepReport(phase=Phase.DRAWING, step=job.step, steps=job.step_count)
        pictures = report.pictures(session.get_one(RequestRow, job.request_id).count)
    job.device_seconds = _spent(job, now)
    job.state, job.finished_at, job.lease_until = state, now, None
    session.flush()  # The entry is made of what stands there.
    usage.enter(session, job.id, pictures, now)
    metrics.job_took(session, job.model, job.queue_seconds, job.claimed_at, now)
    deliveries.desire(session, job.id)
