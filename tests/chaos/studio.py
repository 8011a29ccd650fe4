"""A Slack workspace with a bot in it, which is killed: who asks for what there, and what must come
of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from storage.domain import JobState
from tests.chaos.crowd import (
    CHANGED,
    DRAWN,
    FETCHED,
    NOT_NOW,
    TOLD,
    Asked,
    Crowd,
    opened,
)
from tests.chaos.harness import Process, until
from tests.chaos.nursery import HeldSite, Nursery
from tests.fakes.painter import png
from tests.fakes.slack_client import FakeSlack, Seen
from tests.fakes.slack_state import BOT_USER

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
UNDO = ("cancel", "delete", "forget")
RETRY_SECONDS = 301


class Studio(Crowd):
    """A workspace with a bot in it. Each request has a channel of its own, since Slack takes one
    message a second in each."""

    windows = WINDOWS
    draws = ("draw", "picture", "mention", "form", "edit", "vary", "again")

    def __init__(self, site: HeldSite, slack: FakeSlack, bot: Process) -> None:
        super().__init__(site, bot)
        self.slack = slack
        self._places = 0

    def connected(self) -> int:
        return int(self.slack.status()["opened"])

    def hold_files(self, seconds: float, times: int | None = None) -> None:
        path = "files-pri"
        self.slack.fault(
            status=0, seconds=seconds, times=times, methods=["GET"], path=path, after=False
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

    def told_after_seconds(self, asked: Asked) -> float:
        return float(self.slack.delivery(asked.more[0])["acknowledged_after_seconds"])

    def answered(self, asked: Asked) -> bool:
        entry = self.site.entries().get(asked.event)
        if asked.kind in self.draws:
            cards = self.cards(self.job(asked.event))
            if self.undone_by(asked, "delete", "forget"):
                return all(m["deleted"] for m in cards)
            if self.undone_by(asked, "cancel"):
                return len(cards) == 1 and not cards[0]["images"]
            if any(a.about == asked.event and a.kind in UNDO for a in self.asked):
                return len(cards) == 1  # Slack says of that one that it failed; it may be done.
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

    def made(self, asked: Asked) -> list[Mapping[str, Any]]:
        return [*self.cards(self.job(asked.event))]

    def unacknowledged(self, asked: Asked) -> bool:
        """It may have been written down before Slack heard of that."""
        assert len(self.made(asked)) <= 1
        return asked.event in self.site.entries()

    def check(self) -> Counter[str]:
        told = super().check()
        events = [a for a in self.asked if a.kind in EVENTS and self.acknowledged(a)]
        tries = [len(self.slack.delivery(a.more[0])["attempts"]) for a in events]
        told["events that came again"] = sum(n > 1 for n in tries)
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
    with (
        HeldSite(folder, nursery, "slack", {**slack.environment, **environment}, **given) as site,
        opened(Studio(site, slack, site.bot())) as it,
    ):
        yield it
