"""Workshops on what is embedded and on servers; a Discord of our own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.harness import SEED
from tests.chaos.nursery import Nursery
from tests.chaos.workshop import Workshop
from tests.fakes.discord_client import FakeDiscord
from tests.fakes.slack_client import FakeSlack
from tests.servers import EMBEDDED, server_settings


@pytest.fixture(params=[EMBEDDED])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workshop]:
    """On SQLite and the embedded broker; `on_all_parts` for PostgreSQL with other brokers too."""
    shop = Workshop(tmp_path, **server_settings(request, request.param))
    yield shop
    shop.close()


@pytest.fixture
def discord() -> Iterator[FakeDiscord]:
    """Its end sees to it that the bot asked for nothing that the real one would refuse."""
    with FakeDiscord(seed=SEED) as discord:
        yield discord
        assert discord.status()["violations"] == []


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    """Its end sees to it that the bot sent nothing that the real Slack would refuse."""
    with FakeSlack(seed=SEED) as slack:
        yield slack
        assert slack.status()["violations"] == []


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery
