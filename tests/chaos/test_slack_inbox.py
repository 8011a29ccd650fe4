"""`kill -9` of `easel slack` at each place on the way from Slack's post to the shown card, and at
random moments: what Slack was told that we have is done once; its events come again until then, and
are taken once."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.crowd import (
    DATABASES,
    LATEST_SECONDS,
    MUCH,
    OUTAGES,
    SLOW,
    away,
    plan,
    settings,
)
from tests.chaos.harness import SCALE, SEED, until
from tests.chaos.nursery import Nursery
from tests.chaos.studio import WINDOWS, studio
from tests.fakes.slack_client import FakeSlack

pytestmark = pytest.mark.timeout(180 + 30 * SCALE)


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
