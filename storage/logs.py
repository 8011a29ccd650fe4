"""Structured logs with the job's id, and never a prompt, a token or a picture."""

import logging
import sys

import structlog

from storage.settings import Settings

LOUD = ("kombu", "amqp", "celery.redirected", "PIL", "urllib3", "discord.gateway", "alembic")
"""Libraries whose information is noise to who runs Easel."""

PRYING = (
    "celery.worker.strategy",
    "celery.app.trace",
    "discord.http",
    "slack_bolt",
    "slack_sdk",
    "diffusers",
    "transformers",
    "aiohttp.access",
)
"""Libraries that log arguments, bodies or prompts: only that they failed gets out."""


def configure(settings: Settings) -> None:
    """One line of JSON to stderr for each event; colours when a person is looking."""
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer()
    shared: list[structlog.types.Processor] = [
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
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in PRYING:
        logging.getLogger(name).setLevel(logging.CRITICAL)
