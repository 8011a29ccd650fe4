"""What a broker holds where a message should be. Anybody who can reach it may have put it there."""

import sys
from typing import Any
from uuid import uuid4

from kombu.transport import virtual


class Message(virtual.Message):
    """A message of a virtual transport, whatever stands there: what cannot be read says so in
    `errors`, for which kombu asks before it hands a message on."""

    def __init__(self, payload: Any, channel: Any = None, **given: Any) -> None:
        try:
            super().__init__(payload, channel=channel, **given)
            self._look()
        except Exception:
            error = sys.exc_info()[:2]
            properties = {"delivery_tag": uuid4().hex, "delivery_info": dict.fromkeys(_ADDRESS, "")}
            super().__init__({"properties": properties}, channel=channel, **given)
            self.errors = [(*error, None)]

    def _look(self) -> None:
        """Raises where kombu would, too late for anybody to catch it."""
        if not isinstance(self.delivery_tag, str) or not isinstance(self.headers, dict):
            raise TypeError("no message")
        for name in _ADDRESS:
            self.delivery_info[name]


_ADDRESS = ("exchange", "routing_key")
