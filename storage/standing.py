"""What stands between a person and a picture: a ban, their day, their queue and everybody's."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Date, Select, String, and_, bindparam, exists, func, or_, select, true
from sqlalchemy.orm import Session

from storage import accounts
from storage.domain import Account, JobState
from storage.tables import BanRow, JobRow, RequestRow, SanctionRow, UsageRow, is_open, row_by_row


@dataclass(frozen=True, kw_only=True)
class Standing:
    banned: bool
    drawn_today: int
    """Pictures that were drawn since midnight, UTC."""
    refused_today: int
    """Requests that were refused since then."""
    unfinished: int
    """Requests that wait or are being drawn."""
    on_their_way: int
    """The pictures that these are to be."""
    server_queue: int
    """Requests of everybody on this server that wait; in direct messages those of the person."""
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


def _standing() -> Select[Any]:
    them, workspace = accounts.UNSAID, bindparam("workspace", type_=String())
    banned = exists().where(
        accounts.sanctioned(them),
        accounts.IS_BAN,
        SanctionRow.workspace_id.in_(["", workspace]),
    )
    banned_of_old = exists().where(accounts.banned_of_old(them), BanRow.carried.is_(False))
    today = (
        select(
            func.coalesce(func.sum(UsageRow.pictures), 0).label("pictures"),
            func.coalesce(func.sum(UsageRow.refused), 0).label("refused"),
        )
        .where(accounts.counted(them), UsageRow.day == bindparam("day", type_=Date()))
        .subquery()
    )
    theirs, waits = accounts.asked_among_few(them), JobRow.state == JobState.WAITING
    there = and_(
        row_by_row(RequestRow.platform) == them.platform,
        row_by_row(RequestRow.workspace_id) == workspace,
        or_(workspace != "", theirs),
    )
    unfinished = (
        select(
            func.count().filter(theirs).label("theirs"),
            func.coalesce(func.sum(RequestRow.count).filter(theirs), 0).label("pictures"),
            func.count().filter(waits, there).label("there"),
            func.count().filter(waits).label("everywhere"),
        )
        .join(JobRow, JobRow.request_id == RequestRow.id)
        .where(is_open())
        .subquery()
    )
    return select(
        or_(banned, banned_of_old).label("banned"),
        today.c.pictures.label("drawn_today"),
        today.c.refused.label("refused_today"),
        unfinished.c.theirs.label("unfinished"),
        unfinished.c.pictures.label("on_their_way"),
        unfinished.c.there.label("server_queue"),
        unfinished.c.everywhere.label("queue"),
    ).select_from(today.join(unfinished, true()))


_STANDING = _standing()
