"""People who ask for all that there is while the chat client is killed, on either chat."""

from __future__ import annotations

import random
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import select

from storage import deliveries
from storage.tables import InboxRow, ReviewRow
from tests.chaos.harness import Process, locked, until
from tests.chaos.nursery import HeldSite
from tests.chaos.proxy import Proxy
from tests.fakes.painter import Painter
from tests.servers import needs_postgres

T = TypeVar("T", bound="Crowd")
DATABASES = ["sqlite", pytest.param("postgres", marks=needs_postgres)]
MUCH = {"person_queue_limit": 10_000, "queue_limit": 10_000, "daily_pictures": 10_000}

NOT_NOW = "nothing will come of it"
"""What is told of a command that could not be written down."""

LATEST_SECONDS = 1.5
"""For half a second, on a machine that has other things to do."""
SLOW = 20
"""Requests whose references are slow."""
OUTAGES = [
    "locked",
    pytest.param("gone", marks=needs_postgres),
    pytest.param("silent", marks=needs_postgres),
]

EARLY = ("heard", "written", "acknowledged")
DRAWN = (*EARLY, "taking", "ringing", "showing", "shown", "random")
FETCHED = (*DRAWN, "fetching")
TOLD = (*EARLY, "telling", "taking")
CHANGED = (*EARLY, "taking", "showing")
"""Where the client is killed over a picture, over one from a picture that has to be fetched, over
what is answered in words, and over what changes a card: `nursery.STATIONS`; "fetching" while the
file comes, "random" at any moment of the first 0.4 s."""


def settings(request: pytest.FixtureRequest, database: str) -> dict[str, Any]:
    if database == "sqlite":
        return dict(MUCH)
    return MUCH | {"database_url": request.getfixturevalue("empty_postgres_url")}


@dataclass(frozen=True, kw_only=True)
class Away:
    """Settings of a database, what a chat client's own environment says of it, and what takes it
    away from the client for as long as a block lasts."""

    given: dict[str, Any]
    environment: dict[str, str]
    gone: Callable[[], AbstractContextManager[None]]


@contextmanager
def away(request: pytest.FixtureRequest, folder: Path, outage: str) -> Iterator[Away]:
    """SQLite locked by another program; PostgreSQL whose connections are cut, or on which nothing
    comes."""
    if outage == "locked":
        yield Away(given=dict(MUCH), environment={}, gone=partial(locked, folder / "easel.db"))
        return
    url = request.getfixturevalue("empty_postgres_url")
    proxy = Proxy(url, 5432)
    try:
        yield Away(
            given=MUCH | {"database_url": url},
            environment={"EASEL_DATABASE_URL": proxy.url},
            gone=getattr(proxy, outage),
        )
    finally:
        proxy.close()


def plan(
    windows: Mapping[str, tuple[str, ...]], kills: int, dice: random.Random
) -> list[tuple[str, str]]:
    """What is asked, and where the client dies over it: each window, and each kind, as evenly as so
    many kills allow."""
    pairs = [(kind, window) for kind, found in windows.items() for window in found]
    dice.shuffle(pairs)
    chosen: list[tuple[str, str]] = []
    kinds, places = Counter[str](), Counter[str]()
    for _ in range(kills):
        pair = min(pairs, key=lambda p: (chosen.count(p), places[p[1]], kinds[p[0]]))
        kinds[pair[0]] += 1
        places[pair[1]] += 1
        chosen.append(pair)
    return chosen


@dataclass(frozen=True, kw_only=True)
class Asked:
    kind: str
    event: str
    """The platform's id of it, at the end of the event's key."""
    user: Any
    about: str = ""
    """The event whose card it is about."""
    more: Any = None
    """What the platform needs to look it up."""


