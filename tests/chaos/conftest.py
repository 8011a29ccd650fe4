"""Workshops on what is embedded and on servers; a Discord of our own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.harness import SEED
from tests.chaos.workshop import Workshop
from tests.fakes.discord_client import FakeDiscord


def server(broker: str) -> object:
    wanted = ("EASEL_TEST_POSTGRES_URL", f"EASEL_TEST_{broker.upper()}_URL")
    missing = [variable for variable in wanted if not os.environ.get(variable)]
    skip = pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not set")
    return pytest.param(os.environ.get(wanted[1], ""), id=f"postgres-{broker}", marks=skip)


EMBEDDED = pytest.param("", id="embedded")
SERVERS = (server("redis"), server("rabbitmq"))


@pytest.fixture(params=[EMBEDDED])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workshop]:
    """On SQLite and the embedded broker; `on_all_parts` for PostgreSQL with other brokers too."""
    changes = {}
    if request.param:
        database_url = request.getfixturevalue("empty_postgres_url")
        changes = {"database_url": database_url, "broker_url": request.param}
    shop = Workshop(tmp_path, **changes)
    yield shop
    shop.close()


@pytest.fixture
def discord() -> Iterator[FakeDiscord]:
    """Its end sees to it that the bot asked for nothing that the real one would refuse."""
    with FakeDiscord(seed=SEED) as discord:
        yield discord
        assert discord.status()["violations"] == []
