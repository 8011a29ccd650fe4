"""The heartbeat: renews while there is progress, tells of loss and cancel, ends what hangs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import InternalError

from generation.engine import Stopped
from generation.heart import Heart
from storage import jobs, leases, migrate
from storage.database import Database, connect
from storage.domain import GenerationJob, StepReport
from storage.domain.job import Phase
from storage.settings import Settings
from tests.conftest import make_settings
from tests.fakes.nouns import FakeClock, recorded

STEP = StepReport(phase=Phase.DRAWING, step=2, steps=12)


class Ward:
    def __init__(self, settings: Settings, database: Database, clock: FakeClock) -> None:
        self.settings, self.database, self.clock = settings, database, clock
        self.ended = threading.Event()
        self.draining = threading.Event()
        with database.write() as session:
            recorded(session, now=clock())

    def claim(self) -> GenerationJob:
        with self.database.write() as session:
            job = leases.claim(
                session,
                ["builtin"],
                worker="w",
                lease=timedelta(seconds=2),
                max_attempts=9,
                now=self.clock(),
            )
        assert job is not None
        return job

    @contextmanager
    def heart(self, job: GenerationJob) -> Iterator[Heart]:
        ended = self.ended.set
        with Heart(job, self.settings, self.database, self.draining, end=ended) as heart:
            yield heart


def eventually(holds: Callable[[], bool]) -> bool:
    pause = threading.Event()
    return any(holds() or pause.wait(0.02) for _ in range(500))


@pytest.fixture
def ward(tmp_path: Path, clock: FakeClock) -> Iterator[Ward]:
    settings = make_settings(
        tmp_path, lease_seconds=2, heartbeat_seconds=0.02, step_limit_seconds=0.3
    )
    database = connect(settings, clock)
    migrate.upgrade(database)
    yield Ward(settings, database, clock)
    database.close()


def test_a_cancel_stops_at_the_next_step(ward: Ward) -> None:
    job = ward.claim()
    with ward.heart(job) as heart:
        heart.progress.update(STEP)
        with ward.database.write() as session:
            jobs.cancel(session, job.id, ward.clock())
        assert eventually(lambda: heart.cancelled)
        with pytest.raises(Stopped):
            heart.progress.update(STEP)


def test_a_lost_lease_stops_at_the_next_step(ward: Ward) -> None:
    job = ward.claim()
    ward.clock.advance(seconds=3)
    ward.claim()
    with ward.heart(job) as heart:
        assert eventually(lambda: heart.lost)
        with pytest.raises(Stopped):
            heart.progress.update(STEP)


def test_leaving_stops_drawing_but_not_finishing(ward: Ward) -> None:
    with ward.heart(ward.claim()) as heart:
        ward.draining.set()
        with pytest.raises(Stopped):
            heart.progress.update(STEP)
        heart.finishing()


def test_a_hung_step_ends_the_process(ward: Ward) -> None:
    with ward.heart(ward.claim()) as heart:
        heart.progress.update(STEP)
        assert ward.ended.wait(10)


def test_loading_may_take_longer_than_a_step(ward: Ward) -> None:
    with ward.heart(ward.claim()) as heart:
        assert heart.progress.report.phase is Phase.LOADING
        assert not ward.ended.wait(0.6)


def test_it_beats_on_when_the_database_takes_no_writes_for_a_while(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew, failures = leases.renew, [InternalError("read-only", None, Exception())]

    def failing(*given: Any, **named: Any) -> leases.Renewal:
        if failures:
            raise failures.pop()
        return renew(*given, **named)

    monkeypatch.setattr(leases, "renew", failing)
    job = ward.claim()
    with ward.heart(job) as heart:
        assert eventually(lambda: not failures)
        with ward.database.write() as session:
            jobs.cancel(session, job.id, ward.clock())
        assert eventually(lambda: heart.cancelled)