class Crowd(ABC):
    """`free` says whether the painter draws what waits."""

    draws: tuple[str, ...]
    windows: Mapping[str, tuple[str, ...]]
    """Where the client is killed over what."""

    def __init__(self, site: HeldSite, bot: Process) -> None:
        self.site, self.bot = site, bot
        self.asked: list[Asked] = []
        self.free = threading.Event()
        self.free.set()

    @abstractmethod
    def connected(self) -> int:
        """How often a client has connected so far."""

    @abstractmethod
    def ready(self, kind: str) -> tuple[Any, ...]:
        """What has to be there before this can be asked."""

    @abstractmethod
    def ask(self, kind: str, *given: Any) -> Asked: ...

    @abstractmethod
    def hold_files(self, seconds: float, times: int | None = None) -> None:
        """So many files that are fetched, or all, come as much later."""

    @abstractmethod
    def held_files(self) -> int: ...

    @abstractmethod
    def clear(self) -> None:
        """Nothing is held any more."""

    @abstractmethod
    def acknowledged(self, asked: Asked) -> bool:
        """Whether the platform was told that we have it. Words that say no are no such thing."""

    @abstractmethod
    def refused(self, asked: Asked) -> bool:
        """Whether we have said that nothing will come of it, since writing took too long."""

    @abstractmethod
    def told_after_seconds(self, asked: Asked) -> float: ...

    @abstractmethod
    def answered(self, asked: Asked) -> bool:
        """It is done, once, and whoever asked sees it."""

    @abstractmethod
    def made(self, asked: Asked) -> list[Mapping[str, Any]]:
        """Every message that was ever posted for it."""

    @abstractmethod
    def unacknowledged(self, asked: Asked) -> bool:
        """Whether something came of it all the same, where that may be."""

    def start(self, bot: Process | None = None) -> None:
        """A client, by itself the first one, and wait until it listens."""
        before, bot = self.connected(), bot or self.bot
        bot.start()

        def listens() -> bool:
            assert bot.alive, bot.log[-3000:]
            return self.connected() > before

        until(listens, "the bot is connected")

    def insist(self, kind: str, given: tuple[Any, ...], there: Callable[[Asked], Any]) -> Any:
        """Ask until it is `there`: again each time that we are told to try it again."""
        while True:
            asked = self.ask(kind, *given)

            def settled(asked: Asked = asked) -> tuple[Any, bool] | None:
                self.site.check_processes()
                found, refused = there(asked), self.refused(asked)
                return (found, refused) if found or refused else None

            try:
                settled_as = until(settled, f"what {kind} leads to")
            except TimeoutError as error:
                raise AssertionError(self.story(asked)) from error
            if settled_as is not None and settled_as[0]:
                return settled_as[0]

    def killed(self, kind: str, window: str, dice: random.Random) -> None:
        """One of this kind asks, others ask for pictures beside it, and the bot dies."""
        gates, given = self.site.gates, self.ready(kind)
        if window == "random":
            self.ask(kind, *given)
            time.sleep(dice.uniform(0, 0.4))
            self.bot.kill()
        elif window == "fetching":
            self.hold_files(60, times=1)
            self.insist(kind, given, lambda _: self.held_files())
            self.bot.kill()
        else:
            gates.hold(window)
            self.insist(kind, given, lambda _: gates.waiting(window))
            for _ in range(dice.randint(0, 2)):
                beside = dice.choice(self.draws[:2])
                self.ask(beside, *self.ready(beside))
            time.sleep(dice.uniform(0, 0.15))
            self.bot.kill()
            gates.let_go(window)
        self.clear()

    def revived(self) -> None:
        """The next client listens; pictures are drawn again once whoever cancelled was heard."""
        self.start()
        if not self.free.is_set():
            until(lambda: not self._untaken(), "the inbox is empty")
            self.free.set()

    def killed_on_the_way(self, kills: int, dice: random.Random) -> Counter[str]:
        """So often, over all that there is to ask; where."""
        planned = plan(self.windows, kills, dice)
        for kind, window in planned:
            self.killed(kind, window, dice)
            self.revived()
        return Counter(window for _, window in planned)

    def stopped_while_files_come(self, kind: str) -> int:
        """In order, while so many are slow; with which status."""
        self.hold_files(20)
        for _ in range(SLOW):
            self.ask(kind, *self.ready(kind))
        until(lambda: all(map(self.acknowledged, self.asked)), "all are acknowledged")
        status = self.bot.stop()
        self.clear()
        return status

    def all_are_told(self, asked: Sequence[Asked]) -> float:
        """That nothing comes of it; after how many seconds at most."""
        until(lambda: all(map(self.refused, asked)), "everybody is told", 10)
        return max(map(self.told_after_seconds, asked))

    def later(self) -> None:
        """When leases are over, and who waited for that has done its work."""
        time.sleep(self.site.settings.lease_seconds + 1)
        self.nothing_left()

    def check(self) -> Counter[str]:
        """How much there was of what; nothing lost, nothing twice."""
        entries, told = self.site.entries(), Counter[str]()
        for asked in self.asked:
            told["asked"] += 1
            if not self.acknowledged(asked):
                told["never acknowledged"] += 1
                told["of those told so by us"] += self.refused(asked)
                told["of those done all the same"] += self.unacknowledged(asked)
                continue
            told["acknowledged"] += 1
            made = self.made(asked)
            assert self.answered(asked), (asked, made)
            if asked.kind in self.draws:
                told["pictures shown once"] += 1
                assert asked.event in entries
                assert len(made) == 1, ("there was another message once", made)
            else:
                told[f"{asked.kind}: done once"] += 1
            if asked.kind == "report":
                assert self.reports(asked.user) == 1
        return told

    def nothing_left(self) -> None:
        """Wait until nothing stands in the inbox, and all that was acknowledged is answered."""
        until(lambda: not self._untaken(), "the inbox is empty")
        self.free.set()
        try:
            until(lambda: not self._unanswered(), "all that was acknowledged is answered")
        except TimeoutError as error:
            raise AssertionError([self.story(a) for a in self._unanswered()]) from error

    def story(self, asked: Asked) -> str:
        """What became of it, for who has to find out why."""
        entry = self.site.entries().get(asked.event)
        with self.site.line.database.read() as session:
            told = entry and deliveries.get(session, entry.job_id)
            ends = select(InboxRow).where(InboxRow.event_key.endswith(asked.event))
            rows = [(r.event_key, bool(r.body), r.tries) for r in session.scalars(ends)]
        return f"{asked}\n{entry}\n{told}\n{rows}"

    def _untaken(self) -> list[str]:
        self.site.check_processes()
        with self.site.line.database.read() as session:
            return list(session.scalars(select(InboxRow.event_key).where(InboxRow.body != "")))

    def _unanswered(self) -> list[Asked]:
        self.site.check_processes()
        return [a for a in self.asked if self.acknowledged(a) and not self.answered(a)]

    def reports(self, user: Any) -> int:
        query = select(ReviewRow.id).where(ReviewRow.opened_by == str(user))
        with self.site.line.database.read() as session:
            return len(session.scalars(query).all())

    def undone_by(self, asked: Asked, *kinds: str) -> bool:
        """Whether somebody has asked, and we have acknowledged, that it goes."""
        return any(
            a.about == asked.event and a.kind in kinds and self.acknowledged(a) for a in self.asked
        )

    @contextmanager
    def painted(self) -> Iterator[None]:
        line, over = self.site.line, threading.Event()
        painter = Painter(line.database, line.blobs, tuple(line.catalog.models))

        def paint() -> None:
            while not over.wait(0.05):
                job = painter.claim() if self.free.is_set() else None
                if job is not None:
                    painter.finish(job)

        thread = threading.Thread(target=paint)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@contextmanager
def opened(it: T) -> Iterator[T]:
    """Somebody paints, and the bot listens."""
    with it.painted():
        it.start()
        yield it
