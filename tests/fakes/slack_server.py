"""A Slack of our own, in a process of its own: `python -m tests.fakes.slack_server`.

The Web API is at `/api/`, Socket Mode where `apps.connections.open` says. Under `/control` tests
play the people and order what goes wrong; see `slack_client`. Prints its port when it listens, and
ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import sys
from typing import Any

from aiohttp import web

from tests.fakes.slack_methods import Methods
from tests.fakes.slack_people import People
from tests.fakes.slack_rest import Fault, Rest
from tests.fakes.slack_state import (
    BOT_USER,
    ENTERPRISE,
    SCOPES,
    TEAM,
    Channel,
    Installation,
    Message,
    Person,
    State,
    View,
)
from tests.fakes.slack_wire import EVENTS, Wire


class Control:
    """What `/control/<name>` does; arguments and results are JSON."""

    def __init__(self, state: State, rest: Rest, wire: Wire, people: People) -> None:
        self._state, self._rest, self._wire, self._people = state, rest, wire, people

    # The world.

    async def person(self, **given: Any) -> None:
        self._state.people[given["id"]] = Person(**given)

    async def channel(self, **given: Any) -> None:
        self._state.channels[given["id"]] = Channel(**given)

    async def direct_channel(self, *, user: str) -> str:
        return self._state.direct_channel(user).id

    async def file(self, *, name: str, data: str, user: str) -> str:
        return self._state.persons_file(name, base64.b64decode(data), user).id

    async def listen(self, *, url: str) -> None:
        """Where the app takes signed HTTP; empty is Socket Mode."""
        self._wire.request_url = url

    async def install(self, *, token: str, team: bool, enterprise: bool, scopes: str) -> None:
        """The app anew; without `team` in a whole organisation."""
        self._state.installations = {
            token: Installation(
                token=token,
                team_id=TEAM if team else None,
                enterprise_id=ENTERPRISE if enterprise or not team else None,
                scopes=set((scopes or SCOPES).split(",")),
            )
        }

    async def authorise(self, *, team: bool) -> str:
        """Somebody allows the app: an OAuth code."""
        code = self._state.id("code")
        self._state.codes[code] = TEAM if team else None
        return code

    async def settings(self, **given: Any) -> None:
        """Of the workspace: `uploads_allowed`, `upload_limit_bytes`, `ready_after_seconds`."""
        for name, value in given.items():
            if name not in ("uploads_allowed", "upload_limit_bytes", "ready_after_seconds"):
                raise ValueError(name)
            setattr(self._state, name, value)

    async def remove(self, *, channel: str, ts: str) -> None:
        """Somebody deletes a message."""
        self._state.delete(self._state.messages[channel, ts])

    async def remove_file(self, *, file: str) -> None:
        self._state.files[file].deleted = True

    # What goes wrong.

    async def fault(self, **given: Any) -> None:
        if "methods" in given:
            given["methods"] = tuple(given["methods"])
        self._rest.faults.append(Fault(**given))

    async def clear_faults(self) -> int:
        """How many requests they have hit."""
        hit = sum(fault.done for fault in self._rest.faults)
        self._rest.faults.clear()
        return hit

    async def loosen(self, *, factor: float) -> None:
        """All rates, by this factor, from now on."""
        self._rest.looseness = factor
        self._rest.allowances.clear()

    async def drop(self) -> None:
        await self._wire.drop()

    async def refresh(self) -> None:
        await self._wire.refresh()

    async def revoke(self, *, app_token: bool) -> None:
        """The app is thrown out; with `app_token` no new socket opens either."""
        for installation in self._state.installations.values():
            installation.revoked = True
        self._state.app_token_revoked = app_token
        self._people.uninstalled()

    async def redeliver(self, *, delivery: str, times: int) -> None:
        self._wire.redeliver(delivery, times)

    async def forge(
        self, *, kind: str, payload: dict[str, Any], secret: str, age_seconds: float
    ) -> dict[str, Any]:
        """A request of somebody's own making."""
        return await self._wire.request(kind, payload, secret=secret, age_seconds=age_seconds)

    async def verify_url(self) -> dict[str, Any]:
        """What Slack asks of a new request URL."""
        challenge = {"type": "url_verification", "token": "", "challenge": "3eZbrw1aB"}
        return await self._wire.request(EVENTS, challenge)

    async def move_clock(self, *, seconds: float) -> float:
        self._state.offset_seconds += seconds
        return self._state.offset_seconds

    # What there is to see.

    async def seen(self, *, channel: str, user: str, thread: str | None) -> list[dict[str, Any]]:
        return self._state.seen(channel, user, thread)

    async def history(self) -> list[dict[str, Any]]:
        """Every message that ever was, with all that it said."""
        messages = self._state.messages.values()
        return [{**self._state.look(m), "versions": m.versions} for m in messages]

    async def message(self, *, channel: str, ts: str) -> dict[str, Any]:
        """As the bot wrote it."""
        message: Message = self._state.messages[channel, ts]
        return {"text": message.text, "blocks": message.blocks}

    async def modal(self, *, user: str) -> dict[str, Any] | None:
        """The one on top."""
        views = [v for v in self._state.views.values() if v.user == user and not v.closed]
        return self._state.see_view(views[-1]) if views else None

    async def home(self, *, user: str) -> dict[str, Any] | None:
        view: View | None = self._state.homes.get(user)
        return self._state.see_view(view) if view else None

    async def files(self) -> list[dict[str, Any]]:
        """All that the bot has uploaded and that is still there."""
        self._state.share_what_is_ready()
        return [
            {**self._state.look_file(f.id), "shares": f.shares}
            for f in self._state.files.values()
            if f.user == BOT_USER and not f.deleted
        ]

    async def delivery(self, *, delivery: str) -> dict[str, Any]:
        told = self._wire.deliveries[delivery]
        first = told.acknowledged
        return {
            "acknowledged": first is not None,
            "acknowledged_after_seconds": first.seconds if first else None,
            "answer": first.body if first else None,
            "attempts": [vars(attempt) for attempt in told.attempts],
            "done": all(a.failure or a.seconds is not None for a in told.attempts),
            "payload": told.payload,
        }

    async def status(self) -> dict[str, Any]:
        return {
            "connected": len(self._wire.sockets),
            "opened": self._wire.opened,
            "counts": dict(self._rest.counts),
            "faults_hit": sum(fault.done for fault in self._rest.faults),
            "violations": self._state.violations,
        }


