"""`kill -9` of `easel slack` at each place on the way from Slack's post to the shown card, and at
random moments: what Slack was told that we have is done once; its events come again until then, and
are taken once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.crowd import (
    DATABASES,
    LATEST_SECONDS,
    MUCH,
    OUTAGES,
    SLOW,
    away,
    settings,
)
from tests.chaos.harness import SCALE, SEED, until
from tests.chaos.nursery import Nursery
from tests.chaos.studio import Studio, studio
from tests.fakes.slack_client import FakeSlack

pytestmark = pytest.mark.timeout(180 + 30 * SCALE)
Opened = Callable[..., AbstractContextManager[Studio]]


@pytest.fixture
def opened(tmp_path: Path, nursery: Nursery, slack: FakeSlack) -> Opened:
    return partial(studio, tmp_path, nursery, slack)


@pytest.mark.parametrize("database", DATABASES)
def test_killed_on_the_way(request: pytest.FixtureRequest, opened: Opened, database: str) -> None:
    with opened(settings(request, database)) as it:
        where = it.killed_on_the_way(SCALE, random.Random(SEED))
        it.events_again()
        it.nothing_left()
        told = it.check()
    print(f"{SCALE} kills on {database}, {dict(where)}: {dict(told)}")


def test_a_button_pressed_twice_is_one_request(opened: Opened, slack: FakeSlack) -> None:
    """Also when the row of the second press is looked at again."""
    with opened(dict(MUCH)) as it:
        _, place, card = it.ready("vary")
        before = len(it.site.entries())
        for _ in range(2):
            it.slack.press(card, "easel:vary", user=place["user"])
        until(lambda: len(it.site.entries()) > before, "it is accepted")
        it.nothing_left()
        time.sleep(2 * it.site.settings.lease_seconds)
        assert len(it.site.entries()) == before + 1


def test_stopped_while_references_come(opened: Opened) -> None:
    with opened(dict(MUCH)) as it:
        status = it.stopped_while_files_come("picture")
        it.start()
        it.nothing_left()
        assert it.check()["pictures shown once"] == SLOW
    assert status == 0


@pytest.mark.parametrize("kind", ["draw", "mention", "picture"])
def test_told_five_times_at_once_to_two_clients(
    opened: Opened, slack: FakeSlack, kind: str
) -> None:
    with opened(dict(MUCH)) as it:
        it.start(it.site.bot())
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
    opened: Opened,
    slack: FakeSlack,
    outage: str,
) -> None:
    """Words at the command, in the form and beside the button; a mention comes again."""
    with (
        away(request, tmp_path, outage) as outside,
        opened(outside.given, outside.environment) as it,
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
            after = it.all_are_told(asked)
        print(f"{outage}: told after {after:.2f} s at most")
        assert after < LATEST_SECONDS
        it.events_again()
        it.nothing_left()
        it.later()
        assert it.check()["of those done all the same"] == 0
        assert again.event in it.site.entries()
        assert not it.reports(asked[2].user)
