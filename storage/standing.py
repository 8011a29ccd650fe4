"""What stands between a person and a picture: a ban, their day, their queue and everybody's."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Date, Select, bindparam, exists, func, or_, select
from sqlalchemy.orm import Session

from storage import accounts, queue
from storage.domain import Account
from storage.tables import BanRow, JobRow, RequestRow, SanctionRow, UsageRow, is_open


@dataclass(frozen=True, kw_only=True)
class Standing:
    banned: bool
    drawn_today: int
    """Pictures that were drawn since midnight, UTC."""
    unfinished: int
    """Requests that wait or are being drawn."""
    on_their_way: int
    """The pictures that these are to be."""
    queue: int
    """Requests of everybody that wait."""

    @property
    def today(self) -> int:
        """Pictures that count against this person's day."""
        return self.drawn_today + self.on_their_way


def of(session: Session, account: Account, workspace_id: str, now: datetime) -> Standing:
    """What counts for one person in one place, in one statement, since every request asks for
    it."""
    given = {"workspace": workspace_id, "day": now.astimezone(UTC).date()}
    found = session.execute(_STANDING, given | accounts.given(account)).one()
    return Standing(**found._asdict())


def _standing() -> Select[bool, int, int, int, int]:
    them = accounts.UNSAID
    banned = exists().where(
        accounts.sanctioned(them),
        accounts.IS_BAN,
        SanctionRow.workspace_id.in_(["", bindparam("workspace")]),
    )
    banned_of_old = exists().where(accounts.banned_of_old(them), BanRow.carried.is_(False))
    drawn = select(func.coalesce(func.sum(UsageRow.pictures), 0)).where(
        accounts.counted(them), UsageRow.day == bindparam("day", type_=Date())
    )
    theirs = (
        select(
            func.count().label("requests"),
            func.coalesce(func.sum(RequestRow.count), 0).label("pictures"),
        )
        .join(JobRow, JobRow.request_id == RequestRow.id)
        .where(is_open(), accounts.asked_among_few(them))
        .subquery()
    )
    return select(
        or_(banned, banned_of_old).label("banned"),
        drawn.scalar_subquery().label("drawn_today"),
        theirs.c.requests.label("unfinished"),
        theirs.c.pictures.label("on_their_way"),
        queue.LENGTH.scalar_subquery().label("queue"),
    )


_STANDING = _standing()
