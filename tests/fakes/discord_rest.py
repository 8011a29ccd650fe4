"""The REST side of the fake Discord: routes, rate limits, and failures on order.

Every request is checked against Discord's own description and the limits page, as the tests on
the wire do; what Discord would refuse is refused and remembered in `violations`.
"""

from __future__ import annotations

import asyncio
import fnmatch
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web
from multidict import CIMultiDict

from tests.fakes.discord_gateway import Gateway
from tests.fakes.discord_state import (
    APPLICATION,
    DEFERRED_MESSAGE,
    MESSAGE,
    OWNER,
    File,
    Message,
    Refused,
    State,
    attachment_payload,
    channel_payload,
    user_payload,
)
from tests.wire.discord_api import Api, Violation, check_limits, spec_path

PREFIX = "/api/v10"
GLOBAL_LIMIT = 50
"""Requests a second by bot token; interactions and webhooks are not counted."""
FREE = ("interactions", "webhooks")
INVALID = (401, 403, 429)


@dataclass
class Fault:
    """What goes wrong with requests that match, so many times or with such a probability."""

    status: int = 502
    after: bool = True
    """After the request has taken effect; else instead of it."""
    cut: bool = False
    """End the connection in place of any answer."""
    seconds: float = 0.0
    """Wait so long on that side of its effect; with `status` 0 that is all. The `retry_after` of
    a 429."""
    times: int | None = None
    probability: float = 1.0
    methods: tuple[str, ...] = ("POST", "PATCH", "DELETE", "PUT")
    path: str = "*"
    done: int = 0

    @property
    def instead(self) -> bool:
        """Whether it keeps the request from taking effect."""
        return bool(self.status) and (not self.after or self.status == 429)

    def takes(self, method: str, path: str, dice: random.Random) -> bool:
        if method not in self.methods or not fnmatch.fnmatch(path, self.path):
            return False
        if (self.times is not None and self.done >= self.times) or (
            self.probability < 1 and dice.random() >= self.probability
        ):
            return False
        self.done += 1
        return True


NO_FAULT = Fault(status=0)


@dataclass
class Bucket:
    """So many requests in a window of real time."""

    limit: int
    seconds: float
    used: int = 0
    ends: float = 0.0

    def take(self) -> bool:
        now = time.monotonic()
        if now >= self.ends:
            self.used, self.ends = 0, now + self.seconds
        self.used += 1
        return self.used <= self.limit

    @property
    def reset_after(self) -> float:
        return max(0.0, self.ends - time.monotonic())

    def headers(self, name: str) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(0, self.limit - self.used)),
            "X-RateLimit-Reset": f"{time.time() + self.reset_after:.3f}",
            "X-RateLimit-Reset-After": f"{self.reset_after:.3f}",
            "X-RateLimit-Bucket": name,
        }


@dataclass
class Call:
    """One request, read."""

    parts: list[str]
    query: Mapping[str, str]
    body: Any
    files: list[File]


