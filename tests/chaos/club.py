"""A Discord server with a bot in it, which is killed: who asks for what there, and what must come
of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from storage import places
from storage.domain import JobState, Platform
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
from tests.fakes.discord_client import FakeDiscord, Seen
from tests.fakes.discord_state import GUILD
from tests.fakes.painter import png

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

    windows = WINDOWS
    draws = ("draw", "reference", "edit", "vary", "again")

    def __init__(self, site: HeldSite, discord: FakeDiscord, bot: Process) -> None:
        super().__init__(site, bot)
        self.discord = discord
        self._users = 7000

    def connected(self) -> int:
        return int(self.discord.status()["identified"])

    def hold_files(self, seconds: float, times: int | None = None) -> None:
        path = "/attachments/*"
        self.discord.fault(
            status=0, seconds=seconds, times=times, methods=["GET"], path=path, after=False
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

    def told_after_seconds(self, asked: Asked) -> float:
        return float(self.discord.interaction(asked.event)["answered_after_seconds"])

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

    def made(self, asked: Asked) -> list[Mapping[str, Any]]:
        return [m for m in self.discord.history() if m["interaction_id"] == asked.event]

    def unacknowledged(self, asked: Asked) -> bool:
        assert not self.came_of_it(asked), ("Discord says that nobody answered", asked)
        return False

    def check(self) -> Counter[str]:
        """Nor is anybody left at "thinking…"."""
        assert not [m for m in self.discord.history() if m["thinking"] and not m["deleted"]]
        return super().check()


@contextmanager
def club(
    folder: Path,
    nursery: Nursery,
    discord: FakeDiscord,
    given: dict[str, Any],
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Club]:
    discord.limits(1000, 1.0)
    with (
        HeldSite(
            folder, nursery, "discord", {**discord.environment, **environment}, **given
        ) as site,
        opened(Club(site, discord, site.bot())) as it,
    ):
        yield it
