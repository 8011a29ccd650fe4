"""Messages that no ring is, of every kind that a broker lets through, and how to send them.

`RAW` is what stands in a file of the embedded broker or in a list of Redis in place of a message;
`MESSAGES` is a whole message, on every broker, that is not what a ring should be.
"""

from __future__ import annotations

import base64
import json
import pickle
import struct
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import amqp
import redis
from amqp import serialization
from kombu import Connection

from storage.doorbell import TASK

JSON = "application/json"
SECRET = "a nightingale in Aleppo"
"""What no log may quote."""
NO_LINKS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def message(
    body: object = None,
    *,
    content_type: str | None = JSON,
    encoding: str | None = "utf-8",
    headers: object = None,
    **changed: object,
) -> dict[str, Any]:
    """A ring as Celery sends it, but for what is given; `changed` are headers. `...` takes away."""
    body = [[str(uuid4())], {}, NO_LINKS] if body is None else body
    if headers is None:
        own = {"lang": "py", "task": TASK, "id": str(uuid4()), "argsrepr": "()", "kwargsrepr": "{}"}
        headers = {name: value for name, value in (own | changed).items() if value is not ...}
    return {
        "body": body if isinstance(body, bytes) else json.dumps(body).encode(),
        "content-type": content_type,
        "content-encoding": encoding,
        "headers": headers,
    }


def envelope(given: Mapping[str, Any], **properties: Any) -> dict[str, Any]:
    """As a virtual transport writes it; `...` takes a property away."""
    own: dict[str, Any] = {
        "correlation_id": str(uuid4()),
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": "easel.builtin"},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid4()),
    }
    left = {name: value for name, value in (own | properties).items() if value is not ...}
    body = base64.b64encode(given["body"]).decode()
    return dict(given) | {"body": body, "properties": left}


def _without(name: str, **put: object) -> bytes:
    whole = envelope(message())
    del whole[name]
    return json.dumps(whole | put).encode()


def _with(**properties: Any) -> bytes:
    return json.dumps(envelope(message(), **properties)).encode()


RAW: Mapping[str, Callable[[], bytes]] = {
    "words": lambda: SECRET.encode(),
    "words of another coding": lambda: SECRET.encode() + b"\xff",
    "nothing": lambda: b"",
    "a number": lambda: b"7",
    "null": lambda: b"null",
    "a list": lambda: b"[1, 2]",
    "a string": lambda: b'"hello"',
    "an empty object": lambda: b"{}",
    "no UTF-8": lambda: b"\xff\xfe\x00{",
    "cut off": lambda: _with()[:200],
    "nested too deep": lambda: b"[" * 100_000,
    "no body": lambda: _without("body"),
    "body null": lambda: _without("body", body=None),
    "body a number": lambda: _without("body", body=5),
    "body a list": lambda: _without("body", body=[1]),
    "body no base64": lambda: _without("body", body="%%%"),
    "body encoded unknown": lambda: _with(body_encoding="klingon"),
    "no properties": lambda: _without("properties"),
    "properties null": lambda: _without("properties", properties=None),
    "properties a list": lambda: _without("properties", properties=[]),
    "no tag": lambda: _with(delivery_tag=...),
    "tag a list": lambda: _with(delivery_tag=[1]),
    "tag null": lambda: _with(delivery_tag=None),
    "no delivery info": lambda: _with(delivery_info=...),
    "delivery info null": lambda: _with(delivery_info=None),
    "delivery info empty": lambda: _with(delivery_info={}),
    "delivery info a list": lambda: _with(delivery_info=[1]),
    "headers a list": lambda: _without("headers", headers=[1]),
    "headers a string": lambda: _without("headers", headers="task"),
    "content type a number": lambda: _without("content-type", **{"content-type": 5}),
    "priority a word": lambda: _with(priority="high"),
}

