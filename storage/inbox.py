"""The inbox: what was heard, written down before the person is told that we have it.

One small row by the platform's own key of the event. It is emptied in the transaction that accepts
what it asks for, or once its answer has been told; the bare key stays for a day, so that an event
that comes again is known. Who has a row in hand holds a lease on it; what a process leaves behind
that died, or was stopped, is taken up when the lease runs out.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from storage.database import is_sqlite
from storage.domain import (
    Attached,
    EventKey,
    Kept,
    Linked,
    Place,
    Platform,
    RawCommand,
    Requester,
    Source,
)
from storage.tables import InboxRow, UtcDateTime, table

KEPT = timedelta(hours=24)
"""What is older, taken or not, is acted on by nobody, and is deleted at the reaper's next look."""
_SOURCES: Mapping[str, type[Source]] = {"attached": Attached, "linked": Linked, "kept": Kept}


class Sealed(Exception):
    """It was encrypted with a key that is not the one of the settings, or written by a release that
    writes otherwise."""


class Envelope:
    """What a command looks like in a row: JSON, encrypted where there is a key."""

    def __init__(self, fernet: Fernet | None) -> None:
        self._fernet = fernet

    def pack(self, raw: RawCommand) -> str:
        values = asdict(raw)
        for name in ("reference", "mask"):
            values[name] = _from_source(getattr(raw, name))
        text = json.dumps(values)
        return self._fernet.encrypt(text.encode()).decode() if self._fernet else text

    def open(self, body: str) -> RawCommand:
        """Raises Sealed."""
        if not body.startswith("{"):
            try:
                body = self._fernet.decrypt(body.encode()).decode() if self._fernet else ""
            except InvalidToken:
                body = ""
            if not body:
                raise Sealed
        try:
            return _raw(json.loads(body))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise Sealed from None  # Written by another release.

    def opens(self, body: str) -> bool:
        try:
            self.open(body)
        except Sealed:
            return False
        return True


def _raw(values: dict[str, Any]) -> RawCommand:
    event, requester, place = (values.pop(n) for n in ("event", "requester", "place"))
    for noun in (event, requester, place):
        noun["platform"] = Platform(noun["platform"])
    for name in ("reference", "mask"):
        values[name] = _to_source(values[name])
    return RawCommand(
        event=EventKey(**event), requester=Requester(**requester), place=Place(**place), **values
    )


def _from_source(source: Source | None) -> dict[str, Any] | None:
    if source is None:
        return None
    [kind] = (name for name, noun in _SOURCES.items() if isinstance(source, noun))
    return {"kind": kind, **asdict(source)}


def _to_source(values: dict[str, Any] | None) -> Source | None:
    return _SOURCES[values.pop("kind")](**values) if values else None


def put(
    session: Session,
    heard: Sequence[tuple[RawCommand, str]],
    *,
    owner: str,
    until: datetime,
    now: datetime,
) -> Collection[str]:
    """Write down commands with their packed bodies, in hand of `owner`. The keys of those that were
    not known yet."""
    rows = [
        {
            "event_key": str(raw.event),
            "platform": raw.event.platform,
            "application": raw.application,
            "tenant": raw.requester.tenant,
            "user_id": raw.requester.user_id,
            "body": body,
            "received_at": now,
            "tries": 0,
            "leased_by": owner,
            "lease_until": until,
        }
        for raw, body in heard
    ]
    return set(session.scalars(_PUT_SQLITE if is_sqlite(session) else _PUT_POSTGRES, rows))


_PUT_SQLITE, _PUT_POSTGRES = (
    # Given its rows apart, it is compiled once.
    dialect.insert(table(InboxRow)).on_conflict_do_nothing().returning(InboxRow.event_key)
    for dialect in (sqlite, postgresql)
)


def taken(session: Session, event: EventKey) -> None:
    """It is accepted, or answered, no matter who has it in hand by now: only its key is left."""
    session.execute(_TAKEN, {"event": str(event)})


_TAKEN = (
    update(table(InboxRow))
    .where(InboxRow.event_key == bindparam("event"))
    .values(body="", tenant="", user_id="", leased_by="")
)


def is_emptied(session: Session, event: EventKey) -> bool:
    """Whether nothing is left of what was heard: it is taken, or whoever asked is forgotten. Nobody
    forgets them before this transaction ends."""
    return session.scalar(_BODY, {"event": str(event)}) == ""


_BODY = (
    select(InboxRow.body)
    .where(InboxRow.event_key == bindparam("event"))
    .with_for_update(of=InboxRow)
)


