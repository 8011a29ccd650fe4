"""Jobs and leases: recorded once, claimed by one, finished by the newest attempt only."""

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from storage import decisions, deliveries, jobs, leases, log, review, standing, usage
from storage.database import Database
from storage.domain import (
    Cancelled,
    Decision,
    Failed,
    GenerationJob,
    JobState,
    Outcome,
    Refused,
    ReviewKind,
    StepReport,
    Subject,
)
from storage.domain.job import FailureReason, Phase
from storage.log import LogEntry
from tests.fakes.nouns import FakeClock, a_request, a_verdict, account, an_event, made, recorded

LEASE = timedelta(seconds=10)
DRAWING = StepReport(phase=Phase.DRAWING, step=3, steps=12)


class Shop:
    """The storage functions with the clock put in, so that tests read as a story."""

    def __init__(self, database: Database, clock: FakeClock) -> None:
        self.database, self.clock = database, clock

    def record(self, **given: Any) -> UUID:
        with self.database.write() as session:
            return recorded(session, now=self.clock(), **given)

    def claim(
        self, worker: str = "w1", max_attempts: int = 3, model: str = "builtin"
    ) -> GenerationJob | None:
        with self.database.write() as session:
            return leases.claim(
                session,
                [model],
                worker=worker,
                lease=LEASE,
                max_attempts=max_attempts,
                now=self.clock(),
            )

    def claimed(self, worker: str = "w1") -> GenerationJob:
        job = self.claim(worker)
        assert job is not None
        return job

    def renew(self, job: GenerationJob, report: StepReport = DRAWING) -> leases.Renewal:
        with self.database.write() as session:
            return leases.renew(session, job, report, lease=LEASE, now=self.clock())

    def finish(self, job: GenerationJob, outcome: Outcome | None = None) -> bool:
        with self.database.write() as session:
            return jobs.finish(session, job, outcome or made(job), self.clock())

    def reap(self) -> list[UUID]:
        with self.database.write() as session:
            rings = leases.reap(
                session, max_attempts=3, ring_after=timedelta(seconds=20), now=self.clock()
            )
        return [ring.job_id for ring in rings]

    def entry(self, job_id: UUID) -> LogEntry:
        with self.database.read() as session:
            entry = log.entry(session, job_id)
        assert entry is not None
        return entry


@pytest.fixture
def shop(database: Database, clock: FakeClock) -> Shop:
    return Shop(database, clock)


def test_what_is_recorded_is_what_the_worker_gets(shop: Shop) -> None:
    job_id = shop.record()
    job = shop.claimed()
    assert job.id == job_id
    assert job.request == a_request()
    assert job.attempt.number == 1
    assert shop.entry(job_id).state is JobState.RUNNING


def test_an_event_is_known_after_it_was_recorded(shop: Shop, database: Database) -> None:
    event = an_event("1")
    job_id = shop.record(event=event)
    with database.read() as session:
        assert jobs.known(session, event, "", shop.clock()) == job_id
        assert jobs.known(session, an_event("2"), "", shop.clock()) is None


def test_a_second_press_is_the_same_request_for_two_seconds(shop: Shop, database: Database) -> None:
    job_id = shop.record(press="message:again:alice")
    for seconds, same in ((1.9, True), (0.2, False)):
        shop.clock.advance(seconds=seconds)
        with database.read() as session:
            known = jobs.known(session, an_event(), "message:again:alice", shop.clock())
            assert (known == job_id) is same


