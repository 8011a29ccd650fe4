"""Slack fails, and the bot dies between the calls of an upload: what was accepted is shown once.

The bot is `easel slack` in a process of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from storage import deliveries
from storage.log import LogEntry
from tests.chaos.harness import SEED, Process, Site, until
from tests.chaos.workshop import times
from tests.fakes.painter import Painter
from tests.fakes.slack_client import FakeSlack, Seen
from tests.fakes.slack_state import BOT_USER

UPLOAD = (
    "files.getUploadURLExternal",
    "upload",
    "files.completeUploadExternal",
    "files.info",
    "chat.update",
)
"""What is called, in this order, to show a picture in a message that is there."""
CALLS = ("chat.postMessage", *UPLOAD)
PATIENCE_SECONDS = 300.0
KILLS = times(len(CALLS))
REQUESTS = times(50)
FAULTS: tuple[dict[str, Any], ...] = (
    {},
    {"cut": True},
    {"status": 500, "after": False},
    {"status": 429, "seconds": 1},
)
"""A 502 and a broken connection where the call has taken effect, a 500 and a 429 where not."""
SHARE = 0.1
"""Of all requests that fail."""
CHANNELS = tuple(f"C0STUDIO{number}" for number in range(10))
"""Many, since Slack takes one message a second in each."""
PEOPLE = tuple(f"U0PERSON{number}" for number in range(10))

pytestmark = pytest.mark.timeout(2 * PATIENCE_SECONDS + 60 * KILLS)


class SlackSite(Site):
    """An installation of Easel that talks to the fake Slack."""

    def __init__(self, folder: Path, slack: FakeSlack, **changes: Any) -> None:
        super().__init__(folder, **changes)
        self._slack = slack

    def bot(self) -> Process:
        """`easel slack`, to be started."""
        return self._process("slack", "bot.cli", "slack", environment=self._slack.environment)


@dataclass
class Studio:
    """A workspace with a bot in it, and a painter who draws when a test says so."""

    slack: FakeSlack
    site: SlackSite
    bot: Process
    painter: Painter

    def start(self) -> None:
        """And wait until it listens; a bot that ended says why."""
        opened = self.slack.status()["opened"]
        self.bot.start()

        def listening() -> bool:
            assert self.bot.alive, self.bot.log
            return bool(self.slack.status()["opened"] > opened)

        until(listening, "the bot is connected", PATIENCE_SECONDS)

    def ask(self, prompt: str, number: int) -> None:
        """Somebody's request in one of the channels."""
        place = {"channel": CHANNELS[number % len(CHANNELS)], "user": PEOPLE[number % len(PEOPLE)]}
        self.slack.command("/imagine", prompt, **place)

    def entries(self) -> list[LogEntry]:
        return list(self.site.entries().values())

    def accepted(self, requests: int) -> None:
        def all_there() -> bool:
            self.site.check_processes()
            return len(self.entries()) == requests

        seconds = PATIENCE_SECONDS + 3 * requests
        until(all_there, f"{requests} requests are accepted", seconds)

    def nothing_due(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until all that is to be shown is known to be shown."""

        def done() -> bool:
            self.site.check_processes()
            with self.site.line.database.read() as session:
                found = [deliveries.get(session, entry.job_id) for entry in self.entries()]
            return all(d and d.shown_revision == d.desired_revision for d in found)

        until(done, "nothing is due", seconds)

    def hold(self, call: str, *, after: bool) -> None:
        """The next of these calls gets no answer, `after` it has taken effect or instead."""
        self.slack.fault(path=call, status=0, seconds=600, after=after, times=1)

    def kill(self) -> None:
        """As soon as the call that is held has come."""

        def held() -> bool:
            self.site.check_processes()
            return bool(self.slack.status()["faults_hit"])

        until(held, "the bot has come to that call", PATIENCE_SECONDS)
        self.bot.kill()
        self.slack.clear_faults()

    def check(self) -> None:
        """For every request there has only ever been one message. It is still there, says the
        prompt and shows the picture."""
        posted: dict[str, list[Seen]] = defaultdict(list)
        for message in self.slack.history():
            if message["user"] == BOT_USER and not message["ephemeral"]:
                posted[message["metadata"]["event_payload"]["job"]].append(message)
        entries = {str(entry.job_id): entry for entry in self.entries()}
        assert posted.keys() == entries.keys()
        assert Counter(map(len, posted.values())) == {1: len(entries)}
        for job, entry in entries.items():
            [message], [picture] = posted[job], entry.pictures
            assert not message["deleted"]
            assert message["notification"].splitlines()[0] == entry.request.prompt
            assert [image["sha256"] for image in message["images"]] == [picture.sha256]


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """Its end sees to it that the bot sent nothing that the real Slack would refuse."""
    much = {"person_queue_limit": 10_000, "queue_limit": 10_000, "daily_pictures": 10_000}
    with FakeSlack(seed=SEED) as slack, SlackSite(tmp_path, slack, **much) as site:
        for channel in CHANNELS:
            slack.channel(channel)
        for person in PEOPLE:
            slack.person(person)
        line = site.line
        painter = Painter(line.database, line.blobs, tuple(line.catalog.models))
        studio = Studio(slack, site, site.bot(), painter)
        studio.start()
        yield studio
        assert slack.status()["violations"] == []


def test_killed_between_the_calls_of_an_upload(studio: Studio) -> None:
    """At each call in turn, before or after it has taken effect."""
    killed: Counter[str] = Counter()
    for number in range(KILLS):
        call, after = CALLS[number % len(CALLS)], bool((number + number // len(CALLS)) % 2)
        if call in UPLOAD:  # The message is there already.
            studio.ask(f"a red apple number {number}", number)
            studio.accepted(number + 1)
            studio.nothing_due()
            studio.hold(call, after=after)
            studio.painter.paint()
            studio.kill()
        else:
            studio.hold(call, after=after)
            studio.ask(f"a red apple number {number}", number)
            studio.kill()
            studio.painter.paint()
        killed[f"{'after' if after else 'before'} {call}"] += 1
        studio.start()
        studio.nothing_due()
    studio.check()
    print(f"{KILLS} kills ({dict(killed)}): {len(studio.entries())} requests, each shown once")


def test_one_call_in_ten_fails(studio: Studio) -> None:
    """Slack's own pace would make hundreds of requests take many minutes; it is ten times as
    patient here, but for the bot's own pace in each channel."""
    studio.slack.loosen(10)
    each = 1 - (1 - SHARE) ** (1 / len(FAULTS))
    for fault in FAULTS:
        studio.slack.fault(**{"methods": ["GET", "POST"], "probability": each, **fault})
    for number in range(REQUESTS):
        studio.ask(f"a red apple number {number}", number)
    studio.accepted(REQUESTS)
    for _ in range(REQUESTS):
        studio.painter.paint()
    studio.nothing_due(PATIENCE_SECONDS + 3 * REQUESTS)
    status = studio.slack.status()
    studio.check()
    calls, failed = sum(status["counts"].values()), status["faults_hit"]
    print(f"{REQUESTS} requests, each shown once; {failed} of {calls} calls failed")
    assert failed >= SHARE / 3 * calls
