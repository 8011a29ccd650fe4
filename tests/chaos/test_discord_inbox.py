"""`kill -9` of `easel discord` at each place on the way from the gateway's frame to the shown card,
and at random moments: whatever Discord was told that we have is done once and answered.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from storage.domain import JobState
from storage.tables import InboxRow, ReviewRow
from tests.chaos.harness import SCALE, SEED, Process, until
from tests.chaos.nursery import HeldSite, Nursery
from tests.fakes.discord_client import FakeDiscord, Seen
from tests.fakes.painter import Painter, png
from tests.servers import needs_postgres

DATABASES = ["sqlite", pytest.param("postgres", marks=needs_postgres)]
pytestmark = pytest.mark.timeout(180 + 30 * SCALE)

EARLY = ("heard", "written", "acknowledged")
DRAWN = (*EARLY, "taking", "ringing", "showing", "shown", "random")
WINDOWS = {
    "draw": DRAWN,
    "reference": (*DRAWN, "fetching"),
    "edit": DRAWN,
    "vary": DRAWN,
    "again": DRAWN,
    "wrong": (*EARLY, "telling", "taking"),
    "report": (*EARLY, "telling", "taking"),
    "cancel": (*EARLY, "taking", "showing"),
    "delete": (*EARLY, "taking", "showing"),
    "rules": (*EARLY, "telling", "taking"),
    "forget": (*EARLY, "telling", "taking"),
}
"""What is asked, and where the client is killed over it."""
DRAWS = ("draw", "reference", "edit", "vary", "again")
BASE_USER = 7000
MUCH = {"person_queue_limit": 10_000, "queue_limit": 10_000, "daily_pictures": 10_000}
DOWNLOADS = {"methods": ["GET"], "path": "/attachments/*"}


def plan(dice: random.Random, kills: int) -> list[tuple[str, str]]:
    """Each window, and each kind, as evenly as so many kills allow."""
    pairs = [(kind, window) for kind, windows in WINDOWS.items() for window in windows]
    dice.shuffle(pairs)
    chosen: list[tuple[str, str]] = []
    kinds, windows = Counter(dict.fromkeys(WINDOWS, 0)), Counter[str]()
    while len(chosen) < kills:
        pair = min(pairs, key=lambda pair: (chosen.count(pair), windows[pair[1]], kinds[pair[0]]))
        kinds[pair[0]] += 1
        windows[pair[1]] += 1
        chosen.append(pair)
    return chosen


@dataclass(frozen=True)
class Asked:
    kind: str
    interaction: str
    user: int
    about: str = ""
    """The interaction whose card it is about."""


class Club:
    """A server with a bot in it, a painter who draws whatever waits, and who has asked what."""

    def __init__(self, site: HeldSite, discord: FakeDiscord, bot: Process) -> None:
        self.site, self.discord, self.bot = site, discord, bot
        self.asked: list[Asked] = []
        self.quotas: set[int] = set()
        self.free = threading.Event()
        """Whether the painter draws."""
        self.free.set()
        self._users = BASE_USER

    def start(self) -> None:
        """And wait until it listens."""
        before = self.discord.status()["identified"]
        self.bot.start()

        def listening() -> bool:
            assert self.bot.alive, self.bot.log[-3000:]
            return bool(self.discord.status()["identified"] > before)

        until(listening, "the bot is connected")

    def user(self) -> int:
        self._users += 1
        return self._users

    def cards(self) -> dict[str, list[Seen]]:
        """What everybody sees, by the interaction that it came from."""
        found: dict[str, list[Seen]] = {}
        for message in self.discord.seen():
            found.setdefault(message["interaction_id"], []).append(message)
        return found

    def base(self, *, drawn: bool = True) -> tuple[str, int, Seen]:
        """Somebody's request, somebody, and its card, as it shows its picture (or waits)."""
        user = self.user()
        asked = self.discord.imagine(f"a red apple of {user}", user=user)
        self.asked.append(Asked("draw", asked, user))

        def card() -> Seen | None:
            self.site.check_processes()
            [message] = self.cards().get(asked) or [None]
            there = message and (message["files"] if drawn else message["custom_ids"])
            return message if there else None

        found = until(card, "a card to press buttons on")
        assert found is not None
        return asked, user, found

    def ready(self, kind: str) -> tuple[str, int, Seen | None]:
        """What has to be there before this can be asked; about what, by whom, on which card."""
        if kind in ("draw", "reference", "wrong", "rules"):
            return "", self.user(), None
        if kind == "cancel":
            self.free.clear()
        about, user, card = self.base(drawn=kind != "cancel")
        if kind == "edit":
            opener = self.discord.press(card, "edit", user=user)
            until(lambda: self.discord.interaction(opener)["modal"], "the form opens")
            return opener, user, card
        if kind == "forget":
            opener = self.discord.command("privacy delete", user=user)

            def offered() -> Seen | None:
                messages = self.discord.seen(user=user)
                return next((m for m in messages if m["interaction_id"] == opener), None)

            return about, user, until(offered, "the button that forgets")
        return about, user, card

    def ask(self, kind: str, about: str, user: int, card: Seen | None) -> Asked:
        discord, prompt = self.discord, f"a green pear {len(self.asked)}"
        if kind == "draw":
            interaction = discord.imagine(prompt, user=user)
        elif kind == "wrong":
            interaction = discord.imagine(f"{prompt} --sede 7", user=user)
        elif kind == "reference":
            files = {"reference": ("cat.png", png(len(self.asked)))}
            interaction = discord.imagine(prompt, user=user, files=files)
        elif kind == "rules":
            quota = 10_000 + len(self.asked)
            self.quotas.add(quota)
            interaction = discord.command("easel quota", user=user, pictures=quota)
        elif kind == "edit":
            interaction = discord.submit(about, {"prompt": prompt}, user=user)
        else:
            assert card is not None
            interaction = discord.press(card, kind, user=user)
        asked = Asked(kind, interaction, user, about)
        self.asked.append(asked)
        return asked

    def killed(self, kind: str, window: str, dice: random.Random) -> None:
        """One of this kind asks, others ask for pictures beside it, and the bot dies."""
        site, given = self.site, self.ready(kind)
        if window == "random":
            self.ask(kind, *given)
            time.sleep(dice.uniform(0, 0.4))
            self.bot.kill()
        elif window == "fetching":
            self.discord.fault(status=0, seconds=60, times=1, **DOWNLOADS)
            self.ask(kind, *given)
            until(lambda: self.discord.status()["faults_hit"], "the file is asked for")
            self.bot.kill()
        else:
            site.gates.hold(window)
            self.ask(kind, *given)
            until(lambda: site.gates.waiting(window), f"the bot comes to {window}")
            for _ in range(dice.randint(0, 2)):
                self.ask(dice.choice(("draw", "reference")), *self.ready("draw"))
            time.sleep(dice.uniform(0, 0.15))
            site.kill(self.bot, window)
        self.discord.clear_faults()

    def acknowledged(self, asked: Asked) -> bool:
        """Whether Discord was told that we have it; words that say no are no such thing."""
        return self.discord.interaction(asked.interaction)["answer"] in (5, 6)

    def nothing_left(self) -> None:
        """Wait until nothing stands in the inbox, and all that is to be shown is shown."""
        line = self.site.line

        def left() -> list[str]:
            self.site.check_processes()
            with line.database.read() as session:
                return list(
                    session.scalars(select(InboxRow.event_key).where(InboxRow.body != ""))
                )

        until(lambda: not left(), "the inbox is empty")
        self.free.set()
        missing = [Asked("", "", 0)]

        def unshown() -> list[Asked]:
            self.site.check_processes()
            return [a for a in self.asked if self.acknowledged(a) and not self.answered(a)]

        try:
            until(lambda: not (missing := unshown()), "all that was acknowledged is answered")
        except TimeoutError as error:
            raise AssertionError([(a, self.said(a)) for a in unshown()]) from error

    def said(self, asked: Asked) -> list[Seen]:
        """All that came of it, as who asked sees it."""
        messages = self.discord.seen(user=asked.user)
        return [m for m in messages if m["interaction_id"] == asked.interaction]

    def answered(self, asked: Asked) -> bool:
        entries, said = self.site.entries(), self.said(asked)
        if asked.kind in DRAWS:
            if self.is_taken_down(asked):
                return not said
            return [bool(m["files"]) for m in said] == [True] or self.is_cancelled(asked)
        if asked.kind == "cancel":
            return entries[asked.about].state is JobState.CANCELLED
        if asked.kind == "delete":
            return asked.about not in self.cards()
        if asked.kind == "forget":
            return not entries[asked.about].user_id and asked.about not in self.cards()
        if asked.kind == "wrong":
            return not said or not said[0]["thinking"]
        return [m["thinking"] for m in said] == [False]

    def is_taken_down(self, asked: Asked) -> bool:
        gone = [a for a in self.asked if a.kind in ("delete", "forget") and self.acknowledged(a)]
        return asked.interaction in [a.about for a in gone]

    def is_cancelled(self, asked: Asked) -> bool:
        cancels = [a for a in self.asked if a.kind == "cancel" and self.acknowledged(a)]
        return asked.interaction in [a.about for a in cancels]

    def check(self) -> dict[str, int]:
        """Nothing lost, nothing twice, nobody left at "thinking…"; and how much there was."""
        entries, history, told = self.site.entries(), self.discord.history(), Counter[str]()
        assert not [m for m in history if m["thinking"] and not m["deleted"]]
        for asked in self.asked:
            told["asked"] += 1
            made = [m for m in history if m["interaction_id"] == asked.interaction]
            if not self.acknowledged(asked):
                told["never acknowledged"] += 1
                done = self.came_of_it(asked)
                assert not done, ("Discord says that we did not answer, but it was done", asked)
                continue
            told["acknowledged"] += 1
            told["shown once"] += 1
            assert self.answered(asked), (asked, made)
            if asked.kind in DRAWS:
                assert asked.interaction in entries
                assert len(made) == 1, ("more than one message was ever there", made)
            elif asked.kind == "report":
                assert len(self.reports(asked)) == 1
        assert history and {m["interaction_id"] for m in history} <= {
            *(a.interaction for a in self.asked),
            *(m["interaction_id"] for m in history if "forget" in str(m["custom_ids"])),
            *(m["interaction_id"] for m in history if m["content"].startswith("Done.")),
        }
        return dict(told)

    def reports(self, asked: Asked) -> list[ReviewRow]:
        with self.site.line.database.read() as session:
            return list(
                session.scalars(select(ReviewRow).where(ReviewRow.opened_by == str(asked.user)))
            )

    def came_of_it(self, asked: Asked) -> bool:
        """Of what was never acknowledged."""
        entries = self.site.entries()
        others = [a for a in self.asked if a.about == asked.about and self.acknowledged(a)]
        if asked.kind == "report":
            return bool(self.reports(asked))
        if asked.kind == "cancel":
            return entries[asked.about].state is JobState.CANCELLED and not others
        if asked.kind in ("delete", "forget"):
            return asked.about not in self.cards() and not others
        return asked.interaction in entries


