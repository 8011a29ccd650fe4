"""How the fake Slack reaches the bot: Socket Mode, or signed HTTP, with Slack's patience.

docs.slack.dev: "Using Socket Mode", "Verifying requests from Slack", "Events API" (retries: at
once, after a minute, after five), "Slash commands" (none).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType, web

from tests.fakes.slack_state import ANSWER_SECONDS, APP, State

COMMANDS, INTERACTIVE, EVENTS = "slash_commands", "interactive", "events_api"
RETRY_AFTER_SECONDS = (0.0, 60.0, 300.0)
POLL_SECONDS = 0.02


@dataclass(kw_only=True)
class Attempt:
    """One try to tell the bot."""

    at: float
    retry: int = 0
    seconds: float | None = None
    """Until the acknowledgement."""
    failure: str = ""
    body: Any = None
    """What the acknowledgement says."""
    no_retry: bool = False


@dataclass(kw_only=True)
class Delivery:
    """Something that happened, of which the bot is told."""

    id: str
    kind: str
    payload: dict[str, Any]
    settle: Callable[[Attempt], None] = lambda attempt: None
    """What Slack does with the first attempt's end."""
    attempts: list[Attempt] = field(default_factory=list)
    retry_at: float | None = None

    @property
    def acknowledged(self) -> Attempt | None:
        return next((a for a in self.attempts if a.seconds is not None and not a.failure), None)


