"""Discord fails, repeats itself, is late, and is slow; the bot is `easel discord` in a process of
its own. What was accepted is shown once."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.core import steer
from storage import deliveries
from tests.chaos.chat import Chat
from tests.chaos.harness import SCALE, SEED, Process, Site, until
from tests.fakes.discord_client import FakeDiscord
from tests.fakes.painter import Painter

pytestmark = pytest.mark.timeout(300 + 10 * SCALE)

BY_TOKEN = "PATCH /webhooks/*/*/messages/*"
BY_BOT = "PATCH /channels/*/messages/*"
ANSWER = "POST /interactions/*/*/callback"


@dataclass
class Club:
    """A server with a bot in it, and a painter who draws when a test says so."""

    discord: FakeDiscord
    site: Site
    bot: Process
    chat: Chat
    painter: Painter

    def count(self, request: str) -> int:
        """How often the bot has sent this; with a status, how often that was the answer."""
        counts = self.discord.status()["counts"]
        return sum(times for name, times in counts.items() if name.startswith(request))

    def accepted(self, *asked: str) -> None:
        until(lambda: set(asked) <= self.site.entries().keys(), "all are accepted")

    def paint(self, *asked: str) -> None:
        self.accepted(*asked)
        for _ in asked:
            self.painter.paint()

    def nothing_due(self) -> None:
        """Wait until all that is to be shown is known to be shown."""
        line = self.site.line

        def done() -> bool:
            jobs = [entry.job_id for entry in self.site.entries().values()]
            with line.database.read() as session:
                found = [deliveries.get(session, job) for job in jobs]
            return all(d and d.shown_revision == d.desired_revision for d in found)

        until(done, "nothing is due")


@pytest.fixture(scope="module")
def running_club(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Club]:
    folder = tmp_path_factory.mktemp("club")
    with FakeDiscord(seed=SEED) as discord, Site(folder, discord=discord) as site:
        bot, chat = site.bot(), Chat(site, discord)
        line = site.line
        painter = Painter(line.database, line.blobs, tuple(line.catalog.models))
        bot.start()
        chat.connected(bot)
        yield Club(discord, site, bot, chat, painter)


@pytest.fixture
def club(running_club: Club) -> Iterator[Club]:
    """The same for all tests, with its clock right and nothing on order."""
    yield running_club
    discord = running_club.discord
    discord.clear_faults()
    discord.limits(5, 2.0)
    discord.move_clock(-discord.move_clock(0))
    assert discord.status()["violations"] == []


@pytest.mark.parametrize("cut", [False, True], ids=["502", "no answer"])
def test_failures_after_writes_that_took_effect(club: Club, cut: bool) -> None:
    wanted = 2 * SCALE
    club.discord.fault(times=wanted, probability=0.5, cut=cut)
    while club.discord.status()["faults_hit"] < wanted:
        asked = [club.chat.ask() for _ in range(5)]
        club.paint(*asked)
        club.chat.wait_for_results(*asked)
    club.chat.check()


def test_failures_before_anything_took_effect(club: Club) -> None:
    club.discord.fault(times=SCALE, probability=0.5, after=False, status=500, path="/webhooks/*")
    while club.discord.status()["faults_hit"] < SCALE:
        asked = [club.chat.ask() for _ in range(5)]
        club.paint(*asked)
        club.chat.wait_for_results(*asked)
    club.chat.check()


MINUTES = {"13:30": 13.5, "14:30": 14.5, "14:59": 14 + 59 / 60, "15:01": 15 + 1 / 60, "40:00": 40}


@pytest.mark.parametrize("age", ["13:30", "14:59", "15:01", "40:00"])
def test_a_job_that_ends_late(club: Club, age: str) -> None:
    """Both clocks agree that the interaction is so old. (It is made while Discord's goes behind,
    so the bot takes it for an old one from the start.)"""
    club.discord.move_clock(-60 * MINUTES[age])
    asked = club.chat.ask()
    club.accepted(asked)
    club.nothing_due()
    club.discord.move_clock(60 * MINUTES[age])
    by_token, by_bot = club.count(BY_TOKEN), club.count(BY_BOT)
    club.paint(asked)
    club.chat.wait_for_results(asked)
    club.nothing_due()
    if age == "13:30":
        assert (club.count(BY_TOKEN) > by_token, club.count(BY_BOT) - by_bot) == (True, 0)
    else:
        assert (club.count(BY_TOKEN) - by_token, club.count(BY_BOT) > by_bot) == (0, True)
    club.chat.check()


@pytest.mark.parametrize("age", ["14:30", "15:01", "40:00"])
def test_a_job_that_ends_late_for_discord_alone(club: Club, age: str) -> None:
    """The bot believes that the token is young, and finds out. (Discord's clock goes on: half a
    minute is left for what is done before the token dies.)"""
    asked = club.chat.ask()
    club.accepted(asked)
    club.nothing_due()
    club.discord.move_clock(60 * MINUTES[age])
    refused, by_bot = club.count(f"{BY_TOKEN} 401"), club.count(BY_BOT)
    club.paint(asked)
    club.chat.wait_for_results(asked)
    club.nothing_due()
    tries = club.count(f"{BY_TOKEN} 401") - refused
    assert (tries, club.count(BY_BOT) > by_bot) == ((0, False) if age == "14:30" else (1, True))
    club.chat.check()


def ask_privately(club: Club, person: int) -> str:
    """A private request whose token is dead when its picture is ready."""
    club.discord.move_clock(-40 * 60)
    asked = club.discord.imagine("a quiet house", user=person, private=True)
    club.accepted(asked)
    club.nothing_due()
    club.discord.move_clock(40 * 60)
    return asked


def check_direct(club: Club, asked: str, person: int) -> None:
    """One direct message with the picture, and nothing for others to see."""
    club.nothing_due()
    [message] = club.discord.seen_direct(person)
    [picture] = club.site.entries()[asked].pictures
    assert [file["sha256"] for file in message["files"]] == [picture.sha256]
    assert asked not in club.chat.messages()


def test_a_private_result_whose_post_seems_to_fail(club: Club) -> None:
    asked = ask_privately(club, person=8001)
    club.discord.fault(times=2, methods=["POST"], path="/channels/*/messages")
    club.paint(asked)
    until(lambda: club.discord.status()["faults_hit"] == 2, "both failures")
    check_direct(club, asked, person=8001)


@pytest.mark.parametrize("minutes", [0, 10], ids=["nonce known", "nonce forgotten"])
def test_a_private_result_whose_bot_dies_while_it_posts(club: Club, minutes: int) -> None:
    """And is away for so long, on Discord's clock."""
    person = 8002 + minutes
    asked = ask_privately(club, person)
    club.discord.fault(status=0, seconds=2, times=1, methods=["POST"], path="/channels/*/messages")
    club.paint(asked)
    until(lambda: club.discord.seen_direct(person), "the post has taken effect")
    club.bot.kill()
    club.discord.move_clock(60 * minutes)
    club.bot.start()
    club.chat.connected(club.bot)
    check_direct(club, asked, person)


