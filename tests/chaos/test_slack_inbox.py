"""`kill -9` of `easel slack` at each place on the way from Slack's post to the shown card, and at
random moments: what Slack was told that we have is done once; its events come again until then, and
are taken once."""

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

from storage.domain import JobState
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
from tests.fakes.painter import png
from tests.fakes.slack_client import FakeSlack, Seen
from tests.fakes.slack_state import BOT_USER

pytestmark = pytest.mark.timeout(180 + 30 * SCALE)

WINDOWS = {
    "draw": DRAWN,
    "picture": FETCHED,
    "mention": DRAWN,
    "form": FETCHED,
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
"""A "picture" is a mention that brings one."""
EVENTS = ("picture", "mention")
"""Of which Slack tells again until it is told that we have them."""
BUTTONS = ("vary", "again", "report", "forget", "cancel", "delete")
RETRY_SECONDS = 301


class Studio(Crowd):
    """A workspace with a bot in it. Each request has a channel of its own, since Slack takes one
    message a second in each."""

    draws = ("draw", "picture", "mention", "form", "edit", "vary", "again")

    def __init__(self, site: HeldSite, slack: FakeSlack, bot: Process) -> None:
        super().__init__(site, bot)
        self.slack = slack
        self._places = 0

    def start(self) -> None:
        opened = self.slack.status()["opened"]
        self.bot.start()
        self.listening(self.bot, lambda: self.slack.status()["opened"] > opened)

    def hold_files(self) -> None:
        self.slack.fault(
            status=0, seconds=60, times=1, methods=["GET"], path="files-pri", after=False
        )

    def held_files(self) -> int:
        return int(self.slack.status()["faults_hit"])

    def clear(self) -> None:
        self.slack.clear_faults()

    def place(self) -> dict[str, str]:
        self._places += 1
        number = f"{self._places:05}"
        self.slack.channel(f"C0ROOM{number}")
        self.slack.person(f"U0SOME{number}", admin=True)
        return {"user": f"U0SOME{number}", "channel": f"C0ROOM{number}"}

    def job(self, asked: str) -> str:
        entry = self.site.entries().get(asked)
        return str(entry.job_id) if entry else ""

    def drawn(self, place: dict[str, str], wanted: str = "images") -> tuple[str, Seen]:
        """A request, and its card once it has what is `wanted` of it."""

        def card(asked: Asked) -> tuple[str, Seen] | None:
            found = (m for m in self.cards(self.job(asked.event)) if m[wanted])
            return next(((asked.event, m) for m in found), None)

        found: tuple[str, Seen] = self.insist("draw", ("", place, None), card)
        return found

    def cards(self, job: str) -> list[Seen]:
        """Every message that was ever posted for this job."""
        history = self.slack.history()
        return [m for m in history if job and _job_of(m) == job]

    def ready(self, kind: str) -> tuple[Any, ...]:
        """About what, where and by whom, and what is to be pressed or sent."""
        place = self.place()
        user = place["user"]
        if kind in ("draw", "wrong", *EVENTS):
            return "", place, None
        if kind == "form":
            return "", place, self._modal(user, self.slack.command("/imagine", "", **place))
        if kind in ("rules", "forget"):
            about, _ = self.drawn(place) if kind == "forget" else ("", None)
            self.slack.command("/imagine", "settings" if kind == "rules" else "privacy", **place)
            action = "easel:settings" if kind == "rules" else "easel:forget"

            def offered() -> Seen | None:
                return next((m for m in self._told(place) if action in _actions(m)), None)

            card = until(offered, f"a button {action}")
            if kind == "forget":
                return about, place, card
            assert card is not None
            return "", place, self._modal(user, self.slack.press(card, action, user=user))
        if kind == "cancel":
            self.free.clear()
        about, card = self.drawn(place, "buttons" if kind == "cancel" else "images")
        if kind == "edit":
            return about, place, self._modal(user, self.slack.press(card, "easel:edit", user=user))
        return about, place, card

    def _modal(self, user: str, delivery: str) -> Seen:
        self.slack.heard(delivery)
        modal = until(lambda: self.slack.modal(user), "the form opens")
        assert modal is not None
        return modal

    def _told(self, place: dict[str, str]) -> list[Seen]:
        """What this person alone is told there."""
        messages = self.slack.seen(place["channel"], user=place["user"])
        threads = {m["ts"] for m in messages if not m["ephemeral"]}
        for ts in threads:
            messages += self.slack.seen(place["channel"], user=place["user"], thread=ts)
        return [m for m in messages if m["ephemeral"]]

    def ask(self, kind: str, *given: Any) -> Asked:
        about, place, what = given
        slack, prompt, number = self.slack, f"a green pear {len(self.asked)}", len(self.asked)
        user = place["user"]
        if kind in EVENTS:
            file = (slack.file("cat.png", png(number), user=user),) if kind == "picture" else ()
            said = slack.say(f"<@{BOT_USER}> {prompt}", files=file, **place)
            event, delivery = said["ts"], said["delivery"]
        elif kind in ("form", "edit", "rules"):
            files, values = {}, {"prompt": prompt}
            if kind == "form":
                files = {"reference": [slack.file("cat.png", png(number), user=user)]}
            elif kind == "rules":
                values = {"quota": str(10_000 + number)}
            event, delivery = what["id"], slack.submit(what, values, files)
        else:
            if kind in ("draw", "wrong"):
                text = prompt if kind == "draw" else f"{prompt} --sede 7"
                delivery = slack.command("/imagine", text, **place)
            else:
                delivery = slack.press(what, f"easel:{kind}", user=user)
            event = slack.delivery(delivery)["payload"]["trigger_id"]
        asked = Asked(kind=kind, event=event, user=user, about=about, more=(delivery, place))
        self.asked.append(asked)
        return asked

    def acknowledged(self, asked: Asked) -> bool:
        found = self.slack.delivery(asked.more[0])
        return bool(found["acknowledged"]) and not self.refused(asked)

    def refused(self, asked: Asked) -> bool:
        delivery, place = asked.more
        if asked.kind in BUTTONS:
            return any(NOT_NOW in m["text"] for m in self._told(place))
        return NOT_NOW in str(self.slack.delivery(delivery)["answer"])

    def answered(self, asked: Asked) -> bool:
        entry = self.site.entries().get(asked.event)
        if asked.kind in self.draws:
            cards = self.cards(self.job(asked.event))
            if self.undone_by(asked, "delete", "forget"):
                return all(m["deleted"] for m in cards)
            if self.undone_by(asked, "cancel"):
                return len(cards) == 1 and not cards[0]["images"]
            return [bool(m["images"]) for m in cards] == [True]
        entry = self.site.entries().get(asked.about)
        if asked.kind == "cancel":
            return entry is not None and entry.state is JobState.CANCELLED
        if asked.kind in ("delete", "forget"):
            forgotten = asked.kind == "delete" or (entry is not None and not entry.user_id)
            return forgotten and all(m["deleted"] for m in self.cards(self.job(asked.about)))
        return bool(self._told(asked.more[1]))

    def events_again(self) -> None:
        """Slack tells again, at once, after a minute, after five, of what we have not taken."""

        def missing() -> list[Asked]:
            self.site.check_processes()
            found = [a for a in self.asked if a.kind in EVENTS]
            return [a for a in found if not self.slack.delivery(a.more[0])["acknowledged"]]

        end = time.monotonic() + 60
        while missing() and time.monotonic() < end:
            self.slack.move_clock(RETRY_SECONDS)
            time.sleep(1)
        assert not missing()

    def check(self) -> Counter[str]:
        """How much there was of what; nothing lost, nothing twice."""
        entries, told = self.site.entries(), Counter[str]()
        for asked in self.asked:
            told["asked"] += 1
            cards = self.cards(self.job(asked.event))
            assert len(cards) <= 1, ("there was another message once", cards)
            if not self.acknowledged(asked):
                told["never acknowledged"] += 1
                told["of those told so by us"] += self.refused(asked)
                told["of those written down, and done"] += asked.event in entries
                continue
            told["acknowledged"] += 1
            assert self.answered(asked), (asked, cards)
            if asked.kind in self.draws:
                told["pictures shown once"] += 1
                assert asked.event in entries
            else:
                told[f"{asked.kind}: done once"] += 1
            if asked.kind == "report":
                assert self.reports(asked.user) == 1
            if asked.kind in EVENTS:
                tries = len(self.slack.delivery(asked.more[0])["attempts"])
                told["events that came again"] += tries > 1
        return told


def _job_of(message: Seen) -> str:
    if message["user"] != BOT_USER or message["ephemeral"]:
        return ""
    return str((message["metadata"] or {}).get("event_payload", {}).get("job", ""))


def _actions(message: Seen) -> list[str]:
    return [button["action_id"] for button in message["buttons"]]


@contextmanager
def studio(
    folder: Path,
    nursery: Nursery,
    slack: FakeSlack,
    given: dict[str, Any],
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Studio]:
    slack.loosen(1000)
    with HeldSite(folder, nursery, "slack", {**slack.environment, **environment}, **given) as site:
        it = Studio(site, slack, site.bot())
        with it.painted():
            it.start()
            yield it


@pytest.mark.parametrize("database", DATABASES)
def test_killed_on_the_way(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    nursery: Nursery,
    slack: FakeSlack,
    database: str,
) -> None:
    dice = random.Random(SEED)
    kills = plan(WINDOWS, SCALE, dice)
    with studio(tmp_path, nursery, slack, settings(request, database)) as it:
        for kind, window in kills:
            it.killed(kind, window, dice)
            it.revived()
        it.events_again()
        it.nothing_left()
        told = it.check()
    print(f"{SCALE} kills on {database}, {dict(Counter(w for _, w in kills))}: {dict(told)}")


def test_a_button_pressed_twice_is_one_request(
    tmp_path: Path, nursery: Nursery, slack: FakeSlack
) -> None:
    """Also when the row of the second press is looked at again."""
    with studio(tmp_path, nursery, slack, dict(MUCH)) as it:
        _, place, card = it.ready("vary")
        before = len(it.site.entries())
        for _ in range(2):
            it.slack.press(card, "easel:vary", user=place["user"])
        until(lambda: len(it.site.entries()) > before, "it is accepted")
        it.nothing_left()
        time.sleep(2 * it.site.settings.lease_seconds)
        assert len(it.site.entries()) == before + 1


def test_stopped_while_references_come(tmp_path: Path, nursery: Nursery, slack: FakeSlack) -> None:
    with studio(tmp_path, nursery, slack, dict(MUCH)) as it:
        slack.fault(status=0, seconds=20, methods=["GET"], path="files-pri", after=False)
        for _ in range(SLOW):
            it.ask("picture", *it.ready("picture"))
        until(lambda: all(map(it.acknowledged, it.asked)), "all are acknowledged")
        status = it.bot.stop()
        it.clear()
        it.start()
        it.nothing_left()
        assert it.check()["pictures shown once"] == SLOW
    assert status == 0


@pytest.mark.parametrize("kind", ["draw", "mention", "picture"])
def test_told_five_times_at_once_to_two_clients(
    tmp_path: Path, nursery: Nursery, slack: FakeSlack, kind: str
) -> None:
    with studio(tmp_path, nursery, slack, dict(MUCH)) as it:
        opened, other = slack.status()["opened"], it.site.bot()
        other.start()
        it.listening(other, lambda: slack.status()["opened"] > opened)
        asked = it.ask(kind, *it.ready(kind))
        slack.redeliver(asked.more[0], times=4)
        it.nothing_left()
        until(lambda: slack.heard(asked.more[0]), "all five are acknowledged")
        time.sleep(it.site.settings.lease_seconds)
        it.nothing_left()
        assert it.check()["pictures shown once"] == len(it.site.entries()) == 1


@pytest.mark.parametrize("outage", OUTAGES)
def test_the_database_does_not_answer(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    nursery: Nursery,
    slack: FakeSlack,
    outage: str,
) -> None:
    """Words at the command, in the form and beside the button; a mention comes again."""
    with (
        away(request, tmp_path, outage) as outside,
        studio(tmp_path, nursery, slack, outside.given, outside.environment) as it,
    ):
        told = ("draw", "form", "report", "vary", "delete")
        ready = [(kind, it.ready(kind)) for kind in told]
        mention = it.ready("mention")
        first = len(it.asked)
        with outside.gone():
            for kind, what in ready:
                it.ask(kind, *what)
            again = it.ask("mention", *mention)
            asked = [a for a in it.asked[first:] if a is not again]
            until(lambda: all(map(it.refused, asked)), "everybody is told", 10)
            after = [slack.delivery(a.more[0])["acknowledged_after_seconds"] for a in asked]
        print(f"{outage}: told after {max(after):.2f} s at most")
        assert max(after) < LATEST_SECONDS
        it.events_again()
        it.nothing_left()
        time.sleep(it.site.settings.lease_seconds + 1)
        it.nothing_left()
        assert it.check()["of those written down, and done"] == 0
        assert again.event in it.site.entries()
        assert not it.reports(asked[2].user)
