"""What operators watch, for Prometheus. Labels are models, states and platforms, never a person,
a server, a job or a word of a prompt.

Counters and histograms belong to the process that did the work; add them up over processes. What
`Queue` reads from the database is the same wherever it is read; take one process, or the highest.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import event, func, literal_column, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, object_session

from storage.database import Database
from storage.domain import JobState
from storage.tables import DeliveryRow, JobRow

_OPEN = (JobState.WAITING, JobState.RUNNING)
_WAITS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800)
_STEPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)

JOBS_FINISHED = Counter("easel_jobs_finished", "Jobs that ended, by how.", ["model", "outcome"])
QUEUE_SECONDS = Histogram(
    "easel_queue_seconds", "From accepted to the last claim.", ["model"], buckets=_WAITS
)
JOB_SECONDS = Histogram(
    "easel_job_seconds", "From the last claim to the end.", ["model"], buckets=_WAITS
)
STEP_SECONDS = Histogram(
    "easel_step_seconds", "Mean of one denoising step of a job.", ["model"], buckets=_STEPS
)
LEASES_LOST = Counter("easel_leases_lost", "Jobs that another attempt took from this worker.")
RINGS_REPEATED = Counter("easel_rings_repeated", "Jobs the reaper rang for again.", ["model"])
DELIVERY_RETRIES = Counter(
    "easel_delivery_retries", "Messages that were put off to be shown later.", ["platform"]
)
DELIVERIES_GONE = Counter(
    "easel_deliveries_gone", "Messages that nobody can be shown any more.", ["platform"]
)
GATEWAY_CONNECTED = Gauge("easel_gateway_connected", "1 while the chat is there.", ["platform"])


def after_commit(session: Session, count: Callable[[], None]) -> None:
    """Count what this transaction does, if it comes to its end."""
    event.listen(session, "after_commit", lambda _: count(), once=True)


@event.listens_for(JobRow.state, "set")
def _state_set(job: JobRow, state: str, *_: object) -> None:
    """Wherever a row's state is set. Where `storage.jobs` writes without one, it says so itself."""
    if JobState(state).finished and (session := object_session(job)) is not None:
        job_ended(session, job.model, JobState(state))


def job_ended(session: Session, model: str, state: JobState) -> None:
    after_commit(session, JOBS_FINISHED.labels(model, state.value).inc)


def job_took(
    session: Session, model: str, queue_seconds: float, claimed_at: datetime | None, now: datetime
) -> None:
    job_seconds = (now - claimed_at).total_seconds() if claimed_at else 0.0
    after_commit(session, partial(QUEUE_SECONDS.labels(model).observe, queue_seconds))
    after_commit(session, partial(JOB_SECONDS.labels(model).observe, job_seconds))


class Queue(Collector):
    """How much waits, read from the database at every scrape. A database that does not answer
    leaves the figures out; `/health` says why."""

    def __init__(self, database: Database, models: Iterable[str]) -> None:
        """Models of the catalog, which count 0 when they have no jobs."""
        self._database = database
        self._models = tuple(models)

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        try:
            with self._database.read() as session:
                return [*self._jobs(session), *_deliveries(session)]
        except SQLAlchemyError:
            return []

    def _jobs(self, session: Session) -> Iterable[Metric]:
        now = self._database.clock()
        counts = {(model, state): 0 for model in self._models for state in _OPEN}
        ages, expired = dict.fromkeys(self._models, 0.0), 0
        # Spelled out, as the index of unfinished jobs has it: with parameters it goes unused.
        rows = session.execute(
            select(
                *(JobRow.model, JobRow.state, func.count(), func.min(JobRow.created_at)),
                func.count().filter(JobRow.lease_until < now),
            )
            .where(JobRow.state.in_([literal_column(f"'{state}'") for state in _OPEN]))
            .group_by(JobRow.model, JobRow.state)
        )
        for model, state, count, first, overdue in rows:
            counts[model, JobState(state)] = count
            expired += overdue
            if state == JobState.WAITING:
                ages[model] = max(0.0, (now - first).total_seconds())
        depth = GaugeMetricFamily("easel_queue_jobs", "Unfinished jobs.", labels=["model", "state"])
        for (model, state), count in counts.items():
            depth.add_metric([model, state], count)
        oldest = GaugeMetricFamily(
            "easel_queue_oldest_seconds", "Age of the oldest waiting job.", labels=["model"]
        )
        for model, age in ages.items():
            oldest.add_metric([model], age)
        leases = GaugeMetricFamily(
            "easel_queue_leases_expired", "Running jobs whose worker is silent.", value=expired
        )
        return depth, oldest, leases


def _deliveries(session: Session) -> Iterable[Metric]:
    waiting = GaugeMetricFamily(
        "easel_deliveries_waiting", "Messages that lag behind.", labels=["platform"]
    )
    tried = GaugeMetricFamily(
        "easel_deliveries_retrying", "Those that failed to be shown before.", labels=["platform"]
    )
    refused = GaugeMetricFamily(
        "easel_deliveries_refused",
        "Those that the platform refuses, by its code.",
        labels=["platform", "code"],
    )
    counts: dict[str, list[int]] = {}
    rows = session.execute(
        select(
            *(DeliveryRow.platform, DeliveryRow.trouble, func.count()),
            func.count().filter(DeliveryRow.tries > 0),
        )
        .where(
            DeliveryRow.shown_revision < DeliveryRow.desired_revision, DeliveryRow.gone.is_(None)
        )
        .group_by(DeliveryRow.platform, DeliveryRow.trouble)
    )
    for platform, code, count, again in rows:
        sums = counts.setdefault(platform, [0, 0])
        sums[0] += count
        sums[1] += again
        if code:
            refused.add_metric([platform, code], count)
    for platform, (count, again) in counts.items():
        waiting.add_metric([platform], count)
        tried.add_metric([platform], again)
    return waiting, tried, refused
