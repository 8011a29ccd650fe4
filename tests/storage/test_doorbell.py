"""A ring carries one UUID, on every broker, and says nothing of the request."""

import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from kombu import Queue
from kombu.exceptions import OperationalError

from storage import doorbell, embedded
from tests.conftest import make_settings
from tests.fakes import malformed


def server(name: str) -> object:
    variable = f"EASEL_TEST_{name.upper()}_URL"
    url = os.environ.get(variable, "")
    skip = pytest.mark.skipif(not url, reason=f"{variable} is not set")
    return pytest.param(url, id=name, marks=skip)


@pytest.mark.parametrize("url", ["", "memory://", server("redis"), server("rabbitmq")])
def test_a_ring_is_heard_and_holds_one_uuid(tmp_path: Path, url: str) -> None:
    model, trace = f"m{uuid4().hex[:8]}", uuid4()
    app = doorbell.create_app(make_settings(tmp_path, broker_url=url), [model])
    with app.connection_for_read() as connection:
        queue = Queue(doorbell.queue_name(model))(connection.default_channel)
        queue.declare()
        doorbell.ring(app, model, trace)
        message = next(m for _ in range(100) if (m := queue.get(no_ack=True)) is not None)
        queue.delete()
    assert message.payload[:2] == [[str(trace)], {}]
    assert message.headers["task"] == doorbell.TASK
    assert message.headers["argsrepr"] == "()"
    assert message.headers["kwargsrepr"] == "{}"


NAMES = ("a/b", "../../up", "a b", "ünï", "*", "a:b", "", ".", "x" * 200, "v1.5-pruned_x")
"""What an operator may call a model; to brokers some of it would be paths and patterns."""


@pytest.mark.parametrize("url", ["", server("redis"), server("rabbitmq")])
def test_a_model_may_have_any_name(tmp_path: Path, url: str) -> None:
    names = [f"{name}{uuid4().hex[:8]}" if url else name for name in NAMES]
    app = doorbell.create_app(make_settings(tmp_path, broker_url=url), names)
    traces = {name: str(uuid4()) for name in names}
    with app.connection_for_read() as connection:
        queues = {n: Queue(doorbell.queue_name(n))(connection.default_channel) for n in names}
        for queue in queues.values():
            queue.declare()
        for name, trace in traces.items():
            doorbell.ring(app, name, UUID(trace))
        for name, queue in queues.items():
            message = next(m for _ in range(100) if (m := queue.get(no_ack=True)) is not None)
            assert message.payload[0] == [traces[name]]
            queue.delete()


def test_many_rings_are_each_heard_by_one(tmp_path: Path) -> None:
    """Half-written files and two readers of one file were met with kombu's own transport."""
    app = doorbell.create_app(make_settings(tmp_path), ["m"])
    heard: list[str] = []
    over = threading.Event()

    def listen() -> None:
        with app.connection_for_read() as connection:
            queue = Queue(doorbell.queue_name("m"))(connection.default_channel)
            queue.declare()
            while (message := queue.get(no_ack=True)) is not None or not over.is_set():
                if message is not None:
                    heard.append(message.payload[0][0])

    readers = [threading.Thread(target=listen) for _ in range(3)]
    for reader in readers:
        reader.start()
    traces = [uuid4() for _ in range(300)]
    for trace in traces:
        doorbell.ring(app, "m", trace)
    over.set()
    for reader in readers:
        reader.join()
    assert sorted(heard) == sorted(map(str, traces))


def test_a_silent_broker_is_an_error_at_once(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, broker_url="amqp://guest:guest@127.0.0.1:1//")
    app = doorbell.create_app(settings, ["m"])
    with pytest.raises(OperationalError):
        doorbell.ring(app, "m", uuid4())


def test_celery_finds_the_app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EASEL_DATA_FOLDER", str(tmp_path))
    doorbell._default_app.cache_clear()
    assert doorbell.app.main == "easel"
    assert [queue.name for queue in doorbell.app.conf.task_queues] == ["easel.builtin"]


READ_ALL_THE_SAME = ("priority a word", "unknown encoding")
KINDS = [("raw", name) for name in malformed.RAW] + [
    ("message", name) for name in malformed.MESSAGES
]
KINDS = [(what, name) for what, name in KINDS if name not in READ_ALL_THE_SAME]


@pytest.mark.parametrize(("what", "name"), KINDS)
def test_what_is_no_ring_is_told_from_one(tmp_path: Path, what: str, name: str) -> None:
    sent = malformed.RAW[name]() if what == "raw" else malformed.MESSAGES[name]()
    with pytest.raises(Exception):  # noqa: B017, PT011 (each has its own)
        doorbell.check(received(tmp_path, lambda files: files.send(sent)))


def test_a_ring_is_one(tmp_path: Path) -> None:
    doorbell.check(received(tmp_path, lambda files: files.send(malformed.message())))
    settings = make_settings(tmp_path)
    ringing = partial(doorbell.ring, doorbell.create_app(settings, ["m"]), "m", uuid4())
    doorbell.check(received(tmp_path, lambda _: ringing()))


def _folder(name: Path) -> None:
    name.mkdir()


def _link_to_nothing(name: Path) -> None:
    name.symlink_to(name.with_name("nowhere"))


def _pipe(name: Path) -> None:
    os.mkfifo(name)


def _large_file(name: Path) -> None:
    with name.open("wb") as file:
        file.truncate(embedded.LARGEST_BYTES + 1)


@pytest.mark.parametrize("put", [_folder, _link_to_nothing, _pipe, _large_file])
def test_what_is_no_file_of_ours_is_taken_out_of_the_way(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    with pytest.raises(TypeError):
        received(tmp_path, lambda files: put(files.path()))
    assert malformed.Files(tmp_path, doorbell.queue_name("m")).left() == 0


def received(folder: Path, send: Callable[[malformed.Files], None]) -> Any:
    """What the one who listens gets of it. Raises where that cannot be read."""
    app = doorbell.create_app(make_settings(folder), ["m"])
    with app.connection_for_read() as connection:
        queue = Queue(doorbell.queue_name("m"))(connection.default_channel)
        queue.declare()
        send(malformed.Files(folder, queue.name))
        message = queue.get(no_ack=True, accept=["json"])
    assert message is not None
    return message
