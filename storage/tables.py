"""The tables. Rows stay inside `storage`; everybody else sees the nouns of `storage.domain`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Insert,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    insert,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Mapped, Session, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """A zone-aware time; SQLite forgets the zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a zone was about to be stored")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy's own spelling)
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[str]: JSON,
        list[dict[str, Any]]: JSON,
    }


def add(session: Session, row: type[Base], **values: Any) -> None:
    """Insert one row at once. Every request writes eight, and the unit of work of the session
    would take as long again for each as the database does."""
    add_all(session, row, [values])


def add_all(session: Session, row: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that name the same columns, on one way to the database and back."""
    if rows:
        session.execute(inserting(row), rows)


@cache
def inserting(row: type[Base]) -> Insert:
    return insert(table(row))


def table(row: type[Base]) -> Table:
    """For statements that every job passes and that touch no object of a session: with the class
    itself the session looks for objects first, for half as long as the database takes."""
    return cast(Table, row.__table__)


class RequestRow(Base):
    """What was asked, by whom and where. Never updated but by `forget`."""

    __tablename__ = "requests"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    event_key: Mapped[str] = mapped_column(String(300), unique=True)
    press: Mapped[str] = mapped_column(String(300))
    platform: Mapped[str] = mapped_column(String(16))
    enterprise_id: Mapped[str] = mapped_column(String(64))
    workspace_id: Mapped[str] = mapped_column(String(64))
    channel_id: Mapped[str] = mapped_column(String(64))
    thread_id: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(String(64))
    locale: Mapped[str] = mapped_column(String(8))
    age_restricted: Mapped[bool]
    upload_limit_bytes: Mapped[int] = mapped_column(BigInteger)
    private: Mapped[bool]
    prompt: Mapped[str] = mapped_column(Text)
    negative_prompt: Mapped[str] = mapped_column(Text)
    prompt_labels: Mapped[list[str]]
    model: Mapped[str] = mapped_column(String(100))
    style: Mapped[str | None] = mapped_column(String(100))
    width: Mapped[int]
    height: Mapped[int]
    steps: Mapped[int]
    guidance_scale: Mapped[float]
    scheduler: Mapped[str | None] = mapped_column(String(64))
    seed: Mapped[int] = mapped_column(BigInteger)
    count: Mapped[int]
    use: Mapped[str | None] = mapped_column(String(16))
    strength: Mapped[float]
    reference_sha256: Mapped[str | None] = mapped_column(String(64))
    mask_sha256: Mapped[str | None] = mapped_column(String(64))
    parent_sha256: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]
    outside: Mapped[bool | None]
    """It descends from a picture that Easel did not draw from words alone; see `origins`. Kept when
    the rest is forgotten."""
    tenant: Mapped[str] = mapped_column(String(64), server_default="")
    """With platform and user id the account (`domain.Account`)."""
    forget_at: Mapped[datetime | None]
    """The person is to be forgotten, and so is all that they asked for before: this is kept until
    then, since a moderator has still to look at it, or is about to be emptied."""
    notes: Mapped[list[dict[str, Any]]] = mapped_column(server_default="[]")
    """`domain.Complaint`s, said beside the result."""

    __table_args__ = (
        Index(None, "platform", "user_id", "created_at"),
        Index(None, "platform", "workspace_id", "created_at"),
        Index(None, "created_at", "id"),
        Index(
            "ix_requests_forget_at",
            "forget_at",
            sqlite_where=text("forget_at IS NOT NULL"),
            postgresql_where=text("forget_at IS NOT NULL"),
        ),
        Index(None, "reference_sha256"),
        Index(None, "mask_sha256"),
    )


class SearchRow(Base):
    """The words of a request's prompt (`storage.search`), numbered in the order of arrival. On
    SQLite triggers keep the FTS5 table `search_words` in step with it."""

    __tablename__ = "search"

    number: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    request_id: Mapped[UUID] = mapped_column(ForeignKey("requests.id"), unique=True)
    words: Mapped[str] = mapped_column(Text().with_variant(TSVECTOR(), "postgresql"))

    __table_args__ = (
        # Without `fastupdate`, which would leave new rows in a list that each search walks.
        Index(
            "ix_search_words",
            "words",
            postgresql_using="gin",
            postgresql_with={"fastupdate": "off"},
        ).ddl_if(dialect="postgresql"),
    )


def is_compared(_item: object, name: str | None, *_: object) -> bool:
    """Whether Alembic should compare this with the database: FTS5 has tables of its own, and the
    index in their place is PostgreSQL's alone (a test asserts that it is used)."""
    return not (name or "").startswith(("search_words", "ix_search_words"))


class JobRow(Base):
    """What happens to a request. `attempt` is the fence of every write by a worker."""

    __tablename__ = "jobs"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    request_id: Mapped[UUID] = mapped_column(ForeignKey("requests.id"), unique=True)
    model: Mapped[str] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int] = mapped_column(default=0)
    released: Mapped[int] = mapped_column(default=0)
    """Attempts that were handed back in good order, which count against nobody."""
    worker: Mapped[str] = mapped_column(String(200), default="")
    lease_until: Mapped[datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    phase: Mapped[str] = mapped_column(String(16), default="")
    step: Mapped[int] = mapped_column(default=0)
    step_count: Mapped[int] = mapped_column(default=0)
    model_revision: Mapped[str] = mapped_column(String(100), default="")
    failure: Mapped[str | None] = mapped_column(String(32))
    queue_seconds: Mapped[float] = mapped_column(default=0.0)
    device_seconds: Mapped[float] = mapped_column(default=0.0)
    created_at: Mapped[datetime]
    rung_at: Mapped[datetime]
    claimed_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    allowed: Mapped[bool] = mapped_column(default=False, server_default=false())
    """A moderator let a reference pass that a checker had held."""

    __table_args__ = (
        Index(
            "ix_jobs_open",
            "model",
            "state",
            "created_at",
            sqlite_where=text("state IN ('waiting', 'running')"),
            postgresql_where=text("state IN ('waiting', 'running')"),
        ),
        Index(
            "ix_jobs_made",
            "model",
            "finished_at",
            sqlite_where=text("state = 'made'"),
            postgresql_where=text("state = 'made'"),
        ),
    )


def is_open(job: type[JobRow] = JobRow) -> ColumnElement[bool]:
    """Waiting or running. SQLite uses a partial index only where its condition stands in the
    query word for word; without this it reads every job that there ever was."""
    return job.state.in_([literal_column("'waiting'"), literal_column("'running'")])


def row_by_row(column: InstrumentedAttribute[str]) -> ColumnElement[str]:
    """A column whose index is not to be used: other conditions leave fewer rows than it would."""
    return column.concat("")


class PictureRow(Base):
    __tablename__ = "pictures"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    seed: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    media_type: Mapped[str] = mapped_column(String(32))
    width: Mapped[int]
    height: Mapped[int]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    decision: Mapped[str] = mapped_column(String(8))
    kept_apart: Mapped[bool]
    removed_at: Mapped[datetime | None]
    """When its pixels were deleted from the blob store."""

    __table_args__ = (
        Index(
            "ix_pictures_blocked",
            "job_id",
            sqlite_where=text("decision = 'block' AND removed_at IS NULL"),
            postgresql_where=text("decision = 'block' AND removed_at IS NULL"),
        ),
    )


class VerdictRow(Base):
    """What one checker said of one thing. Append only."""

    __tablename__ = "verdicts"

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"), index=True)
    attempt: Mapped[int]
    subject: Mapped[str] = mapped_column(String(16))
    picture_index: Mapped[int | None]
    decision: Mapped[str] = mapped_column(String(8))
    rule: Mapped[str] = mapped_column(String(100))
    label: Mapped[str] = mapped_column(String(100))
    score: Mapped[float]
    scores: Mapped[dict[str, Any]]
    checker: Mapped[str] = mapped_column(String(200))
    checker_version: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime]