@dataclass
class Rest:
    state: State
    gateway: Gateway
    base_url: str
    dice: random.Random
    limit: int = 5
    window_seconds: float = 2.0
    """Of every bucket; Discord publishes none, these are its usual ones of webhooks."""
    faults: list[Fault] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Answers by method, kind of path and status."""
    buckets: dict[str, Bucket] = field(default_factory=dict)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix(PREFIX)
        kind = _kind(path)
        headers: CIMultiDict[str] = CIMultiDict()
        fault = self._fault(request.method, path)
        try:
            if fault is not None and fault.instead:
                raise self._failure(fault)
            headers.update(self._limits(request.method, path, kind))
            status, answer = await self._answer(request, path, fault or NO_FAULT)
            if fault is not None and (fault.status or fault.cut):
                raise self._failure(fault)
        except Refused as refused:
            status = refused.status
            answer = {"code": refused.code, "message": refused.words}
        except Limited as limited:
            status, answer = 429, limited.answer
            headers.update(limited.headers)
        except Cut:
            self.counts[f"{request.method} {kind} cut"] += 1
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        self.counts[f"{request.method} {kind} {status}"] += 1
        if answer is None:
            return web.Response(status=204, headers=headers)
        # discord.py decodes this exact content type alone.
        body = json.dumps(answer).encode()
        headers["Content-Type"] = "application/json"
        return web.Response(status=status, body=body, headers=headers)

    def _fault(self, method: str, path: str) -> Fault | None:
        return next((f for f in self.faults if f.takes(method, path, self.dice)), None)

    def _failure(self, fault: Fault) -> Exception:
        if fault.cut:
            return Cut()
        if fault.status == 429:
            return Limited(fault.seconds, {"X-RateLimit-Scope": "shared"})
        return Refused(fault.status, 0, f"{fault.status}: on order")

    def _limits(self, method: str, path: str, kind: str) -> dict[str, str]:
        """The headers of the bucket that this request has a place in. Raises Limited."""
        parts = path.strip("/").split("/")
        if parts[0] not in FREE:
            over_all = self.buckets.setdefault("*", Bucket(GLOBAL_LIMIT, 1.0))
            if not over_all.take():
                raise Limited(over_all.reset_after, {"X-RateLimit-Global": "true"}, over_all=True)
        # The major parameter: channel, or webhook with its token.
        major = "/".join(parts[1 : 3 if parts[0] in FREE else 2])
        name = f"{method} {kind}"
        bucket = self.buckets.get(f"{name} {major}")
        if bucket is None:
            bucket = Bucket(self.limit, self.window_seconds)
            self.buckets[f"{name} {major}"] = bucket
        taken, headers = bucket.take(), bucket.headers(name)
        if not taken:
            raise Limited(bucket.reset_after, {**headers, "X-RateLimit-Scope": "user"})
        return headers

    async def _answer(self, request: web.Request, path: str, fault: Fault) -> tuple[int, Any]:
        parts = path.strip("/").split("/")
        try:
            body, files = await self._read(request)
        except ConnectionResetError:
            raise Cut from None  # Whoever sent it was killed half-way.
        self._check(request.method, path, body, [len(file.data) for file in files])
        token = request.headers.get("Authorization", "").removeprefix("Bot ")
        good = bool(token) and self.state.token in ("", token) and not self.state.revoked
        if parts[0] not in FREE and not good:
            raise Refused(401, 0, "401: Unauthorized")
        call = Call(parts, request.query, body, files)
        before, after = (0, fault.seconds) if fault.after else (fault.seconds, 0)
        await asyncio.sleep(before)
        answer = await self._route(request.method, parts)(call)
        await asyncio.sleep(after)
        return answer

    async def _read(self, request: web.Request) -> tuple[Any, list[File]]:
        if request.content_type != "multipart/form-data":
            data = await request.read()
            return (json.loads(data) if data else None), []
        body: Any = None
        data_of: dict[int, tuple[str, bytes]] = {}
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or part.name is None:
                continue
            data = bytes(await part.read())
            if part.name == "payload_json":
                body = json.loads(data)
            elif part.name.startswith("files["):
                data_of[int(part.name[6:-1])] = (part.filename or "", data)
        given = body.get("data", body) if isinstance(body, dict) and "type" in body else body
        entries = {int(a["id"]): a for a in (given or {}).get("attachments") or []}
        files = [
            File(
                id=self.state.snowflake(),
                filename=entries.get(n, {}).get("filename", name),
                data=data,
                description=entries.get(n, {}).get("description"),
            )
            for n, (name, data) in sorted(data_of.items())
        ]
        return body, files

    def _check(self, method: str, path: str, body: Any, sizes: list[int]) -> None:
        specs = spec_path()
        try:
            check_limits(method, path, body, sizes)
            if specs is not None:
                Api.load(specs).check(method, path, body, files=bool(sizes))
        except Violation as violation:
            self.violations.append(f"{method} {path}: {violation}")
            raise Refused(400, 50035, f"Invalid Form Body: {violation}") from None

    def _route(self, method: str, parts: list[str]) -> Callable[[Call], Awaitable[tuple[int, Any]]]:
        for wanted, pattern, handler in ROUTES:
            if wanted == method and _fits(pattern.strip("/").split("/"), parts):
                return lambda call: handler(self, call)
        raise Refused(404, 0, "404: Not Found")

    def message(self, message: Message) -> tuple[int, Any]:
        return 200, self.state.message_payload(message, self.base_url)

    # Routes.

    async def gateway_bot(self, _: Call) -> tuple[int, Any]:
        limit = {"total": 1000, "remaining": 999, "reset_after": 86_400_000, "max_concurrency": 1}
        return 200, {"url": self.gateway.address, "shards": 1, "session_start_limit": limit}

    async def me(self, _: Call) -> tuple[int, Any]:
        return 200, user_payload(APPLICATION)

    async def application(self, _: Call) -> tuple[int, Any]:
        return 200, {
            "id": str(APPLICATION),
            "name": "easel",
            "icon": None,
            "description": "",
            "bot_public": True,
            "bot_require_code_grant": False,
            "verify_key": "0" * 64,
            "owner": user_payload(OWNER),
            "flags": 0,
            "team": None,
        }

    async def put_commands(self, call: Call) -> tuple[int, Any]:
        self.state.commands = [
            {
                "id": str(5000 + index),
                "application_id": str(APPLICATION),
                "version": "1",
                "default_member_permissions": None,
                "type": 1,
                "description": "",
                **command,
            }
            for index, command in enumerate(call.body)
        ]
        return 200, self.state.commands

    async def answer(self, call: Call) -> tuple[int, Any]:
        id, token = int(call.parts[1]), call.parts[2]
        interaction = self.state.answer(id, token, call.body, call.files)
        original = self.state.messages.get(interaction.original_id or 0)
        answer: dict[str, Any] = {"interaction": {"id": str(id), "type": interaction.kind}}
        if original is not None:
            answer["interaction"] |= {
                "response_message_id": str(original.id),
                "response_message_loading": original.thinking,
                "response_message_ephemeral": original.only_for is not None,
            }
            if interaction.answer in (MESSAGE, DEFERRED_MESSAGE):
                message = self.state.message_payload(original, self.base_url)
                answer["resource"] = {"type": interaction.answer, "message": message}
        return 200, answer

    async def follow_up(self, call: Call) -> tuple[int, Any]:
        return self.message(self.state.follow_up(call.parts[2], call.body, call.files))

    async def get_by_token(self, call: Call) -> tuple[int, Any]:
        return self.message(self.state.of_interaction(call.parts[2], call.parts[4]))

    async def edit_by_token(self, call: Call) -> tuple[int, Any]:
        message = self.state.of_interaction(call.parts[2], call.parts[4])
        return self.message(self.state.edit(message, call.body, call.files))

    async def delete_by_token(self, call: Call) -> tuple[int, Any]:
        self.state.delete(self.state.of_interaction(call.parts[2], call.parts[4]))
        return 204, None

    async def direct(self, call: Call) -> tuple[int, Any]:
        user = int(call.body["recipient_id"])
        channel = channel_payload(self.state.direct_channel(user), direct=True)
        return 200, {**channel, "recipients": [user_payload(user)]}

    async def post(self, call: Call) -> tuple[int, Any]:
        return self.message(self.state.post(int(call.parts[1]), call.body, call.files))

    async def page(self, call: Call) -> tuple[int, Any]:
        messages = self.state.page(int(call.parts[1]), limit=int(call.query.get("limit", 50)))
        return 200, [self.state.message_payload(m, self.base_url) for m in messages]

    async def get(self, call: Call) -> tuple[int, Any]:
        return self.message(self.state.of_channel(int(call.parts[1]), int(call.parts[3])))

    async def edit(self, call: Call) -> tuple[int, Any]:
        message = self.state.of_channel(int(call.parts[1]), int(call.parts[3]))
        return self.message(self.state.edit(message, call.body, call.files))

    async def delete(self, call: Call) -> tuple[int, Any]:
        self.state.delete(self.state.of_channel(int(call.parts[1]), int(call.parts[3])))
        return 204, None

    async def download(self, request: web.Request) -> web.Response:
        fault = self._fault("GET", request.path) or NO_FAULT
        await asyncio.sleep(fault.seconds)
        file = self.state.uploads.get(int(request.match_info["id"]))
        if file is None:
            return web.Response(status=404)
        kind = attachment_payload(file, 0, "")["content_type"]
        return web.Response(body=file.data, content_type=kind)


ROUTES: list[tuple[str, str, Callable[[Rest, Call], Awaitable[tuple[int, Any]]]]] = [
    ("GET", "/gateway/bot", Rest.gateway_bot),
    ("GET", "/users/@me", Rest.me),
    ("GET", "/oauth2/applications/@me", Rest.application),
    ("PUT", "/applications/*/commands", Rest.put_commands),
    ("POST", "/interactions/*/*/callback", Rest.answer),
    ("POST", "/webhooks/*/*", Rest.follow_up),
    ("GET", "/webhooks/*/*/messages/*", Rest.get_by_token),
    ("PATCH", "/webhooks/*/*/messages/*", Rest.edit_by_token),
    ("DELETE", "/webhooks/*/*/messages/*", Rest.delete_by_token),
    ("POST", "/users/@me/channels", Rest.direct),
    ("POST", "/channels/*/messages", Rest.post),
    ("GET", "/channels/*/messages", Rest.page),
    ("GET", "/channels/*/messages/*", Rest.get),
    ("PATCH", "/channels/*/messages/*", Rest.edit),
    ("DELETE", "/channels/*/messages/*", Rest.delete),
]


class Cut(Exception):
    """No answer at all."""


class Limited(Exception):
    def __init__(self, seconds: float, headers: dict[str, str], *, over_all: bool = False) -> None:
        words = "You are being rate limited."
        self.answer = {"message": words, "retry_after": round(seconds, 3), "global": over_all}
        # Without `Via` discord.py takes it for a ban of the address.
        self.headers = {**headers, "Retry-After": f"{seconds:.3f}", "Via": "1.1 fake"}


def _fits(pattern: list[str], parts: list[str]) -> bool:
    return len(pattern) == len(parts) and all(
        wanted in ("*", part) for wanted, part in zip(pattern, parts, strict=True)
    )


def _kind(path: str) -> str:
    """The path without its ids: what is counted, and what shares a bucket."""
    parts = path.strip("/").split("/")
    if parts[0] in FREE and len(parts) > 2:
        parts[1:3] = ["*", "*"]
    return "/" + "/".join("*" if part.isdigit() else part for part in parts)