PEOPLE = (
    "command",
    "press",
    "press_in_view",
    "submit",
    "close",
    "shortcut",
    "message_shortcut",
    "say",
    "open_home",
)


class World:
    """One Slack; `reset` puts another in its place at the same address."""

    def __init__(self, seed: int, tokens: tuple[str, str], secret: str, address: str) -> None:
        state = State(*tokens)
        self.wire = Wire(state, secret, f"ws://{address}/link")
        methods = Methods(state, self.wire.socket_address, f"http://{address}")
        self.rest = Rest(state, methods, random.Random(seed))
        self.people = People(state, methods, self.wire)
        state.written_directly = self.people.tell_message
        self.control = Control(state, self.rest, self.wire, self.people)
        self._retries = asyncio.create_task(self.wire.retry_loop())

    async def close(self) -> None:
        self._retries.cancel()
        await self.wire.close()


class Server:
    def __init__(self, tokens: tuple[str, str], secret: str) -> None:
        self._given = tokens, secret
        self._address = ""
        self._world: World | None = None

    @property
    def world(self) -> World:
        assert self._world is not None
        return self._world

    def begin(self, seed: int, address: str) -> None:
        self._address = address
        self._world = World(seed, *self._given, address)

    async def control(self, request: web.Request) -> web.Response:
        name, given = request.match_info["verb"].lstrip("_"), await request.json()
        try:
            if name == "reset":
                await self.world.close()
                self.begin(given["seed"], self._address)
                return web.json_response({"result": None})
            if name in PEOPLE:
                return web.json_response({"result": getattr(self.world.people, name)(**given)})
            return web.json_response({"result": await getattr(self.world.control, name)(**given)})
        except Exception as error:
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)

    def routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/control/{verb}", self.control)
        router.add_get("/link", lambda request: self.world.wire.serve(request))
        router.add_route("*", "/api/{method}", lambda request: self.world.rest.serve(request))
        router.add_post("/upload/v1/{id}", lambda request: self.world.rest.upload(request))
        files = "/files-pri/{id}/{path:.*}"
        router.add_get(files, lambda request: self.world.rest.download(request))
        router.add_get("/login", lambda request: self.world.rest.login(request))
        router.add_post("/response/{token}", lambda request: self.world.rest.respond(request))


async def serve(port: int, seed: int, tokens: tuple[str, str], secret: str) -> None:
    server = Server(tokens, secret)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    server.routes(app.router)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    bound = runner.addresses[0][1]
    server.begin(seed, f"127.0.0.1:{bound}")
    print(json.dumps({"port": bound}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.world.close()


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--bot-token", required=True)
    arguments.add_argument("--app-token", required=True)
    arguments.add_argument("--signing-secret", required=True)
    given = arguments.parse_args()
    tokens = (given.bot_token, given.app_token)
    asyncio.run(serve(given.port, given.seed, tokens, given.signing_secret))


if __name__ == "__main__":
    main()
