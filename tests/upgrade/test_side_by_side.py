"""Chat client and worker of 8030ad7 go on working while the new code migrates their database and
after it, and each with the other's. On a Discord of our own; all processes are real ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from storage import migrate
from storage.database import Database
from tests.chaos.harness import ROOT, Process, until
from tests.fakes.discord_client import PERSON, FakeDiscord, Seen
from tests.upgrade.conftest import KINDS, OldRelease, settings_of

PATIENCE_SECONDS = 120.0
ROWS = 5_000
pytestmark = pytest.mark.timeout(600)


class Club:
    """One installation, in which processes of both releases run."""

    def __init__(self, folder: Path, url: str, old: OldRelease, discord: FakeDiscord) -> None:
        self.old_release, self.discord = old, discord
        old.fill(url, folder / "blobs", ROWS)
        self.database = Database(url)
        self._folder, self._processes = folder, list[Process]()
        self.settings = settings_of(folder, url) | {
            "EASEL_LEASE_SECONDS": "5",
            "EASEL_HEARTBEAT_SECONDS": "0.3",
            "EASEL_PARENT_PID": str(os.getpid()),
        }

    def _start(self, command: str, *, old: bool) -> Process:
        secrets = self.discord.environment if command == "discord" else {}
        process = Process(
            *(sys.executable, "-m", "bot.cli", command),
            environment=(self.old_release.environment if old else {}) | self.settings | secrets,
            folder=self.old_release.folder if old else ROOT,
            log=self._folder / f"{'old' if old else 'new'}_{command}.log",
        )
        self._processes.append(process)
        process.start()
        return process

    def bot(self, *, old: bool) -> Process:
        before = self.discord.status()["identified"]
        bot = self._start("discord", old=old)
        self._until(lambda: self.discord.status()["identified"] > before, "the bot is connected")
        return bot

    def worker(self, *, old: bool) -> Process:
        return self._start("worker", old=old)

    def stop(self, *processes: Process) -> None:
        for process in processes:
            self._processes.remove(process)
            process.stop()

    def easel(self, *arguments: str, old: bool) -> None:
        if old:
            self.old_release.easel(*arguments, **self.settings)
            return
        process = Process(
            *(sys.executable, "-m", "bot.cli", *arguments),
            environment=self.settings,
            log=self._folder / "new_command.log",
        )
        with process:
            assert process.ended() == 0, process.log

    def _until(self, look: Callable[[], Any], what: str) -> Any:
        def look_closer() -> Any:
            for process in self._processes:
                assert process.alive, f"{process.name} ended: {process.log[-3000:]}"
            return look()

        return until(look_closer, what, PATIENCE_SECONDS)

    def job(self, asked: str) -> tuple[str, str, str]:
        """Id, state and worker of what this interaction asked for."""
        query = "select jobs.id, state, worker from jobs join requests r on r.id = request_id"
        query += " where event_key like :key"
        with self.database.read() as session:
            row = session.execute(text(query), {"key": f"%:{asked}"}).one_or_none()
        return (str(row[0]), row[1], row[2]) if row else ("", "", "")

    def becomes(self, asked: str, state: str) -> None:
        self._until(lambda: self.job(asked)[1] == state, f"{asked} is {state}")

    def messages(self, asked: str) -> list[Seen]:
        return [m for m in self.discord.seen() if m["interaction_id"] == asked]

    def shows(self, *asked: str) -> None:
        """Each in one message, with its picture."""
        for one in asked:
            found: list[Seen] = self._until(
                lambda one=one: [m for m in self.messages(one) if m["files"]],
                f"{one} is shown: {self.job(one)}",
            )
            assert len(found) == len(self.messages(one)) == 1

    def close(self) -> None:
        for process in self._processes:
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


LONG = "a red apple --steps 50 --count 2"


def test_old_and_new_serve_one_database(club: Club) -> None:
    discord = club.discord
    old_bot, old_worker = club.bot(old=True), club.worker(old=True)

    # The upgrade, in the middle of a picture; then all that the old release does.
    first = discord.imagine(LONG)
    club.becomes(first, "running")
    assert migrate.current(club.database) == "0003"
    club.easel("migrate", old=False)
    assert migrate.current(club.database) == migrate.newest()
    second = discord.imagine("a red apple", user=PERSON + 1)
    club.shows(first, second)
    endless = discord.imagine("a red apple --steps 50 --count 4", user=PERSON + 2)
    club.becomes(endless, "running")
    [card] = club.messages(endless)
    discord.press(card, "cancel", user=PERSON + 2)
    club.becomes(endless, "cancelled")
    club.easel("review", "remove", club.job(second)[0], old=True)
    club._until(lambda: not club.messages(second), "it is taken down")

    # What the new chat client accepts, the old worker draws; also what was held and let pass.
    club.stop(old_bot)
    new_bot = club.bot(old=False)
    third = discord.imagine("a red apple", user=PERSON + 3)
    club.shows(third)
    held = discord.imagine("a swastika on a hindu temple", user=PERSON + 4)
    club.becomes(held, "refused")
    let_pass(club.database, club.job(held)[0])
    club.shows(held)
    assert f":{old_worker.pid}" in club.job(held)[2]

    # What the old chat client accepts, the new worker draws.
    club.stop(old_worker, new_bot)
    club.bot(old=True)
    new_worker = club.worker(old=False)
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
        session.execute(
            text(
                "update deliveries set desired_revision = desired_revision + 1, urgent = true"
                " where cast(job_id as text) = :job"
            ),
            {"job": job},
        )