class DeliveryRow(Base):
    """One message that shows one job: what it should show against what it shows."""

    __tablename__ = "deliveries"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    platform: Mapped[str] = mapped_column(String(16))
    address: Mapped[dict[str, Any]]
    message_id: Mapped[str] = mapped_column(String(64), default="", index=True)
    """Out of the address: how a message in the chat is found again."""
    desired_revision: Mapped[int] = mapped_column(default=1)
    shown_revision: Mapped[int] = mapped_column(default=0)
    shown_at: Mapped[datetime | None]
    shown_pictures: Mapped[bool] = mapped_column(default=False)
    shown_waiting: Mapped[str] = mapped_column(String(64), default="")
    """What the card said of the queue, so that it changes only when that does."""
    removed: Mapped[bool] = mapped_column(default=False)
    """The requester or a moderator wants the message gone."""
    urgent: Mapped[bool] = mapped_column(default=True)
    """Not mere progress: shown without waiting for the pace of progress edits."""
    tries: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime]
    leased_by: Mapped[str] = mapped_column(String(200), default="")
    lease_until: Mapped[datetime | None]
    gone: Mapped[str | None] = mapped_column(String(100))
    """Why there is nobody to show it to any more; final."""
    created_at: Mapped[datetime]
    application: Mapped[str] = mapped_column(String(64), default="", server_default="")
    """The bot or app that was asked, which alone may show it; empty is anybody's."""
    trouble: Mapped[str] = mapped_column(String(100), default="", server_default="")
    """The platform's code for why the last try failed; empty when it did not."""
    trouble_since: Mapped[datetime | None]

    __table_args__ = (
        Index(
            "ix_deliveries_due",
            "platform",
            "not_before",
            sqlite_where=text("shown_revision < desired_revision AND gone IS NULL"),
            postgresql_where=text("shown_revision < desired_revision AND gone IS NULL"),
        ),
    )


