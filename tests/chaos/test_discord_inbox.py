"""`kill -9` of `easel discord` at each place on the way from the gateway's frame to the shown card,
and at random moments: what Discord was told that we have is done once and answered; what it was not
told of, nothing comes of."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.club import WINDOWS, club
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
from tests.fakes.discord_client import FakeDiscord, Seen
from tests.fakes.discord_state import ANSWER_SECONDS

pytestmark = pytest.mark.timeout(180 + 30 * SCALE)


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