def test_a_private_result_that_is_taken_down_before_its_post_is_known(club: Club) -> None:
    person, database = 8020, club.site.line.database
    asked = ask_privately(club, person)
    club.discord.fault(status=0, seconds=2, times=1, methods=["POST"], path="/channels/*/messages")
    club.paint(asked)
    until(lambda: club.discord.seen_direct(person), "the post has taken effect")
    club.bot.kill()
    with database.write() as session:
        steer.delete(session, club.site.entries()[asked].job_id, database.clock())
    club.bot.start()
    club.chat.connected(club.bot)
    until(lambda: not club.discord.seen_direct(person), "it is taken down")
    club.nothing_due()


@pytest.mark.parametrize("forget", [False, True], ids=["resumed", "new session"])
def test_the_same_event_again_and_a_dropped_gateway(club: Club, forget: bool) -> None:
    answers, accepted = club.count(ANSWER), len(club.site.entries())
    status = club.discord.status()
    asked = club.chat.ask()
    club.discord.redeliver(asked, times=2)
    club.discord.drop(forget=forget)
    if not forget:
        club.discord.redeliver(asked, times=2)
    sessions = status["identified"] + status["resumed"]

    def back() -> bool:
        now = club.discord.status()
        return bool(now["connected"] and now["identified"] + now["resumed"] > sessions)

    until(back, "the bot is connected again")
    club.discord.redeliver(asked)
    until(lambda: club.count(ANSWER) > answers, "it is answered")
    club.paint(asked)
    club.chat.wait_for_results(asked)
    club.chat.check()
    assert len(club.site.entries()) == accepted + 1
    assert club.count(ANSWER) == answers + 1, "what was heard before is not answered again"


def test_fifty_at_once_with_rate_limits(club: Club) -> None:
    club.discord.fault(
        status=429, seconds=0.3, probability=0.2, methods=["PATCH"], path="/webhooks/*"
    )
    asked = [club.chat.ask() for _ in range(50)]
    club.accepted(*asked)
    answered = [club.discord.interaction(id)["answered_after_seconds"] for id in asked]
    assert max(answered) < 3
    club.paint(*asked)
    club.chat.wait_for_results(*asked)
    assert club.count(f"{BY_TOKEN} 429") > 0
    club.chat.check()


def test_many_late_results_in_one_channel(club: Club) -> None:
    """All by bot token, which share the bucket of their channel."""
    club.discord.limits(2, 1.0)
    club.discord.move_clock(-40 * 60)
    asked = [club.chat.ask() for _ in range(12)]
    club.accepted(*asked)
    club.discord.move_clock(40 * 60)
    club.paint(*asked)
    club.chat.wait_for_results(*asked)
    club.chat.check()


def test_a_revoked_token(tmp_path: Path, discord: FakeDiscord) -> None:
    with Site(tmp_path, discord=discord) as site:
        bot, chat, line = site.bot(), Chat(site, discord), site.line
        painter = Painter(line.database, line.blobs, tuple(line.catalog.models))
        bot.start()
        chat.connected(bot)
        asked = chat.ask()
        until(lambda: asked in site.entries(), "it is accepted")
        discord.revoke()
        words = "Discord refuses EASEL_DISCORD_TOKEN: copy it anew"
        assert bot.ended() == 2
        assert words in bot.log
        assert "Traceback" not in bot.log
        again = site.command("discord")
        assert (again.returncode, words in again.stderr) == (2, True)
        told = site.command("doctor")
        assert (told.returncode, "Discord refuses the token" in told.stdout) == (1, True)
        painter.paint()
        discord.restore()
        bot.start()
        chat.connected(bot)
        chat.wait_for_results(asked)
        chat.check()


def test_no_discord_at_the_start(tmp_path: Path) -> None:
    with FakeDiscord() as discord, Site(tmp_path, discord=discord) as site:
        discord.stop()
        told = site.command("discord")
    assert (told.returncode, "Discord does not answer" in told.stderr) == (1, True)
    assert "Traceback" not in told.stderr
