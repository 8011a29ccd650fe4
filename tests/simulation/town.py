"""Bots, workers and people in one event loop, driven by one seed: the real line, deliverer,
reaper, worker, heart and storage between simulated ports.

Faults and crashes come for a while; then one bot and one worker go on in peace, the others come
back for a moment with what they had in hand, and the promises of Easel's design must hold: see
`Town.promises`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import tenacity.nap
import torch
from sqlalchemy import Engine, and_, or_, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

import bot.deliver
import generation.engine
import generation.heart
import generation.worker
import storage.doorbell
import storage.jobs
from bot.core import steer
from bot.core.line import Line
from bot.core.text import TextRules
from bot.deliver import Deliverer
from bot.reaper import Reaper
from bot.references import Fetcher
from generation.engine import Drawn, Progress
from generation.provenance import Sealed
from generation.worker import Worker
from storage import decisions, deliveries, forget, log, pixels
from storage.catalog import Catalog
from storage.domain import (
    Complaint,
    Decision,
    EventKey,
    GenerationJob,
    ImageRequest,
    JobState,
    Outcome,
    Place,
    Platform,
    RawCommand,
    Requester,
    StepReport,
)
from storage.domain.job import FailureReason, Phase
from storage.log import LogEntry
from storage.settings import Settings
from storage.tables import DeliveryRow, JobRow, PictureRow, RequestRow, UsageRow, is_open
from tests.fakes.nouns import account
from tests.simulation.loop import Process, VirtualLoop, this_process
from tests.simulation.ports import Blobs, Broker, Chat, Clock, Faults, FaultyDatabase

STORM_SECONDS = 18.0
LATEST_SECONDS = 18.0
"""How long after the storm the last of those come back who were away."""
CALM_LOOKS = 300
DISCORD = Platform.DISCORD
PEOPLE = ("alice", "bob", "carol")
EVERYTHING = {
    *("made", "cancelled", "failed", "another attempt", "crashed too often"),
    *("taken down", "gone", "direct message", "late result"),
}
UNSETTLED = (
    select(JobRow.id)
    .join(DeliveryRow, DeliveryRow.job_id == JobRow.id)
    .where(
        or_(
            is_open(),
            and_(
                DeliveryRow.gone.is_(None),
                DeliveryRow.shown_revision < DeliveryRow.desired_revision,
            ),
        )
    )
)
FINISH = storage.jobs.finish
POISON = "poison"
"""A prompt that ends the process of whoever draws it."""


@dataclass(frozen=True)
class Parts:
    """What does not change from seed to seed."""

    settings: Settings
    catalog: Catalog
    text_rules: TextRules
    engine: Engine


@dataclass
class Asked:
    """One event, and what its person was told at once."""

    event: str
    person: str
    channel: str
    text: str
    job: UUID | None = None
    withdrawn: bool = False
    """Told that it cannot be, or that something went wrong; the placeholder is gone."""
    interfered: bool = False
    """Somebody deleted its message, or forgot its person."""
    taken_down: bool = False
    """Somebody with a right to it was told that it is."""


class BrokenDevice(Exception):
    pass


class FakeEngine:
    """Draws words: what it was asked for, by steps, if nothing happens to it."""

    def __init__(self, town: Town, process: Process) -> None:
        self._town, self._process = town, process

    def draw(
        self, request: ImageRequest, *, reference: object, mask: object, progress: Progress
    ) -> Any:
        return SimpleNamespace(result=lambda: self._result(request, progress))

    def _result(self, request: ImageRequest, progress: Progress) -> Drawn:
        random, faults = self._town.random, self._town.faults
        pause = random.choice((0.1, 0.5, 2.0))
        for step in range(4):
            progress.update(StepReport(phase=Phase.DRAWING, step=step, steps=4))
            await_only(asyncio.sleep(pause))
            if POISON in request.prompt and step == 2:
                self._town.kill(self._process)
                await_only(asyncio.sleep(0))
        if faults.happens(0.02):
            raise torch.OutOfMemoryError
        if faults.happens(0.02):
            raise BrokenDevice
        words = tuple(f"{request.prompt}|{index}" for index in range(request.count))
        return Drawn(pictures=words, model_revision="r1", device_seconds=1.0)  # type: ignore[arg-type]


class FakeChecker:
    name, version = "fake", "1"

    def scores(self, images: Sequence[Any]) -> list[dict[str, float]]:
        return [{"nsfw": 0.9 if "hidden" in image else 0.0} for image in images]


class FakeThread:
    """What worker and heart use of `threading`, in virtual time."""

    def __init__(self, *, target: Any, **_: Any) -> None:
        self._target = target

    def start(self) -> None:
        self._task = this_process().thread(self._target)

    def join(self) -> None:
        await_only(asyncio.wait([self._task]))


class FakeEvent(asyncio.Event):
    def wait(self, seconds: float) -> bool:  # type: ignore[override]
        try:
            await_only(asyncio.wait_for(super().wait(), seconds))
        except TimeoutError:
            return False
        return True


class FakeLock:
    def __init__(self) -> None:
        self._lock: asyncio.Lock | asyncio.Semaphore = asyncio.Lock()

    def __enter__(self) -> None:
        await_only(self._lock.acquire())

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class FakeSemaphore(FakeLock):
    def __init__(self, value: int) -> None:
        self._lock = asyncio.Semaphore(value)


class FakeCondition:
    """Nothing in the worker waits while it holds one, so that there is nothing to lock."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def notify_all(self) -> None:
        pass

    def wait_for(self, wanted: Callable[[], bool]) -> None:
        while not wanted():
            await_only(asyncio.sleep(0.1))


