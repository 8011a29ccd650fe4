"""Jobs: recorded once, finished once, by the newest attempt only (`leases` says which that is).

Every function takes a session of `Database.write` and the time; none commits.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import and_, bindparam, or_, select, update
from sqlalchemy.orm import Session

from storage import deliveries, metrics, origins, review, search, usage
from storage.domain import (
    Cancelled,
    Complaint,
    EventKey,
    Failed,
    GenerationJob,
    ImageRequest,
    JobState,
    Made,
    Outcome,
    Place,
    Platform,
    Reference,
    ReferenceUse,
    Refused,
    Requester,
    Verdict,
)
from storage.domain.policy import Decision
from storage.tables import (
    JobRow,
    PictureRow,
    RequestRow,
    SearchRow,
    UtcDateTime,
    VerdictRow,
    add,
    add_all,
    table,
)


def known(session: Session, event: EventKey, press: str, heard_at: datetime) -> UUID | None:
    """The job that this event, or the same button pressed within 2 s, has made already."""
    given = {"event": str(event)}
    if not press:
        return session.scalar(_SAME_EVENT, given)
    return session.scalar(_SAME_PRESS, given | {"press": press, "lately": heard_at - _TWICE})


_TWICE = timedelta(seconds=2)
_same_event = RequestRow.event_key == bindparam("event")
_same_press = and_(
    RequestRow.press == bindparam("press"),
    RequestRow.created_at > bindparam("lately", type_=UtcDateTime()),
)
_JOBS = select(JobRow.id).join(RequestRow, RequestRow.id == JobRow.request_id)
_SAME_EVENT, _SAME_PRESS = _JOBS.where(_same_event), _JOBS.where(or_(_same_event, _same_press))


def record(
    session: Session,
    request: ImageRequest,
    *,
    event: EventKey,
    requester: Requester,
    place: Place,
    press: str,
    verdicts: Sequence[Verdict],
    prompt_labels: frozenset[str],
    now: datetime,
) -> UUID:
    """Write a request and its job, which waits; or which is refused if a verdict blocks it."""
    outside = origins.outside(session, request)
    request_id, job_id = uuid4(), uuid4()
    reference = request.reference
    add(
        session,
        RequestRow,
        id=request_id,
        event_key=str(event),
        press=press,
        platform=place.platform,
        enterprise_id=place.enterprise_id,
        workspace_id=place.workspace_id,
        channel_id=place.channel_id,
        thread_id=place.thread_id,
        tenant=requester.tenant,
        user_id=requester.user_id,
        locale=requester.locale,
        age_restricted=place.age_restricted,
        upload_limit_bytes=place.upload_limit_bytes,
        private=request.private,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        prompt_labels=sorted(prompt_labels),
        model=request.model,
        style=request.style,
        width=request.width,
        height=request.height,
        steps=request.steps,
        guidance_scale=request.guidance_scale,
        scheduler=request.scheduler,
        seed=request.seed,
        count=request.count,
        use=reference.use if reference else request.use,
        strength=reference.strength if reference else request.strength,
        reference_sha256=reference.sha256 if reference else None,
        mask_sha256=reference.mask_sha256 if reference else None,
        parent_sha256=request.parent_sha256,
        notes=[{"text": note.text, "values": dict(note.values)} for note in request.notes],
        created_at=now,
        outside=outside,
    )
    grave = [v for v in verdicts if v.decision.keeps_apart]
    add(
        session,
        JobRow,
        id=job_id,
        request_id=request_id,
        model=request.model,
        state=JobState.REFUSED if grave else JobState.WAITING,
        created_at=now,
        rung_at=now,
        finished_at=now if grave else None,
    )
    words = search.indexed(request.prompt, place.platform, place.workspace_id, requester.user_id)
    add(session, SearchRow, request_id=request_id, words=words)
    _log_verdicts(session, job_id, 0, verdicts, None, now)
    if grave:
        metrics.job_ended(session, request.model, JobState.REFUSED)
        usage.enter(session, job_id, 0, now, refused=True)
        review.open_for(session, job_id, "", grave, now)
    return job_id


def _log_verdicts(
    session: Session,
    job_id: UUID,
    attempt: int,
    verdicts: Iterable[Verdict],
    picture_index: int | None,
    now: datetime,
) -> None:
    rows = [
        {
            "job_id": job_id,
            "attempt": attempt,
            "subject": verdict.subject,
            "picture_index": picture_index,
            "decision": verdict.decision,
            "rule": verdict.rule,
            "label": verdict.label,
            "score": verdict.score,
            "scores": dict(verdict.scores),
            "checker": verdict.checker,
            "checker_version": verdict.checker_version,
            "created_at": now,
        }
        for verdict in verdicts
    ]
    add_all(session, VerdictRow, rows)


def request_of(row: RequestRow) -> ImageRequest:
    reference = None
    if row.reference_sha256:
        reference = Reference(
            sha256=row.reference_sha256,
            use=ReferenceUse(row.use or ReferenceUse.RESTYLE),
            strength=row.strength,
            mask_sha256=row.mask_sha256,
        )
    return ImageRequest(
        prompt=row.prompt,
        negative_prompt=row.negative_prompt,
        model=row.model,
        style=row.style,
        width=row.width,
        height=row.height,
        steps=row.steps,
        guidance_scale=row.guidance_scale,
        scheduler=row.scheduler,
        seed=row.seed,
        count=row.count,
        private=row.private,
        strength=row.strength,
        use=reference.use if reference else _use_of_lost(row),
        reference=reference,
        parent_sha256=row.parent_sha256,
        notes=tuple(Complaint(**note) for note in row.notes),
    )


def _use_of_lost(row: RequestRow) -> ReferenceUse | None:
    """What a reference was for that is not kept. Releases before 0004 wrote that down nowhere, but
    nothing drawn from words alone has a parent, or another strength than the default."""
    if row.use:
        return ReferenceUse(row.use)
    traces = row.parent_sha256 is not None or row.strength != ImageRequest.strength
    return ReferenceUse.RESTYLE if traces else None


def place_of(row: RequestRow) -> Place:
    return Place(
        platform=Platform(row.platform),
        enterprise_id=row.enterprise_id,
        workspace_id=row.workspace_id,
        channel_id=row.channel_id,
        thread_id=row.thread_id,
        age_restricted=row.age_restricted,
        upload_limit_bytes=row.upload_limit_bytes,
    )


def finish(session: Session, job: GenerationJob, outcome: Outcome, now: datetime) -> bool:
    """Write how it ended. False, and nothing written, if this attempt is no longer the newest.
    Pictures of a job that a moderator has taken down meanwhile are blocked, whatever the checkers
    said: settle them after the commit (`pixels`)."""
    finished = session.execute(
        _FINISH,
        {
            "job": job.id,
            "number": job.attempt.number,
            "ended": _STATES[type(outcome)],
            "at": now,
            "spent": outcome.device_seconds,
            "revision": outcome.model_revision if isinstance(outcome, Made) else "",
            "reason": outcome.reason if isinstance(outcome, Failed) else None,
        },
    )
    ended = finished.one_or_none()
    if ended is None:
        return False
    drawn = 0
    match outcome:
        case Made(pictures=pictures):
            drawn = len(pictures)
            _record_pictures(session, job, outcome, now)
        case Cancelled(pictures=share):
            drawn = share
        case Refused(verdict=verdict):
            _log_verdicts(session, job.id, job.attempt.number, [verdict], None, now)
            review.open_for(session, job.id, "", [verdict], now)
    usage.enter(session, job.id, drawn, now, refused=isinstance(outcome, Refused))
    metrics.job_took(session, job.request.model, ended.queue_seconds, ended.claimed_at, now)
    metrics.job_ended(session, job.request.model, _STATES[type(outcome)])
    deliveries.desire(session, job.id)
    return True


_FINISH = (
    update(table(JobRow))
    .where(
        JobRow.id == bindparam("job"),
        JobRow.state == JobState.RUNNING,
        JobRow.attempt == bindparam("number"),
    )
    .values(
        {
            "state": bindparam("ended"),
            "finished_at": bindparam("at", type_=UtcDateTime()),
            "lease_until": None,
            "device_seconds": bindparam("spent"),
            "model_revision": bindparam("revision"),
            "failure": bindparam("reason"),
        }
    )
    .returning(JobRow.queue_seconds, JobRow.claimed_at)
)
_STATES = {
    Made: JobState.MADE,
    Refused: JobState.REFUSED,
    Cancelled: JobState.CANCELLED,
    Failed: JobState.FAILED,
}


def _record_pictures(session: Session, job: GenerationJob, made: Made, now: datetime) -> None:
    removed = review.is_removed(session, job.id)
    for picture in made.pictures:
        decision = Decision.BLOCK if removed else picture.verdict.decision
        add(
            session,
            PictureRow,
            job_id=job.id,
            index=picture.index,
            seed=picture.seed,
            sha256=picture.sha256,
            media_type=picture.media_type,
            width=picture.width,
            height=picture.height,
            size_bytes=picture.size_bytes,
            decision=decision,
            kept_apart=decision.keeps_apart,
        )
        verdicts = picture.verdicts
        _log_verdicts(session, job.id, job.attempt.number, verdicts, picture.index, now)
        review.open_for(session, job.id, picture.sha256, verdicts, now)


def cancel(session: Session, job_id: UUID, now: datetime) -> bool:
    """Cancel a waiting job at once, ask a running one to stop. False if it is finished."""
    job = session.get(JobRow, job_id, with_for_update=True)
    if job is None or JobState(job.state).finished:
        return False
    job.cancel_requested = True
    if job.state == JobState.WAITING:
        job.state, job.finished_at = JobState.CANCELLED, now
    deliveries.desire(session, job_id)
    return True