MESSAGES: Mapping[str, Callable[[], dict[str, Any]]] = {
    "pickle": lambda: message(
        pickle.dumps((("x",), {}, {})), content_type="application/x-python-serialize"
    ),
    "yaml": lambda: message(b"- [x]\n- {}\n- {}\n", content_type="application/x-yaml"),
    "binary": lambda: message(b"\x00\x01\x02", content_type="application/data", encoding="binary"),
    "unknown type": lambda: message(content_type="application/x-nothing"),
    "no type": lambda: message(content_type=None, encoding=None),
    "unknown encoding": lambda: message(encoding="klingon"),
    "unknown compression": lambda: message(compression="klingon"),
    "not compressed": lambda: message(compression="application/x-gzip"),
    "compressed nothing": lambda: message(zlib.compress(b""), compression="application/x-gzip"),
    "body no JSON": lambda: message(SECRET.encode()),
    "body empty": lambda: message(b""),
    "body no UTF-8": lambda: message(b"\xff\xfe\xfd"),
    "body cut off": lambda: message(b'[["x"], {}, {"callb'),
    "body nested too deep": lambda: message(b"[" * 100_000),
    "body a number": lambda: message(b"7"),
    "body null": lambda: message(b"null"),
    "body a string": lambda: message(["x"][0].encode() * 3),
    "body an object": lambda: message({"args": 1}),
    "body of two": lambda: message([["x"], {}]),
    "body of four": lambda: message([["x"], {}, {}, {}]),
    "no headers": lambda: message(headers={}),
    "no task": lambda: message(task=...),
    "unknown task": lambda: message([[SECRET], {}, NO_LINKS], task=SECRET, argsrepr=SECRET),
    "unknown task without id": lambda: message(task="somebody.else", id=...),
    "task null": lambda: message(task=None),
    "task a number": lambda: message(task=7),
    "task a list": lambda: message(task=["a"]),
    "no id": lambda: message(id=...),
    "id a list": lambda: message(id=["a"]),
    "id null": lambda: message(id=None),
    "no arguments": lambda: message([[], {}, NO_LINKS]),
    "too many arguments": lambda: message([[1, 2, 3], {}, NO_LINKS]),
    "unknown arguments": lambda: message([[], {"model": "x"}, NO_LINKS]),
    "arguments an object": lambda: message([{"a": 1}, {}, NO_LINKS]),
    "arguments a number": lambda: message([7, {}, NO_LINKS]),
    "named arguments a list": lambda: message([["x"], [1], NO_LINKS]),
    "huge arguments": lambda: message([["x" * 3_000_000], {}, NO_LINKS]),
    "links a list": lambda: message([["x"], {}, [1]]),
    "links null": lambda: message([["x"], {}, None]),
    "a chord": lambda: message([["x"], {}, NO_LINKS | {"chord": {"task": "a.b"}}]),
    "a callback": lambda: message([["x"], {}, NO_LINKS | {"callbacks": [{"task": "a.b"}]}]),
    "callbacks a number": lambda: message([["x"], {}, NO_LINKS | {"callbacks": 7}]),
    "a chain": lambda: message([["x"], {}, NO_LINKS | {"chain": ["a"]}]),
    "a group": lambda: message(group="g", chord={"task": "a.b"}),
    "a time that is none": lambda: message(eta="soon"),
    "a far time": lambda: message(eta="9999-12-31T23:59:59+00:00"),
    "the first time": lambda: message(eta="0001-01-01T00:00:00"),
    "a time as a number": lambda: message(eta=7),
    "an end that is none": lambda: message(expires="soon"),
    "an end long ago": lambda: message(expires="1970-01-01T00:00:00+00:00"),
    "an end as a list": lambda: message(expires=[1]),
    "limits a word": lambda: message(timelimit="abc"),
    "limits of three": lambda: message(timelimit=[1, 2, 3]),
    "limits no numbers": lambda: message(timelimit=["a", {}]),
    "retries a word": lambda: message(retries="many"),
    "reply to a list": lambda: message(reply_to=[1], root_id=[2], parent_id=[3]),
    "shadow a list": lambda: message(shadow=[1]),
    "stamps a number": lambda: message(stamped_headers=7, stamps=8),
    "the first protocol": lambda: message({"task": TASK, "id": "1", "args": 7}, headers={}),
    "the first protocol, bare": lambda: message({"task": TASK}, headers={}),
    "the first protocol, wrong": lambda: message({"task": ["a"], "id": "1"}, headers={}),
}

UNREADABLE_HEADERS = (b"T" + struct.pack(">Q", 2**40), b"T" + struct.pack(">Q", 2**63 - 1))
"""Times after the year 9999: the client raises what Celery takes for no error of a connection, and
what it takes for one, and gets the message again."""

