"""A log of a million requests, made from a seed, and how fast moderators read it.

The rows are written under the first schema and the migrations bring them up to date, so that
their time at this size is measured too.
"""

from __future__ import annotations

import random
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import accumulate, islice
from pathlib import Path
from uuid import UUID, uuid4

from alembic import command
from sqlalchemy import create_engine, make_url, select, text
from sqlalchemy.orm import Session

from storage import log, migrate
from storage.database import Database
from storage.domain import ReviewKind
from storage.tables import JobRow, RequestRow
from tests.bench.figures import Figure, p95

SEED = 5309
BATCH = 10_000
ROUNDS = 200
SYLLABLES = [c + v for c in "bcdfglmnprst" for v in "aeio"]
COMMON = ["a", "the", "of", "in", "on", "with", "red", "blue", "cat", "dog", "photorealistic"]
COMMON += ["detailed", "light", "château", "été", "œil", "niño"]
ZIPF = 0.9

TABLES = {
    "requests": "id event_key press platform enterprise_id workspace_id channel_id thread_id"
    " user_id locale age_restricted upload_limit_bytes private prompt negative_prompt"
    " prompt_labels model width height steps guidance_scale seed count strength created_at",
    "jobs": "id request_id model state attempt released worker cancel_requested phase step"
    " step_count model_revision queue_seconds device_seconds created_at rung_at claimed_at"
    " finished_at",
    "pictures": 'job_id "index" seed sha256 media_type width height size_bytes decision kept_apart',
    "deliveries": "job_id platform address message_id desired_revision shown_revision"
    " shown_pictures shown_waiting removed urgent tries not_before leased_by created_at",
    "usage": "job_id platform workspace_id user_id day pictures device_seconds queue_seconds"
    " created_at",
    "reviews": "id job_id kind picture_sha256 opened_at opened_by decided_by",
}
Rows = dict[str, list[tuple[object, ...]]]


class Vocabulary:
    """Some 20,000 words, of which few are in many prompts and many in few."""

    def __init__(self, rng: random.Random) -> None:
        made = {"".join(rng.choices(SYLLABLES, k=rng.randint(2, 5))) for _ in range(20_000)}
        self.words = COMMON + sorted(made)
        self._weights = list(accumulate(1 / (i + 2) ** ZIPF for i in range(len(self.words))))
        self._rng = rng

    def some(self, count: int) -> list[str]:
        return self._rng.choices(self.words, cum_weights=self._weights, k=count)


def batches(count: int, until: datetime) -> Iterator[Rows]:
    """One year of requests in 500 servers by 20,000 people, a batch at a time."""
    rng = random.Random(SEED)
    words = Vocabulary(rng)
    pace = timedelta(days=365) / count
    for first in range(0, count, BATCH):
        rows: Rows = {name: [] for name in TABLES}
        for i in range(first, min(first + BATCH, count)):
            _request(rows, rng, words, i, until - pace * (count - i))
        yield rows


def _request(rows: Rows, rng: random.Random, words: Vocabulary, i: int, at: datetime) -> None:
    request, job = f"{rng.getrandbits(128):032x}", f"{rng.getrandbits(128):032x}"
    when = f"{at:%Y-%m-%d %H:%M:%S.%f}"
    server = f"s{min(int(rng.paretovariate(0.7)), 500)}"
    user = f"u{min(int(rng.paretovariate(0.5)), 20_000)}"
    prompt, sha256 = " ".join(words.some(rng.randint(3, 16))), f"{i:064x}"
    place = ("discord", "", server, "c", "")
    settings = ("builtin", 256, 256, 12, 3.0, i, 1, 0.6, when)
    rows["requests"].append(
        (request, f"e{i}", "", *place, user, "en", 0, 0, 0, prompt, "", "[]", *settings)
    )
    times = (when, when, when, when)
    rows["jobs"].append(
        (job, request, "builtin", "made", 1, 0, "w", 0, "", 12, 12, "r", 0.1, 1.0, *times)
    )
    picture = ("image/png", 256, 256, 50_000, "allow", 0)
    rows["pictures"].append((job, 0, i, sha256, *picture))
    rows["deliveries"].append((job, "discord", "{}", f"m{i}", 9, 9, 1, "", 0, 0, 0, when, "", when))
    rows["usage"].append((job, "discord", server, user, when[:10], 1, 1.0, 0.1, when))
    if i % 5_000 == 0:
        rows["reviews"].append((f"{i:032x}", job, "hold", sha256, when, "", ""))


