"""The log: what moderators, `easel log` and the cards read. One noun for all of them."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BindParameter, Select, Uuid, bindparam, exists, literal, select, tuple_
from sqlalchemy.orm import Session

from storage import accounts
from storage.domain import Account, ImageRequest, JobState, Place, ReviewKind, Subject, Verdict
from storage.domain.job import FailureReason, Phase
from storage.domain.policy import Decision
from storage.jobs import place_of, request_of
from storage.search import found, holds, tag
from storage.tables import (
    DeliveryRow,
    JobRow,
    PictureRow,
    RequestRow,
    ReviewRow,
    SearchRow,
    UtcDateTime,
    VerdictRow,
    is_open,
    row_by_row,
)


@dataclass(frozen=True, kw_only=True)
class LoggedPicture:
    index: int
    seed: int
    sha256: str
    media_type: str
    width: int
    height: int
    size_bytes: int
    decision: Decision
    kept_apart: bool
    removed: bool


@dataclass(frozen=True, kw_only=True)
class LogEntry:
    """Everything that is known of one request."""

    job_id: UUID
    event_key: str
    request: ImageRequest
    place: Place
    user_id: str
    """Empty once the person is forgotten."""
    tenant: str = ""
    forgotten: bool = False
    """So they want to be; a moderator has still to look at it."""
    locale: str
    state: JobState
    phase: Phase | None
    step: int
    step_count: int
    attempts: int
    worker: str
    model_revision: str
    failure: FailureReason | None
    cancel_requested: bool
    lease_until: datetime | None
    """Until when its worker has it without a further sign of life."""
    queue_seconds: float
    device_seconds: float
    created_at: datetime
    finished_at: datetime | None
    pictures: tuple[LoggedPicture, ...]
    verdicts: tuple[tuple[int | None, Verdict], ...]
    """With the index of the picture that each is about."""
    message_removed: bool
    held: bool
    """An open review keeps something of it back."""
    judged: str = ""
    """What a moderator decided last, reports aside; empty when nobody has."""

    @property
    def account(self) -> Account:
        """Who asked."""
        return Account(platform=self.place.platform, user_id=self.user_id, tenant=self.tenant)

    def lost(self, now: datetime) -> bool:
        """Its worker died or fell silent, so that it waits for one again."""
        leased = self.state is JobState.RUNNING and not self.cancel_requested
        return leased and self.lease_until is not None and self.lease_until < now


def entry(session: Session, job_id: UUID) -> LogEntry | None:
    found = _entries(session, [job_id])
    return found[0] if found else None


def by_picture(session: Session, sha256: str) -> Sequence[UUID]:
    """Jobs that made this picture, newest first: who repeats a request with its seed makes it
    again."""
    return session.scalars(
        select(PictureRow.job_id)
        .join(JobRow, JobRow.id == PictureRow.job_id)
        .where(PictureRow.sha256 == sha256)
        .order_by(JobRow.created_at.desc())
    ).all()


def by_prefix(session: Session, prefix: str) -> LogEntry | None:
    """The one request whose job id starts like this, as people type it in a shell."""
    text = prefix.replace("-", "").lower()
    if not 4 <= len(text) <= 32 or not all(c in "0123456789abcdef" for c in text):
        return None
    low, high = UUID(text.ljust(32, "0")), UUID(text.ljust(32, "f"))
    found = session.scalars(select(JobRow.id).where(JobRow.id.between(low, high)).limit(2)).all()
    return entry(session, found[0]) if len(found) == 1 else None


def page(
    session: Session,
    *,
    limit: int = 50,
    before: tuple[datetime, UUID] | None = None,
    search: str = "",
    reviews: Collection[ReviewKind] = (),
    user: Account | None = None,
    workspace: tuple[str, str] | None = None,
    unfinished: bool = False,
) -> Sequence[LogEntry]:
    """Newest first; `before` is created_at and job id of the last entry seen (keyset paging).
    `search` finds words and beginnings of words, all of them, as `storage.search` folds them."""
    query = select(JobRow.id).join(RequestRow, RequestRow.id == JobRow.request_id)
    if reviews:
        open_review = select(ReviewRow.job_id).where(
            ReviewRow.kind.in_(reviews), ReviewRow.decision.is_(None)
        )
        query = query.where(JobRow.id.in_(open_review))
    few = bool(reviews) or unfinished
    if user is not None:
        query = query.where(accounts.asked_among_few(user) if few else accounts.asked(user))
    if workspace is not None:
        platform, server = RequestRow.platform, RequestRow.workspace_id
        if few:
            query = query.where(
                row_by_row(platform) == workspace[0], row_by_row(server) == workspace[1]
            )
        else:
            query = query.where(platform == workspace[0], server == workspace[1])
    if unfinished:
        query = query.where(is_open())
    if search.strip() and not few:
        whose = (user.platform, user.user_id) if user is not None else None
        tags = [("u", whose), ("w", workspace)]
        ids = _searched(
            session,
            query,
            search,
            tuple(tag(kind, *named) for kind, named in tags if named is not None),
            before[1] if before else None,
            limit,
        )
        return _entries(session, ids)
    if search.strip():
        query = query.join(SearchRow, SearchRow.request_id == RequestRow.id)
        query = query.where(holds(session, search))
    # The same moment in both tables: which one says whether its index gives the order, or few rows
    # are found first and then sorted.
    created_at = JobRow.created_at if few else RequestRow.created_at
    arrived = tuple_(created_at, RequestRow.id)
    if before is not None:
        at, job_id = before
        request_id = session.scalar(select(JobRow.request_id).where(JobRow.id == job_id))
        last = tuple_(literal(at, UtcDateTime()), literal(request_id or UUID(int=0), Uuid()))
        query = query.where(arrived < last)
    newest = created_at.desc(), RequestRow.id.desc()
    return _entries(session, session.scalars(query.order_by(*newest).limit(limit)).all())


def _searched(
    session: Session,
    query: Select[UUID],
    text: str,
    tags: tuple[str, ...],
    before: UUID | None,
    limit: int,
) -> Sequence[UUID]:
    """Jobs by the first way that fills the page, else by the one that finds all."""
    seen = None
    if before is not None:
        seen = session.scalar(
            select(SearchRow.number)
            .join(JobRow, JobRow.request_id == SearchRow.request_id)
            .where(JobRow.id == before)
        )
    ids: Sequence[UUID] = ()
    for way in found(session, text, tags, seen):
        there = query.join(way, way.c.request_id == RequestRow.id)
        ids = session.scalars(there.order_by(way.c.number.desc()).limit(limit)).all()
        if len(ids) == limit:
            break
    return ids


# Each card and each page asks these, so they are built once.
_ids: BindParameter[Sequence[UUID]] = bindparam("ids", expanding=True)
_ROWS = (
    select(
        JobRow,
        RequestRow,
        DeliveryRow.removed,
        exists()
        .where(
            ReviewRow.job_id == JobRow.id,
            ReviewRow.kind != ReviewKind.REPORT,
            ReviewRow.decision.is_(None),
        )
        .label("held"),
        select(ReviewRow.decision)
        .where(
            ReviewRow.job_id == JobRow.id,
            ReviewRow.kind != ReviewKind.REPORT,
            ReviewRow.decision.is_not(None),
        )
        .order_by(ReviewRow.decided_at.desc())
        .limit(1)
        .scalar_subquery()
        .label("judged"),
    )
    .join(RequestRow, RequestRow.id == JobRow.request_id)
    .outerjoin(DeliveryRow, DeliveryRow.job_id == JobRow.id)
    .where(JobRow.id.in_(_ids))
    .execution_options(populate_existing=True)
)
_PICTURES = select(PictureRow).where(PictureRow.job_id.in_(_ids)).order_by(PictureRow.index)
_VERDICTS = select(VerdictRow).where(VerdictRow.job_id.in_(_ids)).order_by(VerdictRow.id)


def _entries(session: Session, ids: Sequence[UUID]) -> list[LogEntry]:
    """In the order of the ids."""
    if not ids:
        return []
    rows = {row[0].id: row for row in session.execute(_ROWS, {"ids": ids})}
    pictures: defaultdict[UUID, list[PictureRow]] = defaultdict(list)
    for picture in session.scalars(_PICTURES, {"ids": ids}):
        pictures[picture.job_id].append(picture)
    verdicts: defaultdict[UUID, list[VerdictRow]] = defaultdict(list)
    for verdict in session.scalars(_VERDICTS, {"ids": ids}):
        verdicts[verdict.job_id].append(verdict)
    return [
        _entry(
            job,
            request,
            pictures[job.id],
            verdicts[job.id],
            removed=bool(removed),
            held=bool(held),
            judged=judged or "",
        )
        for job, request, removed, held, judged in (rows[id_] for id_ in ids if id_ in rows)
    ]


def _entry(
    job: JobRow,
    request: RequestRow,
    pictures: Sequence[PictureRow],
    verdicts: Sequence[VerdictRow],
    *,
    removed: bool,
    held: bool,
    judged: str,
) -> LogEntry:
    return LogEntry(
        job_id=job.id,
        event_key=request.event_key,
        request=request_of(request),
        place=place_of(request),
        user_id=request.user_id,
        tenant=accounts.of_request(request).tenant,
        forgotten=request.forget_at is not None,
        locale=request.locale,
        state=JobState(job.state),
        phase=Phase(job.phase) if job.phase else None,
        step=job.step,
        step_count=job.step_count,
        attempts=job.attempt - job.released,
        worker=job.worker,
        model_revision=job.model_revision,
        failure=FailureReason(job.failure) if job.failure else None,
        cancel_requested=job.cancel_requested,
        lease_until=job.lease_until,
        queue_seconds=job.queue_seconds,
        device_seconds=job.device_seconds,
        created_at=job.created_at,
        finished_at=job.finished_at,
        pictures=tuple(_picture(row) for row in pictures),
        verdicts=tuple((row.picture_index, _verdict(row)) for row in verdicts),
        message_removed=removed,
        held=held,
        judged=judged,
    )


def _picture(row: PictureRow) -> LoggedPicture:
    return LoggedPicture(
        index=row.index,
        seed=row.seed,
        sha256=row.sha256,
        media_type=row.media_type,
        width=row.width,
        height=row.height,
        size_bytes=row.size_bytes,
        decision=Decision(row.decision),
        kept_apart=row.kept_apart,
        removed=row.removed_at is not None,
    )


def _verdict(row: VerdictRow) -> Verdict:
    return Verdict(
        subject=Subject(row.subject),
        decision=Decision(row.decision),
        rule=row.rule,
        label=row.label,
        score=row.score,
        scores=row.scores,
        checker=row.checker,
        checker_version=row.checker_version,
    )
