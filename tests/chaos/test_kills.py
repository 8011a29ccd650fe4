"""`kill -9` of workers and of the bot at random moments, with a broker that forgets: every
request that was acknowledged is shown, once.

Painters draw, which start quickly; everything else is real. `test_workers` kills real workers.
"""

import random
import time
from pathlib import Path

import pytest

from storage.domain import JobState
from tests.chaos.chat import Chat
from tests.chaos.harness import SCALE, SEED, Site, until
from tests.fakes.discord_client import FakeDiscord
from tests.servers import EMBEDDED, ON_SERVERS, server_settings

LONGEST_PAUSE_SECONDS = 0.5
MOMENTS = (None, JobState.WAITING, JobState.RUNNING, JobState.MADE)
"""After the newest request was sent (None), or has come so far; then a pause, then a kill."""


@pytest.mark.timeout(120 + 30 * SCALE)
@pytest.mark.parametrize("broker_url", [EMBEDDED, *ON_SERVERS])
def test_nothing_is_lost_and_nothing_shown_twice(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    discord: FakeDiscord,
    broker_url: str,
) -> None:
    dice = random.Random(SEED)
    # Nobody gives up a job here because its worker was killed three times.
    settings = server_settings(request, broker_url) | {"max_attempts": 1000, "queue_limit": 10_000}
    with Site(tmp_path, discord=discord, **settings) as site:
        chat = Chat(site, discord)
        bot = site.bot()
        workers = [site.painter() for _ in range(2)]
        for process in (bot, *workers):
            process.start()
        chat.connected(bot)
        # So that kills hit requests that are on their way.
        for after in (True, False):
            discord.fault(status=0, seconds=0.2, probability=0.3, after=after)
        sure = 0
        for _ in range(SCALE):
            asked = [chat.ask() for _ in range(dice.randint(1, 2))]
            moment = dice.choice(MOMENTS)
            if moment is not None:
                chat.wait_for(asked[-1], moment)
                sure += 1
            time.sleep(dice.uniform(0, LONGEST_PAUSE_SECONDS))
            victim = dice.choice([bot, *workers])
            if dice.random() < 0.3:
                site.flush_broker()
            if victim is bot:
                chat.restart(bot)
            else:
                victim.kill()
                victim.start()
        until(lambda: not chat.thinking(), "nobody is left at thinking…")
        chat.wait_for_results()
        chat.check()
        accepted, messages = chat.accepted(), chat.messages()
        unheard = [asked for asked in chat.asked if asked not in messages]
        print(
            f"{SCALE} kills: {len(accepted)} requests accepted, all shown once; {len(unheard)} "
            "never acknowledged"
        )
        assert not chat.thinking()
        assert len(accepted) >= sure > 0
