"""What stands between a person and a picture: a ban, their day, their queue and everybody's."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import BindParameter, Date, Select, bindparam, exists, func, select
from sqlalchemy.orm import Session

from storage import queue
from storage.domain import Platform
from storage.tables import BanRow, JobRow, RequestRow, UsageRow, is_open, row_by_row


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


def of(session: Session, platform: Platform, user_id: str, now: datetime) -> Standing:
    """What counts for one person, in one statement, since every request asks for it."""
    given = {"platform": platform, "user": user_id, "day": now.astimezone(UTC).date()}
    return Standing(**session.execute(_STANDING, given).one()._asdict())


_platform: BindParameter[str] = bindparam("platform")
_user: BindParameter[str] = bindparam("user")


def _standing() -> Select[bool, int, int, int, int]:
    banned = exists().where(BanRow.platform == _platform, BanRow.user_id == _user)
    drawn = select(func.coalesce(func.sum(UsageRow.pictures), 0)).where(
        UsageRow.platform == _platform,
        UsageRow.user_id == _user,
        UsageRow.day == bindparam("day", type_=Date()),
    )
    theirs = (
        select(
            func.count().label("requests"),
            func.coalesce(func.sum(RequestRow.count), 0).label("pictures"),
        )
        .join(JobRow, JobRow.request_id == RequestRow.id)
        .where(
            is_open(),
            row_by_row(RequestRow.platform) == _platform,
            row_by_row(RequestRow.user_id) == _user,
        )
        .subquery()
    )
    return select(
        banned.label("banned"),
        drawn.scalar_subquery().label("drawn_today"),
        theirs.c.requests.label("unfinished"),
        theirs.c.pictures.label("on_their_way"),
        queue.LENGTH.scalar_subquery().label("queue"),
    )


_STANDING = _standing()
