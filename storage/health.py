"""`/health` and `/metrics` over HTTP, in every process that has work to do.

Health is 200 when the process can do its work, and otherwise 503 with why; never with a message
of a library, which may hold a password.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from sqlalchemy import text

from storage.settings import host_and_port

if TYPE_CHECKING:
    from celery import Celery
    from prometheus_client.registry import Collector

    from storage.database import Database

PATIENCE_SECONDS = 3.0
"""A check that takes longer counts as failed."""
FRESH_SECONDS = 1.0
"""For so long an answer is given again, so that asking often costs nothing."""

WELL = ""


class Aside(str):
    """Words worth knowing that keep nothing from working; WELL if there are none."""


Check = Callable[[], str]
"""Blocking. Returns WELL, what is wrong, or an Aside, in words without secrets; or raises."""


class Health:
    """The checks of one process, each run on a thread of its own and never twice at once."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = dict(checks)
        self._running: dict[str, Future[str]] = {}
        self._lock = threading.Lock()
        self._found: dict[str, str] = {}
        self._found_at = float("-inf")

    def look(self) -> Mapping[str, str]:
        """What is wrong with each part; WELL if nothing."""
        with self._lock:
            if time.monotonic() - self._found_at > FRESH_SECONDS:
                self._found = self._look()
                self._found_at = time.monotonic()
            return dict(self._found)

    def _look(self) -> dict[str, str]:
        for name, check in self._checks.items():
            if name not in self._running:
                self._running[name] = _start(name, check)
        end = time.monotonic() + PATIENCE_SECONDS
        return {name: self._answer(name, end) for name in self._checks}

    def _answer(self, name: str, end: float) -> str:
        """What hangs stays where it is; its answer counts when it has come."""
        try:
            answer = self._running[name].result(max(0.0, end - time.monotonic()))
        except TimeoutError:
            if not self._running[name].done():
                return f"no answer within {PATIENCE_SECONDS:.0f} s"
            answer = "TimeoutError"
        except Exception as error:
            answer = f"does not answer ({type(error).__name__})"
        del self._running[name]
        return answer


def _start(name: str, check: Check) -> Future[str]:
    """On a thread that keeps no process from ending, however long the check hangs."""
    future: Future[str] = Future()

    def run() -> None:
        try:
            future.set_result(check())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, name=f"health {name}", daemon=True).start()
    return future


def database_answers(database: Database) -> Check:
    def check() -> str:
        with database.read() as session:
            session.execute(text("select 1"))
        return WELL

    return check


def broker_answers(app: Celery) -> Check:
    def check() -> str:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=PATIENCE_SECONDS)
        return WELL

    return check


@contextmanager
def serving(
    address: str, checks: Mapping[str, Check], *collectors: Collector
) -> Iterator[tuple[str, int] | None]:
    """Answer at `address` inside the block; where, or None when the address is empty.

    Raises SystemExit, with words, when the address cannot be had.
    """
    if not address:
        yield None
        return
    health = Health(checks)

    class Handler(_Handler):
        look = staticmethod(health.look)

    try:
        server = _Server(host_and_port(address), Handler)
    except OSError as error:
        words = f"EASEL_HEALTH_ADDRESS: {address} cannot be had ({error.strerror})."
        raise SystemExit(words) from None
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    for collector in collectors:
        REGISTRY.register(collector)
    try:
        host, port = server.server_address[:2]
        yield str(host), port
    finally:
        for collector in collectors:
            REGISTRY.unregister(collector)
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Without asking for the host's name, which takes seconds where there is no DNS."""
        TCPServer.server_bind(self)


class _Handler(BaseHTTPRequestHandler):
    timeout = 5
    server_version, sys_version = "easel", ""
    look: Callable[[], Mapping[str, str]]

    def do_GET(self) -> None:
        match urlsplit(self.path).path:
            case "/health":
                found = self.look()
                well = not any(w for w in found.values() if not isinstance(w, Aside))
                parts = {name: words or "ok" for name, words in found.items()}
                body = {"status": "ok" if well else "unavailable", "checks": parts}
                status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer(status, "application/json", json.dumps(body).encode())
            case "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(REGISTRY))
            case _:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/health or /metrics\n")

    do_HEAD = do_GET  # noqa: N815 (the library's spelling)

    def _answer(self, status: HTTPStatus, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *_: object) -> None:
        """Asking how it is is nothing to tell."""
