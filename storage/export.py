"""What is stored about a person, for them alone; as files that are small enough to be posted."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from storage import accounts
from storage.domain import Account
from storage.inbox import Envelope, Sealed
from storage.tables import (
    BanRow,
    Base,
    DeliveryRow,
    InboxRow,
    JobRow,
    PictureRow,
    RequestRow,
    ReviewRow,
    SanctionRow,
    UsageRow,
    VerdictRow,
)

Stored = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows by the name of their kind (`person`)."""


def person(
    session: Session, account: Account, envelope: Envelope
) -> dict[str, list[dict[str, object]]]:
    """Everything that is stored about this person, ready for JSON; pictures by their hash.
    `envelope` opens what was heard and is not taken yet."""
    mine = select(RequestRow.id).where(accounts.asked(account))
    jobs = select(JobRow.id).where(JobRow.request_id.in_(mine))
    reported = accounts.reported(account)
    reviews = or_(ReviewRow.job_id.in_(jobs), reported)
    queries: dict[str, Select[Any]] = {
        "requests": select(RequestRow).where(RequestRow.id.in_(mine)),
        "jobs": select(JobRow).where(JobRow.id.in_(jobs)),
        "pictures": select(PictureRow).where(PictureRow.job_id.in_(jobs)),
        "messages": select(DeliveryRow).where(DeliveryRow.job_id.in_(jobs)),
        "verdicts": select(VerdictRow).where(VerdictRow.job_id.in_(jobs)),
        "usage": select(UsageRow).where(accounts.used(account)),
        "reviews": select(ReviewRow).where(reviews),
        "sanctions": select(SanctionRow).where(accounts.sanctioned(account)),
        "bans": select(BanRow).where(accounts.banned_of_old(account)),
    }
    theirs = {str(id_) for id_ in session.scalars(select(ReviewRow.id).where(reported))}
    stored = {name: [_plain(row) for row in session.scalars(q)] for name, q in queries.items()}
    for row in stored["reviews"]:
        # Who reported or judged is somebody else's data.
        if row["id"] not in theirs:
            row["opened_by"] = row["opened_tenant"] = ""
        row["decided_by"] = ""
    stored["inbox"] = [
        _heard(row, envelope)
        for row in session.scalars(select(InboxRow).where(accounts.heard(account)))
    ]
    for row in stored["sanctions"]:
        row["decided_by"] = ""
    for row in stored["bans"]:
        row["banned_by"] = ""
    return stored


def _heard(row: InboxRow, envelope: Envelope) -> dict[str, object]:
    """What was asked. How to answer it is a key, and stays."""
    told: dict[str, object] = {"received_at": str(row.received_at)}
    with suppress(Sealed):
        raw = envelope.open(row.body)
        told |= {"act": raw.act, "text": raw.text, "options": dict(raw.options)}
    return told


def _plain(row: Base) -> dict[str, object]:
    """A row for JSON. Of a message's address only what says where it is: a token is a key."""
    values = {name: getattr(row, name) for name in row.__mapper__.columns.keys()}  # noqa: SIM118
    if isinstance(address := values.get("address"), dict):
        values["address"] = {k: v for k, v in address.items() if k in ("channel_id", "message_id")}
    simple = (str, int, float, bool, list, dict, type(None))
    return {name: v if isinstance(v, simple) else str(v) for name, v in values.items()}


def files(stored: Stored, limit_bytes: int) -> list[bytes]:
    """JSON files of at most so many bytes, each valid and with the kinds of the whole. A row that
    is larger than that alone is in a file of its own all the same."""
    room = limit_bytes - len(_json({name: [] for name in stored}))
    parts: list[dict[str, list[Mapping[str, Any]]]] = [{}]
    left = room
    for name, row, size in _sized(stored):
        if size > left and any(parts[-1].values()):
            parts.append({})
            left = room
        parts[-1].setdefault(name, []).append(row)
        left -= size
    return [_json({name: part.get(name, []) for name in stored}) for part in parts]


def _sized(stored: Stored) -> Iterator[tuple[str, Mapping[str, Any], int]]:
    """Each row with what it adds to a file at most."""
    for name, rows in stored.items():
        for row in rows:
            alone = _json({name: [row]})
            yield name, row, len(alone) - len(_json({name: []})) + len(",\n    ")


def _json(rows: object) -> bytes:
    return json.dumps(rows, indent=2, ensure_ascii=False).encode()


def names(count: int) -> list[str]:
    """What the files are called."""
    if count == 1:
        return ["easel-privacy.json"]
    return [f"easel-privacy-{number}-of-{count}.json" for number in range(1, count + 1)]
