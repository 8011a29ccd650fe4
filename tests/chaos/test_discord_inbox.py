"""`kill -9` of `easel discord` at each place on the way from the gateway's frame to the shown card,
and at random moments: what Discord was told that we have is done once and answered; what it was not
told of, nothing comes of."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from storage import places
from storage.domain import JobState, Platform
from tests.chaos.crowd import (
    CHANGED,
    DATABASES,
    DRAWN,
    FETCHED,
    LATEST_SECONDS,
    MUCH,
    NOT_NOW,
    OUTAGES,
    SLOW,
    TOLD,
    Asked,
    Crowd,
    away,
    plan,
    settings,
)
from tests.chaos.harness import SCALE, SEED, Process, until
from tests.chaos.nursery import HeldSite, Nursery
from tests.fakes.discord_client import FakeDiscord, Seen
from tests.fakes.discord_state import ANSWER_SECONDS, GUILD
from tests.fakes.painter import png

pytestmark = pytest.mark.timeout(180 + 30 * SCALE)

WINDOWS = {
    "draw": DRAWN,
    "reference": FETCHED,
    "edit": DRAWN,
    "vary": DRAWN,
    "again": DRAWN,
    "wrong": TOLD,
    "report": TOLD,
    "rules": TOLD,
    "forget": TOLD,
    "cancel": CHANGED,
    "delete": CHANGED,
}
HAVE_IT = (5, 6)
"""Answers that say no more than that we have it: a deferred message, a deferred update."""
Ready = tuple[str, int, Seen | None]


class Club(Crowd):
    """A server with a bot in it."""

    draws = ("draw", "reference", "edit", "vary", "again")

    def __init__(self, site: HeldSite, discord: FakeDiscord, bot: Process) -> None:
        super().__init__(site, bot)
        self.discord = discord
        self._users = 7000

    def start(self) -> None:
        before = self.discord.status()["identified"]
        self.bot.start()
        self.listening(self.bot, lambda: self.discord.status()["identified"] > before)

    def hold_files(self) -> None:
        self.discord.fault(
            status=0, seconds=60, times=1, methods=["GET"], path="/attachments/*", after=False
        )

    def held_files(self) -> int:
        return int(self.discord.status()["faults_hit"])

    def clear(self) -> None:
        self.discord.clear_faults()

    def user(self) -> int:
        self._users += 1
        return self._users

    def card(self, asked: str, user: int, wanted: str) -> Seen | None:
        """What shows of this interaction, once it has what is `wanted` of it."""
        messages = self.discord.seen(user=user)
        return next((m for m in messages if m["interaction_id"] == asked and m[wanted]), None)

    def ready(self, kind: str) -> Ready:
        """About what, by whom, on which card."""
        user = self.user()
        if kind in ("draw", "reference", "wrong", "rules"):
            return "", user, None
        if kind == "cancel":
            self.free.clear()
        wanted = "custom_ids" if kind == "cancel" else "files"
        about, card = self.insist(
            "draw",
            ("", user, None),
            lambda a: (shown := self.card(a.event, user, wanted)) and (a.event, shown),
        )
        if kind == "edit":
            opener = self.discord.press(card, "edit", user=user)
            until(lambda: self.discord.interaction(opener)["modal"], "the form opens")
            return opener, user, card
        if kind == "forget":
            opener = self.discord.command("privacy delete", user=user)
            offered = until(lambda: self.card(opener, user, "custom_ids"), "the button")
            return about, user, offered
        return about, user, card

    def ask(self, kind: str, *given: Any) -> Asked:
        about, user, card, more = *given, None
        discord, prompt = self.discord, f"a green pear {len(self.asked)}"
        if kind == "draw":
            event = discord.imagine(prompt, user=user)
        elif kind == "wrong":
            event = discord.imagine(f"{prompt} --sede 7", user=user)
        elif kind == "reference":
            files = {"reference": ("cat.png", png(len(self.asked)))}
            event = discord.imagine(prompt, user=user, files=files)
        elif kind == "rules":
            more = 10_000 + len(self.asked)
            event = discord.command("easel quota", user=user, pictures=more)
        elif kind == "edit":
            event = discord.submit(about, {"prompt": prompt}, user=user)
        else:
            event = discord.press(card, kind, user=user)
        asked = Asked(kind=kind, event=event, user=user, about=about, more=more)
        self.asked.append(asked)
        return asked

    def acknowledged(self, asked: Asked) -> bool:
        return self.discord.interaction(asked.event)["answer"] in HAVE_IT

    def refused(self, asked: Asked) -> bool:
        return any(NOT_NOW in m["content"] for m in self.said(asked))

    def said(self, asked: Asked) -> list[Seen]:
        """All that came of it, as who asked sees it."""
        messages = self.discord.seen(user=asked.user)
        return [m for m in messages if m["interaction_id"] == asked.event]

    def is_gone(self, asked: str) -> bool:
        return all(m["deleted"] for m in self.discord.history() if m["interaction_id"] == asked)

    def answered(self, asked: Asked) -> bool:
        said = self.said(asked)
        if asked.kind in self.draws:
            if self.undone_by(asked, "delete", "forget"):
                return not said
            if self.undone_by(asked, "cancel"):
                return len(said) == 1 and not said[0]["files"]
            return [bool(m["files"]) for m in said] == [True]
        entry = self.site.entries().get(asked.about)
        if asked.kind == "cancel":
            return entry is not None and entry.state is JobState.CANCELLED
        if asked.kind in ("delete", "forget"):
            forgotten = asked.kind == "delete" or (entry is not None and not entry.user_id)
            return forgotten and self.is_gone(asked.about)
        return all(not m["thinking"] for m in said)

    def came_of_it(self, asked: Asked) -> bool:
        """Of what was never acknowledged."""
        entries = self.site.entries()
        if asked.kind == "report":
            return bool(self.reports(asked.user))
        if asked.kind == "cancel":
            return entries[asked.about].state is JobState.CANCELLED
        if asked.kind in ("delete", "forget"):
            return self.is_gone(asked.about)
        if asked.kind == "rules":
            with self.site.line.database.read() as session:
                rules = places.rules(session, Platform.DISCORD, str(GUILD))
            return rules.daily_pictures == asked.more
        return asked.event in entries

    def check(self) -> Counter[str]:
        """How much there was of what; nothing lost, nothing twice, nobody at "thinking…"."""
        history, entries, told = self.discord.history(), self.site.entries(), Counter[str]()
        assert not [m for m in history if m["thinking"] and not m["deleted"]]
        for asked in self.asked:
            told["asked"] += 1
            if not self.acknowledged(asked):
                told["never acknowledged"] += 1
                told["of those told so by us"] += self.refused(asked)
                assert not self.came_of_it(asked), ("Discord says that nobody answered", asked)
                continue
            told["acknowledged"] += 1
            made = [m for m in history if m["interaction_id"] == asked.event]
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


@contextmanager
def club(
    folder: Path,
    nursery: Nursery,
    discord: FakeDiscord,
    given: dict[str, Any],
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Club]:
    discord.limits(1000, 1.0)
    with HeldSite(
        folder, nursery, "discord", {**discord.environment, **environment}, **given
    ) as site:
        it = Club(site, discord, site.bot())
        with it.painted():
            it.start()
            yield it


@pytest.mark.parametrize("database", DATABASES)
def test_killed_on_the_way(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    nursery: Nursery,
    discord: FakeDiscord,
    database: str,
) -> None:
    dice = random.Random(SEED)
    kills = plan(WINDOWS, SCALE, dice)
    with club(tmp_path, nursery, discord, settings(request, database)) as it:
        for kind, window in kills:
            it.killed(kind, window, dice)
            it.revived()
        it.nothing_left()
        told = it.check()
    print(f"{SCALE} kills on {database}, {dict(Counter(w for _, w in kills))}: {dict(told)}")


def test_nothing_comes_of_what_discord_says_nobody_answered(
    tmp_path: Path, nursery: Nursery, discord: FakeDiscord
) -> None:
    """Killed between the row and its acknowledgement: who pressed is told by Discord itself."""
    dice = random.Random(SEED)
    with club(tmp_path, nursery, discord, dict(MUCH)) as it:
        for kind in ("again", "report", "rules", "forget", "delete", "cancel"):
            it.killed(kind, "written", dice)
            discord.move_clock(ANSWER_SECONDS)
            it.revived()
        it.nothing_left()
        assert it.check()["never acknowledged"] >= 6


def test_killed_before_the_second_press_is_answered(
    tmp_path: Path, nursery: Nursery, discord: FakeDiscord
) -> None:
    """It is no request of its own, so that its placeholder goes."""
    with club(tmp_path, nursery, discord, dict(MUCH)) as it:
        _, user, card = it.ready("again")
        it.site.gates.hold("telling")
        first, second = (discord.press(card, "again", user=user) for _ in range(2))
        it.site.kill(it.bot, "telling")
        it.start()
        it.nothing_left()

        def settled() -> bool:
            shown = [m for m in discord.seen(user=user) if m["interaction_id"] in (first, second)]
            return [bool(m["files"]) for m in shown] == [True]

        until(settled, "one card, and nobody who thinks", 20)


def test_stopped_while_references_come(
    tmp_path: Path, nursery: Nursery, discord: FakeDiscord
) -> None:
    with club(tmp_path, nursery, discord, dict(MUCH)) as it:
        discord.fault(status=0, seconds=20, methods=["GET"], path="/attachments/*", after=False)
        for _ in range(SLOW):
            it.ask("reference", *it.ready("reference"))
        until(lambda: all(map(it.acknowledged, it.asked)), "all are acknowledged")
        status = it.bot.stop()
        it.clear()
        it.start()
        it.nothing_left()
        assert it.check()["pictures shown once"] == SLOW
    assert status == 0


@pytest.mark.parametrize("kind", ["draw", "reference", "again"])
def test_told_five_times_at_once_to_two_clients(
    tmp_path: Path, nursery: Nursery, discord: FakeDiscord, kind: str
) -> None:
    with club(tmp_path, nursery, discord, dict(MUCH)) as it:
        before, other = discord.status()["identified"], it.site.bot()
        given = it.ready(kind)
        other.start()
        it.listening(other, lambda: discord.status()["identified"] > before)
        asked = it.ask(kind, *given)
        discord.redeliver(asked.event, times=4)
        until(lambda: it.answered(asked), "it is shown")
        time.sleep(it.site.settings.lease_seconds)
        it.nothing_left()
        assert it.check()["pictures shown once"] == len(it.site.entries()) == len(it.asked)


@pytest.mark.parametrize("outage", OUTAGES)
def test_the_database_does_not_answer(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    nursery: Nursery,
    discord: FakeDiscord,
    outage: str,
) -> None:
    with (
        away(request, tmp_path, outage) as outside,
        club(tmp_path, nursery, discord, outside.given, outside.environment) as it,
    ):
        kinds = ("draw", "reference", "edit", "again", "report", "delete", "rules", "forget")
        ready = [(kind, it.ready(kind)) for kind in kinds]
        first = len(it.asked)
        with outside.gone():
            asked = [it.ask(kind, *what) for kind, what in ready]
            until(lambda: all(map(it.refused, asked)), "everybody is told", 10)
            after = [discord.interaction(a.event)["answered_after_seconds"] for a in asked]
        print(f"{outage}: told after {max(after):.2f} s at most")
        assert max(after) < LATEST_SECONDS
        it.insist("draw", it.ready("draw"), it.acknowledged)
        time.sleep(it.site.settings.lease_seconds + 1)
        it.nothing_left()
        assert it.check()["of those told so by us"] >= len(asked)
        assert len(it.asked) > first


def test_acknowledged_and_down_for_sixteen_minutes(
    tmp_path: Path, nursery: Nursery, discord: FakeDiscord
) -> None:
    """Nobody knows the placeholder's id, and its token is dead: a new message in the channel."""
    with club(tmp_path, nursery, discord, dict(MUCH)) as it:
        discord.move_clock(-16 * 60)  # So that the event is as old as it would be.
        it.site.gates.hold("acknowledged")
        asked = it.ask("draw", *it.ready("draw"))
        it.site.kill(it.bot, "acknowledged")
        discord.move_clock(16 * 60)
        it.start()
        job = until(lambda: it.site.entries().get(asked.event), "it is accepted")
        assert job is not None

        def posted() -> list[Seen]:
            return [m for m in discord.seen() if m["files"] and not m["interaction_id"]]

        [message] = until(posted, "it is posted anew")
        assert any(str(job.job_id) in custom_id for custom_id in message["custom_ids"])