class Wire:
    def __init__(self, state: State, signing_secret: str, address: str) -> None:
        self._state, self._secret, self._address = state, signing_secret, address
        self.request_url = ""
        """Where the app listens for HTTP; empty is Socket Mode."""
        self.deliveries: dict[str, Delivery] = {}
        self.sockets: list[web.WebSocketResponse] = []
        self.opened = 0
        self._tickets: set[str] = set()
        self._turns = itertools.count()
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._http: aiohttp.ClientSession | None = None

    # Socket Mode.

    def socket_address(self) -> str:
        """Good for one connection."""
        ticket = secrets.token_hex(16)
        self._tickets.add(ticket)
        return f"{self._address}?ticket={ticket}&app_id={APP}"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=401)
        self._tickets.remove(ticket)
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        self.sockets.append(ws)
        self.opened += 1
        await ws.send_json(
            {
                "type": "hello",
                "num_connections": len(self.sockets),
                "debug_info": {"host": "fake", "build_number": 1, "approximate_connection_time": 1},
                "connection_info": {"app_id": APP},
            }
        )
        try:
            async for message in ws:
                if message.type is WSMsgType.TEXT and message.data.startswith("{"):
                    given = message.json()
                    waiting = self._waiting.pop(given.get("envelope_id", ""), None)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(given.get("payload"))
        finally:
            self.sockets.remove(ws)
        return ws

    async def drop(self) -> None:
        """All connections end without a word."""
        for ws in list(self.sockets):
            transport = ws._req.transport if ws._req is not None else None
            if transport is not None:
                transport.abort()

    async def refresh(self) -> None:
        """Slack asks for new connections, as it does every few hours."""
        for ws in list(self.sockets):
            host = {"debug_info": {"host": "fake"}}
            await ws.send_json({"type": "disconnect", "reason": "refresh_requested", **host})

    # Deliveries.

    def tell(self, delivery: Delivery) -> str:
        """Starts to; the bot's answer is in `deliveries` later."""
        self.deliveries[delivery.id] = delivery
        self._spawn(delivery, retry=0)
        return delivery.id

    def redeliver(self, id: str, times: int) -> None:
        """Again, all at once, as Slack does when an acknowledgement got lost."""
        for retry in range(1, times + 1):
            self._spawn(self.deliveries[id], retry=retry)

    def _spawn(self, delivery: Delivery, *, retry: int) -> None:
        task = asyncio.create_task(self._try(delivery, retry))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _try(self, delivery: Delivery, retry: int) -> None:
        attempt = Attempt(at=self._state.now(), retry=retry)
        before = delivery.attempts[-1].failure if delivery.attempts else ""
        delivery.attempts.append(attempt)
        started = asyncio.get_running_loop().time()
        send = self._post if self.request_url else self._envelope
        try:
            await asyncio.wait_for(send(delivery, attempt, before), ANSWER_SECONDS)
            attempt.seconds = asyncio.get_running_loop().time() - started
        except TimeoutError:
            attempt.failure = "http_timeout"
        except (aiohttp.ClientError, ConnectionError, OSError):
            attempt.failure = "connection_failed"
        if retry == 0:
            delivery.settle(attempt)
        if delivery.kind == EVENTS and attempt.failure and not attempt.no_retry:
            if retry < len(RETRY_AFTER_SECONDS):
                delivery.retry_at = self._state.now() + RETRY_AFTER_SECONDS[retry]
        else:
            delivery.retry_at = None

    async def retry_loop(self) -> None:
        """Unacknowledged events come again when Slack's clock says so."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            for delivery in list(self.deliveries.values()):
                if delivery.retry_at is not None and self._state.now() >= delivery.retry_at:
                    delivery.retry_at = None
                    self._spawn(delivery, retry=delivery.attempts[-1].retry + 1)

    async def _envelope(self, delivery: Delivery, attempt: Attempt, before: str) -> None:
        if not self.sockets:
            raise ConnectionError("no connection")
        envelope: dict[str, Any] = {
            "envelope_id": secrets.token_hex(16),
            "payload": delivery.payload,
            "type": delivery.kind,
            "accepts_response_payload": delivery.kind != EVENTS,
        }
        if delivery.kind == EVENTS:
            envelope |= {"retry_attempt": attempt.retry, "retry_reason": before}
        acknowledged = asyncio.get_running_loop().create_future()
        self._waiting[envelope["envelope_id"]] = acknowledged
        await self.sockets[next(self._turns) % len(self.sockets)].send_json(envelope)
        attempt.body = await acknowledged or None

    async def _post(self, delivery: Delivery, attempt: Attempt, before: str) -> None:
        headers = {}
        if attempt.retry:
            headers = {"X-Slack-Retry-Num": str(attempt.retry)}
            headers["X-Slack-Retry-Reason"] = before or "http_timeout"
        answer = await self.request(delivery.kind, delivery.payload, headers=headers)
        attempt.no_retry = answer["headers"].get("X-Slack-No-Retry") == "1"
        attempt.body = answer["body"] or None
        if answer["status"] != 200:
            attempt.failure = "http_error"

    async def request(
        self,
        kind: str,
        payload: dict[str, Any],
        *,
        headers: dict[str, str] | None = None,
        secret: str = "",
        age_seconds: float = 0.0,
    ) -> dict[str, Any]:
        """Status, headers and body of the app's answer to a signed request; `secret` and
        `age_seconds` forge it."""
        if kind == EVENTS:
            body, content = json.dumps(payload), "application/json"
        else:
            fields = payload if kind == COMMANDS else {"payload": json.dumps(payload)}
            body, content = urlencode(fields), "application/x-www-form-urlencoded"
        stamp = str(int(self._state.now() - age_seconds))
        signed = f"v0:{stamp}:{body}".encode()
        key = (secret or self._secret).encode()
        signature = hmac.new(key, signed, hashlib.sha256).hexdigest()
        sent = {
            **(headers or {}),
            "Content-Type": content,
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": f"v0={signature}",
        }
        self._http = self._http or aiohttp.ClientSession()
        async with self._http.post(self.request_url, data=body, headers=sent) as answer:
            text = await answer.text()
            said = json.loads(text) if answer.content_type == "application/json" else text
            return {"status": answer.status, "headers": dict(answer.headers), "body": said}

    async def close(self) -> None:
        await self.drop()
        for task in list(self._tasks):
            task.cancel()
        if self._http is not None:
            await self._http.close()
