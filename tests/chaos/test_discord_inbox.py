"""`kill -9` of `easel discord` at each place on the way from the gateway's frame to the shown card,
and at random moments: what Discord was told that we have is done once and answered; what it was not
told of, nothing comes of."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.club import Club, club
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
from tests.fakes.discord_client import FakeDiscord, Seen
from tests.fakes.discord_state import ANSWER_SECONDS

pytestmark = pytest.mark.timeout(180 + 30 * SCALE)
Opened = Callable[..., AbstractContextManager[Club]]


@pytest.fixture
def opened(tmp_path: Path, nursery: Nursery, discord: FakeDiscord) -> Opened:
    return partial(club, tmp_path, nursery, discord)


@pytest.mark.parametrize("database", DATABASES)
def test_killed_on_the_way(request: pytest.FixtureRequest, opened: Opened, database: str) -> None:
    with opened(settings(request, database)) as it:
        where = it.killed_on_the_way(SCALE, random.Random(SEED))
        it.nothing_left()
        told = it.check()
    print(f"{SCALE} kills on {database}, {dict(where)}: {dict(told)}")


def test_nothing_comes_of_what_discord_says_nobody_answered(
    opened: Opened, discord: FakeDiscord
) -> None:
    """Killed between the row and its acknowledgement: who pressed is told by Discord itself."""
    dice = random.Random(SEED)
    with opened(dict(MUCH)) as it:
        for kind in ("again", "report", "rules", "forget", "delete", "cancel"):
            it.killed(kind, "written", dice)
            discord.move_clock(ANSWER_SECONDS)
            it.revived()
        it.nothing_left()
        assert it.check()["never acknowledged"] >= 6


def test_killed_before_the_second_press_is_answered(opened: Opened, discord: FakeDiscord) -> None:
    """It is no request of its own, so that its placeholder goes."""
    with opened(dict(MUCH)) as it:
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


def test_stopped_while_references_come(opened: Opened) -> None:
    with opened(dict(MUCH)) as it:
        status = it.stopped_while_files_come("reference")
        it.start()
        it.nothing_left()
        assert it.check()["pictures shown once"] == SLOW
    assert status == 0


@pytest.mark.parametrize("kind", ["draw", "reference", "again"])
def test_told_five_times_at_once_to_two_clients(
    opened: Opened, discord: FakeDiscord, kind: str
) -> None:
    with opened(dict(MUCH)) as it:
        given = it.ready(kind)
        it.start(it.site.bot())
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
    opened: Opened,
    discord: FakeDiscord,
    outage: str,
) -> None:
    with (
        away(request, tmp_path, outage) as outside,
        opened(outside.given, outside.environment) as it,
    ):
        kinds = ("draw", "reference", "edit", "again", "report", "delete", "rules", "forget")
        ready = [(kind, it.ready(kind)) for kind in kinds]
        with outside.gone():
            asked = [it.ask(kind, *what) for kind, what in ready]
            after = it.all_are_told(asked)
        print(f"{outage}: told after {after:.2f} s at most")
        assert after < LATEST_SECONDS
        it.insist("draw", it.ready("draw"), it.acknowledged)
        it.later()
        assert it.check()["of those told so by us"] >= len(asked)


def test_acknowledged_and_down_for_sixteen_minutes(opened: Opened, discord: FakeDiscord) -> None:
    """Nobody knows the placeholder's id, and its token is dead: a new message in the channel."""
    with opened(dict(MUCH)) as it:
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
