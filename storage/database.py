"""The connection to SQLite or PostgreSQL, and the one clock."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from storage import private
from storage.settings import Settings, at_home

Clock = Callable[[], datetime]

BUSY_TIMEOUT_MS = 5_000

TRANSIENT = (OperationalError, InternalError, InterfaceError, PoolTimeout)
"""Errors that are over soon: the database does not answer, takes no writes for a while (after a
failover PostgreSQL is read-only: InternalError), or all connections are in use."""

PATIENCE: dict[str, int] = {
    "connect_timeout": 10,
    "tcp_user_timeout": 20_000,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""libpq's limits for a PostgreSQL that has fallen silent, which by its defaults holds whoever waits
for it for minutes or hours. In seconds, but for `tcp_user_timeout`, which is in milliseconds."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class Database:
    """Hands out transactions. Leases are compared by `clock` of the process that asks: a clock
    that is off costs speed only, since the attempt number fences every write."""

    def __init__(self, url: str, clock: Clock = utc_now) -> None:
        self.clock = clock
        parsed = _understood(make_url(url))
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.engine = create_engine(
                parsed, connect_args={"check_same_thread": False}, hide_parameters=True
            )
            if parsed.database and parsed.database != ":memory:":
                _keep_private(self.engine, Path(parsed.database))
            _speak_sqlite(self.engine)
        else:
            self.engine = create_engine(
                parsed,
                pool_pre_ping=True,
                pool_size=10,
                # The connection used last has its statements prepared, its server process awake.
                pool_use_lifo=True,
                hide_parameters=True,
                connect_args={k: v for k, v in PATIENCE.items() if k not in parsed.query},
            )
        # PostgreSQL gives each statement a view of its own anyhow (READ COMMITTED), so that to
        # begin and commit around what only reads would ask it twice more for nothing.
        reading = {} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._reader = self.engine.execution_options(easel_read_only=True, **reading)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction. On SQLite it takes the write lock at once (BEGIN IMMEDIATE), so a
        read followed by an update cannot lose somebody else's update."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """What only reads: on SQLite one transaction, on PostgreSQL one for each statement."""
        with Session(self._reader, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """One transaction that only reads, and sees nothing of what is written meanwhile."""
        engine = self._reader
        if not self.is_sqlite:
            engine = self.engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        with engine.connect() as connection, connection.begin():
            yield connection

    def vacuum(self, *tables: str) -> None:
        """Overwrite what PostgreSQL keeps of rows that were changed or deleted, but for what
        somebody may still be reading; autovacuum waits until a table has many."""
        autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        with autocommit.connect() as connection:
            for name in tables:
                connection.execute(text(f'VACUUM "{name}"'))

    def checkpoint(self) -> None:
        """Empty SQLite's log beside the database, where deleted words would stay for a while.
        Waits for nobody: while others read, the next time will do."""
        if not self.is_sqlite:
            return
        connection = self.engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("PRAGMA busy_timeout=0")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        finally:
            connection.close()

    def close(self) -> None:
        self.engine.dispose()


def _understood(url: URL) -> URL:
    """As SQLAlchemy wants it: `postgres://`, as others write it, `~` for the home."""
    name = url.drivername.lower()
    if name in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if name.startswith("sqlite") and url.database:
        return url.set(drivername=name, database=str(at_home(Path(url.database))))
    return url


def is_sqlite(session: Session) -> bool:
    """For who is given a session and no Database."""
    return session.get_bind().dialect.name == "sqlite"


def lock(session: Session, name: str) -> None:
    """Let transactions of the same name run one after the other, until commit."""
    if not is_sqlite(session):
        session.execute(text("select pg_advisory_xact_lock(hashtext(:name))"), {"name": name})


def connect(settings: Settings, clock: Clock = utc_now) -> Database:
    return Database(settings.resolved_database_url, clock)


def _keep_private(engine: Engine, file: Path) -> None:
    """SQLite gives the files beside it the rights of the database."""
    private.make(file.parent)

    @event.listens_for(engine, "do_connect")
    def make(*_: object) -> None:
        with contextlib.suppress(OSError):  # SQLite says it better.
            file.touch(mode=private.FILE)
        private.close(*(file.with_name(f"{file.name}{end}") for end in ("", "-wal", "-shm")))


def _speak_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "secure_delete=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        read_only = connection.get_execution_options().get("easel_read_only", False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