def fill(database: Database, count: int, until: datetime) -> float:
    """Seconds that the migrations after the first took, on so many requests."""
    with database.engine.begin() as connection:
        command.upgrade(migrate._config(connection), "0001")
    write = _to_sqlite if database.is_sqlite else _to_postgres
    with _without_indexes(database):
        for rows in batches(count, until):
            write(database, rows)
    started = time.monotonic()
    migrate.upgrade(database)
    seconds = time.monotonic() - started
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
            c.execute(text("VACUUM ANALYZE"))
    return seconds


@contextmanager
def _without_indexes(database: Database) -> Iterator[None]:
    """Indexes are made in one go afterwards, in a third of the time."""
    made = "select name, sql from sqlite_master where type = 'index' and sql is not null"
    if not database.is_sqlite:
        made = (
            "select indexname, indexdef from pg_indexes where schemaname = 'public'"
            " and starts_with(indexname, 'ix')"
        )
    with database.engine.begin() as connection:
        indexes = connection.exec_driver_sql(made).all()
        for name, _ in indexes:
            connection.exec_driver_sql(f"DROP INDEX {name}")
    yield
    with database.engine.begin() as connection:
        for _, statement in indexes:
            connection.exec_driver_sql(statement)


def _to_sqlite(database: Database, rows: Rows) -> None:
    with database.engine.begin() as connection:
        for name, columns in TABLES.items():
            names = columns.split()
            places = ", ".join("?" * len(names))
            statement = f"INSERT INTO {name} ({', '.join(names)}) VALUES ({places})"
            if rows[name]:
                connection.exec_driver_sql(statement, rows[name])


def _to_postgres(database: Database, rows: Rows) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("SET LOCAL timezone TO 'UTC'"))
        cursor = connection.connection.cursor()
        for name, columns in TABLES.items():
            with cursor.copy(f"COPY {name} ({', '.join(columns.split())}) FROM STDIN") as copy:
                for row in rows[name]:
                    copy.write_row(row)


@contextmanager
def postgres(server_url: str) -> Iterator[str]:
    """The URL of a database of this bench's own, dropped afterwards."""
    server = make_url(server_url).set(drivername="postgresql+psycopg")
    name = f"easel_bench_{uuid4().hex[:12]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name}"))
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"drop database {name} with (force)"))
        admin.dispose()


