"""Redis as a broker: kombu's transport, which goes on after what is no message.

kombu 5.7 lets the errors of reading an entry through to the worker, whose consumer ends at it.
"""

from contextlib import suppress
from queue import Empty
from typing import Any

import structlog
from kombu.transport import redis

from storage.unreadable import Message

log = structlog.get_logger()

SET_ASIDE = ".set-aside"


class Channel(redis.Channel):
    Message = Message

    def _brpop_read(self, **options: Any) -> Any:
        """By then the entry is out of the list, or the error comes from a key that is none."""
        try:
            return super()._brpop_read(**options)
        except (ValueError, RecursionError) as error:
            log.warning("broker.unreadable", error=type(error).__name__)
        except self.ResponseError:
            if not self._set_aside():
                raise
        raise Empty

    def _set_aside(self) -> int:
        """Rename what stands in the place of a queue and is no list; how many there were."""
        found = 0
        with self.conn_or_acquire() as client:
            for queue in self.active_queues:
                for priority in self.priority_steps:
                    key = self._q_for_pri(queue, priority)
                    if client.type(key) not in (b"list", b"none"):
                        log.warning("broker.set_aside", key=key)
                        with suppress(self.ResponseError):
                            client.rename(key, f"{key}{SET_ASIDE}")
                            found += 1
        return found


class Transport(redis.Transport):
    Channel = Channel
