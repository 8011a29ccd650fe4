"""The embedded broker: kombu's filesystem transport, with files that are there whole or not at all.

kombu 5.7 opens a message under its final name before it writes it, and a table of queues likewise.
A reader that comes in between gets an empty file, and a Celery worker ends with "Unrecoverable
error: JSONDecodeError" (seen once in some 20 rings at 10 ms polling).
"""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps, loads

from storage import private
from storage.unreadable import Message

SCHEME = "easel-files"
LARGEST_BYTES = 1024 * 1024
"""A ring has less than a thousandth of it."""

TRANSPORT_ALIASES[SCHEME] = "storage.embedded:Transport"


def _write(path: Path, content: object) -> None:
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    with open(part, "w", opener=private.opener) as output:
        output.write(dumps(content))
    part.replace(path)


def _read(taken: Path) -> object:
    """What a file says, and the file gone; None where no message can be read in it."""
    try:
        if taken.is_file() and taken.stat().st_size <= LARGEST_BYTES:
            return loads(taken.read_text())
    except (OSError, ValueError, RecursionError):
        pass
    finally:
        with suppress(OSError):
            taken.unlink()
    return None


class Channel(filesystem.Channel):
    """Sends, takes and binds by renaming, which one process alone succeeds in."""

    Message = Message

    def _put(self, queue: str, payload: dict[str, Any], **_: Any) -> None:
        name = f"{time.time_ns():020d}_{uuid.uuid4().hex}.{queue}.msg"
        _write(Path(self.data_folder_out) / name, payload)

    def _get(self, queue: str) -> Any:
        folder = Path(self.data_folder_in)
        for name in sorted(os.listdir(folder)):
            if name.startswith(".") or name.partition(".")[2] != f"{queue}.msg":
                continue
            taken = folder / f".{uuid.uuid4().hex}.taken"
            try:
                (folder / name).rename(taken)
            except FileNotFoundError:
                continue  # Another worker was quicker.
            return _read(taken)
        raise Empty

    def get_table(self, exchange: str) -> list[Any]:
        """One that cannot be read is empty: who listens binds its queue again when it starts."""
        try:
            return list(super().get_table(exchange))
        except (ValueError, TypeError, RecursionError):
            return []

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        binding = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        with self._table(exchange) as bindings:
            if binding not in bindings:
                bindings.insert(0, binding)

    def _delete(
        self, queue: str, exchange: str, routing_key: str, pattern: str, *_: Any, **__: Any
    ) -> None:
        self._purge(queue)
        binding = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        with self._table(exchange) as bindings:
            if binding in bindings:
                bindings.remove(binding)

    @contextmanager
    def _table(self, exchange: str) -> Iterator[list[Any]]:
        """The bindings of an exchange, to be changed by one process at a time."""
        file = self._exchange_file(exchange)
        with open(file.parent / ".lock", "w", opener=private.opener) as guard:
            filesystem.lock(guard, filesystem.LOCK_EX)
            bindings = self.get_table(exchange)
            yield bindings
            _write(file, bindings)


class Transport(filesystem.Transport):
    Channel = Channel
    driver_type = driver_name = SCHEME