def measured(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def reading(database: Database, name: str, count: int) -> Iterator[Figure]:
    """Pages and searches, each in a transaction of its own, as a moderator's page asks for them."""

    def page(**filters: object) -> Sequence[log.LogEntry]:
        with database.read() as session:
            return log.page(session, **filters)  # type: ignore[arg-type]

    def each(queries: Sequence[dict[str, object]]) -> list[float]:
        page(**queries[0])
        return [measured(lambda q=query: page(**q)) for query in queries]  # type: ignore[misc]

    rng = random.Random(SEED + 1)
    words = Vocabulary(random.Random(SEED))
    floor = statistics.median(each([{"limit": 1}] * 50))
    note = f"a page of one row takes {floor * 1e3:.1f} ms"
    first = each([{}] * ROUNDS)
    with database.read() as session:
        depth = at_depth(session, count * 9 // 10)
    deep = each([{"before": depth}] * ROUNDS)
    yield Figure(f"{name}: first page, p95", p95(first), floor, 0.050, note)
    yield Figure(f"{name}: page at depth {count * 9 // 10:,}, p95", p95(deep), floor, 0.050, note)
    ratio = statistics.median(deep) / statistics.median(first)
    yield Figure(f"{name}: deep page ÷ first, medians", ratio, 1.0, 3.0, "", unit="×")

    prompts = _prompts(database, rng, ROUNDS)
    beginnings = [w[: rng.randint(1, 5)] for w in words.some(ROUNDS)]
    kinds: dict[str, list[dict[str, object]]] = {
        "one word": [{"search": word} for word in words.some(ROUNDS)],
        "one rare word": [{"search": rng.choice(words.words)} for _ in range(ROUNDS)],
        "a beginning": [{"search": word} for word in beginnings],
        "two words, found": [{"search": " ".join(islice(p.split(), 2))} for p in prompts],
        "three words at random": [{"search": " ".join(words.some(3))} for _ in range(ROUNDS)],
        "a whole prompt": [{"search": prompt} for prompt in prompts],
        "no such word": [{"search": f"zzq{i}"} for i in range(ROUNDS)],
    }
    everything = []
    for kind, queries in kinds.items():
        took = each(queries)
        everything += took
        yield Figure(f"{name}: search, {kind}, p95", p95(took), floor, 0.050, note)
    yield Figure(f"{name}: search, all of these, p95", p95(everything), floor, 0.050, note)

    for kind, filters in _filters(rng).items():
        queries = [filters | {"search": word} for word in ["", *words.some(40)]]
        tracemalloc.start()
        page(**queries[0])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        note = f"page alone allocates {peak / 1024:.0f} KiB"
        alone = each([filters] * 40)
        yield Figure(f"{name}: page of {kind}, p95", p95(alone), floor, 0.050, note)
        yield Figure(f"{name}: search in {kind}, p95", p95(each(queries)), floor, 0.050, "")


def _filters(rng: random.Random) -> dict[str, dict[str, object]]:
    return {
        "a busy person": {"user": ("discord", "u1")},
        "a quiet person": {"user": ("discord", f"u{rng.randint(5_000, 9_000)}")},
        "a busy server": {"workspace": ("discord", "s1")},
        "a quiet server": {"workspace": ("discord", "s400")},
        "what is held": {"reviews": (ReviewKind.HOLD,)},
        "what waits": {"unfinished": True},
        "one person's that waits": {"user": ("discord", "u1"), "unfinished": True},
    }


def at_depth(session: Session, depth: int) -> tuple[datetime, UUID]:
    """What `page` takes as `before`, so many rows from the newest."""
    row = session.execute(
        select(RequestRow.created_at, JobRow.id)
        .join(JobRow, JobRow.request_id == RequestRow.id)
        .order_by(RequestRow.created_at.desc(), RequestRow.id.desc())
        .offset(depth)
        .limit(1)
    ).one()
    return row[0], row[1]


def _prompts(database: Database, rng: random.Random, count: int) -> list[str]:
    newest = select(RequestRow.prompt).order_by(RequestRow.created_at.desc()).limit(20_000)
    with database.read() as session:
        return rng.sample(session.scalars(newest).all(), count)


def on_sqlite(count: int, folder: Path) -> Iterator[Figure]:
    return _of(Database(f"sqlite:///{folder / 'million.db'}"), "SQLite", count)


def on_postgres(count: int, server_url: str) -> Iterator[Figure]:
    with postgres(server_url) as url:
        yield from _of(Database(url), "PostgreSQL", count)


def _of(database: Database, name: str, count: int) -> Iterator[Figure]:
    started = time.monotonic()
    migrated = fill(database, count, datetime.now(UTC) - timedelta(hours=1))
    filled = time.monotonic() - started - migrated
    yield Figure(f"{name}: migrating {count:,} requests", migrated, filled, None, "beside: filling")
    yield from reading(database, name, count)
    database.close()
