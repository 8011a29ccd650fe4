"""The HTTP side of the fake Slack: tokens and arguments, rate limits, files, response URLs, and
failures on order.

Tiers are Slack's own; docs.slack.dev, "Rate limits" and "Handling user interaction".
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BasicAuth, BodyPartReader, web

from tests.fakes.discord_rest import Fault as HttpFault
from tests.fakes.slack_methods import Methods
from tests.fakes.slack_state import RESPONSE_SECONDS, RESPONSE_USES, Refused, State
from tests.wire.slack_api import Violation, check_sample, per_minute, specs_folder

STRUCTURED = ("attachments", "blocks", "files", "metadata", "view")
SAMPLED = (
    "apps.connections.open",
    "auth.test",
    "chat.delete",
    "chat.postEphemeral",
    "conversations.info",
    "files.completeUploadExternal",
    "files.getUploadURLExternal",
    "files.info",
    "users.info",
)
"""Methods of whose answers Slack's samples are at hand; views.open is that of all views."""
CONNECTIONS_AT_ONCE = 10
DEFECTS = ("invalid_arguments", "invalid_blocks", "msg_blocks_too_long", "msg_too_long", "no_text")
"""Errors that no bot should ever be given."""


@dataclass
class Fault(HttpFault):
    """`path` is a method's name (or `upload`, `files-pri`, `response`), with wildcards; with
    `error` the answer is `ok: false` and that, in place of a status."""

    methods: tuple[str, ...] = ("GET", "POST")
    error: str = ""


@dataclass
class Allowance:
    """So many calls in a time, refilled steadily; the first ones may come all at once."""

    calls: int
    seconds: float
    left: float = -1.0
    at: float = 0.0

    def take(self, now: float) -> int:
        """0, or for how many seconds to stay away."""
        filled = self.left + (now - self.at) * self.calls / self.seconds
        self.left = float(self.calls) if self.left < 0 else min(self.calls, filled)
        self.at = now
        if self.left >= 1:
            self.left -= 1
            return 0
        return max(1, math.ceil((1 - self.left) * self.seconds / self.calls))