@contextmanager
def club(
    request: pytest.FixtureRequest, folder: Path, discord: FakeDiscord, database: str
) -> Iterator[Club]:
    changes: dict[str, object] = dict(MUCH)
    if database == "postgres":
        changes["database_url"] = request.getfixturevalue("empty_postgres_url")
    with Nursery() as nursery:
        with HeldSite(folder, nursery, "discord", discord.environment, **changes) as site:
            it, over = Club(site, discord, site.bot()), threading.Event()
            painter = Painter(site.line.database, site.line.blobs, tuple(site.line.catalog.models))

            def paint() -> None:
                while not over.wait(0.05):
                    job = painter.claim() if it.free.is_set() else None
                    if job is not None:
                        painter.finish(job)

            thread = threading.Thread(target=paint)
            thread.start()
            try:
                it.start()
                yield it
            finally:
                over.set()
                thread.join()


@pytest.mark.parametrize("database", DATABASES)
def test_killed_on_the_way(
    request: pytest.FixtureRequest, tmp_path: Path, discord: FakeDiscord, database: str
) -> None:
    dice = random.Random(SEED)
    discord.limits(1000, 1.0)
    with club(request, tmp_path, discord, database) as it:
        kills = plan(dice, SCALE)
        for kind, window in kills:
            it.killed(kind, window, dice)
            it.start()
            it.free.set()
        it.nothing_left()
        told = it.check()
        print(f"{SCALE} kills ({dict(Counter(w for _, w in kills))}) on {database}: {told}")
