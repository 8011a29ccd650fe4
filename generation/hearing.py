"""The ear of a worker: Celery's consumer, which rejects what is no ring and goes on, and which does
not end without the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from billiard.common import restart_state
from celery.exceptions import WorkerShutdown
from celery.signals import worker_shutting_down
from celery.worker import consumer

from storage import doorbell

log = structlog.get_logger()

FAILED = 1
MOST_FAULTS, WITHIN_SECONDS = 3, 60
"""A message that no library can read, or a channel that RabbitMQ closes since a ring waited for
half an hour behind a long job, is got over by listening anew. What comes oftener is not."""


class Consumer(consumer.Consumer):
    """Celery's own ends at the first message that it did not expect, and writes whole messages
    into the log."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.channel_errors = (Exception,)
        self._faults = restart_state(MOST_FAULTS, WITHIN_SECONDS)

    def create_task_handler(self) -> Callable[[Any], None]:
        """Called whenever it begins to listen. What made it begin anew may be in a queue still; the
        rings beside it are no loss, since workers look for work without one too."""
        if self.restart_count:
            self.task_consumer.purge()
        receive = super().create_task_handler()

        def on_task_received(message: Any) -> None:
            try:
                doorbell.check(message)
            except Exception as error:
                self._reject(message, error)
                return
            try:
                receive(message)
            except self.connection_errors:
                raise
            except Exception as error:
                self._reject(message, error)

        return on_task_received

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Also of what comes by remote control."""
        self._reject(message, exc)

    def _reject(self, message: Any, error: Exception) -> None:
        log.warning("worker.rejected", error=type(error).__name__)
        unheeded = message.channel.no_ack_consumers or ()
        if message.delivery_info.get("consumer_tag") not in unheeded and not message.acknowledged:
            message.reject()

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        super().on_connection_error_before_connected(self._got_over(exc))

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        super().on_connection_error_after_connected(self._got_over(exc))

    def _got_over(self, error: Exception) -> Exception:
        """What is logged of it. Raises RestartFreqExceeded where listening anew does not help; a
        broker that is away is waited for."""
        if not isinstance(error, self.connection_errors):
            self._faults.step()
            error = RuntimeError(type(error).__name__)  # Its words may quote a message.
        return error

    def start(self) -> None:
        """Until the worker is told to leave. Where anything else ends it, the worker leaves too,
        with a status that says so: it would never hear again."""
        try:
            super().start()
        except SystemExit as order:
            self._leave(order.code)
            raise
        except Exception as error:
            log.critical("worker.deaf", error=type(error).__name__)
            self._leave(FAILED)
            raise WorkerShutdown(FAILED) from None

    def _leave(self, status: Any) -> None:
        """Say it as Celery does where a signal tells it to leave."""
        worker_shutting_down.send(sender=self.hostname, sig="", how="Warm", exitcode=status)
