"""Forgetting a person: what they typed, brought and got goes; anonymous counters stay, and for a
while what a moderator has still to look at."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    and_,
    case,
    delete,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from storage import accounts, deliveries, forgotten, leases, pixels, review
from storage.blobs import Blobs
from storage.database import Database
from storage.domain import Account, JobState
from storage.tables import (
    Base,
    DeliveryRow,
    InboxRow,
    JobRow,
    PictureRow,
    RequestRow,
    ReviewRow,
    SearchRow,
    UsageRow,
    VerdictRow,
    is_open,
)

BATCH = 100
"""Requests that one transaction empties. On SQLite all others wait for it."""
PAUSE_SECONDS = 0.1
"""Between two transactions: as long as SQLite lets who waits for the lock sleep between looks."""
PSEUDONYM_LENGTH = 64
"""No platform has ids that are so long."""

Pause = Callable[[float], None]


@dataclass(frozen=True, kw_only=True)
class Remains:
    """What stays of a forgotten person, since a moderator has still to look at it."""

    requests: int
    until: datetime | None = None
    """When the last of it goes."""


def forget(
    database: Database,
    blobs: Blobs,
    account: Account,
    *,
    keep: timedelta,
    pause: Pause = time.sleep,
) -> Remains:
    """The whole act: noted for whoever restores a backup, rows emptied, some in each transaction,
    and pixels deleted. What has an open review is kept for so long, or until that is decided. Safe
    to repeat; what a crash leaves, `go_on` finishes."""
    now = database.clock()
    forgotten.add(blobs, account, now)
    with database.write() as session:
        newest = _begin(session, account, now, keep)
    emptied = newest is not None and _empty(database, blobs, account, newest, keep, pause)
    purge(database, EMPTIED if emptied else BEGUN)
    with database.read() as session:
        return remains(session, account)


def remains(session: Session, account: Account) -> Remains:
    count, until = session.execute(
        select(func.count(), func.max(RequestRow.forget_at)).where(
            accounts.asked(account), RequestRow.forget_at.is_not(None)
        )
    ).one()
    return Remains(requests=count, until=until)


def go_on(database: Database, blobs: Blobs, *, keep: timedelta, pause: Pause = time.sleep) -> None:
    """What the reaper does: empty what was kept until now or has been decided, finish what somebody
    left off, and take the pseudonyms of days that are over from usage and reports."""
    now = database.clock()
    used = (PSEUDONYMOUS, UsageRow.day < now.astimezone(UTC).date())
    pseudonymous = func.length(ReviewRow.opened_by) == PSEUDONYM_LENGTH
    reported = (pseudonymous, ReviewRow.opened_at < review.midnight(now))
    with database.read() as session:
        marked = select(RequestRow).where(
            RequestRow.forget_at.is_not(None), RequestRow.user_id != ""
        )
        rows = session.scalars(marked.order_by(RequestRow.forget_at).limit(1000)).all()
        any_over = (
            session.scalar(select(UsageRow.job_id).where(*used).limit(1)) is not None
            or session.scalar(select(ReviewRow.id).where(*reported).limit(1)) is not None
        )
    newest: dict[Account, datetime] = {}
    for row in rows:
        account = accounts.of_request(row)
        newest[account] = max(row.created_at, newest.get(account, row.created_at))
    emptied = [_empty(database, blobs, account, at, keep, pause) for account, at in newest.items()]
    if any_over:
        with database.write() as session:
            session.execute(update(UsageRow).where(*used).values(user_id=""))
            for report in session.scalars(select(ReviewRow).where(*reported)).all():
                report.opened_by = _nobody(report)
    if any(emptied) or any_over:
        purge(database)


def _empty(
    database: Database,
    blobs: Blobs,
    account: Account,
    newest: datetime,
    keep: timedelta,
    pause: Pause,
) -> int:
    """In many transactions. How many requests that was about."""
    now, total = database.clock(), 0
    while True:
        with database.write() as session:
            count, hashes = _empty_some(session, account, newest, now, keep)
        pixels.settle(database, blobs, hashes)
        total += count
        if count < BATCH:
            return total
        pause(PAUSE_SECONDS)


def forget_person(
    session: Session, account: Account, now: datetime, keep: timedelta = timedelta()
) -> list[str]:
    """The same to the rows in one transaction. The hashes of pixels that nobody else refers to:
    settle them after the commit (the orphan sweep catches what a crash leaves)."""
    found: set[str] = set()
    newest = _begin(session, account, now, keep)
    count = BATCH if newest is not None else 0
    while newest is not None and count == BATCH:
        count, hashes = _empty_some(session, account, newest, now, keep)
        found |= hashes
    return sorted(sha256 for sha256 in found if not is_used(session, sha256))


_reviewed = (
    exists()
    .where(
        JobRow.request_id == RequestRow.id,
        ReviewRow.job_id == JobRow.id,
        ReviewRow.decision.is_(None),
    )
    .correlate(RequestRow)
)
PSEUDONYMOUS = func.length(UsageRow.user_id) == literal_column(str(PSEUDONYM_LENGTH))


def _begin(session: Session, account: Account, now: datetime, keep: timedelta) -> datetime | None:
    """Mark the newest request, which is emptied last: all that is older is to be forgotten, and
    what is asked for from now on is not. Returns when it was made."""
    if not account.user_id:
        return None  # Nobody's: who is forgotten already has none.
    # Whoever has it in hand answers it all the same, but nobody takes it up again.
    emptied = {"body": "", "tenant": "", "user_id": "", "leased_by": ""}
    _write(session, InboxRow, accounts.heard(account), **emptied)
    _forget_reports(session, account, now)
    newest = session.execute(
        select(RequestRow, _reviewed)
        .where(accounts.asked(account))
        .order_by(RequestRow.created_at.desc(), RequestRow.id.desc())
        .limit(1)
    ).one_or_none()
    if newest is None:
        return None
    row, reviewed = newest
    if row.forget_at is None and reviewed and keep:
        row.forget_at = now + keep
        _end(session, list(_locked_jobs(session, [row.id])), forgotten.pseudonym(account), now)
    row.forget_at = row.forget_at or now
    session.flush()
    created_at: datetime = row.created_at
    return created_at


def _forget_reports(session: Session, account: Account, now: datetime) -> None:
    """What was reported stays open; who reported it is forgotten. Until midnight it still counts
    for who would report more."""
    name = forgotten.pseudonym(account)
    # A chat client of a release before this one takes a report again after that.
    again = set(session.scalars(select(ReviewRow.job_id).where(ReviewRow.opened_by == name)))
    for row in session.scalars(select(ReviewRow).where(accounts.reported(account))).all():
        today = row.opened_at >= review.midnight(now) and row.job_id not in again
        row.opened_by, row.opened_tenant = name if today else _nobody(row), ""


def _nobody(row: ReviewRow) -> str:
    """Each in a way of its own, since nobody reports the same twice."""
    return f"forgotten:{row.id.hex}"


def _empty_some(
    session: Session, account: Account, newest: datetime, now: datetime, keep: timedelta
) -> tuple[int, set[str]]:
    """The oldest requests of this person up to `newest`: cancelled, taken down, emptied or kept.
    How many, and the hashes of the pixels that these referred to."""
    due = or_(RequestRow.forget_at.is_(None), RequestRow.forget_at <= now, not_(_reviewed))
    oldest = session.execute(
        select(RequestRow.id, and_(RequestRow.forget_at.is_(None), _reviewed))
        .where(accounts.asked(account), RequestRow.created_at <= newest, due)
        .order_by(RequestRow.created_at, RequestRow.id)
        .limit(BATCH)
    ).all()
    ids = [id_ for id_, _ in oldest]
    stay = {id_ for id_, reviewed in oldest if reviewed and keep}
    jobs = _locked_jobs(session, ids)
    _end(session, list(jobs), forgotten.pseudonym(account), now)
    if stay:
        _write(session, RequestRow, RequestRow.id.in_(stay), forget_at=now + keep)
    gone = [id_ for id_ in ids if id_ not in stay]
    hashes = _hashes(session, gone)
    _clear(session, gone, [job for job, request in jobs.items() if request not in stay])
    return len(ids), hashes


def _locked_jobs(session: Session, requests: Sequence[UUID]) -> dict[UUID, UUID]:
    """And their requests. Before anything is read: a result that is being written is waited for,
    and goes too."""
    found = session.execute(
        select(JobRow.id, JobRow.request_id)
        .where(JobRow.request_id.in_(requests))
        .order_by(JobRow.id)
        .with_for_update()
    )
    return {row.id: row.request_id for row in found}


def _end(session: Session, jobs: Sequence[UUID], pseudonym: str, now: datetime) -> None:
    """Nothing of it is drawn or shown any more, and until midnight it counts for nobody but who
    would ask again."""
    running = select(JobRow).where(JobRow.id.in_(jobs), is_open(), JobRow.state == JobState.RUNNING)
    for job in session.scalars(running).all():
        job.cancel_requested = True
        leases.end(session, job, JobState.CANCELLED, now)
    cancelled = {"state": JobState.CANCELLED, "finished_at": now, "cancel_requested": True}
    _write(session, JobRow, and_(JobRow.id.in_(jobs), is_open()), **cancelled)
    deliveries.take_down(session, jobs)
    today = UsageRow.day == now.astimezone(UTC).date()
    theirs = and_(UsageRow.job_id.in_(jobs), UsageRow.user_id != "")
    _write(session, UsageRow, theirs, user_id=case((today, pseudonym), else_=""))


def _clear(session: Session, requests: Sequence[UUID], jobs: Sequence[UUID]) -> None:
    for row in (VerdictRow, ReviewRow, PictureRow):
        statement = delete(row).where(row.job_id.in_(jobs))
        session.execute(statement.execution_options(synchronize_session=False))
    _write(session, SearchRow, SearchRow.request_id.in_(requests), words="")
    _write(
        session,
        RequestRow,
        RequestRow.id.in_(requests),
        user_id="",
        prompt="",
        negative_prompt="",
        prompt_labels=[],
        notes=[],
        press="",
        seed=0,
        reference_sha256=None,
        mask_sha256=None,
        parent_sha256=None,
        forget_at=None,
    )


def _write(session: Session, row: type[Base], where: ColumnElement[bool], **values: object) -> None:
    statement = update(row).where(where).values(values)
    session.execute(statement.execution_options(synchronize_session=False))


def _hashes(session: Session, requests: Sequence[UUID]) -> set[str]:
    brought = select(RequestRow.reference_sha256, RequestRow.mask_sha256)
    drawn = select(PictureRow.sha256).join(JobRow, JobRow.id == PictureRow.job_id)
    found = {h for row in session.execute(brought.where(RequestRow.id.in_(requests))) for h in row}
    found.update(session.scalars(drawn.where(JobRow.request_id.in_(requests))))
    return {h for h in found if h}


EMPTIED: tuple[type[Base], ...] = (
    *(RequestRow, SearchRow, VerdictRow, ReviewRow, PictureRow),
    *(DeliveryRow, UsageRow, InboxRow),
)
BEGUN: tuple[type[Base], ...] = (InboxRow, ReviewRow)
"""What may have been emptied of who has no requests."""


def purge(database: Database, tables: Sequence[type[Base]] = EMPTIED) -> None:
    """What the database keeps of deleted rows goes from its files too."""
    if database.is_sqlite:
        _merge_search(database)
        database.checkpoint()
    else:
        database.vacuum(*(row.__tablename__ for row in tables))


MERGED_PAGES = 500


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
    settle after the commit (`pixels`)."""
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
    return [row.sha256 for row in rows]