def drop(session: Session, events: Collection[EventKey], owner: str) -> None:
    """The owner has told, or the platform has, that nothing will come of them. They may come
    again."""
    keys = [str(event) for event in events]
    mine = InboxRow.event_key.in_(keys), InboxRow.leased_by == owner
    session.execute(delete(InboxRow).where(*mine))


@dataclass(frozen=True, kw_only=True)
class Untaken:
    """A row whose holder is gone, or that failed and is due again."""

    event_key: str
    body: str
    received_at: datetime
    tries: int
    """How often it was taken up so far, by who holds it now too, but for those who could not read
    it."""


def take_up(
    session: Session,
    platform: Platform,
    application: str,
    *,
    owner: str,
    until: datetime,
    now: datetime,
    limit: int = 20,
) -> list[Untaken]:
    """Rows of this application that nobody has in hand, oldest first; from now on `owner` has."""
    due = (
        select(InboxRow.event_key)
        .where(
            InboxRow.platform == platform,
            InboxRow.application == application,
            InboxRow.body != "",
            InboxRow.lease_until < now,
            InboxRow.received_at >= now - KEPT,
        )
        .order_by(InboxRow.received_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    # Else PostgreSQL may look, and lock, once for each row.
    found = due.cte("due").prefix_with("MATERIALIZED")
    columns = InboxRow.event_key, InboxRow.body, InboxRow.received_at, InboxRow.tries
    rows = session.execute(
        update(table(InboxRow))
        .where(InboxRow.event_key.in_(select(found.c.event_key)))
        .values(leased_by=owner, lease_until=until, tries=InboxRow.tries + 1)
        .returning(*columns)
    ).all()
    mine = [Untaken(**row._asdict()) for row in rows]
    return sorted(mine, key=lambda row: row.received_at)


def any_untaken(session: Session, platform: Platform, application: str, now: datetime) -> bool:
    """A cheap look before `take_up` takes the write lock."""
    given = {"chat": platform, "app": application, "now": now, "since": now - KEPT}
    return session.scalar(_ANY_UNTAKEN, given) is not None


_ANY_UNTAKEN = (
    select(InboxRow.event_key)
    .where(
        InboxRow.platform == bindparam("chat"),
        InboxRow.application == bindparam("app"),
        InboxRow.body != "",
        InboxRow.lease_until < bindparam("now", type_=UtcDateTime()),
        InboxRow.received_at >= bindparam("since", type_=UtcDateTime()),
    )
    .limit(1)
)


def left(session: Session, since: datetime, now: datetime) -> list[Untaken]:
    """What nobody has had in hand since then and is still taken up, of all applications, oldest
    first."""
    columns = InboxRow.event_key, InboxRow.body, InboxRow.received_at, InboxRow.tries
    query = select(*columns).where(
        InboxRow.body != "", InboxRow.lease_until < since, InboxRow.received_at >= now - KEPT
    )
    return [Untaken(**row._asdict()) for row in session.execute(query.order_by(columns[2]))]


def renew(session: Session, owner: str, events: Collection[str], until: datetime) -> None:
    """The owner is alive and still at these."""
    held = _in_hand_of(owner).where(InboxRow.event_key.in_(events))
    session.execute(held.values(lease_until=until))


def leave(session: Session, events: Collection[str], owner: str, at: datetime) -> None:
    """The owner cannot read them: until then they are others', and nobody has tried."""
    rows = _in_hand_of(owner).where(InboxRow.event_key.in_(events))
    session.execute(rows.values(leased_by="", lease_until=at, tries=InboxRow.tries - 1))


def release(session: Session, owner: str, now: datetime) -> None:
    """The owner leaves: what it has in hand is anybody's at once."""
    session.execute(_in_hand_of(owner).values(leased_by="", lease_until=now))


def _in_hand_of(owner: str) -> Any:
    return update(InboxRow).where(InboxRow.leased_by == owner, InboxRow.body != "")


def again(session: Session, event: EventKey, owner: str, at: datetime) -> None:
    """The owner failed at it, and it is due again at that time."""
    row = _in_hand_of(owner).where(InboxRow.event_key == str(event))
    session.execute(row.values(leased_by="", lease_until=at))


def expire(session: Session, now: datetime) -> int:
    """Delete what is older than a day. How many of those nobody had taken."""
    old = InboxRow.received_at < now - KEPT
    lost = session.scalars(select(InboxRow.event_key).where(old, InboxRow.body != "")).all()
    session.execute(delete(InboxRow).where(old))
    return len(lost)
