"""Redis as a broker: kombu's transport, which goes on after what is no message.

kombu 5.7 lets the errors of reading an entry through to the worker, whose consumer ends at it.
"""

from collections.abc import Iterable
from queue import Empty
from typing import Any

import structlog
from kombu.transport import redis

from storage.unreadable import Message

log = structlog.get_logger()

SET_ASIDE = ".set-aside"


class Channel(redis.Channel):
    Message = Message

    def _new_queue(self, queue: str, **given: Any) -> None:
        self._set_aside([queue])
        super()._new_queue(queue, **given)

    def _brpop_read(self, **options: Any) -> Any:
        """An entry that cannot be read is dropped, since it has left the list by then; a key that
        is no list is set aside. In both cases nothing has come."""
        try:
            return super()._brpop_read(**options)
        except (ValueError, RecursionError) as error:
            log.warning("broker.unreadable", error=type(error).__name__)
        except self.ResponseError:
            if not self._set_aside(self.active_queues):
                raise
        raise Empty

    def _set_aside(self, queues: Iterable[str]) -> int:
        """Rename what stands in the place of a queue and is no list; how many there were."""
        keys = [self._q_for_pri(queue, step) for queue in queues for step in self.priority_steps]
        found = 0
        with self.conn_or_acquire() as client:
            for key in keys:
                if client.type(key) not in (b"list", b"none"):
                    log.warning("broker.set_aside", key=key)
                    client.rename(key, f"{key}{SET_ASIDE}")
                    found += 1
        return found


class Transport(redis.Transport):
    Channel = Channel
