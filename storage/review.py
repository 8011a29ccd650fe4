"""Reviews: what moderators are asked to judge; `decisions` has what they decide."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage import accounts
from storage.domain import Account, Review, ReviewKind, Verdict, worst
from storage.domain.policy import FLOOR_RULES, Decision
from storage.tables import JobRow, ReviewRow


def open_for(
    session: Session, job_id: UUID, sha256: str, verdicts: Iterable[Verdict], now: datetime
) -> None:
    """Open the review that these verdicts ask for: one at most. What has been taken down is shown
    to nobody, so that only the floor has still to be looked at."""
    verdicts = list(verdicts)
    if any(v.rule in FLOOR_RULES for v in verdicts):
        _open(session, job_id, ReviewKind.RESTRICTED, sha256, now)
    elif verdicts and worst(verdicts).decision is Decision.HOLD and not is_removed(session, job_id):
        _open(session, job_id, ReviewKind.HOLD, sha256, now)


def is_removed(session: Session, job_id: UUID) -> bool:
    """Whether a moderator has taken its message down. Asked under the lock of the job, it stays
    so until the commit."""
    removed = select(ReviewRow.id).where(ReviewRow.job_id == job_id, ReviewRow.decision == "remove")
    return session.scalar(removed.limit(1)) is not None


REPORTS_A_DAY = 10
"""Of one person: each costs a moderator a look, and who sees more that is wrong does better to tell
a moderator in words."""


def may_report(session: Session, by: Account, now: datetime) -> bool:
    """Whether they have reported fewer than that since midnight, UTC."""
    theirs, today = accounts.counted_reports(by), ReviewRow.opened_at >= midnight(now)
    return (session.scalar(select(func.count()).where(theirs, today)) or 0) < REPORTS_A_DAY


def midnight(now: datetime) -> datetime:
    """When the day of UTC began."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def report(session: Session, job_id: UUID, *, by: Account, now: datetime) -> bool:
    """Somebody pressed Report. False if the same person has reported it already."""
    # Two presses at once are taken one after the other.
    session.get_one(JobRow, job_id, with_for_update=True)
    return _open(session, job_id, ReviewKind.REPORT, "", now, by)


def _open(
    session: Session,
    job_id: UUID,
    kind: ReviewKind,
    sha256: str,
    now: datetime,
    by: Account | None = None,
) -> bool:
    exists = session.scalar(
        select(ReviewRow.id).where(
            ReviewRow.job_id == job_id,
            ReviewRow.kind == kind,
            ReviewRow.picture_sha256 == sha256,
            accounts.reported_as(by) if by else ReviewRow.opened_by == "",
        )
    )
    if exists is not None:
        return False
    session.add(
        ReviewRow(
            id=uuid4(),
            job_id=job_id,
            kind=kind,
            picture_sha256=sha256,
            opened_by=by.user_id if by else "",
            opened_tenant=by.tenant if by else "",
            opened_at=now,
        )
    )
    return True


def waiting(session: Session, kind: ReviewKind | None = None, limit: int = 50) -> list[Review]:
    """Open reviews, oldest first."""
    query = select(ReviewRow).where(ReviewRow.decision.is_(None))
    if kind is not None:
        query = query.where(ReviewRow.kind == kind)
    rows = session.scalars(query.order_by(ReviewRow.opened_at).limit(limit))
    return [_review(row) for row in rows]


def _review(row: ReviewRow) -> Review:
    return Review(
        id=row.id,
        job_id=row.job_id,
        kind=ReviewKind(row.kind),
        picture_sha256=row.picture_sha256 or None,
        opened_at=row.opened_at,
        opened_by=row.opened_by,
        decision=row.decision,
        decided_at=row.decided_at,
        decided_by=row.decided_by,
    )
