"""Decisions: what a moderator does about what was held, reported or shown. Each is written down,
with who and when.

Every function takes a session of `Database.write` and the time; none commits.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from storage import accounts, deliveries, jobs, standing
from storage.domain import JobState, ReviewKind
from storage.domain.policy import Decision
from storage.tables import (
    DeliveryRow,
    JobRow,
    PictureRow,
    RequestRow,
    ReviewRow,
    UsageRow,
    VerdictRow,
)


class NotDone(Exception):
    """Nothing was decided; the message says why. `hashes` are what an earlier decision of the same
    kind moves: its caller may have died before that."""

    def __init__(self, why: str, hashes: Sequence[str] = ()) -> None:
        super().__init__(why)
        self.hashes = hashes


def allow(session: Session, job_id: UUID, *, by: str, now: datetime) -> Sequence[str]:
    """A moderator has looked: a prompt or reference that was held waits to be drawn, pictures that
    were held may be seen, reports are closed. Returns the hashes to move out of the part of the
    blob store that is kept apart, which the caller does after the commit, as it rings for a job
    that waits.

    Raises PermissionError for what the floor blocked, which no one can allow, and NotDone where
    there is nothing to allow or nobody to show it to.
    """
    job, reviews = _under_lock(session, job_id)
    if any(row.kind == ReviewKind.RESTRICTED for row in reviews):
        raise PermissionError("The floor blocked this, and nobody can allow that.")
    pictures = _kept_pictures(session, job_id)
    seen = [picture.sha256 for picture in pictures if not picture.kept_apart]
    held = [picture for picture in pictures if picture.decision == Decision.HOLD]
    request = session.get_one(RequestRow, job.request_id)
    if not request.user_id or request.forget_at is not None:
        raise NotDone("Who asked for this wanted to be forgotten, so it is shown no more.")
    if _taken_down(session, job_id):
        raise NotDone(
            f"{_said(reviews)}The message was taken down, and this does not bring it back."
        )
    asked = _open_of(reviews)
    if _is_held(session, job, reviews):
        _let_draw(session, job, request, reviews, now)
    elif not held:
        asked = [row for row in asked if row.kind == ReviewKind.REPORT]
        if not asked:
            stands = _STANDS[JobState(job.state)]
            raise NotDone(f"{_said(reviews)}Nothing of this is held. {stands}", seen)
    for picture in held:
        picture.decision, picture.kept_apart = Decision.ALLOW, False
    _decide(session, job_id, asked, "allow", by, now)
    deliveries.desire(session, job_id)
    return [picture.sha256 for picture in held]


def refuse(session: Session, job_id: UUID, *, by: str, now: datetime) -> Sequence[str]:
    """A moderator has looked, and what was held stays refused. Returns the hashes of what is to be
    kept apart, where it is already. Raises NotDone where nothing is held."""
    _job, reviews = _under_lock(session, job_id)
    pictures = _kept_pictures(session, job_id)
    held = [picture for picture in pictures if picture.decision == Decision.HOLD]
    asked = [row for row in _open_of(reviews) if row.kind != ReviewKind.REPORT]
    if not held and not asked:
        raise NotDone(
            f"{_said(reviews)}Nothing of this is held. To take a message down, use `remove`."
        )
    for picture in held:
        picture.decision = Decision.BLOCK
    _decide(session, job_id, asked, "refuse", by, now)
    deliveries.desire(session, job_id)
    return [picture.sha256 for picture in held]


def remove(session: Session, job_id: UUID, *, by: str, now: datetime) -> Sequence[str]:
    """Take the message down, and draw nothing more of it; the pictures stay in the log, kept apart.
    Returns the hashes to move there, which the caller does after the commit; pictures that are
    being judged follow (`jobs.finish`). Raises NotDone if that was done before."""
    job, reviews = _under_lock(session, job_id)
    pictures = _kept_pictures(session, job_id)
    hashes = [picture.sha256 for picture in pictures]
    # A worker of a release before this one shows those that it finishes after the first time.
    late = any(not picture.kept_apart for picture in pictures)
    if _taken_down(session, job_id) and not late and not _open_of(reviews):
        if any(row.decision == "remove" for row in reviews):
            raise NotDone(f"{_said(reviews)}The message is to be gone.", hashes)
        if not session.get_one(RequestRow, job.request_id).user_id:
            raise NotDone("Who asked for this was forgotten, and the message went with that.")
    jobs.cancel(session, job_id, now)
    for picture in pictures:
        picture.decision, picture.kept_apart = Decision.BLOCK, True
    _decide(session, job_id, _open_of(reviews), "remove", by, now)
    deliveries.desire(session, job_id, removed=True)
    return hashes


_DONE = {"allow": "allowed", "refuse": "kept refused", "remove": "taken down"}
_STANDS = {
    JobState.WAITING: "It waits to be drawn.",
    JobState.RUNNING: "It is being drawn.",
    JobState.MADE: "What the check or a moderator has refused stays so.",
    JobState.REFUSED: "What the check or a moderator has refused stays so.",
    JobState.CANCELLED: "It was cancelled.",
    JobState.FAILED: "It could not be drawn.",
}


def _said(reviews: Iterable[ReviewRow]) -> str:
    """Who decided last, and when."""
    decided = [(row.decided_at, row) for row in reviews if row.decided_at and row.decision]
    if not decided:
        return ""
    at, row = max(decided, key=lambda pair: pair[0])
    done = _DONE.get(row.decision or "", "decided")
    return f"This was {done} by {row.decided_by} on {at:%Y-%m-%d at %H:%M} UTC. "


def _under_lock(session: Session, job_id: UUID) -> tuple[JobRow, Sequence[ReviewRow]]:
    """The job, until the commit nobody else's, and all its reviews: who comes second reads what
    the first has decided."""
    job = session.get_one(JobRow, job_id, with_for_update=True)
    mine = select(ReviewRow).where(ReviewRow.job_id == job_id)
    return job, session.scalars(mine.execution_options(populate_existing=True)).all()


def _kept_pictures(session: Session, job_id: UUID) -> Sequence[PictureRow]:
    of_job = (PictureRow.job_id == job_id, PictureRow.removed_at.is_(None))
    query = select(PictureRow).where(*of_job).order_by(PictureRow.index)
    return session.scalars(query.execution_options(populate_existing=True)).all()


def _open_of(reviews: Iterable[ReviewRow]) -> list[ReviewRow]:
    return [row for row in reviews if row.decision is None]


def _taken_down(session: Session, job_id: UUID) -> bool:
    removed = select(DeliveryRow.removed).where(DeliveryRow.job_id == job_id)
    return bool(session.scalar(removed))


def _is_held(session: Session, job: JobRow, reviews: Iterable[ReviewRow]) -> bool:
    """Whether the check held the prompt or the reference, blocked neither, and nobody has kept it
    refused. One that was allowed and is still refused is held: a worker or a release that knew
    nothing of that has held it again."""
    if job.state != JobState.REFUSED or any(row.decision == "refuse" for row in reviews):
        return False
    of_attempt = (VerdictRow.job_id == job.id, VerdictRow.attempt == job.attempt)
    said = set(session.scalars(select(VerdictRow.decision).where(*of_attempt)))
    return Decision.HOLD in said and Decision.BLOCK not in said


def _let_draw(
    session: Session,
    job: JobRow,
    request: RequestRow,
    reviews: Iterable[ReviewRow],
    now: datetime,
) -> None:
    who = accounts.of_request(request)
    if standing.of(session, who, request.workspace_id, now).banned:
        raise NotDone("Who asked for this has been banned since, so it is not drawn.")
    if job.cancel_requested:
        raise NotDone("Who asked for this has cancelled it.")
    if jobs.request_of(request).lacks_reference:
        raise NotDone(
            "This was to be drawn from a reference image, of which nothing was kept, and the words "
            "alone would make another picture. Ask the person to send both again."
        )
    for row in reviews:
        if (row.kind, row.picture_sha256, row.opened_by) == (ReviewKind.HOLD, "", ""):
            # There may be one such row, and the next check may hold the job again.
            row.opened_by = f"attempt:{job.attempt}"
    if job.attempt:
        # It is the reference that was held, by an attempt that has ended and was no crash.
        job.allowed, job.released = True, job.released + 1
    # It enters its usage when it ends; so far it has drawn nothing.
    session.execute(delete(UsageRow).where(UsageRow.job_id == job.id))
    job.state, job.rung_at, job.finished_at = JobState.WAITING, now, None


def _decide(
    session: Session,
    job_id: UUID,
    reviews: Sequence[ReviewRow],
    decision: str,
    by: str,
    now: datetime,
) -> None:
    """Close these reviews; where there is none, the act is written down all the same."""
    if not reviews:
        id_ = uuid4()
        opened = {"kind": ReviewKind.ACT, "opened_at": now, "opened_by": f"act:{id_.hex}"}
        reviews = [ReviewRow(id=id_, job_id=job_id, picture_sha256="", **opened)]
        session.add_all(reviews)
    for row in reviews:
        row.decision, row.decided_by, row.decided_at = decision, by, now
