"""What a chat process tells its operators: whether it can do its work, and how much waits."""

from collections.abc import Iterator
from contextlib import contextmanager

from bot.core.line import Line
from storage import health, metrics
from storage.health import Check


@contextmanager
def watched(line: Line, **more: Check) -> Iterator[None]:
    """Answer `/health` and `/metrics` inside the block, where the settings say so. `more` are the
    checks that only this chat has, by name."""
    checks = {
        "database": health.database_answers(line.database),
        "broker": health.broker_answers(line.doorbell),
        **more,
    }
    queue = metrics.Queue(line.database, line.catalog.models)
    with health.serving(line.settings.health_address, checks, queue):
        yield
