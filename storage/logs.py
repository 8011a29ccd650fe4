"""Structured logs with the job's id, and never a prompt, a token or a picture."""

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import structlog

from storage.settings import Settings

OURS = ("bot", "generation", "storage")

LOUD = ("kombu", "amqp", "celery.redirected", "PIL", "urllib3", "discord.gateway", "alembic")
"""Libraries whose information is noise to who runs Easel."""

PRYING = (
    "celery.worker.strategy",
    "celery.app.trace",
    "discord.http",
    "discord.webhook",
    "slack_bolt",
    "slack_sdk",
    "diffusers",
    "transformers",
    "aiohttp.access",
)
"""Libraries that log arguments, bodies or prompts: only that they failed gets out."""

_ROOT = Path(__file__).parents[1]


def configure(settings: Settings, *, for_person: bool = False) -> None:
    """One line of JSON to stderr for each event; colours when a person is looking.

    Libraries never say more than INFO: at DEBUG they tell what passes through them. `for_person` is
    who types a command and waits: unless they have set a level, they hear of trouble alone, and in
    words.
    """
    quiet = for_person and "log_level" not in settings.model_fields_set
    is_seen = sys.stderr is not None and sys.stderr.isatty()
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer()
    if is_seen or quiet:
        renderer = structlog.dev.ConsoleRenderer(colors=is_seen)
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _first_line],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_messages,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    level = logging.WARNING if quiet else logging.getLevelNamesMapping()[settings.log_level]
    root.setLevel(max(level, logging.INFO))
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in PRYING:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def crashed(error: BaseException) -> None:
    """Tell of what nobody caught, where Python would print its message too."""
    structlog.get_logger("easel").critical("crashed", exception=" < ".join(_chain(error)))


def _first_line(
    _logger: object, _method: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Of what a library says: asyncio puts the exception that nobody caught into the second."""
    event["event"] = str(event["event"]).partition("\n")[0]
    return event


def _without_messages(
    _logger: object, _method: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Of an exception its kind and where it came from. Its message and the variables around it
    quote what people typed, and addresses with passwords in them."""
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    error = given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event["exception"] = " < ".join(_chain(error))
    return event


def _chain(error: BaseException | None) -> Iterator[str]:
    """The exception and those it came from, with what the operating system says."""
    while error is not None:
        words = type(error).__qualname__
        if isinstance(error, OSError) and error.errno:
            words += f" ({os.strerror(error.errno)})"
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{_short(frame.filename)}:{frame.lineno}" for frame in frames]
        yield f"{words} at {' > '.join(places)}" if places else words
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                yield from _chain(inner)
        hidden = error.__suppress_context__
        error = error.__cause__ or (None if hidden else error.__context__)


def _short(file: str) -> str:
    path = Path(file)
    if path.is_relative_to(_ROOT):
        path = path.relative_to(_ROOT)
    return path.as_posix().rpartition("site-packages/")[2]
