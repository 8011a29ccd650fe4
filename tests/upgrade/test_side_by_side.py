"""Chat client and worker of 8030ad7 go on working while the new code migrates their database and
after it, and each with the other's. On a Discord of our own; all processes are real ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from storage import migrate
from storage.database import Database
from tests.chaos.harness import ROOT, Process
from tests.chaos.harness import until as wait_until
from tests.fakes.discord_client import PERSON, FakeDiscord, Seen
from tests.upgrade.conftest import KINDS, OldRelease, settings_of

PATIENCE_SECONDS = 120.0
ROWS = 5_000
SLACK = {
    "EASEL_SLACK_BOT_TOKEN": "xoxb-1",
    "EASEL_SLACK_APP_TOKEN": "xapp-1",
    "EASEL_SLACK_API_URL": "http://127.0.0.1:9/api/",
}
"""Nobody answers there."""
pytestmark = pytest.mark.timeout(600)


class Club:
    """One installation, in which processes of both releases run."""

    def __init__(self, folder: Path, url: str, old: OldRelease, discord: FakeDiscord) -> None:
        old.fill(url, folder / "blobs", ROWS)
        self.database, self.discord = Database(url), discord
        self._folder, self._old, self._running = folder, old, list[Process]()
        self._settings = settings_of(folder, url) | {
            "EASEL_LEASE_SECONDS": "5",
            "EASEL_HEARTBEAT_SECONDS": "0.3",
            "EASEL_PARENT_PID": str(os.getpid()),
        }
        self._secrets = {"discord": discord.environment, "slack": SLACK}

    def easel(self, *arguments: str, old: bool = False) -> Process:
        """`easel …` of one of the releases, to be started."""
        environment = self._settings | self._secrets.get(arguments[0], {})
        return Process(
            *(sys.executable, "-m", "bot.cli", *arguments),
            environment=(self._old.environment if old else {}) | environment,
            folder=self._old.folder if old else ROOT,
            log=self._folder / f"{'old' if old else 'new'}_{arguments[0]}.log",
        )

    def runs(self, *arguments: str, old: bool = False) -> None:
        """To its end, which is a good one."""
        with self.easel(*arguments, old=old) as process:
            assert process.ended() == 0, process.log

    def start(self, command: str, *, old: bool = False) -> Process:
        """A service; a chat client has connected."""
        before = self.discord.status()["identified"]
        process = self.easel(command, old=old)
        process.start()
        self._running.append(process)
        if command == "discord":
            self.until(lambda: self.discord.status()["identified"] > before, "it is connected")
        return process

    def stop(self, *processes: Process) -> None:
        for process in processes:
            self._running.remove(process)
            process.stop()

    def until(self, look: Callable[[], Any], what: str) -> Any:
        def look_closer() -> Any:
            for process in self._running:
                assert process.alive, f"{process.name} ended: {process.log[-3000:]}"
            return look()

        return wait_until(look_closer, what, PATIENCE_SECONDS)

    def job(self, asked: str) -> tuple[str, str, str]:
        """Id, state and worker of what this interaction asked for."""
        query = "select jobs.id, state, worker from jobs join requests r on r.id = request_id"
        query += " where event_key like :key"
        with self.database.read() as session:
            row = session.execute(text(query), {"key": f"%:{asked}"}).one_or_none()
        return (str(row[0]), row[1], row[2]) if row else ("", "", "")

    def becomes(self, asked: str, state: str) -> None:
        self.until(lambda: self.job(asked)[1] == state, f"{asked} is {state}")

    def messages(self, asked: str) -> list[Seen]:
        return [m for m in self.discord.seen() if m["interaction_id"] == asked]

    def with_button(self, asked: str, action: str) -> Seen:
        """Its message, once it has this button."""

        def found() -> list[Seen]:
            return [m for m in self.messages(asked) if action in " ".join(m["custom_ids"])]

        return self.until(found, f"{asked} has {action}")[0]

    def shows(self, *asked: str) -> None:
        """Each in one message, with its picture."""
        for one in asked:
            found: list[Seen] = self.until(
                lambda one=one: [m for m in self.messages(one) if m["files"]],
                f"{one} is shown: {self.job(one)}",
            )
            assert len(found) == len(self.messages(one)) == 1

    def close(self) -> None:
        for process in self._running:
            process.kill()
        self.database.close()


@pytest.fixture(params=KINDS)
def club(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    old_release: OldRelease,
    new_database: Callable[..., str],
) -> Iterator[Club]:
    with FakeDiscord() as discord:
        club = Club(tmp_path, new_database(request.param), old_release, discord)
        yield club
        club.close()
        assert discord.status()["violations"] == []


def test_who_is_started_too_early_says_what_to_run(club: Club) -> None:
    commands = [club.easel(command) for command in ("worker", "discord", "slack")]
    with ExitStack() as stack:
        for started in [stack.enter_context(command) for command in commands]:
            assert started.ended() == 2, started.log
            assert "`easel migrate`" in started.log
            assert "Traceback" not in started.log
    assert migrate.current(club.database) == "0003"


LONG = "a red apple --steps 50"


def test_old_and_new_serve_one_database(club: Club) -> None:
    discord = club.discord
    old_bot, old_worker = club.start("discord", old=True), club.start("worker", old=True)

    # The upgrade, in the middle of a picture; then all that the old release does.
    first = discord.imagine(LONG)
    club.becomes(first, "running")
    assert migrate.current(club.database) == "0003"
    migrate.upgrade(club.database)
    assert migrate.current(club.database) == migrate.newest()
    second = discord.imagine("a red apple", user=PERSON + 1)
    club.shows(first, second)
    endless = discord.imagine("a red apple --steps 50 --count 4", user=PERSON + 2)
    discord.press(club.with_button(endless, ":cancel:"), "cancel", user=PERSON + 2)
    club.becomes(endless, "cancelled")
    club.runs("review", "remove", club.job(second)[0], old=True)
    club.until(lambda: not club.messages(second), "it is taken down")

    # What the new chat client accepts, the old worker draws; also what was held and let pass.
    club.stop(old_bot)
    new_bot = club.start("discord")
    third = discord.imagine("a red apple", user=PERSON + 3)
    club.shows(third)
    held = discord.imagine("a swastika on a hindu temple", user=PERSON + 4)
    club.becomes(held, "refused")
    let_pass(club.database, club.job(held)[0])
    club.shows(held)
    assert f":{old_worker.pid}" in club.job(held)[2]

    # What the old chat client accepts, the new worker draws.
    club.stop(old_worker, new_bot)
    club.start("discord", old=True)
    new_worker = club.start("worker")
    fourth = discord.imagine("a red apple", user=PERSON + 5)
    club.shows(fourth)
    assert f":{new_worker.pid}" in club.job(fourth)[2]


def let_pass(database: Database, job: str) -> None:
    """As a moderator's word lets a held request go on."""
    with database.write() as session:
        session.execute(
            text(
                "update jobs set state = 'waiting', finished_at = null, allowed = true"
                " where cast(id as text) = :job"
            ),
            {"job": job},
        )
        gone = text("delete from usage where cast(job_id as text) = :job")
        session.execute(gone, {"job": job})  # It is entered anew when it ends.
        session.execute(
            text(
                "update deliveries set desired_revision = desired_revision + 1, urgent = true"
                " where cast(job_id as text) = :job"
            ),
            {"job": job},
        )
