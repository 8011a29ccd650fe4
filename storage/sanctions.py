"""Sanctions: who may not ask for pictures, and where."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from storage import accounts, jobs
from storage.database import lock
from storage.domain import Account
from storage.tables import BanRow, JobRow, RequestRow, SanctionRow, is_open, row_by_row


def ban(session: Session, job_id: UUID, *, by: str, now: datetime, here: bool = False) -> Account:
    """Keep who asked for this from asking for more: everywhere, which the operator alone may
    decide, or only `here`, on the server or workspace of this request. What they wait for there
    is cancelled. Returns who it is.

    Raises LookupError, in words, where nobody is known to ban or `here` is no server.
    """
    job = session.get_one(JobRow, job_id)
    request = session.get_one(RequestRow, job.request_id)
    account, workspace_id = accounts.of_request(request), request.workspace_id if here else ""
    if not account.user_id:
        raise LookupError("nobody knows who asked for this: they had themselves forgotten")
    if here and not workspace_id:
        raise LookupError("this was asked for in no server or workspace")
    lock(session, str(account))  # As accept does: what is under way is seen, or sees this.
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
    for waiting in _unfinished(session, account, workspace_id):
        jobs.cancel(session, waiting, now)
    return account


def _unfinished(session: Session, account: Account, workspace_id: str) -> Sequence[UUID]:
    query = (
        select(JobRow.id)
        .join(RequestRow, RequestRow.id == JobRow.request_id)
        .where(is_open(), accounts.asked_among_few(account))
        .order_by(JobRow.id)  # As all who lock several.
    )
    if workspace_id:
        query = query.where(row_by_row(RequestRow.workspace_id) == workspace_id)
    return session.scalars(query).all()


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
