"""What the metrics say of a database with known contents."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from sqlalchemy import event, text

from storage import deliveries, jobs, leases, metrics, migrate
from storage.database import Database
from storage.domain import Decision, GenerationJob, Platform
from tests.fakes.nouns import FakeClock, a_request, a_verdict, made, recorded

LEASE = timedelta(seconds=15)


def claim(database: Database, clock: FakeClock) -> GenerationJob:
    with database.write() as session:
        job = leases.claim(
            session, ["builtin"], worker="w", lease=LEASE, max_attempts=1, now=clock()
        )
    assert job is not None
    return job


@pytest.fixture
def queue(database: Database) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(metrics.Queue(database, ["builtin", "idle"]))
    return registry


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    found = registry.get_sample_value(name, labels)
    return 0.0 if found is None else found


def test_the_queue_as_the_database_has_it(
    database: Database, clock: FakeClock, queue: CollectorRegistry
) -> None:
    with database.write() as session:
        first, second, _ = (recorded(session, now=clock()) for _ in range(3))
        recorded(session, now=clock(), request=a_request(model="gone"))
    claim(database, clock)
    clock.advance(seconds=20)
    with database.write() as session:
        [delivery] = deliveries.lease_due(
            session, Platform.DISCORD, owner="me", lease=LEASE, pace=LEASE, now=clock(), only=second
        )
        deliveries.retry(session, delivery, owner="me", at=clock())
        [delivery] = deliveries.lease_due(
            session, Platform.DISCORD, owner="me", lease=LEASE, pace=LEASE, now=clock(), only=first
        )
        deliveries.give_up(session, delivery, "nobody is there")
    assert value(queue, "easel_queue_jobs", model="builtin", state="waiting") == 2
    assert value(queue, "easel_queue_jobs", model="builtin", state="running") == 1
    assert value(queue, "easel_queue_jobs", model="gone", state="waiting") == 1
    assert queue.get_sample_value("easel_queue_jobs", {"model": "idle", "state": "waiting"}) == 0
    assert value(queue, "easel_queue_oldest_seconds", model="builtin") == 20
    assert queue.get_sample_value("easel_queue_oldest_seconds", {"model": "idle"}) == 0
    assert value(queue, "easel_queue_leases_expired") == 1
    assert value(queue, "easel_deliveries_waiting", platform="discord") == 3
    assert value(queue, "easel_deliveries_retrying", platform="discord") == 1


def test_a_database_without_answers_leaves_the_rest(tmp_path: Path) -> None:
    empty = Database(f"sqlite:///{tmp_path}/no-tables.db")
    assert list(metrics.Queue(empty, ["builtin"]).collect()) == []
    empty.close()


def ended(outcome: str) -> float:
    return value(REGISTRY, "easel_jobs_finished_total", model="builtin", outcome=outcome)


def never_committed(database: Database, job: GenerationJob, clock: FakeClock) -> float:
    with database.write() as session:
        assert jobs.finish(session, job, made(job), clock())
        return 1 / 0


def test_every_end_is_counted_once_and_only_when_it_is_written(
    database: Database, clock: FakeClock
) -> None:
    before = {name: ended(name) for name in ("made", "refused", "cancelled", "failed")}
    took = value(REGISTRY, "easel_job_seconds_sum", model="builtin")
    waited = value(REGISTRY, "easel_queue_seconds_sum", model="builtin")
    with database.write() as session:
        recorded(session, now=clock())
    clock.advance(seconds=3)
    job = claim(database, clock)
    clock.advance(seconds=5)
    with pytest.raises(ZeroDivisionError):
        never_committed(database, job, clock)
    assert ended("made") == before["made"]
    with database.write() as session:
        assert jobs.finish(session, job, made(job), clock())
    with database.write() as session:
        assert not jobs.finish(session, job, made(job), clock()), "fenced"
        block = (a_verdict(Decision.BLOCK),)
        recorded(session, now=clock(), verdicts=block)
        waiting = recorded(session, now=clock())
        assert jobs.cancel(session, waiting, clock())
        assert not jobs.cancel(session, waiting, clock())
        recorded(session, now=clock())
    claim(database, clock)
    clock.advance(seconds=20)
    for _ in range(2):
        with database.write() as session:
            leases.reap(session, max_attempts=1, ring_after=LEASE, now=clock())
    assert {name: ended(name) - count for name, count in before.items()} == {
        "made": 1,
        "refused": 1,
        "cancelled": 1,
        "failed": 1,
    }
    assert value(REGISTRY, "easel_queue_seconds_sum", model="builtin") - waited == pytest.approx(3)
    assert value(REGISTRY, "easel_job_seconds_sum", model="builtin") - took == pytest.approx(25)


LABELS = {"model", "state", "outcome", "platform", "code", "le"}


def test_no_label_can_grow_without_end() -> None:
    for metric in REGISTRY.collect():
        if metric.name.startswith("easel_"):
            for sample in metric.samples:
                assert sample.labels.keys() <= LABELS


def test_the_queue_is_counted_by_its_index(tmp_path: Path) -> None:
    """A scrape costs what waits, not what ever was. (PostgreSQL reads so small a table whole.)"""
    database = Database(f"sqlite:///{tmp_path}/easel.db")
    migrate.upgrade(database)
    seen: list[str] = []
    event.listen(
        database.engine,
        "before_cursor_execute",
        lambda _c, _cursor, statement, *_: seen.append(statement),
    )
    list(metrics.Queue(database, []).collect())
    [statement] = [s for s in seen if "GROUP BY jobs.model" in s]
    with database.read() as session:
        plan = session.execute(text(f"explain query plan {statement.replace('?', '1')}")).all()
    assert "ix_jobs_open" in str(plan)
    database.close()


def test_the_readme_names_every_metric() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    table = readme.partition("\n| metric |")[2].partition("\n\n")[0]
    told = set(re.findall(r"`(easel_\w+)`", table))
    database = Database("sqlite://")
    migrate.upgrade(database)
    queue = metrics.Queue(database, ["builtin"])
    found = [*REGISTRY.collect(), *queue.collect()]
    names = {m.name + "_total" * (m.type == "counter") for m in found}
    assert told == {name for name in names if name.startswith("easel_")}
    database.close()
