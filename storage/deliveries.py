"""Deliveries: one message for each job, always on the way from shown to desired.

Everybody who wants people to see something says `desire(job)`, and nothing else; the deliverer
is the only one who shows. What the card says is computed from the log when it is shown, so no
order of calls can show something old.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select, true, update
from sqlalchemy.orm import Session

from storage.domain import Delivery, JobState, Platform
from storage.tables import DeliveryRow, JobRow, RequestRow


def create(
    session: Session, job_id: UUID, platform: Platform, address: Mapping[str, str], now: datetime
) -> None:
    """The first revision, with the address of the placeholder that is already there."""
    session.add(
        DeliveryRow(
            job_id=job_id,
            platform=platform,
            address=dict(address),
            message_id=address.get("message_id", ""),
            created_at=now,
            not_before=now,
        )
    )


def desire(session: Session, job_id: UUID, *, urgent: bool = True, removed: bool = False) -> None:
    """The card of this job has changed. `urgent` is everything but progress; `removed` takes the
    message away for good."""
    values: dict[str, object] = {"desired_revision": DeliveryRow.desired_revision + 1}
    if urgent:
        values["urgent"] = True
    if removed:
        values["removed"] = True
    session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.job_id == job_id)
        .values(values)
        .execution_options(synchronize_session=False)
    )


def lease_due(
    session: Session,
    platform: Platform,
    *,
    owner: str,
    lease: timedelta,
    pace: timedelta,
    now: datetime,
    only: UUID | None = None,
    limit: int = 20,
) -> list[Delivery]:
    """Take messages that lag behind (of all jobs, or of `only` one); mere progress waits until
    `pace` after the last edit."""
    rows = session.scalars(
        select(DeliveryRow)
        .where(
            _behind(platform, now),
            DeliveryRow.job_id == only if only else true(),
            or_(DeliveryRow.lease_until.is_(None), DeliveryRow.lease_until < now),
            or_(
                DeliveryRow.urgent,
                DeliveryRow.shown_at.is_(None),
                DeliveryRow.shown_at <= now - pace,
            ),
        )
        .order_by(DeliveryRow.not_before)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        row.leased_by, row.lease_until, row.urgent = owner, now + lease, False
    return [_delivery(row) for row in rows]


def _behind(platform: Platform, now: datetime) -> ColumnElement[bool]:
    return and_(
        DeliveryRow.platform == platform,
        DeliveryRow.shown_revision < DeliveryRow.desired_revision,
        DeliveryRow.gone.is_(None),
        DeliveryRow.not_before <= now,
    )


def any_due(session: Session, platform: Platform, now: datetime) -> bool:
    """A cheap look before `lease_due` takes the write lock."""
    query = select(DeliveryRow.job_id).where(_behind(platform, now)).limit(1)
    return session.scalar(query) is not None


def _delivery(row: DeliveryRow) -> Delivery:
    return Delivery(
        job_id=row.job_id,
        platform=Platform(row.platform),
        address=dict(row.address),
        desired_revision=row.desired_revision,
        shown_revision=row.shown_revision,
        shown_pictures=row.shown_pictures,
        removed=row.removed,
        tries=row.tries,
        created_at=row.created_at,
    )


def get(session: Session, job_id: UUID) -> Delivery | None:
    row = session.get(DeliveryRow, job_id)
    return _delivery(row) if row else None


def shown(
    session: Session,
    delivery: Delivery,
    *,
    owner: str,
    address: Mapping[str, str],
    pictures: bool,
    now: datetime,
) -> None:
    """The message now shows `delivery.desired_revision` (what came after stays due)."""
    row = session.get(DeliveryRow, delivery.job_id, with_for_update=True)
    if row is None:
        return
    row.shown_revision = max(row.shown_revision, delivery.desired_revision)
    row.shown_at, row.shown_pictures, row.tries = now, pictures, 0
    row.address, row.message_id = dict(address), address.get("message_id", "")
    if row.leased_by == owner:
        row.lease_until = None


def retry(session: Session, delivery: Delivery, *, owner: str, at: datetime) -> None:
    row = session.get(DeliveryRow, delivery.job_id)
    if row is not None and row.leased_by == owner:
        row.tries += 1
        row.not_before, row.lease_until, row.urgent = at, None, True


def give_up(session: Session, delivery: Delivery, reason: str) -> None:
    """Nobody is there to show it to: the channel or message is deleted, the bot was removed."""
    row = session.get(DeliveryRow, delivery.job_id)
    if row is not None:
        row.gone, row.lease_until = reason[:100], None
        if row.removed:
            row.address = {}  # It may name a person, and leads nowhere any more.


def by_message(session: Session, platform: Platform, message_id: str) -> UUID | None:
    """The job whose picture a message shows."""
    return session.scalar(
        select(DeliveryRow.job_id).where(
            DeliveryRow.platform == platform,
            DeliveryRow.message_id == message_id,
        )
    )


def stranded(session: Session, platform: Platform, user_id: str, limit: int) -> Sequence[UUID]:
    """This person's private results that could not be sent to them, newest first."""
    query = (
        select(DeliveryRow.job_id)
        .join(JobRow, JobRow.id == DeliveryRow.job_id)
        .join(RequestRow, RequestRow.id == JobRow.request_id)
        .where(
            RequestRow.platform == platform,
            RequestRow.user_id == user_id,
            RequestRow.private,
            JobRow.state == JobState.MADE,
            DeliveryRow.gone.is_not(None),
            DeliveryRow.removed.is_(False),
        )
        .order_by(JobRow.created_at.desc())
        .limit(limit)
    )
    return session.scalars(query).all()


def move(session: Session, job_id: UUID, address: Mapping[str, str]) -> None:
    """Show it in another place from now on: a new placeholder of the same person."""
    row = session.get(DeliveryRow, job_id)
    if row is not None and not row.removed:
        row.address, row.gone, row.shown_pictures = dict(address), None, False
        desire(session, job_id)


def say_of_waiting(session: Session, job_id: UUID, words: str) -> None:
    """Desire a new card if what it says of the queue has changed."""
    row = session.get(DeliveryRow, job_id)
    if row is not None and row.shown_waiting != words:
        row.shown_waiting = words
        desire(session, job_id, urgent=False)