class UsageRow(Base):
    __tablename__ = "usage"

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    platform: Mapped[str] = mapped_column(String(16))
    workspace_id: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(String(64))
    """After `forget` the counters stay, the person does not: a pseudonym until the day is over
    (`forgotten.pseudonym`), then empty."""
    day: Mapped[date]
    pictures: Mapped[int]
    device_seconds: Mapped[float]
    queue_seconds: Mapped[float]
    created_at: Mapped[datetime]
    tenant: Mapped[str] = mapped_column(String(64), default="", server_default="")
    refused: Mapped[int] = mapped_column(default=0, server_default="0")
    """1 where the prompt was refused, so that a day has room for so many refusals only."""

    __table_args__ = (
        Index(None, "platform", "user_id", "day"),
        Index(
            "ix_usage_forgotten",
            "day",
            sqlite_where=text("length(user_id) = 64"),
            postgresql_where=text("length(user_id) = 64"),
        ),
        Index(None, "platform", "workspace_id", "created_at"),
    )


class ReviewRow(Base):
    __tablename__ = "reviews"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    picture_sha256: Mapped[str] = mapped_column(String(64), default="")
    """Empty when the prompt or a reference is at issue (NULL would never be a duplicate)."""
    opened_at: Mapped[datetime]
    opened_by: Mapped[str] = mapped_column(String(64), default="")
    """Who reported it. After `forget` a pseudonym until the day is over, then nobody's name."""
    decision: Mapped[str | None] = mapped_column(String(16))
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str] = mapped_column(String(64), default="")
    opened_tenant: Mapped[str] = mapped_column(String(64), default="", server_default="")

    __table_args__ = (
        UniqueConstraint("job_id", "kind", "picture_sha256", "opened_by"),
        Index("ix_reviews_opened_by", "opened_by", "opened_at"),
        Index(
            "ix_reviews_open",
            "kind",
            "opened_at",
            sqlite_where=text("decision IS NULL"),
            postgresql_where=text("decision IS NULL"),
        ),
    )


class WorkspaceRow(Base):
    """What who manages a server has chosen with `/easel`."""

    __tablename__ = "workspaces"

    platform: Mapped[str] = mapped_column(String(16), primary_key=True)
    workspace_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    channels: Mapped[list[str]]
    """Channels where Easel answers; empty is everywhere."""
    default_model: Mapped[str | None] = mapped_column(String(100))
    daily_pictures: Mapped[int | None]
    paused: Mapped[bool] = mapped_column(default=False)


class BanRow(Base):
    __tablename__ = "bans"

    platform: Mapped[str] = mapped_column(String(16), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    banned_at: Mapped[datetime]
    banned_by: Mapped[str] = mapped_column(String(64))
    carried: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Stands in `sanctions`. What does not was written by a release before 0004, which knew no
    tenants: it holds for this id everywhere."""


class SanctionRow(Base):
    """What was decided about an account: so far bans alone."""

    __tablename__ = "sanctions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    platform: Mapped[str] = mapped_column(String(16))
    tenant: Mapped[str | None] = mapped_column(String(64))
    """None where it is not known: holds in every tenant."""
    user_id: Mapped[str] = mapped_column(String(64))
    workspace_id: Mapped[str] = mapped_column(String(64), default="")
    """Where it holds; empty is everywhere, which the operator alone decides."""
    kind: Mapped[str] = mapped_column(String(16), default="ban")
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    decided_by: Mapped[str] = mapped_column(String(64))

    __table_args__ = (Index("ix_sanctions_platform", "platform", "user_id"),)


class InboxRow(Base):
    """What was heard and not yet taken (`storage.inbox`). Once taken it keeps the key alone, for a
    day, so that an event that comes again is known."""

    __tablename__ = "inbox"

    event_key: Mapped[str] = mapped_column(String(300), primary_key=True)
    platform: Mapped[str] = mapped_column(String(16))
    application: Mapped[str] = mapped_column(String(64))
    tenant: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(String(64))
    body: Mapped[str] = mapped_column(Text)
    """JSON, encrypted where a key is set; empty once taken."""
    received_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(default=0)
    leased_by: Mapped[str] = mapped_column(String(200))
    lease_until: Mapped[datetime]

    __table_args__ = (
        Index(
            "ix_inbox_untaken",
            "platform",
            "application",
            "lease_until",
            sqlite_where=text("body <> ''"),
            postgresql_where=text("body <> ''"),
        ),
        Index("ix_inbox_received_at", "received_at"),
    )


class WorkerRow(Base):
    """The sign of life of a worker process."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    models: Mapped[list[str]]
    loaded: Mapped[list[str]]
    seen_at: Mapped[datetime]


class SlackInstallationRow(Base):
    """A workspace that has installed the Slack app, or a whole enterprise (without a team)."""

    __tablename__ = "slack_installations"

    enterprise_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    team_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    sealed: Mapped[str] = mapped_column(Text)
    """Its token and what belongs to it, encrypted with the key of the settings."""
    installed_at: Mapped[datetime]