class DeafChanges:
    """The bell that nobody relies on: looking now and then finds everything."""

    def __init__(self, _database: object) -> None:
        pass

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def close(self) -> None:
        pass


THREADING = SimpleNamespace(
    Thread=FakeThread,
    Event=FakeEvent,
    Lock=FakeLock,
    Semaphore=FakeSemaphore,
    Condition=FakeCondition,
)


class Town:
    def __init__(self, seed: int, parts: Parts) -> None:
        self.seed, self.parts = seed, parts
        self.random = Random(seed)
        self.loop = VirtualLoop(self.random)
        self.faults = Faults(self.random)
        self.blobs = Blobs(self.faults)
        self.broker = Broker(self.loop, self.faults)
        self.chat = Chat(self.loop, self.faults)
        self.asked: list[Asked] = []
        self.bots: list[Process] = []
        self.workers: list[Process] = []
        self.leaving: list[Process] = []
        self.dead: list[Process] = []
        self.defects: list[object] = []
        self.met: set[str] = set()
        """What came to pass, by the names of `EVERYTHING`."""
        self.lines: dict[Process, Line] = {}
        self.running: dict[Process, Worker] = {}
        self.clocks: list[Clock] = []

    def run(self, patch: pytest.MonkeyPatch) -> None:
        self._replace_ports(patch)
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._live())

    def _replace_ports(self, patch: pytest.MonkeyPatch) -> None:
        clock = SimpleNamespace(monotonic=self.loop.time)
        patch.setattr(generation.heart, "time", clock)
        patch.setattr(generation.engine, "time", clock)
        patch.setattr(generation.heart, "threading", THREADING)
        patch.setattr(generation.worker, "threading", THREADING)
        patch.setattr(generation.worker, "encode_and_seal", self._seal)
        patch.setattr(storage.jobs, "finish", self._finish)
        nap = SimpleNamespace(sleep=self._nap)
        patch.setattr(tenacity.nap, "time", nap)
        patch.setattr(storage.doorbell, "ring", self.broker.ring)
        patch.setattr(bot.deliver, "Changes", DeafChanges)
        patch.setattr(bot.deliver, "POLL_SECONDS", 2.0)
        patch.setattr(bot.deliver, "QUEUE_REFRESH_SECONDS", 10.0)

    def _nap(self, seconds: float) -> None:
        """In a worker. A call of the bot's is one step, and has no time to wait in."""
        if this_process() in self.running:
            await_only(asyncio.sleep(seconds))

    def _seal(self, image: str, *, parameters: Any, **_: Any) -> Sealed:
        """Different bytes each time, as a signature with a time in it makes them; at times so
        slow that others have the job meanwhile."""
        await_only(asyncio.sleep(self.random.choice((0.0, 0.0, 0.1, 3.0))))
        await_only(self.faults.late(0.15))
        data = f"{image}|{this_process().name}|{self.random.random()}".encode()
        return Sealed(data=data, media_type="image/png", width=8, height=8)

    def _finish(
        self, session: Session, job: GenerationJob, outcome: Outcome, now: datetime
    ) -> bool:
        """Whose result was taken is seen at once: in the end it may have been taken down."""
        written = FINISH(session, job, outcome, now)
        newest = session.get_one(JobRow, job.id).attempt
        if job.attempt.number != newest:
            self.met.add("late result")
            self.defects += ["zombies cannot write"] if written else []
        return written

    async def _live(self) -> None:
        try:
            await self._play()
        finally:
            for process in (*self.bots, *self.workers, *self.leaving, *self.dead):
                await process.bury()

    async def _play(self) -> None:
        self.loop.set_exception_handler(self._unexpected)
        for _ in range(2):
            self.start_bot()
            self.start_worker()
        await asyncio.gather(self._people(), self._storm())
        self.faults.on = False
        for process in (self.bots[0], self.workers[0]):
            process.go_on()
        for process in (*self.bots[1:], *self.workers[1:], *self.leaving):
            self._come_back_once(process)
        await asyncio.sleep(LATEST_SECONDS + 2.0)
        for _ in range(CALM_LOOKS):
            if self.settled():
                break
            await asyncio.sleep(3.0)
        self.promises()
        for process in (*self.bots, *self.workers, *self.leaving, *self.dead):
            self.defects += [e for e in process.errors() if not isinstance(e, OperationalError)]
        assert not self.defects, self.defects

    def _come_back_once(self, process: Process) -> None:
        """To do what it was about to do, which may be old by then. What it begins stays undone."""
        process.stop()
        late = self.random.uniform(6.0, LATEST_SECONDS)
        self.loop.call_later(late, process.go_on)
        self.loop.call_later(late + 2.0, process.stop)

    def _unexpected(self, _loop: object, context: dict[str, Any]) -> None:
        """What nobody waits for may fail as the database does, and in no other way."""
        error = context.get("exception")
        if not isinstance(error, OperationalError):
            self.defects.append(error or context["message"])

    # Processes

    def start_bot(self) -> None:
        process = Process(self.loop, f"bot {len(self.clocks)}")
        line = self.lines[process] = self._line(self._database(blocking=False))
        self.bots.append(process)
        process.start(Deliverer(line, self.chat).run())
        process.start(Reaper(line).run())

    def start_worker(self) -> None:
        process = Process(self.loop, f"worker {len(self.clocks)}")
        worker = Worker(
            name=process.name,
            models=("builtin",),
            settings=self.parts.settings,
            catalog=self.parts.catalog,
            database=self._database(blocking=True),
            blobs=self.blobs,  # type: ignore[arg-type]
            engine=FakeEngine(self, process),  # type: ignore[arg-type]
            checkers=(FakeChecker(),),  # type: ignore[arg-type]
            ring=self._ring_quietly,
            capacity=2,
        )
        self.running[process] = worker
        self.workers.append(process)
        for _ in range(3):
            process.start(self._serve(process, worker))

    async def _serve(self, process: Process, worker: Worker) -> None:
        while not worker.draining.is_set():
            await self.broker.heard()
            await process.thread(lambda: self._work(worker))

    def _work(self, worker: Worker) -> None:
        """Celery logs what a task raises, and goes on."""
        try:
            worker.work()
        except OperationalError:
            assert self.faults.on

    def _ring_quietly(self, model: str, job: UUID) -> None:
        try:
            self.broker.ring(None, model, job)
        except Exception:
            assert self.faults.on

    def _database(self, *, blocking: bool) -> FaultyDatabase:
        clock = Clock(self.loop)
        self.clocks.append(clock)
        return FaultyDatabase(self.parts.engine, clock, self.faults, blocking=blocking)

    def _line(self, database: FaultyDatabase) -> Line:
        return Line(
            settings=self.parts.settings,
            catalog=self.parts.catalog,
            database=database,
            blobs=self.blobs,  # type: ignore[arg-type]
            text_rules=self.parts.text_rules,
            fetcher=Fetcher(hosts=()),
            doorbell=None,  # type: ignore[arg-type]
            seed=lambda: self.random.getrandbits(32),
        )

    def kill(self, process: Process) -> None:
        """kill -9, and another in its place."""
        if process.dead:
            return
        process.kill()
        self.dead.append(process)
        if process in self.bots:
            self.bots.remove(process)
            self.start_bot()
        elif process in self.workers:
            self.workers.remove(process)
            self.start_worker()
        else:
            self.leaving.remove(process)

    # What happens to them

    async def _storm(self) -> None:
        end = self.loop.now + STORM_SECONDS
        while self.loop.now < end:
            await asyncio.sleep(self.random.expovariate(1 / 2.0))
            process = self.random.choice((*self.bots, *self.workers))
            match self.random.choice(("kill", "pause", "leave", "flush", "jump", "nothing")):
                case "kill":
                    self.kill(process)
                case "pause":
                    process.pause(self.random.choice((1.0, 8.0, 20.0)))
                case "leave" if process in self.running:
                    self.running[process].draining.set()
                    self.workers.remove(process)
                    self.leaving.append(process)
                    self.start_worker()
                case "flush":
                    self.broker.flush()
                case "jump":
                    self.random.choice(self.clocks).off_seconds += self.random.uniform(-13, 13)

    # People

    async def _people(self) -> None:
        for number in range(self.random.randint(3, 6)):
            await asyncio.sleep(self.random.expovariate(1 / 2.0))
            word = self.random.choice(("apple", "apple", "apple", "hidden door", POISON))
            private = self.random.random() < 0.2
            count = self.random.choice((1, 1, 2))
            text = f"a {word} number {number} --count {count}{' --private' * private}"
            person = self.random.choice(PEOPLE)
            asked = Asked(f"event {number}", person, f"room {person}", text)
            self.asked.append(asked)
            for _ in range(self.random.choice((1, 1, 2, 3))):
                self.random.choice(self.bots).start(self._hear(asked, private))
            self.loop.call_later(self.random.uniform(0.5, 25.0), self._meddle, asked)

    async def _hear(self, asked: Asked, private: bool) -> None:
        """What an adapter does; the event may come several times, and to several processes."""
        line = self.lines[this_process()]
        raw = RawCommand(
            event=EventKey(platform=DISCORD, kind="interaction", id=asked.event),
            requester=Requester(platform=DISCORD, user_id=asked.person),
            place=Place(platform=DISCORD, workspace_id="guild", channel_id=asked.channel),
            text=asked.text,
        )
        await asyncio.sleep(self.loop.latency())
        address = self.chat.placeholder(asked.event, asked.channel, private=private)
        try:
            taken = await line.submit(raw, address)
        except OperationalError:
            asked.withdrawn = True
            self.chat.messages[asked.event].deleted = True
            return
        assert not isinstance(taken, Complaint), taken
        asked.job = taken

    def _meddle(self, asked: Asked) -> None:
        act = self.random.choice(
            (*["nothing"] * 4, "cancel", "delete", "vanish", "remove", "remove", "forget")
        )
        if asked.job is not None and act != "nothing":
            self.random.choice(self.bots).start(self._do(act, asked, asked.job))

    async def _do(self, act: str, asked: Asked, job: UUID) -> None:
        line = self.lines[this_process()]
        now = line.database.clock()
        try:
            match act:
                case "cancel":
                    await line.write(lambda s: steer.cancel(s, job, now))
                case "delete":
                    await line.write(lambda s: steer.delete(s, job, now))
                    asked.taken_down = True
                case "vanish":
                    asked.interfered = self.chat.messages[asked.event].deleted = True
                case "remove":
                    hashes = await line.write(lambda s: decisions.remove(s, job, by="mod", now=now))
                    asked.taken_down = True
                    await asyncio.to_thread(pixels.settle, line.database, self.blobs, hashes)
                case "forget":
                    for other in self.asked:
                        other.interfered = other.interfered or other.person == asked.person
                    found = await line.write(
                        lambda s: forget.forget_person(s, account(asked.person), now)
                    )
                    await asyncio.to_thread(pixels.settle, line.database, self.blobs, found)
        except decisions.NotDone:
            pass  # It was done before.
        except (OperationalError, OSError):
            pass  # The person sees it fail, and this one does not try again.

    # Promises

    def settled(self) -> bool:
        with self.parts.engine.connect() as connection:
            return not connection.execute(UNSETTLED).first()

    def promises(self) -> None:
        assert self.settled(), "nothing is lost: all that was accepted ends, and is shown"
        line = self._line(self._database(blocking=False))
        with line.database.read() as session:
            events = session.scalars(select(RequestRow.event_key)).all()
            assert len(events) == len(set(events)), "an event delivered again is the same request"
            for job_id in session.scalars(select(JobRow.id)).all():
                entry = log.entry(session, job_id)
                delivery = deliveries.get(session, job_id)
                row = session.get_one(DeliveryRow, job_id)
                assert entry is not None
                assert delivery is not None
                self._promise(entry, row)
            used = set(session.scalars(select(PictureRow.sha256)))
            billed = session.scalars(select(UsageRow.job_id)).all()
            made = session.scalars(select(JobRow.id).where(JobRow.state == JobState.MADE)).all()
            assert len(billed) == len(set(billed))
            assert set(made) <= set(billed), "what was made is counted, once"
        assert used <= set(self.blobs.shown) | set(self.blobs.apart), "no picture is lost"
        with_row = {asked.job for asked in self.asked if asked.job}
        assert len(with_row) == sum(asked.job is not None for asked in self.asked)

    def _promise(self, entry: LogEntry, row: DeliveryRow) -> None:
        asked = next(a for a in self.asked if entry.event_key.endswith(a.event))
        self.met |= {
            entry.state.value,
            *(["another attempt"] if entry.attempts > 1 else []),
            *(["crashed too often"] if entry.failure is FailureReason.CRASHED else []),
            *(["taken down"] if entry.message_removed else []),
            *(["gone"] if row.gone else []),
        }
        assert entry.attempts <= self.parts.settings.max_attempts, "a poison job stops"
        if entry.failure is FailureReason.CRASHED:
            assert entry.attempts == self.parts.settings.max_attempts
        if POISON in asked.text:
            assert entry.state is not JobState.MADE
        if row.gone is not None:
            assert asked.withdrawn or asked.interfered, f"given up: {row.gone}"
            return
        homes = [m for m in self.chat.messages.values() if str(entry.job_id) in m.says]
        assert entry.message_removed or not asked.taken_down, "taken down is taken down"
        if entry.message_removed:
            assert not row.address, "a message taken down leads nowhere"
            assert all(message.deleted or message.beyond for message in homes)
            return
        assert row.message_id in self.chat.messages
        message = self.chat.messages[row.message_id]
        if message.deleted:
            assert asked.withdrawn or asked.interfered
            return
        direct = [m for m in homes if m.channel == "direct"]
        assert len(direct) <= 1, "nothing is posted twice"
        self.met |= {"direct message"} if direct else set()
        wanted = [p for p in entry.pictures if p.decision in (Decision.ALLOW, Decision.BLUR)]
        expected = tuple(self.blobs.shown[picture.sha256] for picture in wanted)
        assert message.pictures == expected, "what is shown is true"
        assert all(f"|{entry.worker}|".encode() in p for p in expected), "zombies cannot write"
        tone = "done" if wanted else "refused" if entry.pictures else "failed"
        assert message.says.startswith(f"{entry.job_id} {tone}"), (entry.state, message.says)
        # An edit may take effect and its answer be lost just before the token is over: what only
        # its person sees stays then, and the picture comes to the same person once more.
        kept = [m for m in homes if m.beyond and message in direct]
        for other in self.chat.messages.values():
            if other is not message and not other.deleted and other not in kept:
                prompt = entry.request.prompt.encode()
                mine = any(picture.startswith(prompt + b"|") for picture in other.pictures)
                assert not mine, "nobody's picture at somebody else's place"
