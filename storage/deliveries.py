"""Deliveries: one message for each job, always on the way from shown to desired.

Everybody who wants people to see something says `desire(job)`, and nothing else; the deliverer
is the only one who shows. What the card says is computed from the log when it is shown, so no
order of calls can show something old.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Row, Update, and_, bindparam, func, or_, select, update
from sqlalchemy.orm import Session

from storage import changes, metrics, troubles
from storage.database import is_sqlite
from storage.domain import Delivery, Platform
from storage.tables import DeliveryRow, UtcDateTime, add, table

_SOON = timedelta(seconds=2)
"""Who comes back later than this does not keep others waiting."""


def create(
    session: Session,
    job_id: UUID,
    platform: Platform,
    address: Mapping[str, str],
    now: datetime,
    application: str = "",
) -> None:
    """The first revision, with the address of the placeholder that is already there. It is shown
    by the `application` that was asked."""
    add(
        session,
        DeliveryRow,
        job_id=job_id,
        platform=platform,
        application=application,
        address=dict(address),
        message_id=address.get("message_id", ""),
        created_at=now,
        not_before=now,
    )


_REMOVED = {"removed": True, "gone": None, "not_before": DeliveryRow.created_at, "tries": 0}
"""At once, and also what was given up: it may have shown a picture before that."""


def desire(session: Session, job_id: UUID, *, urgent: bool = True, removed: bool = False) -> None:
    """The card of this job has changed. `urgent` is everything but progress; `removed` takes the
    message away for good, also one that could not be edited any more: at once, and as often as it
    takes."""
    told = urgent and not is_sqlite(session)
    session.execute(_desire(urgent, removed, told), {"job": job_id})


@cache
def _desire(urgent: bool, removed: bool, told: bool) -> Update:
    values: dict[str, object] = {"desired_revision": DeliveryRow.desired_revision + 1}
    if urgent:
        values["urgent"] = True
    if removed:
        values |= _REMOVED
    messages = table(DeliveryRow)
    desired = update(messages).where(messages.c.job_id == bindparam("job")).values(values)
    return desired.returning(changes.BELL) if told else desired


def take_down(session: Session, jobs: Sequence[UUID]) -> None:
    """As `desire` with `removed`, of many jobs."""
    messages, given = table(DeliveryRow), {"jobs": jobs}
    theirs = messages.c.job_id.in_(bindparam("jobs", expanding=True))
    values = {"desired_revision": DeliveryRow.desired_revision + 1, "urgent": True, **_REMOVED}
    removed = update(messages).where(theirs).values(values)
    session.execute(removed if is_sqlite(session) else removed.returning(changes.BELL), given)


def lease_due(
    session: Session,
    platform: Platform,
    *,
    owner: str,
    lease: timedelta,
    pace: timedelta,
    now: datetime,
    application: str = "",
    only: UUID | None = None,
    busy: Collection[UUID] = (),
    limit: int = 20,
) -> list[Delivery]:
    """Take messages that lag behind (of all jobs of this `application`, or of `only` one); mere
    progress waits until `pace` after the last edit. What the owner is still `busy` with is not
    taken twice, however long it takes."""
    given = {"chat": platform, "now": now, "busy": list(busy), "paced": now - pace}
    given |= {"app": application}
    given |= {"owner": owner, "until": now + lease, "limit": limit, "only": only}
    rows = session.execute(_lease_due(only is not None), given).all()
    return [_delivery(row) for row in sorted(rows, key=lambda row: row.not_before)]


# Each look asks these, so they are built once.
_now = bindparam("now", type_=UtcDateTime())
_behind = and_(
    DeliveryRow.platform == bindparam("chat"),
    DeliveryRow.application.in_(("", bindparam("app"))),
    DeliveryRow.shown_revision < DeliveryRow.desired_revision,
    DeliveryRow.gone.is_(None),
    DeliveryRow.not_before <= _now,
)
_ANY_DUE = select(DeliveryRow.job_id).where(_behind).limit(1)


@cache
def _lease_due(only: bool) -> Update:
    due = (
        select(DeliveryRow.job_id)
        .where(
            _behind,
            DeliveryRow.job_id.not_in(bindparam("busy", expanding=True)),
            or_(DeliveryRow.lease_until.is_(None), DeliveryRow.lease_until < _now),
            or_(
                DeliveryRow.urgent,
                DeliveryRow.shown_at.is_(None),
                DeliveryRow.shown_at <= bindparam("paced", type_=UtcDateTime()),
            ),
        )
        .order_by(DeliveryRow.not_before)
        .limit(bindparam("limit", type_=Integer()))
        .with_for_update(skip_locked=True)
    )
    if only:
        due = due.where(DeliveryRow.job_id == bindparam("only"))
    messages = table(DeliveryRow)
    # Else PostgreSQL may look, and lock, once for each row.
    found = due.cte("due").prefix_with("MATERIALIZED")
    return (
        update(messages)
        .where(messages.c.job_id.in_(select(found.c.job_id)))
        .values(
            {
                "leased_by": bindparam("owner"),
                "lease_until": bindparam("until", type_=UtcDateTime()),
                "urgent": False,
            }
        )
        .returning(*messages.c)
    )


def any_due(session: Session, platform: Platform, now: datetime, application: str = "") -> bool:
    """A cheap look before `lease_due` takes the write lock."""
    given = {"chat": platform, "now": now, "app": application}
    return session.scalar(_ANY_DUE, given) is not None


def _delivery(row: DeliveryRow | Row[*tuple[Any, ...]]) -> Delivery:
    return Delivery(
        job_id=row.job_id,
        platform=Platform(row.platform),
        application=row.application,
        address=_newest(row.address),
        former=tuple(row.address.get(_FORMER, ())),
        desired_revision=row.desired_revision,
        shown_revision=row.shown_revision,
        shown_pictures=row.shown_pictures,
        removed=row.removed,
        tries=row.tries,
        created_at=row.created_at,
        lease_until=row.lease_until,
        trouble=row.trouble,
        trouble_since=row.trouble_since,
    )


_FORMER = "former"


def _newest(address: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in address.items() if name != _FORMER}


def _put(row: DeliveryRow, address: Mapping[str, str], former: Sequence[Mapping[str, str]]) -> None:
    row.address = {**address, _FORMER: list(former)} if former else dict(address)
    row.message_id = address.get("message_id", "")


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
    former: Sequence[Mapping[str, str]] = (),
) -> None:
    """The message now shows `delivery.desired_revision` (what came after stays due). `former` are
    the addresses where it may be seen besides."""
    row = session.get(DeliveryRow, delivery.job_id, with_for_update=True)
    if row is None:
        return
    if not _holds(row, delivery, owner):
        # Somebody else has shown it meanwhile, before or after: nobody knows what stands there.
        if row.removed:  # A new message may stand there, and has to go as well.
            others = [*former, *row.address.get(_FORMER, ()), _newest(row.address)]
            _put(row, address, [other for other in others if other and other != address])
        desire(session, delivery.job_id)
        return
    row.shown_revision = max(row.shown_revision, delivery.desired_revision)
    row.shown_at, row.shown_pictures, row.tries = now, pictures, 0
    row.trouble, row.trouble_since = "", None
    _put(row, address, former)
    row.lease_until = None


def _holds(row: DeliveryRow, delivery: Delivery, owner: str) -> bool:
    """Whether nobody has taken it since: one owner may take the same message twice."""
    return row.leased_by == owner and row.lease_until == delivery.lease_until


def remember(session: Session, delivery: Delivery, address: Mapping[str, str]) -> bool:
    """Keep how far a showing in several steps has come, so that a repetition goes on from there.
    False, and nothing kept, if somebody else has taken the message since. Nothing is kept either of
    one that is `moved`: what is done there can be done again."""
    row = session.get(DeliveryRow, delivery.job_id, with_for_update=True)
    if row is None or row.lease_until != delivery.lease_until:
        return False
    if not delivery.moved:
        _put(row, address, delivery.former)
    return True


def retry(
    session: Session,
    delivery: Delivery,
    *,
    owner: str,
    at: datetime,
    failed: bool = True,
    trouble: str = "",
    now: datetime | None = None,
) -> None:
    """Show it later. Who only waits, as the platform wants it, has not `failed`, and does not wait
    the longer for it the next time. `trouble` is the code of a refusal, at `now`."""
    row = session.get(DeliveryRow, delivery.job_id, with_for_update=True)
    if row is not None and not _holds(row, delivery, owner):
        # It may have taken effect all the same, after what is newer.
        desire(session, delivery.job_id)
    elif row is not None and row.removed and not delivery.removed:
        row.lease_until = None  # It has to go by now, and that does not wait.
    elif row is not None:
        row.tries += failed
        row.not_before, row.lease_until, row.urgent = at, None, True
        if trouble and row.trouble != trouble[:100]:
            row.trouble, row.trouble_since = trouble[:100], now
        metrics.after_commit(session, metrics.DELIVERY_RETRIES.labels(row.platform).inc)


def ahead(session: Session, delivery: Delivery, now: datetime) -> int:
    """How many messages that were asked for earlier are to be posted first in the same place: those
    that somebody is at, and those whose time comes soon and that nobody has tried to post yet."""
    place = [
        DeliveryRow.address[key].as_string() == delivery.address.get(key, "")
        for key in ("team_id", "channel_id", "user_id")
        if delivery.address.get(key)
    ]
    query = (
        select(func.count())
        .select_from(DeliveryRow)
        .where(
            DeliveryRow.platform == delivery.platform,
            DeliveryRow.application.in_(("", delivery.application)),
            DeliveryRow.shown_revision < DeliveryRow.desired_revision,
            DeliveryRow.gone.is_(None),
            DeliveryRow.message_id == "",
            DeliveryRow.created_at < delivery.created_at,
            *place,
            or_(
                DeliveryRow.lease_until >= now,
                and_(
                    DeliveryRow.not_before <= now + _SOON,
                    DeliveryRow.address["posting"].as_string().is_(None),
                ),
            ),
        )
    )
    return session.scalar(query) or 0


def give_up(session: Session, delivery: Delivery, reason: str) -> bool:
    """It cannot be shown there. False, and nothing changed, for who has lost the lease: they may
    speak of an address that is not the newest any more, or of a card that has to go by now."""
    row = session.get(DeliveryRow, delivery.job_id, with_for_update=True)
    if row is None or row.lease_until != delivery.lease_until:
        return False
    if row.removed and not delivery.removed:
        row.lease_until = None
        return False
    row.gone, row.lease_until = reason[:100], None
    row.trouble, row.trouble_since = "", None
    metrics.after_commit(session, metrics.DELIVERIES_GONE.labels(row.platform).inc)
    if row.removed:
        row.address = {}  # It may name a person, and leads nowhere any more.
    return True


def by_message(session: Session, platform: Platform, message_id: str) -> UUID | None:
    """The job whose picture a message shows."""
    return session.scalar(
        select(DeliveryRow.job_id).where(
            DeliveryRow.platform == platform,
            DeliveryRow.message_id == message_id,
        )
    )


def move(session: Session, job_id: UUID, address: Mapping[str, str]) -> bool:
    """Show it in another place from now on: a new placeholder of the same person. Where it was to
    be shown before stays known until nothing can be seen there. False, and nothing changed, where
    it is not stranded (any more): it is shown, on its way to another place, or taken away."""
    row = session.get(DeliveryRow, job_id, with_for_update=True)
    if row is None or not troubles.is_stranded(session, job_id):
        return False
    former = [*row.address.get(_FORMER, ()), _newest(row.address)]
    _put(row, address, [place for place in former if place])
    row.application = address.get("application_id") or row.application
    row.gone, row.shown_pictures, row.shown_waiting, row.tries = None, False, "", 0
    row.trouble, row.trouble_since, row.not_before = "", None, row.created_at
    # Who is at it shows it in the former place, and comes back to take that away.
    row.leased_by, row.lease_until = "", None
    desire(session, job_id)
    return True


def say_of_waiting(session: Session, job_id: UUID, words: str) -> None:
    """Desire a new card if what it says of the queue has changed."""
    row = session.get(DeliveryRow, job_id)
    if row is not None and row.shown_waiting != words:
        row.shown_waiting = words
        desire(session, job_id, urgent=False)


def slack_teams_with_files(session: Session, newest: int = 200) -> Sequence[str]:
    """Slack workspaces among the newest deliveries that take pictures only as files."""
    query = (
        select(DeliveryRow.address)
        .where(DeliveryRow.platform == Platform.SLACK)
        .order_by(DeliveryRow.created_at.desc())
        .limit(newest)
    )
    return sorted({a["team_id"] for a in session.scalars(query) if a.get("shared")})
