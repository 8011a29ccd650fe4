"""Storage against a model in plain Python, over random sequences of everything that can happen to
a request: many workers, zombies among them, several deliverers, people, moderators, the reaper.

500 sequences on each run, as many as EASEL_SEQUENCES says on demand, and a tenth of them on
PostgreSQL. With 500 or more it fails when an edge of the model's two graphs is never met.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete
from sqlalchemy.orm import Session

from bot.core import steer
from storage import (
    decisions,
    deliveries,
    forget,
    jobs,
    leases,
    log,
    migrate,
    review,
    standing,
    troubles,
)
from storage.database import Database
from storage.domain import (
    Cancelled,
    Decision,
    Delivery,
    Failed,
    GenerationJob,
    Outcome,
    Platform,
    Refused,
    StepReport,
    Subject,
)
from storage.domain.job import FailureReason, Phase
from storage.domain.policy import MINOR_FLOOR_RULE
from storage.tables import Base
from tests.fakes.nouns import (
    NOON,
    FakeClock,
    a_request,
    a_verdict,
    account,
    an_event,
    made,
    recorded,
)
from tests.servers import needs_postgres
from tests.storage.model import (
    JOB_EDGES,
    LEASE,
    MESSAGE_EDGES,
    PACE,
    RING_AFTER,
    SHOW_LEASE,
    Job,
    Message,
    Model,
)

SEQUENCES = int(os.environ.get("EASEL_SEQUENCES", "500"))
STEPS = 24
PAUSES = (2.0, 11.0, 11.0, 11.0, 11.0, 31.0, 31.0, 601.0, 86_400.0, 31 * 86_400.0)
DISCORD = Platform.DISCORD
KEPT = timedelta(days=30)
TABLES = {
    "jobs": "id state attempt released lease_until cancel_requested phase step finished_at",
    "deliveries": "job_id desired_revision shown_revision removed gone lease_until address",
    "pictures": "job_id sha256 decision kept_apart",
    "usage": "job_id pictures",
    "requests": "user_id",
}
ORDERED = {"pictures": ' order by "index"'}
VISIBLE = (Decision.ALLOW, Decision.BLUR)
GRAVE = (Decision.HOLD, Decision.BLOCK)

ROWS = {table: namedtuple(table, columns) for table, columns in TABLES.items()}  # type: ignore[misc]


def plain(name: str, value: Any) -> Any:
    """A column as both databases mean it: SQLite knows neither ids nor times nor yes and no."""
    if name in ("id", "job_id"):
        return UUID(str(value))
    if name in ("cancel_requested", "removed", "kept_apart"):
        return bool(value)
    if name == "lease_until" and isinstance(value, str):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return json.loads(value) if name == "address" and isinstance(value, str) else value


Content = tuple[object, ...] | None
"""What one message says; None when it is deleted."""


@dataclass
class Held:
    """What a worker believes to have; it may be wrong."""

    job: GenerationJob
    number: int


@dataclass
class Taken:
    """What a deliverer is about to show; somebody else may be quicker."""

    delivery: Delivery
    owner: str
    number: int
    until: datetime
    content: Content = None
    looked: bool = False
    edited: bool = False


class Machine(RuleBasedStateMachine):
    database: ClassVar[Database]
    clock: ClassVar[FakeClock]
    job_edges: ClassVar[Counter[tuple[str, ...]]]
    message_edges: ClassVar[Counter[tuple[str, ...]]]

    def __init__(self) -> None:
        super().__init__()
        with self.database.engine.begin() as connection:
            for table in reversed(Base.metadata.sorted_tables):
                connection.execute(delete(table))
        self.clock.now = NOON
        self.ids: list[UUID] = []
        self.held: list[Held] = []
        self.taken: list[Taken] = []
        self.chat: list[Content] = []
        self.blobs: dict[str, str] = {}
        self.jobs_seen: dict[UUID, tuple[str, int]] = {}
        self.messages_seen: dict[UUID, tuple[str, object]] = {}
        self.verb = ""

    @initialize(data=st.data(), max_attempts=st.sampled_from((1, 2, 3)))
    def begin(self, data: st.DataObject, max_attempts: int) -> None:
        self.model = Model(max_attempts=max_attempts)
        self.submit(data)

    @rule(data=st.data())
    def act(self, data: st.DataObject) -> None:
        """One rule for all, since Hypothesis would leave out some for a whole sequence."""
        possible = [verb for verb, weight in self.weights().items() for _ in range(weight)]
        verb = data.draw(st.sampled_from(possible), label="verb")
        getattr(self, verb)(data)

    def weights(self) -> dict[str, int]:
        """What can happen now, and how often it should."""
        job, message, now = self.model.jobs, self.model.messages, self.clock()
        unfinished = any(not j.finished for j in job)
        owned = [job[h.number] for h in self.held if self.owns(h)]
        stopping = any(j.cancel for j in owned)
        expired = any(self.model.expired(j, now) for j in job)
        unheard = any(j.state == "waiting" and j.rung < now - RING_AFTER for j in job)
        return {
            "submit": 2 * (len(job) < 5),
            "claim": 4 * bool(self.model.claimable(now)) + unfinished,
            "renew": bool(self.held) + bool(owned),
            "finish": bool(self.held) + 4 * bool(owned),
            "release": bool(self.held) + bool(owned) + 6 * stopping,
            "reap": unfinished + 8 * expired + 4 * unheard,
            "pause": 3 + 3 * bool(owned),
            "take": 5 * any(m.due(now) for m in message) + any(m.lease for m in message),
            "look": 1 * bool(self.taken),
            "tell": 7 * bool(self.taken),
            "retry": 1 * bool(self.taken),
            "cancel": 1 + 2 * bool(owned),
            "delete": 1,
            "forget": 1,
            "vanish": 1 * any(content is not None for content in self.chat),
            "move": 4 * any(m.gone for m in message),
            "report": 1,
            "allow": 1 + 2 * any(j.on_hold for j in job),
            "refuse": 1,
            "remove": 1,
            "expire": 1 * (now > NOON + KEPT),
        }

    # People

    def submit(self, data: st.DataObject) -> None:
        now, number = self.step("submit"), len(self.ids)
        user = data.draw(st.sampled_from(("alice", "bob", "carol")))
        server = data.draw(st.sampled_from(("north", "south")))
        count = data.draw(st.integers(1, 2))
        refusals = ("hold", "hold", "block", MINOR_FLOOR_RULE)
        refusal = data.draw(st.sampled_from((*[None] * 6, *refusals)))
        verdicts = ()
        if refusal is not None:
            decision = Decision.HOLD if refusal == "hold" else Decision.BLOCK
            verdicts = (a_verdict(decision, subject=Subject.PROMPT, rule=refusal),)
        with self.database.write() as session:
            job_id = recorded(
                session,
                now=now,
                user=user,
                server=server,
                event=an_event(str(number)),
                verdicts=verdicts,
                request=a_request(count=count, prompt=f"{user} {number}"),
            )
        job = Job(number, user, server, count, now)
        if refusal is not None:
            job.end("refused")
            job.bill(now, 0, 0.0)
            job.floor = refusal == MINOR_FLOOR_RULE
            job.on_hold, job.asked = refusal == "hold", refusal != "block"
        self.ids.append(job_id)
        self.model.jobs.append(job)
        self.model.messages.append(Message(now))
        self.chat.append(("thinking",))
        with self.database.read() as session:
            self.check_usage(session, user)
            assert jobs.known(session, an_event(str(number)), "", now) == job_id

    def cancel(self, data: st.DataObject) -> None:
        now, number = self.step("cancel"), self.any_job(data)
        with self.database.write() as session:
            assert jobs.cancel(session, self.ids[number], now) is self.cancelled(number)

    def delete(self, data: st.DataObject) -> None:
        now, number = self.step("delete"), self.any_job(data)
        with self.database.write() as session:
            steer.delete(session, self.ids[number], now)
        self.cancelled(number)
        self.model.messages[number].take_down()
        self.model.messages[number].want()

    def cancelled(self, number: int) -> bool:
        job, message = self.model.jobs[number], self.model.messages[number]
        if job.finished:
            return False
        job.cancel = True
        if job.state == "waiting":
            job.end("cancelled")
        message.want()
        return True

    def forget(self, data: st.DataObject) -> None:
        now, user = self.step("forget"), self.model.jobs[self.any_job(data)].user
        with self.database.write() as session:
            hashes = forget.forget_person(session, account(user), now)
        theirs = {h for j in self.model.jobs if j.user == user for h in j.pictures}
        assert set(hashes) >= {h for h in theirs if h in self.blobs}
        for sha256 in hashes:
            self.blobs.pop(sha256, None)
        for job, message in zip(self.model.jobs, self.model.messages, strict=True):
            if job.user == user and not job.forgotten:
                job.cancel = job.cancel or not job.finished
                if job.state == "running":  # What was drawn counts for this person's day.
                    share = job.share()
                    job.lose(now)
                    job.end("cancelled")
                    job.bill(now, share, job.device_seconds)
                    message.want()
                elif not job.finished:
                    job.end("cancelled")
                job.forgotten, job.pictures = True, {}
                job.on_hold, job.asked, job.reported, job.taken_down = False, False, "", False
                message.take_down()
                message.want()

    def vanish(self, data: st.DataObject) -> None:
        """Somebody deletes the message in the chat."""
        self.step("vanish")
        self.chat[self.any_job(data)] = None

    def move(self, data: st.DataObject) -> None:
        """What could not be shown is asked for in another place."""
        self.step("move")
        number = self.any_of(data, [n for n, m in enumerate(self.model.messages) if m.gone])
        with self.database.write() as session:
            stranded = troubles.is_stranded(session, self.ids[number])
            address = {"message_id": f"new {number}"}
            assert deliveries.move(session, self.ids[number], address) == stranded
        message = self.model.messages[number]
        if stranded:
            message.gone, self.chat[number] = False, ("thinking",)
            message.not_before = message.created
            message.want()

    # Workers

    def claim(self, data: st.DataObject) -> None:
        now, worker = self.step("claim"), data.draw(st.sampled_from(("w1", "w2")))
        expected = self.model.claimable(now)
        with self.database.write() as session:
            got = leases.claim(
                session,
                ["builtin"],
                worker=worker,
                lease=LEASE,
                max_attempts=self.model.max_attempts,
                now=now,
            )
        if got is None:
            assert not expected
            return
        job = expected[0]
        assert got.id == self.ids[job.number], "the fairest"
        assert (got.request.prompt, got.request.count) == (f"{job.user} {job.number}", job.count)
        if job.state == "running":
            job.lose(now)
        job.state, job.attempt, job.reached = "running", job.attempt + 1, (0, 0)
        job.lease_until, job.claimed, job.report = now + LEASE, now, ("loading", 0)
        self.model.messages[job.number].want()
        assert got.attempt.number == job.attempt
        self.held.append(Held(got, job.number))

    def renew(self, data: st.DataObject) -> None:
        now, held = self.step("renew"), self.any_of(data, self.held)
        step = data.draw(st.integers(0, 2))
        report = StepReport(phase=Phase.DRAWING, step=step, steps=2)
        with self.database.write() as session:
            renewal = leases.renew(session, held.job, report, lease=LEASE, now=now)
        job = self.model.jobs[held.number]
        assert renewal.held is self.owns(held)
        if renewal.held:
            assert renewal.cancel is job.cancel
            if job.report != ("drawing", step):
                urgent = job.report[0] != "drawing"
                self.model.messages[held.number].want(urgent=urgent)
            job.lease_until, job.report, job.reached = now + LEASE, ("drawing", step), (step, 2)

    def owns(self, held: Held) -> bool:
        job = self.model.jobs[held.number]
        return job.state == "running" and job.attempt == held.job.attempt.number

    def finish(self, data: st.DataObject) -> None:
        now, held = self.step("finish"), self.any_of(data, self.held)
        endings = ("made", "made", "refused", "held", "cancelled", "failed")
        ending = data.draw(st.sampled_from(endings))
        decision = data.draw(st.sampled_from((*VISIBLE, *GRAVE)))
        outcome = self.outcome(held, ending, decision)
        with self.database.write() as session:
            written = jobs.finish(session, held.job, outcome, now)
        assert written is self.owns(held)
        if not written:
            return
        job = self.model.jobs[held.number]
        job.end("refused" if ending == "held" else ending)
        job.on_hold = ending == "held"
        undecided = job.on_hold or (ending == "made" and decision is Decision.HOLD)
        job.asked = undecided and not job.taken_down
        share = outcome.pictures if isinstance(outcome, Cancelled) else 0
        job.bill(now, share, outcome.device_seconds)
        self.model.messages[held.number].want()
        if ending == "made":
            job.pictures = {
                p.sha256: Decision.BLOCK if job.taken_down else p.verdict.decision
                for p in outcome.pictures  # type: ignore[union-attr]
            }
            for sha256, verdict in job.pictures.items():
                self.blobs[sha256] = "apart" if verdict in GRAVE else "shown"
            job.bill(now, len(job.pictures), outcome.device_seconds)

    def outcome(self, held: Held, ending: str, decision: Decision) -> Outcome:
        if ending == "made":
            name = f"{held.number} {held.job.attempt.number}"
            decisions = (Decision.ALLOW, decision)[-held.job.request.count :]
            sha256 = hashlib.sha256(name.encode()).hexdigest()
            return made(held.job, *decisions, sha256=sha256)
        if ending in ("refused", "held"):
            decided = Decision.HOLD if ending == "held" else Decision.BLOCK
            return Refused(verdict=a_verdict(decided, subject=Subject.REFERENCE))
        if ending == "cancelled":
            return Cancelled(device_seconds=1.0, pictures=1)
        return Failed(reason=FailureReason.ERROR, device_seconds=1.0)

    def release(self, data: st.DataObject) -> None:
        now, held = self.step("release"), self.any_of(data, self.held)
        owned, job = self.owns(held), self.model.jobs[held.number]
        with self.database.write() as session:
            cancelled = Cancelled(device_seconds=2.0, pictures=1)
            again = leases.release(session, held.job, now, cancelled)
        assert again is (owned and not job.cancel), "nobody waits for what is cancelled"
        if owned and job.cancel:
            job.end("cancelled")
            job.bill(now, 1, 2.0)
        elif owned:
            job.state, job.lease_until, job.rung = "waiting", None, now
            job.released += 1
        if owned:
            self.model.messages[held.number].want()

    # Time, and the reaper

    def pause(self, data: st.DataObject) -> None:
        self.step("pause")
        self.clock.advance(seconds=data.draw(st.sampled_from(PAUSES)))

    def reap(self, _data: st.DataObject) -> None:
        now = self.step("reap")
        with self.database.write() as session:
            rings = leases.reap(
                session, max_attempts=self.model.max_attempts, ring_after=RING_AFTER, now=now
            )
        assert sorted(self.ids.index(ring.job_id) for ring in rings) == self.model.reap(now)

    def expire(self, _data: st.DataObject) -> None:
        now = self.step("expire")
        with self.database.write() as session:
            hashes = forget.expire_blocked(session, older_than=KEPT, now=now)
        for sha256 in hashes:
            assert self.blobs.pop(sha256, "apart") == "apart"

    # Deliverers

    def take(self, data: st.DataObject) -> None:
        now, owner = self.step("take"), data.draw(st.sampled_from(("d1", "d2")))
        expected = [n for n, message in enumerate(self.model.messages) if message.due(now)]
        with self.database.write() as session:
            assert deliveries.any_due(session, DISCORD, now) or not expected
            due = deliveries.lease_due(
                session, DISCORD, owner=owner, lease=SHOW_LEASE, pace=PACE, now=now
            )
        assert sorted(self.ids.index(d.job_id) for d in due) == expected, "each to one"
        for delivery in due:
            number = self.ids.index(delivery.job_id)
            message = self.model.messages[number]
            assert delivery.desired_revision == message.desired
            message.lease, message.urgent = (owner, now + SHOW_LEASE), False
            self.taken.append(Taken(delivery, owner, number, now + SHOW_LEASE))

    def look(self, data: st.DataObject) -> None:
        """Read what to show, and then, perhaps, show it; the rest comes later."""
        self.step("look")
        taken = self.any_of(data, self.taken)
        self.look_at(taken)
        if data.draw(st.booleans()):
            self.edit(taken)

    def look_at(self, taken: Taken) -> None:
        if not taken.looked:
            with self.database.read() as session:
                taken.content, taken.looked = self.content(session, taken.number), True

    def content(self, session: Session, number: int) -> Content:
        entry = log.entry(session, self.ids[number])
        assert entry is not None, "every request has its entry"
        if entry.message_removed:
            return None
        visible = tuple(p.sha256 for p in steer.shown_pictures(entry))
        assert all(self.blobs[sha256] == "shown" for sha256 in visible)
        return entry.state, entry.phase or "", entry.step, entry.cancel_requested, visible

    def edit(self, taken: Taken) -> bool:
        """False when there is no message any more, which ends the matter."""
        self.look_at(taken)
        if taken.edited:
            return True
        if self.chat[taken.number] is None and taken.content is not None:
            with self.database.write() as session:
                deliveries.give_up(session, taken.delivery, "deleted")
            self.taken.remove(taken)
            if self.has(taken):
                message = self.model.messages[taken.number]
                message.gone = taken.delivery.removed or not message.removed
                message.lease = None
            return False
        self.chat[taken.number], taken.edited = taken.content, True
        return True

    def tell(self, data: st.DataObject) -> None:
        now, taken = self.step("tell"), self.any_of(data, self.taken)
        if not self.edit(taken):
            return
        with self.database.write() as session:
            address = {} if taken.content is None else taken.delivery.address
            deliveries.shown(
                session,
                taken.delivery,
                owner=taken.owner,
                address=address,
                pictures=bool(taken.content and taken.content[-1]),
                now=now,
            )
        self.taken.remove(taken)
        message = self.model.messages[taken.number]
        if not self.has(taken):
            message.want()
            return
        message.shown, message.shown_at = taken.delivery.desired_revision, now
        message.lease = None

    def has(self, taken: Taken) -> bool:
        return self.model.messages[taken.number].lease == (taken.owner, taken.until)

    def retry(self, data: st.DataObject) -> None:
        now, taken = self.step("retry"), self.any_of(data, self.taken)
        at = now + timedelta(seconds=1)
        with self.database.write() as session:
            deliveries.retry(session, taken.delivery, owner=taken.owner, at=at)
        self.taken.remove(taken)
        message = self.model.messages[taken.number]
        if self.has(taken) and message.removed and not taken.delivery.removed:
            message.lease = None
        elif self.has(taken):
            message.lease, message.not_before, message.urgent = None, at, True
        else:
            message.want()

    # Moderators

    def report(self, data: st.DataObject) -> None:
        now, number = self.step("report"), self.any_job(data)
        with self.database.write() as session:
            first = review.report(session, self.ids[number], by=account("dave"), now=now)
            assert not review.report(session, self.ids[number], by=account("dave"), now=now)
        job = self.model.jobs[number]
        assert first is not bool(job.reported)
        job.reported = job.reported or "open"

    def allow(self, data: st.DataObject) -> None:
        now, number = self.step("allow"), self.any_job(data)
        job = self.model.jobs[number]
        if job.floor and not job.forgotten:
            with pytest.raises(PermissionError), self.database.write() as session:
                decisions.allow(session, self.ids[number], by="mod", now=now)
            return
        held = {h for h, decision in job.pictures.items() if decision == Decision.HOLD}
        gone = job.forgotten or self.model.messages[number].removed
        reported = job.reported == "open"
        if gone or (job.cancel if job.on_hold else not held and not reported):
            self.not_done(decisions.allow, number)
            return
        with self.database.write() as session:
            hashes = decisions.allow(session, self.ids[number], by="mod", now=now)
        if job.on_hold:
            job.go_on(now)
        assert set(hashes) == held
        self.judged(number, hashes, Decision.ALLOW, "shown")

    def refuse(self, data: st.DataObject) -> None:
        now, number = self.step("refuse"), self.any_job(data)
        job = self.model.jobs[number]
        held = {h for h, decision in job.pictures.items() if decision == Decision.HOLD}
        if not job.asked:
            self.not_done(decisions.refuse, number)
            return
        with self.database.write() as session:
            hashes = decisions.refuse(session, self.ids[number], by="mod", now=now)
        assert set(hashes) == held
        reported = job.reported
        self.judged(number, hashes, Decision.BLOCK, "apart")
        job.reported = reported

    def remove(self, data: st.DataObject) -> None:
        now, number = self.step("remove"), self.any_job(data)
        job, message = self.model.jobs[number], self.model.messages[number]
        asked = job.asked or job.reported == "open"
        if message.removed and not asked and (job.taken_down or job.forgotten):
            self.not_done(decisions.remove, number)
            return
        with self.database.write() as session:
            hashes = decisions.remove(session, self.ids[number], by="mod", now=now)
        assert set(hashes) == {h for h in job.pictures if h in self.blobs}
        self.cancelled(number)
        job.taken_down = True
        message.take_down()
        self.judged(number, hashes, Decision.BLOCK, "apart")

    def not_done(self, decide: Any, number: int) -> None:
        with pytest.raises(decisions.NotDone), self.database.write() as session:
            decide(session, self.ids[number], by="mod", now=self.clock())

    def judged(self, number: int, hashes: Any, decision: Decision, folder: str) -> None:
        job = self.model.jobs[number]
        job.judged()
        for sha256 in hashes:
            job.pictures[sha256] = decision
            self.blobs[sha256] = folder
        self.model.messages[number].want()

    # What holds after every step

    @invariant()
    def storage_is_as_the_model_says(self) -> None:
        tables = self.tables()
        rows = {row.id: row for row in tables["jobs"]}
        messages = {row.job_id: row for row in tables["deliveries"]}
        pictures = tables["pictures"]
        assert set(rows) == set(messages) == set(self.ids), "nothing is lost, nothing is twice"
        users = Counter(row.user_id for row in tables["requests"])
        assert users == Counter("" if job.forgotten else job.user for job in self.model.jobs)
        visible: dict[UUID, list[str]] = {}
        for picture in pictures:
            assert picture.kept_apart is (picture.decision in GRAVE)
            if picture.decision in VISIBLE:
                visible.setdefault(picture.job_id, []).append(picture.sha256)
        for job, job_id in zip(self.model.jobs, self.ids, strict=True):
            row = rows[job_id]
            self.compare_job(job, row)
            says = (row.state, row.phase, row.step, row.cancel_requested)
            content = (*says, tuple(visible.get(job_id, ())))
            self.compare_message(job.number, messages[job_id], content)
        assert {p.sha256: p.decision for p in pictures} == {
            sha256: decision for job in self.model.jobs for sha256, decision in job.pictures.items()
        }
        assert {self.ids.index(row.job_id): row.pictures for row in tables["usage"]} == {
            job.number: job.billed[2] for job in self.model.jobs if job.billed
        }

    def tables(self) -> dict[str, list[Any]]:
        """Read past SQLAlchemy, which would take most of the time."""
        connection, found = self.database.engine.raw_connection(), {}
        cursor = connection.cursor()
        for table, columns in TABLES.items():
            names = columns.split()
            cursor.execute(f"select {', '.join(names)} from {table}{ORDERED.get(table, '')}")
            row = ROWS[table]
            found[table] = [row(*map(plain, names, values)) for values in cursor.fetchall()]
        connection.close()
        return found

    def compare_job(self, job: Job, row: Any) -> None:
        assert (row.state, row.attempt, row.released, row.cancel_requested) == (
            job.state,
            job.attempt,
            job.released,
            job.cancel,
        )
        assert row.attempt - row.released <= self.model.max_attempts
        if job.state == "running":
            assert row.lease_until == job.lease_until
        assert (row.finished_at is not None) is job.finished
        self.count_job(row.id, row.state, row.attempt)

    def compare_message(self, number: int, row: Any, content: Content) -> None:
        message, forgotten = self.model.messages[number], self.model.jobs[number].forgotten
        assert (row.desired_revision, row.shown_revision) == (message.desired, message.shown)
        assert (row.removed, row.gone is not None) == (message.removed, message.gone)
        assert row.lease_until == (message.lease[1] if message.lease else None)
        caught_up = message.shown == message.desired
        if caught_up and not message.gone and not self.being_edited(number):
            wanted = None if message.removed else content
            assert self.chat[number] in (wanted, None), "what is shown is true"
        if (message.removed and caught_up) or (forgotten and message.gone):
            assert not row.address, "a message taken down leads nowhere"
        state = "taken down" if message.removed else "shown"
        if message.gone:
            state = "gone"
        elif message.lease:
            state = "leased"
        elif not caught_up:
            state = "behind"
        self.count_message(row.job_id, state, row.lease_until)

    def being_edited(self, number: int) -> bool:
        """By one who has not told yet, perhaps after others."""
        return any(t.edited for t in self.taken if t.number == number)

    def check_usage(self, session: Session, user: str) -> None:
        """What the quota looks at when a request comes in."""
        now, mine = self.clock(), [j for j in self.model.jobs if j.user == user]
        told = standing.of(session, account(user), "north", now)
        assert told.today == self.model.used_today(user, now)
        unfinished = sum(not job.finished for job in mine)
        assert told.unfinished == unfinished
        waiting = sum(job.state == "waiting" for job in self.model.jobs)
        assert told.queue == waiting

    def count_job(self, thing: UUID, state: str, attempt: int) -> None:
        before = self.jobs_seen.get(thing, ("", 0))
        if before != (state, attempt):
            self.jobs_seen[thing] = (state, attempt)
            self.job_edges[before[0], self.verb, state] += 1

    def count_message(self, thing: UUID, state: str, lease_until: object) -> None:
        before = self.messages_seen.get(thing, ("", None))
        if before != (state, lease_until):
            self.messages_seen[thing] = (state, lease_until)
            self.message_edges[before[0], state] += 1

    # Helpers

    def step(self, verb: str) -> Any:
        """A little later than before, so that no two things happen at once."""
        self.verb = verb
        return self.clock.advance(milliseconds=1)

    def any_job(self, data: st.DataObject) -> int:
        return data.draw(st.integers(0, len(self.ids) - 1))

    def any_of(self, data: st.DataObject, things: list[Any]) -> Any:
        """The newest first, so that a shorter example is one about the newest."""
        return data.draw(st.sampled_from(things[::-1]))


def run(database: Database, clock: FakeClock, sequences: int) -> type[Machine]:
    migrate.upgrade(database)
    counted = {"job_edges": Counter(), "message_edges": Counter()}
    machine = type("Storage", (Machine,), {"database": database, "clock": clock, **counted})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=sequences,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    database.close()
    assert set(machine.job_edges) - JOB_EDGES == set(), "edges that nobody declared"
    assert set(machine.message_edges) - MESSAGE_EDGES == set(), "edges that nobody declared"
    return machine


@pytest.mark.timeout(180 + SEQUENCES)
def test_every_sequence_and_every_edge(clock: FakeClock) -> None:
    machine = run(Database("sqlite://", clock), clock, SEQUENCES)
    if SEQUENCES >= 500:
        assert JOB_EDGES - set(machine.job_edges) == set(), "edges that were never met"
        assert MESSAGE_EDGES - set(machine.message_edges) == set(), "edges that were never met"


@pytest.mark.timeout(180 + SEQUENCES)
@needs_postgres
def test_the_same_on_postgres(empty_postgres_url: str, clock: FakeClock) -> None:
    run(Database(empty_postgres_url, clock), clock, max(1, SEQUENCES // 10))
