"""What `/health` and `/metrics` say of Slack's cards."""

import urllib.request
from urllib.error import HTTPError

from bot.slack.errors import OPERATORS
from storage import health, metrics, troubles
from storage.domain import Platform
from tests.fakes.slack_world import World


def asked(world: World, path: str = "/health") -> tuple[int, str]:
    """Status and body."""
    line = world.line
    checks = {"cards": troubles.shows(line.database, Platform.SLACK, OPERATORS)}
    queue = metrics.Queue(line.database, line.catalog.models)
    with health.serving("127.0.0.1:0", checks, queue) as address:
        assert address is not None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{address[1]}{path}") as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()


def scraped(world: World) -> str:
    return asked(world, "/metrics")[1]
