"""Forgetting a person: what they typed, brought and got goes; anonymous counters stay."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    delete,
    exists,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from storage import accounts, deliveries, forgotten
from storage.blobs import Blobs
from storage.database import Database
from storage.domain import Account, JobState
from storage.tables import (
    BanRow,
    Base,
    DeliveryRow,
    JobRow,
    PictureRow,
    RequestRow,
    ReviewRow,
    SanctionRow,
    SearchRow,
    UsageRow,
    VerdictRow,
)


def forget(database: Database, blobs: Blobs, account: Account) -> None:
    """The whole act: noted for whoever restores a backup, rows emptied in one transaction, then
    the pixels deleted. Safe to repeat."""
    now = database.clock()
    forgotten.add(blobs, account, now)
    with database.write() as session:
        hashes = forget_person(session, account, now)
    delete_blobs(blobs, hashes)
    purge(database)


MERGED_PAGES = 500


def purge(database: Database) -> None:
    """What SQLite keeps of deleted rows goes from its files too."""
    if database.is_sqlite:
        _merge_search(database)
        database.checkpoint()


def _merge_search(database: Database) -> None:
    """FTS5 keeps the words of deleted rows until its lists are merged into one (SQLite: FTS5,
    the `merge` command). In small transactions, so that others get their turn."""
    pages, merged = -MERGED_PAGES, True
    while merged:
        with database.write() as session:
            connection = session.connection().connection.dbapi_connection
            before = connection.total_changes  # type: ignore[union-attr]
            merge = text("INSERT INTO search_words (search_words, rank) VALUES ('merge', :pages)")
            session.execute(merge, {"pages": pages})
            # One change is the command itself.
            merged = connection.total_changes - before > 1  # type: ignore[union-attr]
        pages = MERGED_PAGES


def forget_person(session: Session, account: Account, now: datetime) -> list[str]:
    """Empty this person's rows, take their messages down, and name the blobs that nobody else
    refers to: delete those after the commit (the orphan sweep catches what a crash leaves)."""
    asked = accounts.asked(account)
    mine = select(RequestRow.id).where(asked)
    jobs = select(JobRow.id).where(JobRow.request_id.in_(mine))
    # Locked before anything is read: a result that is being written is waited for, and goes too.
    job_ids = session.scalars(jobs.with_for_update()).all()
    hashes = _hashes(session, asked)
    for job_id in job_ids:
        job = session.get_one(JobRow, job_id)
        if not JobState(job.state).finished:
            job.state, job.finished_at, job.cancel_requested = JobState.CANCELLED, now, True
        deliveries.desire(session, job_id, removed=True)
    # Messages that are gone are not shown again, which would empty their address.
    gone = (DeliveryRow.job_id.in_(jobs), DeliveryRow.gone.is_not(None))
    session.execute(update(DeliveryRow).where(*gone).values(address={}))
    session.execute(delete(VerdictRow).where(VerdictRow.job_id.in_(jobs)))
    session.execute(delete(ReviewRow).where(ReviewRow.job_id.in_(jobs)))
    session.execute(delete(PictureRow).where(PictureRow.job_id.in_(jobs)))
    reported = select(ReviewRow).where(accounts.reported(account))
    for review in session.scalars(reported).all():
        # What was reported stays open; who reported it is forgotten, each in a way of its own.
        review.opened_by, review.opened_tenant = f"forgotten:{review.id.hex}", ""
    used = update(UsageRow).where(accounts.used(account))
    session.execute(used.values(user_id="").execution_options(synchronize_session=False))
    session.execute(update(SearchRow).where(SearchRow.request_id.in_(mine)).values(words=""))
    session.execute(
        update(RequestRow)
        .where(asked)
        .values(
            user_id="",
            prompt="",
            negative_prompt="",
            prompt_labels=[],
            press="",
            seed=0,
            reference_sha256=None,
            mask_sha256=None,
            parent_sha256=None,
        )
        .execution_options(synchronize_session=False)
    )
    return [sha256 for sha256 in hashes if not is_used(session, sha256)]


def export_person(session: Session, account: Account) -> dict[str, object]:
    """Everything that is stored about this person, ready for JSON; pictures by their hash."""
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
    for row in stored["sanctions"]:
        row["decided_by"] = ""
    for row in stored["bans"]:
        row["banned_by"] = ""
    return dict(stored)


def _plain(row: Base) -> dict[str, object]:
    """A row for JSON. Of a message's address only what says where it is: a token is a key."""
    values = {name: getattr(row, name) for name in row.__mapper__.columns.keys()}  # noqa: SIM118
    if isinstance(address := values.get("address"), dict):
        values["address"] = {k: v for k, v in address.items() if k in ("channel_id", "message_id")}
    simple = (str, int, float, bool, list, dict, type(None))
    return {name: v if isinstance(v, simple) else str(v) for name, v in values.items()}


def _hashes(session: Session, asked: ColumnElement[bool]) -> set[str]:
    found: set[str] = set()
    for row in session.scalars(select(RequestRow).where(asked)):
        found.update(h for h in (row.reference_sha256, row.mask_sha256) if h)
    found.update(
        session.scalars(
            select(PictureRow.sha256)
            .join(JobRow, JobRow.id == PictureRow.job_id)
            .join(RequestRow, RequestRow.id == JobRow.request_id)
            .where(asked)
        )
    )
    return found


def is_used(session: Session, sha256: str) -> bool:
    """Whether any request or picture still refers to these pixels."""
    picture = select(PictureRow.sha256).where(
        PictureRow.sha256 == sha256, PictureRow.removed_at.is_(None)
    )
    request = select(RequestRow.id).where(
        or_(RequestRow.reference_sha256 == sha256, RequestRow.mask_sha256 == sha256)
    )
    return (
        session.scalar(picture.limit(1)) is not None or session.scalar(request.limit(1)) is not None
    )


def expire_blocked(session: Session, *, older_than: timedelta, now: datetime) -> list[str]:
    """Blocked pictures are kept for moderators for a limited time, from the end of the job or from
    when a moderator refused them; then their pixels go, the row stays. Returns the hashes to
    delete."""
    refused_lately = exists().where(
        ReviewRow.job_id == PictureRow.job_id,
        ReviewRow.decision.in_(["refuse", "remove"]),
        ReviewRow.decided_at >= now - older_than,
    )
    rows = session.scalars(
        select(PictureRow)
        .join(JobRow, JobRow.id == PictureRow.job_id)
        .where(
            PictureRow.decision == literal_column("'block'"),
            PictureRow.removed_at.is_(None),
            JobRow.finished_at < now - older_than,
            ~refused_lately,
        )
        .limit(100)
    ).all()
    for row in rows:
        row.removed_at = now
    session.flush()
    return [row.sha256 for row in rows if not is_used(session, row.sha256)]


def delete_blobs(blobs: Blobs, hashes: Iterable[str]) -> None:
    for sha256 in hashes:
        blobs.delete(sha256)
