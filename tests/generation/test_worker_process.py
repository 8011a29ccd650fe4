"""How the process of a worker begins and ends, whatever goes wrong with either."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
from celery.signals import worker_init
from safetensors import SafetensorError
from sqlalchemy.exc import DatabaseError, OperationalError

from generation import tasks
from generation.weights import ModelUnavailable

SECRET = "canary-5309"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EASEL_DATA_FOLDER", str(tmp_path))
    return tmp_path


class CeleryWorker:
    concurrency, app = 1, None


def start() -> str:
    """As Celery does it; what the process ends with."""
    with pytest.raises(SystemExit) as ended:
        worker_init.send(sender=CeleryWorker())
    return str(ended.value.code)


def test_a_database_that_is_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_DATABASE_URL", f"postgresql://easel:{SECRET}@127.0.0.1:1/easel")
    assert start() == "This worker cannot start (OperationalError)."


@pytest.mark.parametrize(
    "error",
    [
        SafetensorError(SECRET),
        RuntimeError(SECRET),
        ImportError(SECRET),
        MemoryError(SECRET),
        DatabaseError(SECRET, {}, Exception(SECRET)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_checker_that_fails_in_a_way_that_nobody_knows(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    _fails_with(monkeypatch, error)
    assert start() == f"This worker cannot start ({type(error).__name__})."


@pytest.mark.parametrize(
    "error", [OSError("no file"), ValueError("no file"), ModelUnavailable("no file\nin x")]
)
def test_what_is_known_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    _fails_with(monkeypatch, error)
    assert start() == "This worker cannot start. no file"


def _fails_with(patch: pytest.MonkeyPatch, error: Exception) -> None:
    def load(*_: object) -> NoReturn:
        raise error

    patch.setattr(tasks, "load_checkers", load)


class Ended(BaseException):
    """In the place of the end of the process."""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, 0),
        (OperationalError("", {}, Exception()), 0),
        (DatabaseError("", {}, Exception()), 0),
        (RuntimeError(), 1),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, Exception) else "",
)
def test_who_is_told_to_leave_leaves(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None, status: int
) -> None:
    def end(status: int) -> NoReturn:
        raise Ended(status)

    def write() -> NoReturn:
        raise error or OperationalError("", {}, Exception())

    leaving = SimpleNamespace(name="w", drain=lambda: None, database=SimpleNamespace(write=write))
    monkeypatch.setattr(tasks, "worker", lambda: leaving)
    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(Ended) as ended:
        tasks._drain_and_end(0)
    assert ended.value.args == (status,)
