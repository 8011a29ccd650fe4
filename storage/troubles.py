"""Cards that their platform refuses to show or to take down: what operators are told of them, and
which results wait for who asked for them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from storage import accounts
from storage.database import Database
from storage.domain import Account, JobState, Platform
from storage.health import Aside, Check
from storage.tables import DeliveryRow, JobRow, RequestRow

_NAMES = {Platform.DISCORD: "Discord", Platform.SLACK: "Slack", Platform.TERMINAL: "the shell"}


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Cards that one platform refuses with one code."""

    platform: Platform
    code: str
    """The platform's own; or the class of an error of ours."""
    removing: bool
    """They are to be taken down; else to be shown."""
    count: int
    since: datetime

    def said(self, now: datetime) -> str:
        """As in: 3 cards cannot be shown: Slack says token_revoked since 12:03 UTC."""
        cards = "1 card" if self.count == 1 else f"{self.count} cards"
        what = "taken down" if self.removing else "shown"
        old = now - self.since > timedelta(hours=20)
        at = self.since.strftime("%Y-%m-%d %H:%M UTC" if old else "%H:%M UTC")
        ours = self.code[:1].isupper()
        who = "Easel fails with" if ours else f"{_NAMES[self.platform]} says"
        return f"{cards} cannot be {what}: {who} {self.code} since {at}"


def current(session: Session, platform: Platform | None = None) -> list[Trouble]:
    """The oldest first."""
    # Spelled out as the index of what lags behind has it.
    behind = (DeliveryRow.shown_revision < DeliveryRow.desired_revision, DeliveryRow.gone.is_(None))
    since = func.min(func.coalesce(DeliveryRow.trouble_since, DeliveryRow.created_at))
    kind = (DeliveryRow.platform, DeliveryRow.trouble, DeliveryRow.removed)
    query = select(*kind, func.count(), since).where(*behind, DeliveryRow.trouble != "")
    if platform is not None:
        query = query.where(DeliveryRow.platform == platform)
    return [
        Trouble(platform=Platform(chat), code=code, removing=removed, count=count, since=at)
        for chat, code, removed, count, at in session.execute(query.group_by(*kind).order_by(since))
    ]


def shows(database: Database, platform: Platform, operators: Collection[str]) -> Check:
    """Not well while an error that only the operator can mend keeps cards from being shown;
    everything else is told, and keeps nothing from working."""

    def check() -> str:
        with database.read() as session:
            found = current(session, platform)
        words = "; ".join(trouble.said(database.clock()) for trouble in found)
        grave = any(t.code in operators and not t.removing for t in found)
        return words if grave else Aside(words)

    return check


# Drawn, but not where it was asked for: given up there, or refused so far.
_STRANDED = and_(
    JobRow.state == JobState.MADE,
    DeliveryRow.removed.is_(False),
    DeliveryRow.shown_pictures.is_(False),
    or_(DeliveryRow.gone.is_not(None), DeliveryRow.trouble != ""),
)


def stranded(session: Session, account: Account, limit: int) -> Sequence[UUID]:
    """This person's results that could not be shown, newest first."""
    query = (
        select(DeliveryRow.job_id)
        .join(JobRow, JobRow.id == DeliveryRow.job_id)
        .join(RequestRow, RequestRow.id == JobRow.request_id)
        .where(accounts.asked(account), _STRANDED)
        .order_by(JobRow.created_at.desc())
        .limit(limit)
    )
    return session.scalars(query).all()


def is_stranded(session: Session, job_id: UUID) -> bool:
    query = select(DeliveryRow.job_id).join(JobRow, JobRow.id == DeliveryRow.job_id)
    return session.scalar(query.where(JobRow.id == job_id, _STRANDED)) is not None
