"""What jobs and messages do, written a second time in plain Python from the promises of Easel's
design, for `test_machine` to compare with storage. Imports nothing of Easel."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

LEASE = timedelta(seconds=10)
RING_AFTER = timedelta(seconds=20)
FAIR = timedelta(minutes=10)
SHOW_LEASE = timedelta(seconds=30)
PACE = timedelta(seconds=1.5)

# (from, verb, to), and (from, to) of messages, which lag behind for any reason. "" is before.
JOB_EDGES = {
    ("", "submit", "waiting"),
    ("", "submit", "refused"),
    ("waiting", "claim", "running"),
    ("waiting", "cancel", "cancelled"),
    ("waiting", "delete", "cancelled"),
    ("waiting", "remove", "cancelled"),
    ("waiting", "forget", "cancelled"),
    ("running", "claim", "running"),
    ("running", "finish", "made"),
    ("running", "finish", "refused"),
    ("running", "finish", "cancelled"),
    ("running", "finish", "failed"),
    ("running", "release", "waiting"),
    ("running", "release", "cancelled"),
    ("running", "reap", "failed"),
    ("running", "reap", "cancelled"),
    ("running", "forget", "cancelled"),
    ("refused", "allow", "waiting"),
}
MESSAGE_EDGES = {
    ("", "behind"),
    ("behind", "leased"),
    ("leased", "leased"),
    ("leased", "behind"),
    ("leased", "shown"),
    ("leased", "taken down"),
    ("leased", "gone"),
    ("shown", "behind"),
    ("taken down", "behind"),
    ("gone", "behind"),
}


@dataclass
class Job:
    number: int
    user: str
    server: str
    count: int
    created: datetime
    state: str = "waiting"
    attempt: int = 0
    released: int = 0
    lease_until: datetime | None = None
    cancel: bool = False
    rung: datetime = field(init=False)
    claimed: datetime | None = None
    report: tuple[str, int] = ("", 0)
    floor: bool = False
    on_hold: bool = False
    """Refused until a moderator has looked at prompt or reference."""
    asked: bool = False
    """A moderator is asked to look at something that a check kept back."""
    reported: str = ""
    """Nothing, "open" or "closed"."""
    taken_down: bool = False
    """By a moderator."""
    pictures: dict[str, str] = field(default_factory=dict)
    """Decision by hash."""
    reached: tuple[int, int] = (0, 0)
    """Steps done, of how many."""
    device_seconds: float = 0.0
    billed: tuple[date, datetime, int] | None = None
    """Day, time and pictures of its usage entry."""
    forgotten: bool = False

    def __post_init__(self) -> None:
        self.rung = self.created

    @property
    def finished(self) -> bool:
        return self.state not in ("waiting", "running")

    def end(self, state: str) -> None:
        self.state, self.lease_until = state, None

    def lose(self, now: datetime) -> None:
        """Its worker is gone: it had the job from the claim until the lease ran out, or now."""
        assert self.lease_until is not None
        assert self.claimed is not None
        self.device_seconds += (min(self.lease_until, now) - self.claimed).total_seconds()

    def share(self) -> int:
        """How many of its pictures the steps done amount to."""
        done, steps = self.reached
        return round(self.count * done / steps) if steps else 0

    def judged(self) -> None:
        self.on_hold = self.asked = False
        self.reported = self.reported and "closed"

    def go_on(self, now: datetime) -> None:
        """Held, and allowed after all."""
        self.state, self.rung, self.billed = "waiting", now, None
        self.released += self.attempt > 0

    def bill(self, now: datetime, pictures: int, device_seconds: float) -> None:
        self.billed, self.device_seconds = (now.date(), now, pictures), device_seconds


@dataclass
class Message:
    created: datetime
    not_before: datetime = field(init=False)
    desired: int = 1
    shown: int = 0
    shown_at: datetime | None = None
    urgent: bool = True
    removed: bool = False
    gone: bool = False
    lease: tuple[str, datetime] | None = None

    def __post_init__(self) -> None:
        self.not_before = self.created

    def take_down(self) -> None:
        """At once, and also what was given up."""
        self.removed, self.gone, self.not_before = True, False, self.created

    def want(self, *, urgent: bool = True) -> None:
        self.desired += 1
        self.urgent = self.urgent or urgent

    def due(self, now: datetime) -> bool:
        if self.gone or self.shown == self.desired or self.not_before > now:
            return False
        if self.lease is not None and self.lease[1] >= now:
            return False
        return self.urgent or self.shown_at is None or self.shown_at <= now - PACE


@dataclass
class Model:
    max_attempts: int
    jobs: list[Job] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def expired(self, job: Job, now: datetime) -> bool:
        return job.state == "running" and job.lease_until is not None and job.lease_until < now

    def worn_out(self, job: Job) -> bool:
        return job.attempt - job.released >= self.max_attempts

    def claimable(self, now: datetime) -> list[Job]:
        """What some worker may have, the fairest first."""
        found = [
            job
            for job in self.jobs
            if job.state == "waiting"
            or (self.expired(job, now) and not job.cancel and not self.worn_out(job))
        ]
        return sorted(found, key=lambda job: self._fairness(job, now))

    def _fairness(self, job: Job, now: datetime) -> tuple[float, ...]:
        """Whose worker was lost goes first; then who has waited ten minutes; then whose server,
        then whose person, has the fewest in a worker's hands and has used the device least in ten
        minutes; then who came first."""
        born, unlucky = job.created.timestamp(), 0 if job.attempt > job.released else 1
        if job.created < now - FAIR:
            return (unlucky, 0, born)
        servers = [other for other in self.jobs if other.server == job.server]
        people = [other for other in self.jobs if other.user == job.user and not other.forgotten]
        numbers = []
        for group in (servers, people):
            held = (o for o in group if o.state == "running" and not self.expired(o, now))
            numbers.append(sum(1 for _ in held))
            lately = (o for o in group if o.billed and o.billed[1] > now - FAIR)
            numbers.append(sum(other.device_seconds for other in lately))
        return (unlucky, 1, *numbers, born)

    def used_today(self, user: str, now: datetime) -> int:
        mine = [job for job in self.jobs if job.user == user and not job.forgotten]
        drawn = sum(job.billed[2] for job in mine if job.billed and job.billed[0] == now.date())
        return drawn + sum(job.count for job in mine if not job.finished)

    def reap(self, now: datetime) -> list[int]:
        """End what is beyond help; the numbers of the jobs to ring for."""
        rings = []
        for job, message in zip(self.jobs, self.messages, strict=True):
            expired = self.expired(job, now)
            long_ago = job.rung < now - RING_AFTER
            if expired and job.cancel:
                job.lose(now)
                job.end("cancelled")
                job.bill(now, job.share(), job.device_seconds)
                message.want()
            elif expired and self.worn_out(job):
                job.lose(now)
                job.end("failed")
                job.bill(now, 0, job.device_seconds)
                message.want()
            elif expired or job.state == "waiting":
                heard = job.claimed is not None and job.rung <= job.claimed
                if expired and heard:
                    message.want()
                if long_ago or (expired and heard):
                    job.rung = now
                    rings.append(job.number)
        return sorted(rings)
