"""The doorbell: the one Celery app. A message says that there is work for a model, no more.

The database is the truth; a ring that is lost, late or repeated changes nothing but speed.
"""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID

from celery import Celery
from kombu import Queue
from kombu.transport import TRANSPORT_ALIASES

from storage import private
from storage.catalog import load_catalog
from storage.embedded import SCHEME
from storage.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

TASK = "easel.generate"

TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = "storage.redis_broker:Transport"

ANSWER_SECONDS = 5.0
"""A Redis that says nothing for so long is away. Its clients would wait for ever."""


def queue_name(model: str) -> str:
    """Brokers make files and addresses of it, so a name that is more than plain letters goes by its
    hash."""
    plain = re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", model, re.ASCII)
    return f"easel.{model}" if plain else f"easel.{sha256(model.encode()).hexdigest()[:32]}"


def create_app(settings: Settings, models: Sequence[str]) -> Celery:
    """An ordinary Celery app, one queue for each model, without a result backend."""
    app = Celery("easel", set_as_current=False)
    queues = tuple(Queue(queue_name(model)) for model in models)
    app.conf.update(
        broker_url=settings.resolved_broker_url,
        broker_transport_options=_transport_options(settings),
        broker_connection_retry_on_startup=True,
        imports=("generation.tasks",),
        worker_consumer="generation.hearing:Consumer",
        broker_channel_error_retry=True,
        task_queues=queues,
        task_default_queue=queues[0].name,
        task_create_missing_queues=True,
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
    )
    return app


def _transport_options(settings: Settings) -> dict[str, Any]:
    url = settings.resolved_broker_url
    if url.startswith(SCHEME):
        folder = settings.data_folder / "broker"
        for name in ("messages", "control"):
            private.make(folder / name)
        private.close(folder, *folder.iterdir())
        return {
            "data_folder_in": str(folder / "messages"),
            "data_folder_out": str(folder / "messages"),
            "control_folder": str(folder / "control"),
            "polling_interval": 0.01,
        }
    # Who rings does not wait for a broker that is away: the reaper rings again.
    options: dict[str, Any] = {"max_retries": 0}
    if url.startswith(("redis", "rediss")):
        options |= {
            "ack_emulation": False,  # A ring that is lost with its worker is no loss.
            "socket_connect_timeout": ANSWER_SECONDS,
            "socket_timeout": ANSWER_SECONDS,
        }
    return options


def ring(app: Celery, model: str, trace: UUID) -> None:
    """Say that there is work for `model`. `trace` is for finding the ring in logs only.

    Raises kombu.exceptions.OperationalError when the broker does not answer; the reaper rings
    again for whatever nobody has heard.
    """
    app.send_task(
        TASK,
        args=(str(trace),),
        queue=queue_name(model),
        retry=False,
        ignore_result=True,
        argsrepr="()",
        kwargsrepr="{}",
    )


_SILENT = (
    *("shadow", "eta", "expires", "retries", "reply_to", "stamped_headers", "stamps"),
    *("group", "chord", "chain", "callbacks", "errbacks"),
)
"""Headers by which a Celery message may ask for more than to be heard now."""


def check(message: Any) -> None:
    """Whether a message is a ring as `ring` sends it. Raises what says why it is none."""
    headers = message.headers
    if headers["task"] != TASK or any(headers.get(name) for name in _SILENT):
        raise ValueError("no ring")
    if any(headers.get("timelimit") or ()):
        raise ValueError("a ring has no limits")
    UUID(headers["id"])
    [trace], named, links = message.decode()
    UUID(trace)
    if named or any(links.values()):
        raise ValueError("a ring says nothing else")


@cache
def _default_app() -> Celery:
    settings = Settings.for_worker()
    models = settings.worker_models or tuple(load_catalog(settings).models)
    return create_app(settings, models)


def __getattr__(name: str) -> Any:
    """`celery -A storage.doorbell …` looks for `app`; only then the settings are read."""
    if name in ("app", "celery"):
        return _default_app()
    raise AttributeError(name)
