"""The threads beside Celery's look for work and give signs of life until the worker leaves."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from sqlalchemy.exc import InternalError

from generation import tasks


class Stub:
    """A worker whose database takes no writes the first time."""

    name, models, engine = "w", (), SimpleNamespace(loaded=())

    def __init__(self) -> None:
        self.draining = threading.Event()
        self.asked = 0
        self.database = self

    def _ask(self) -> None:
        self.asked += 1
        if self.asked == 1:
            raise InternalError("read-only", None, Exception())
        self.draining.set()

    def work(self) -> bool:
        self._ask()
        return False

    @contextmanager
    def write(self) -> Iterator[None]:
        self._ask()
        yield

    def clock(self) -> None: ...

    def drain(self) -> None: ...


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    stub = Stub()
    monkeypatch.setattr(tasks, "worker", lambda: stub)
    monkeypatch.setattr(tasks.places, "worker_seen", lambda *_: None)
    for pause in ("LOOK_SECONDS", "SIGN_OF_LIFE_SECONDS"):
        monkeypatch.setattr(tasks, pause, 0.001)
    return stub


@pytest.mark.parametrize("loop", [tasks._look, tasks._live])
def test_they_go_on_when_the_database_takes_no_writes(stub: Stub, loop: Callable[[], None]) -> None:
    loop()
    assert stub.asked == 2


def test_a_worker_leaves_though_it_cannot_say_so(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[int] = []
    monkeypatch.setattr(tasks.os, "_exit", left.append)
    tasks._drain_and_end(7)
    assert (left, stub.asked) == ([7], 1)
