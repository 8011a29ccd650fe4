"""Reviews: what moderators are asked to judge, and what they decided."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import and_, delete, select
from sqlalchemy.orm import Session

from storage import accounts, deliveries, standing
from storage.domain import Account, JobState, Review, ReviewKind, Verdict, worst
from storage.domain.policy import MINOR_FLOOR_RULE, Decision
from storage.tables import (
    BanRow,
    DeliveryRow,
    JobRow,
    PictureRow,
    RequestRow,
    ReviewRow,
    SanctionRow,
    UsageRow,
    VerdictRow,
)


class NotDone(Exception):
    """Nothing was decided; the message says why. `hashes` are what an earlier decision of the same
    kind moves: its caller may have died before that."""

    def __init__(self, why: str, hashes: Sequence[str] = ()) -> None:
        super().__init__(why)
        self.hashes = hashes


def open_for(
    session: Session, job_id: UUID, sha256: str, verdicts: Iterable[Verdict], now: datetime
) -> None:
    """Open the review that these verdicts ask for: one at most."""
    verdicts = list(verdicts)
    if any(v.rule == MINOR_FLOOR_RULE for v in verdicts):
        _open(session, job_id, ReviewKind.RESTRICTED, sha256, now)
    elif verdicts and worst(verdicts).decision is Decision.HOLD:
        _open(session, job_id, ReviewKind.HOLD, sha256, now)


def report(session: Session, job_id: UUID, *, by: Account, now: datetime) -> bool:
    """Somebody pressed Report. False if the same person has reported it already."""
    return _open(session, job_id, ReviewKind.REPORT, "", now, by)


def _open(
    session: Session,
    job_id: UUID,
    kind: ReviewKind,
    sha256: str,
    now: datetime,
    by: Account | None = None,
) -> bool:
    opened_by = by.user_id if by else ""
    exists = session.scalar(
        select(ReviewRow.id).where(
            ReviewRow.job_id == job_id,
            ReviewRow.kind == kind,
            ReviewRow.picture_sha256 == sha256,
            ReviewRow.opened_by == opened_by,
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
            opened_by=opened_by,
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
    """Take the message down; the pictures stay in the log, kept apart. Returns the hashes to
    move there, which the caller does after the commit. Raises NotDone if that was done before."""
    job, reviews = _under_lock(session, job_id)
    pictures = _kept_pictures(session, job_id)
    hashes = [picture.sha256 for picture in pictures]
    if _taken_down(session, job_id) and not _open_of(reviews):
        if any(row.decision == "remove" for row in reviews):
            raise NotDone(f"{_said(reviews)}The message is to be gone.", hashes)
        if not session.get_one(RequestRow, job.request_id).user_id:
            raise NotDone("Who asked for this was forgotten, and the message went with that.")
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
        raise NotDone("Who asked for this is banned since, so it is not drawn.")
    if job.cancel_requested:
        raise NotDone("Who asked for this has cancelled it.")
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


def ban(session: Session, job_id: UUID, *, by: str, now: datetime, here: bool = False) -> Account:
    """Keep who asked for this from asking for more: everywhere, which the operator alone may
    decide, or only `here`, on the server or workspace of this request. Returns who it is.

    Raises LookupError, in words, where nobody is known to ban or `here` is no server.
    """
    job = session.get_one(JobRow, job_id)
    request = session.get_one(RequestRow, job.request_id)
    account, workspace_id = accounts.of_request(request), request.workspace_id if here else ""
    if not account.user_id:
        raise LookupError("nobody knows who asked for this: they had themselves forgotten")
    if here and not workspace_id:
        raise LookupError("this was asked for in no server or workspace")
    already = select(SanctionRow.id).where(
        accounts.sanctioned(account), accounts.IS_BAN, SanctionRow.workspace_id == workspace_id
    )
    if session.scalar(already.limit(1)) is None:
        session.add(
            SanctionRow(
                id=uuid4(),
                platform=account.platform,
                tenant=account.tenant,
                user_id=account.user_id,
                workspace_id=workspace_id,
                started_at=now,
                decided_by=by,
            )
        )
    return account


class Several(Exception):
    """The same id is banned in several tenants; `tenants` has them."""

    def __init__(self, tenants: Sequence[str]) -> None:
        super().__init__(*tenants)
        self.tenants = tenants


def unban(
    session: Session, platform: str, user_id: str, *, now: datetime, tenant: str | None = None
) -> bool:
    """End every ban of this id in this tenant; without one, in the only one that there is. What
    holds in all tenants ends too. False if there was none. Raises Several."""
    bans = select(SanctionRow).where(
        SanctionRow.platform == platform,
        SanctionRow.user_id == user_id,
        accounts.IS_BAN,
    )
    found = session.scalars(bans).all()
    tenants = sorted({row.tenant for row in found if row.tenant is not None})
    if tenant is None and len(tenants) > 1:
        raise Several(tenants)
    ended = [row for row in found if row.tenant is None or tenant in (None, row.tenant)]
    for row in ended:
        row.ended_at = now
    old = session.get(BanRow, (platform, user_id))
    if old is None or (old.carried and len(ended) < len(found)):
        return bool(ended)
    session.delete(old)  # A release that knows no sanctions still looks there.
    return bool(ended) or not old.carried


def banned_in_several(session: Session) -> dict[str, list[str]]:
    """Slack ids that were banned when nobody knew tenants, and are in several of them still."""
    rows = session.execute(
        select(SanctionRow.user_id, SanctionRow.tenant)
        .join(
            BanRow,
            and_(BanRow.platform == SanctionRow.platform, BanRow.user_id == SanctionRow.user_id),
        )
        .where(accounts.IS_BAN, BanRow.carried, SanctionRow.tenant.is_not(None))
        .order_by(SanctionRow.user_id, SanctionRow.tenant)
        .distinct()
    )
    found: dict[str, list[str]] = {}
    for user_id, tenant in rows:
        found.setdefault(user_id, []).append(str(tenant))
    return {user_id: tenants for user_id, tenants in found.items() if len(tenants) > 1}
