"""Reviews: what moderators are asked to judge; `decisions` has what they decide. And bans."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from storage import accounts
from storage.domain import Account, Review, ReviewKind, Verdict, worst
from storage.domain.policy import MINOR_FLOOR_RULE, Decision
from storage.tables import BanRow, JobRow, RequestRow, ReviewRow, SanctionRow


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
