"""The Celery side of a worker process: the task that a ring starts, and signs of life."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import threading
from functools import cache, partial
from typing import Any
from uuid import UUID

import structlog
from celery import Celery, shared_task
from celery.signals import setup_logging, worker_init, worker_ready, worker_shutting_down
from kombu.exceptions import KombuError
from sqlalchemy.exc import SQLAlchemyError

from generation.engine import Engine
from generation.pipeline import resolve_device
from generation.safety import load_checkers, require_bounds
from generation.weights import ModelUnavailable
from generation.worker import Worker
from storage import chat_secrets, doorbell, health, logs, migrate, places
from storage.blobs import open_blobs
from storage.catalog import load_catalog
from storage.database import connect
from storage.settings import Settings

SIGN_OF_LIFE_SECONDS = 5.0
LOOK_SECONDS = 1.0
_M_ARENA_MAX = -8
"""glibc's malloc.h."""
log = structlog.get_logger()
_capacity = 1


@cache
def worker() -> Worker:
    """The one worker of this process, made when Celery starts it. Raises ValueError, OSError or
    ModelUnavailable for a checker that cannot be had or that nobody would listen to."""
    settings = Settings.for_worker()
    catalog = load_catalog(settings)
    device = resolve_device(settings.device)
    models = settings.worker_models or tuple(catalog.models)
    # The device belongs to the engine alone, so the checkers look with the processor.
    checkers = load_checkers(settings.safety_checkers, "cpu", catalog.checkers)
    require_bounds(checkers, settings.thresholds_for(age_restricted=False))
    return Worker(
        name=f"{socket.gethostname()}:{os.getpid()}",
        models=models,
        settings=settings,
        catalog=catalog,
        database=connect(settings),
        blobs=open_blobs(settings),
        engine=Engine(catalog, device=device, max_loaded=settings.max_loaded_models),
        checkers=checkers,
        ring=partial(_ring, doorbell.create_app(settings, models)),
        capacity=_capacity,
    )


def _ring(app: Celery, model: str, job_id: UUID) -> None:
    with contextlib.suppress(KombuError, OSError):  # The reaper rings again.
        doorbell.ring(app, model, job_id)


@shared_task(name=doorbell.TASK, ignore_result=True)
def generate(_trace: str) -> None:
    """There is work for a model of this worker, not necessarily the job rung for. Who is at it goes
    on until nothing is left, without waiting for the next ring, which may be late or lost."""
    _work()


def _work() -> None:
    while worker().work():
        pass


@setup_logging.connect
def _log(**_: Any) -> None:
    logs.configure(Settings.for_worker())
    threading.excepthook = _thread_crashed


def _thread_crashed(given: threading.ExceptHookArgs) -> None:
    if given.exc_value is not None:
        logs.crashed(given.exc_value)


_open = contextlib.ExitStack()


@worker_init.connect
def _make(sender: Any, **_: Any) -> None:
    """Celery would log another exception than SystemExit and go on without a worker."""
    try:
        _begin(sender)
    except (OSError, ValueError, ModelUnavailable, migrate.Behind) as error:
        raise SystemExit(f"This worker cannot start. {str(error).partition(chr(10))[0]}") from None
    except Exception as error:
        # What libraries say may quote an address with a password.
        logs.crashed(error)
        raise SystemExit(f"This worker cannot start ({type(error).__name__}).") from None


def _begin(sender: Any) -> None:
    chat_secrets.drop()
    _look_at_the_schema()
    _keep_to_few_arenas()
    global _capacity
    _capacity = sender.concurrency
    it = worker()
    checks = {
        "worker": lambda: "about to leave" if it.draining.is_set() else health.WELL,
        "database": health.database_answers(it.database),
        "broker": health.broker_answers(sender.app),
    }
    _open.enter_context(health.serving(it.settings.health_address, checks))


def _look_at_the_schema() -> None:
    """Raises Behind for an older one, which a worker must not change: it may have been started
    before its operator has run `easel migrate`."""
    database = connect(Settings.for_worker())
    try:
        migrate.begin(database)
    finally:
        database.close()


def _keep_to_few_arenas() -> None:
    """By default glibc lets up to eight times as many threads as there are cores keep memory that
    they have freed for themselves, and each job has a thread for its heart."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # Another C library.
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


@worker_ready.connect
def _start(**_: Any) -> None:
    it = worker()
    first = it.settings.default_model
    it.engine.warm(first if first in it.models else it.models[0])
    threading.Thread(target=_live, name="signs of life", daemon=True).start()
    threading.Thread(target=_look, name="looking", daemon=True).start()


@worker_shutting_down.connect
def _leave(exitcode: int | None, **_: Any) -> None:
    threading.Thread(target=_drain_and_end, args=(exitcode or 0,), name="leaving").start()


def _drain_and_end(status: int) -> None:
    """Hand back what is in hand and go. Celery's own way out takes seconds more, for messages
    that mean nothing to us: a ring is no more than a ring."""
    try:
        it = worker()
        it.drain()
        with contextlib.suppress(SQLAlchemyError), it.database.write() as session:
            places.worker_gone(session, it.name)
    except Exception as error:
        logs.crashed(error)
        status = status or 1
    finally:
        os._exit(status)


def _look() -> None:
    """Look for work without a ring too: rings are lost, or wait with a worker that is busy. While
    others draw, this one waits for its turn, so that none of the device's time is lost while they
    judge and store what they have drawn."""
    it = worker()
    while not it.draining.wait(LOOK_SECONDS):
        try:
            _work()
        except SQLAlchemyError as error:
            log.warning("worker.look", error=type(error).__name__)


def _live() -> None:
    """Say that this worker is there, until it leaves; leave when the parent that wanted it has."""
    it = worker()
    parent = int(os.environ.get("EASEL_PARENT_PID", "0"))
    while not it.draining.is_set():
        try:
            with it.database.write() as session:
                now = it.database.clock()
                places.worker_seen(session, it.name, it.models, it.engine.loaded, now)
        except SQLAlchemyError as error:
            log.warning("worker.sign_of_life", error=type(error).__name__)
        if parent and os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)
        it.draining.wait(SIGN_OF_LIFE_SECONDS)