@dataclass
class Rest:
    state: State
    methods: Methods
    dice: random.Random
    looseness: float = 1.0
    """By which factor all rates are wider than Slack's."""
    faults: list[Fault] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Answers by method and `ok`, error or HTTP status."""
    allowances: dict[str, Allowance] = field(default_factory=dict)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        return await self.faulty(method, request, lambda: self._answer(method, request))

    async def faulty(
        self, name: str, request: web.Request, answer: Callable[[], Awaitable[web.Response]]
    ) -> web.Response:
        """The answer, unless a fault that was ordered comes in between."""
        fault = next((f for f in self.faults if f.takes(request.method, name, self.dice)), None)
        if fault is None:
            return await answer()
        seconds = 0.0 if fault.status == 429 else fault.seconds
        if fault.after and fault.status != 429:
            response = await answer()
            await asyncio.sleep(seconds)
            if not (fault.status or fault.cut or fault.error):
                return response
        else:
            await asyncio.sleep(seconds)
            if not (fault.status or fault.cut or fault.error):
                if request.transport is not None:
                    return await answer()
                # Who has hung up meanwhile has not said it.
                self.counts[f"{name} hung up"] += 1
                return web.Response(status=500)
        what = "cut" if fault.cut else fault.error or fault.status
        self.counts[f"{name} {what}"] += 1
        if fault.cut:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        if fault.error:
            return web.json_response({"ok": False, "error": fault.error})
        if fault.status == 429:
            return _limited(max(1, math.ceil(fault.seconds)))
        return web.Response(status=fault.status, text="on order")

    async def _answer(self, method: str, request: web.Request) -> web.Response:
        self.state.share_what_is_ready()
        answer: dict[str, Any]
        try:
            args = await _arguments(request)
            wait = self._rate(method, args)
            if wait:
                self.counts[f"{method} 429"] += 1
                return _limited(wait)
            answer = {"ok": True, **self.methods.call(method, args)}
        except Refused as refused:
            answer = {"ok": False, "error": refused.error, **refused.more}
            if refused.messages:
                answer["response_metadata"] = {"messages": list(refused.messages)}
            if refused.error in DEFECTS and "invalid slack file" not in str(refused):
                self.state.violations.append(f"{method}: {refused}")
        self.counts[f"{method} {'ok' if answer['ok'] else answer['error']}"] += 1
        self._check_sample(method, answer)
        return web.json_response(answer)

    def _check_sample(self, method: str, answer: dict[str, Any]) -> None:
        name = "views.open" if method.startswith("views.") else method
        if specs_folder() is None or (name not in SAMPLED and name != "views.open"):
            return
        try:
            check_sample(name, answer)
        except Violation as wrong:
            self.state.violations.append(f"not like Slack's sample: {wrong}")

    def _rate(self, method: str, args: dict[str, Any]) -> int:
        """Per method and token; chat.postMessage once a second per channel."""
        if method == "chat.postMessage":
            key, calls, seconds = f"{method} {args.get('channel')}", 1, 1.0
        else:
            key, calls, seconds = f"{method} {args.get('token')}", per_minute(method), 60.0
        if method == "apps.connections.open":  # As many connections as there may be.
            calls = CONNECTIONS_AT_ONCE
        allowed = self.allowances.setdefault(key, Allowance(calls, seconds / self.looseness))
        return allowed.take(self.state.now())

    # Files.

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """The bytes, as they are or as a form's part."""
        return await self.faulty("upload", request, lambda: self._upload(request))

    async def _upload(self, request: web.Request) -> web.Response:
        file = self.state.files.get(request.match_info["id"])
        if file is None or file.completed_at is not None:
            return web.Response(status=404, text="no such upload")
        data = b""
        if request.content_type == "multipart/form-data":
            async for part in await request.multipart():
                if isinstance(part, BodyPartReader) and part.name in ("file", "filename"):
                    data = bytes(await part.read())
        else:
            data = await request.read()
        if len(data) != file.size:
            self.state.violations.append(f"upload of {len(data)} bytes where {file.size} were said")
            return web.Response(status=400, text="wrong length")
        file.data = data
        return web.Response(text=f"OK - {len(data)}")

    async def download(self, request: web.Request) -> web.StreamResponse:
        return await self.faulty("files-pri", request, lambda: self._download(request))

    async def _download(self, request: web.Request) -> web.Response:
        """Who may not have it is sent to where people sign in, as Slack does."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        known = self.state.installations.get(token)
        if known is None or known.revoked or "files:read" not in known.scopes:
            self.counts["files-pri login"] += 1
            return web.Response(status=302, headers={"Location": "/login"})
        file = self.state.files.get(request.match_info["id"].partition("-")[2])
        if file is None or not self.state.ready(file):
            return web.Response(status=404)
        self.counts["files-pri ok"] += 1
        return web.Response(body=file.data, content_type=file.kind[0])

    async def login(self, _: web.Request) -> web.Response:
        page = "<!DOCTYPE html><html><title>Slack sign in</title></html>"
        return web.Response(text=page, content_type="text/html")

    # Response URLs.

    async def respond(self, request: web.Request) -> web.StreamResponse:
        return await self.faulty("response", request, lambda: self._respond(request))

    async def _respond(self, request: web.Request) -> web.Response:
        """Five times in 30 minutes; needs no token, nor that the bot is in the channel."""
        url = self.state.response_urls.get(request.match_info["token"])
        try:
            if url is None or self.state.now() - url.at > RESPONSE_SECONDS:
                raise Refused("expired_url")
            if url.uses >= RESPONSE_USES:
                raise Refused("used_url")
            url.uses += 1
            body = await request.json()
            self.methods.answer_in_place(url.channel, url.user, body, url.original)
        except Refused as refused:
            self.counts[f"response {refused.error}"] += 1
            if refused.error in DEFECTS:
                self.state.violations.append(f"response_url: {refused}")
            answer = {"ok": False, "error": refused.error}
            return web.json_response(answer, status=404 if "_url" in refused.error else 400)
        self.counts["response ok"] += 1
        return web.Response(text="ok")


async def _arguments(request: web.Request) -> dict[str, Any]:
    """From query, form or JSON, with the token that the header may hold. Raises Refused."""
    args: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        try:
            args |= json.loads(await request.read() or "{}")
        except json.JSONDecodeError:
            raise Refused("invalid_json") from None
    elif request.method == "POST":
        args |= await request.post()
    for name in STRUCTURED:
        if isinstance(args.get(name), str):
            try:
                args[name] = json.loads(args[name])
            except json.JSONDecodeError:
                raise Refused("invalid_arguments", f"[ERROR] {name} is no JSON") from None
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme == "Bearer":
        args["token"] = credentials
    elif scheme == "Basic":
        basic = BasicAuth.decode(f"Basic {credentials}")
        args |= {"client_id": basic.login, "client_secret": basic.password}
    return args


def _limited(seconds: int) -> web.Response:
    headers = {"Retry-After": str(seconds)}
    return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