NO_ORDERS: tuple[bytes | dict[str, Any], ...] = (
    *(b"hello", b"7", b"[]", b"{}", b"\xff"),
    message(b"hello", headers={}),
    message(b"7", headers={}),
    message({"method": "nothing"}, headers={}),
    message({"method": "ping", "arguments": 7}, headers={}),
    message({"method": "ping", "destination": 7}, headers={"clock": "late"}),
    message(b"cos\nsystem\n", content_type="application/x-python-serialize", headers={}),
)
"""What remote control cannot carry out."""

CONTROL_TABLE = "_kombu.binding.celery.pidbox"
"""Where kombu keeps in Redis who listens to remote control: a set."""


def _data(given: bytes | dict[str, Any]) -> bytes:
    return given if isinstance(given, bytes) else json.dumps(envelope(given)).encode()


class Files:
    """The embedded broker."""

    raw = True

    def __init__(self, folder: Path, queue: str) -> None:
        self._folder, self._queue = folder / "broker" / "messages", queue

    def send(self, given: bytes | dict[str, Any]) -> None:
        data = _data(given)
        path = self.path()
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(data)
        part.rename(path)

    def path(self) -> Path:
        return self._folder / f"{time.time_ns():020d}_{uuid4().hex}.{self._queue}.msg"

    def broadcast(self, node: str) -> None:
        control = Files(self._folder.parents[1], f"{node}.celery.pidbox")
        for wrong in NO_ORDERS:
            control.send(wrong)

    def left(self) -> int:
        return len(list(self._folder.glob(f"*.{self._queue}.msg")))

    def close(self) -> None:
        pass


class Redis:
    raw = True

    def __init__(self, url: str, queue: str) -> None:
        self.client, self.queue = redis.Redis.from_url(url), queue

    def send(self, given: bytes | dict[str, Any]) -> None:
        data = _data(given)
        self.client.lpush(self.queue, data)

    def broadcast(self, _node: str) -> None:
        database = self.client.connection_pool.connection_kwargs["db"]
        for wrong in NO_ORDERS:
            self.client.publish(f"/{database}.celery.pidbox", _data(wrong))

    def occupy(self) -> None:
        self.client.delete(CONTROL_TABLE)
        self.client.set(CONTROL_TABLE, "somebody's")

    def vacate(self) -> None:
        self.client.delete(CONTROL_TABLE)

    def left(self) -> int:
        return int(self.client.llen(self.queue))  # type: ignore[arg-type]

    def close(self) -> None:
        self.client.close()


class RabbitMQ:
    raw = False

    def __init__(self, url: str, queue: str) -> None:
        self._connection, self._queue = Connection(url), queue
        self._channel: Any = self._connection.channel()

    def send(self, given: bytes | dict[str, Any]) -> None:
        assert isinstance(given, dict)
        self._publish(given, exchange="", routing_key=self._queue)

    def _publish(self, given: dict[str, Any], **where: str) -> None:
        message = amqp.Message(
            given["body"],
            content_type=given["content-type"],
            content_encoding=given["content-encoding"],
            application_headers=given["headers"],
        )
        self._channel.basic_publish(message, **where)

    def send_unreadable(self, header: bytes) -> None:
        """A message with a header that RabbitMQ passes on, and whose reading fails."""
        write = serialization._write_item

        def write_item(value: object, put: Callable[[bytes], None], *given: Any) -> None:
            put(header) if value is header else write(value, put, *given)

        serialization._write_item = write_item
        try:
            self.send(message(odd=header))
        finally:
            serialization._write_item = write

    def broadcast(self, _node: str) -> None:
        for wrong in NO_ORDERS:
            if isinstance(wrong, dict):
                self._publish(wrong, exchange="celery.pidbox")

    def occupy(self) -> None:
        self._channel.queue_delete(self._queue)
        self._channel.queue_declare(self._queue, durable=False, auto_delete=False)

    def vacate(self) -> None:
        self._channel.queue_delete(self._queue)

    def left(self) -> int:
        return int(self._channel.queue_declare(self._queue, passive=True).message_count)

    def close(self) -> None:
        self._connection.release()


Broker = Files | Redis | RabbitMQ


def broker(url: str, folder: Path, queue: str) -> Broker:
    if url.startswith("redis"):
        return Redis(url, queue)
    return RabbitMQ(url, queue) if url else Files(folder, queue)