def test_one_job_is_claimed_by_one_of_many(shop: Shop) -> None:
    for _ in range(5):
        shop.record()
    got: list[GenerationJob | None] = []
    threads = [
        threading.Thread(target=lambda name=f"w{i}": got.append(shop.claim(name)))  # type: ignore[misc]
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    claimed = [job.id for job in got if job is not None]
    assert len(claimed) == len(set(claimed))
    while (job := shop.claim()) is not None:
        claimed.append(job.id)
    assert len(set(claimed)) == len(claimed) == 5


def test_the_lease_keeps_others_away_until_it_runs_out(shop: Shop) -> None:
    shop.record()
    first = shop.claimed("w1")
    shop.clock.advance(seconds=9)
    assert shop.claim("w2") is None
    assert shop.renew(first).held
    shop.clock.advance(seconds=9)
    assert shop.claim("w2") is None
    shop.clock.advance(seconds=2)
    second = shop.claimed("w2")
    assert second.attempt.number == 2


def test_a_zombie_can_neither_renew_nor_finish_nor_release(shop: Shop, database: Database) -> None:
    job_id = shop.record()
    zombie = shop.claimed("w1")
    shop.clock.advance(seconds=11)
    heir = shop.claimed("w2")
    assert not shop.renew(zombie).held
    assert not shop.finish(zombie, Failed(reason=FailureReason.ERROR))
    with database.write() as session:
        assert not leases.release(session, zombie, shop.clock())
    assert shop.entry(job_id).state is JobState.RUNNING
    assert shop.finish(heir)
    assert not shop.finish(heir), "finished is finished"
    entry = shop.entry(job_id)
    assert (entry.state, len(entry.pictures), entry.worker) == (JobState.MADE, 1, "w2")


def test_a_job_that_kills_its_workers_is_tried_three_times(shop: Shop) -> None:
    poison = shop.record()
    for _ in range(3):
        shop.claimed()
        shop.clock.advance(seconds=11)
        shop.reap()
    assert shop.claim() is None
    entry = shop.entry(poison)
    assert (entry.state, entry.failure) == (JobState.FAILED, FailureReason.CRASHED)
    assert entry.attempts == 3


def test_a_fourth_try_is_not_given_though_the_reaper_is_late(shop: Shop) -> None:
    shop.record()
    for _ in range(3):
        shop.claimed()
        shop.clock.advance(seconds=11)
    assert shop.claim() is None


def test_a_released_job_counts_no_attempt(shop: Shop, database: Database) -> None:
    job_id = shop.record()
    for _ in range(5):
        job = shop.claimed()
        with database.write() as session:
            assert leases.release(session, job, shop.clock())
    assert shop.entry(job_id).attempts == 0
    assert shop.finish(shop.claimed())


def test_the_reaper_rings_for_expired_leases_and_unheard_jobs(shop: Shop) -> None:
    lost = shop.record(server="a")
    taken = shop.record(server="b")
    assert shop.reap() == []
    first = shop.claimed()
    shop.clock.advance(seconds=11)
    assert shop.reap() == [first.id]
    assert shop.reap() == [], "not again at once"
    shop.clock.advance(seconds=21)
    assert set(shop.reap()) == {lost, taken}


def test_cancel_before_and_during(shop: Shop, database: Database) -> None:
    waiting, other = shop.record(server="a"), shop.record(server="b")
    job = shop.claimed()
    idle = waiting if job.id == other else other
    with database.write() as session:
        assert jobs.cancel(session, idle, shop.clock())
        assert jobs.cancel(session, job.id, shop.clock())
    assert shop.entry(idle).state is JobState.CANCELLED
    assert shop.renew(job).cancel
    assert shop.finish(job, Cancelled())
    with database.write() as session:
        assert not jobs.cancel(session, job.id, shop.clock()), "too late"


def test_a_cancelled_job_whose_worker_died_ends_cancelled(shop: Shop, database: Database) -> None:
    job_id = shop.record()
    shop.claimed()
    with database.write() as session:
        jobs.cancel(session, job_id, shop.clock())
    shop.clock.advance(seconds=11)
    shop.reap()
    assert shop.entry(job_id).state is JobState.CANCELLED


def test_a_refused_prompt_is_logged_and_never_claimed(shop: Shop, database: Database) -> None:
    verdict = a_verdict(Decision.BLOCK, subject=Subject.PROMPT, rule="sexual")
    job_id = shop.record(verdicts=(verdict,))
    assert shop.claim() is None
    entry = shop.entry(job_id)
    assert entry.state is JobState.REFUSED
    assert entry.verdicts == ((None, verdict),)
    with database.read() as session:
        assert deliveries.get(session, job_id) is not None


def test_held_pictures_open_a_review_and_are_kept_apart(shop: Shop, database: Database) -> None:
    job_id = shop.record()
    job = shop.claimed()
    assert shop.finish(job, made(job, Decision.ALLOW, Decision.HOLD, Decision.BLOCK))
    entry = shop.entry(job_id)
    assert [p.kept_apart for p in entry.pictures] == [False, True, True]
    assert entry.held
    with database.read() as session:
        assert [r.kind for r in review.waiting(session)] == [ReviewKind.HOLD]


def test_the_floor_opens_a_restricted_review(shop: Shop, database: Database) -> None:
    shop.record()
    job = shop.claimed()
    floor = a_verdict(Decision.BLOCK, rule="floor:minor", subject=Subject.REFERENCE)
    assert shop.finish(job, Refused(verdict=floor))
    with database.write() as session:
        assert [r.kind for r in review.waiting(session)] == [ReviewKind.RESTRICTED]
        with pytest.raises(PermissionError):
            decisions.allow(session, job.id, by="mod", now=shop.clock())


def test_usage_counts_what_was_drawn_and_what_is_on_its_way(shop: Shop, database: Database) -> None:
    def today() -> int:
        with database.read() as session:
            return standing.of(session, account("alice"), "guild", shop.clock()).today

    shop.record(request=a_request(count=3))
    assert today() == 3
    job = shop.claimed()
    assert today() == 3
    shop.finish(job, made(job, Decision.ALLOW, Decision.ALLOW))
    assert today() == 2
    shop.record()
    job = shop.claimed()
    shop.finish(job, Failed(reason=FailureReason.ERROR))
    assert today() == 2
    shop.clock.advance(days=1)
    assert today() == 0


def test_one_server_with_many_jobs_does_not_keep_another_waiting(shop: Shop) -> None:
    for _ in range(20):
        shop.record(server="busy", user="bob")
    lone = shop.record(server="quiet", user="carol")
    order = []
    for _ in range(2):
        job = shop.claimed()
        order.append(job.id)
        shop.clock.advance(seconds=1)
        shop.finish(job)
    assert lone in order


def test_one_person_with_many_jobs_does_not_keep_another_waiting(shop: Shop) -> None:
    for _ in range(20):
        shop.record(user="bob")
    lone = shop.record(user="carol")
    order = []
    for _ in range(2):
        job = shop.claimed()
        order.append(job.id)
        shop.clock.advance(seconds=1)
        shop.finish(job)
    assert lone in order


def test_who_has_waited_beyond_the_age_cap_goes_first(shop: Shop) -> None:
    busy = {shop.record(server="busy"), shop.record(server="busy")}
    shop.clock.advance(minutes=11)
    shop.finish(first := shop.claimed())
    quiet = shop.record(server="quiet")
    second = shop.claimed()
    assert {first.id, second.id} == busy, "the quiet server would go first but for the cap"
    shop.finish(second)
    assert shop.claimed().id == quiet


def test_renewing_shows_progress(shop: Shop, database: Database) -> None:
    job_id = shop.record()
    job = shop.claimed()
    with database.read() as session:
        before = deliveries.get(session, job_id)
    shop.renew(job)
    shop.renew(job)
    with database.read() as session:
        after = deliveries.get(session, job_id)
    assert before is not None
    assert after is not None
    assert after.desired_revision == before.desired_revision + 1, "once for the same step"
    entry = shop.entry(job_id)
    assert (entry.phase, entry.step, entry.step_count) == (Phase.DRAWING, 3, 12)


def test_whose_worker_was_lost_is_first_in_line_again(shop: Shop) -> None:
    unlucky = shop.record(user="alice")
    shop.claimed("killed")
    for user in ("bob", "carol", "dave"):
        shop.record(user=user)
    for _ in range(2):
        shop.clock.advance(seconds=11)
        assert shop.claimed().id == unlucky, "however often"


def test_also_before_who_waits_beyond_the_age_cap(shop: Shop) -> None:
    unlucky = shop.record(user="alice")
    shop.claimed("killed")
    shop.clock.advance(seconds=-60)
    shop.record(user="bob")
    shop.clock.advance(minutes=12)
    assert shop.claimed().id == unlucky


def test_also_when_it_was_handed_back_since(shop: Shop, database: Database) -> None:
    """As where a worker wants it alone in its hands, and waits for the others."""
    unlucky = shop.record(user="alice")
    shop.claimed("killed")
    shop.record(user="bob")
    shop.clock.advance(seconds=11)
    with database.write() as session:
        leases.release(session, shop.claimed(), shop.clock())
    assert shop.claimed().id == unlucky


def test_a_lost_worker_does_not_hold_up_its_persons_other_requests(shop: Shop) -> None:
    """Where nobody else serves the model of that worker, for hours."""
    shop.record(user="alice", server="a", request=a_request(model="rare"))
    assert shop.claim("killed", model="rare") is not None
    first = shop.record(user="alice", server="a")
    shop.record(user="bob", server="b")
    shop.clock.advance(seconds=11)
    assert shop.claimed().id == first


def test_jobs_that_end_workers_do_not_stop_others(shop: Shop) -> None:
    """One of them is tried out; what that cost puts its person's next behind everybody."""
    poison = [shop.record(user="mallory") for _ in range(5)]
    for _ in range(3):
        assert shop.claimed().id == poison[0]
        shop.clock.advance(seconds=11)
    shop.reap()
    entry = shop.entry(poison[0])
    assert (entry.failure, entry.device_seconds) == (FailureReason.CRASHED, 30.0)
    honest = [shop.record(user=user) for user in ("bob", "carol", "dave")]
    served = []
    for _ in honest:
        job = shop.claimed()
        served.append(job.id)
        shop.finish(job)
    assert served == honest


def drawn_today(shop: Shop) -> int:
    with shop.database.read() as session:
        return standing.of(session, account(), "guild", shop.clock()).today


def cancel(shop: Shop, job: GenerationJob) -> None:
    with shop.database.write() as session:
        assert jobs.cancel(session, job.id, shop.clock())


@pytest.mark.parametrize(
    ("step", "steps", "count", "pictures"),
    [(19, 20, 1, 1), (0, 20, 1, 0), (0, 0, 4, 0), (30, 40, 4, 3), (39, 40, 4, 4), (1, 40, 4, 0)],
)
def test_who_cancels_pays_for_what_was_drawn(
    shop: Shop, step: int, steps: int, count: int, pictures: int
) -> None:
    report = StepReport(phase=Phase.DRAWING, step=step, steps=steps)
    shop.record(request=a_request(count=count))
    job = shop.claimed()
    shop.renew(job, report)
    cancel(shop, job)
    shop.finish(job, Cancelled(device_seconds=7.0, pictures=report.pictures(count)))
    assert drawn_today(shop) == pictures
    with shop.database.read() as session:
        [entry] = usage.recent(session, account(), 5)
    assert (entry.pictures, entry.device_seconds) == (pictures, 7.0)


def test_also_when_the_worker_leaves_or_is_lost(shop: Shop, database: Database) -> None:
    report = StepReport(phase=Phase.DRAWING, step=30, steps=40)
    shop.record(request=a_request(count=4))
    job = shop.claimed()
    shop.renew(job, report)
    cancel(shop, job)
    with database.write() as session:
        left = Cancelled(device_seconds=7.0, pictures=report.pictures(4))
        assert not leases.release(session, job, shop.clock(), left)
    assert drawn_today(shop) == 3
    shop.record(request=a_request(count=4))
    job = shop.claimed()
    shop.renew(job, report)
    cancel(shop, job)
    shop.clock.advance(seconds=11)
    shop.reap()
    assert drawn_today(shop) == 6
    assert shop.entry(job.id).device_seconds == 10.0


def test_what_fails_costs_time_and_no_pictures(shop: Shop) -> None:
    shop.record()
    job = shop.claimed()
    shop.finish(job, Failed(reason=FailureReason.OUT_OF_MEMORY, device_seconds=5.0))
    assert drawn_today(shop) == 0
    assert shop.entry(job.id).device_seconds == 5.0


def test_lost_attempts_cost_nothing_where_another_ends_well(shop: Shop) -> None:
    shop.record()
    shop.claimed("killed")
    shop.clock.advance(seconds=11)
    job = shop.claimed()
    shop.finish(job, ended := made(job))
    assert drawn_today(shop) == 1
    assert shop.entry(job.id).device_seconds == ended.device_seconds
