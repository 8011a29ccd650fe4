"""A Discord of our own, in a process of its own: `python -m tests.fakes.discord_server`.

REST and gateway are what discord.py finds at `EASEL_DISCORD_API_URL` and
`EASEL_DISCORD_GATEWAY_URL`. Under `/control` tests play the people and order what goes wrong; see
`discord_client`. Prints its port when it listens, and ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import secrets
import sys
from typing import Any

from aiohttp import web

from tests.fakes.discord_gateway import AUTHENTICATION_FAILED, Gateway
from tests.fakes.discord_rest import PREFIX, Fault, Rest
from tests.fakes.discord_state import (
    ALL_PERMISSIONS,
    ANSWER_SECONDS,
    APPLICATION,
    COMMAND,
    COMPONENT,
    GUILD,
    MODAL_SUBMIT,
    UPLOAD_LIMIT_BYTES,
    File,
    Interaction,
    Message,
    State,
    attachment_payload,
    channel_payload,
    member_payload,
    user_payload,
)

ATTACHMENT_OPTION, GROUPS = 11, (1, 2)
LABEL, TEXT_INPUT, BUTTON = 18, 4, 2


class Control:
    """What `/control/<name>` does; arguments and results are JSON."""

    def __init__(self, state: State, rest: Rest, gateway: Gateway) -> None:
        self._state, self._rest, self._gateway = state, rest, gateway

    # What people do. Each returns the interaction's id.

    async def command(
        self,
        *,
        name: str,
        options: dict[str, Any],
        user: int,
        channel: int,
        locale: str,
        files: dict[str, list[str]],
    ) -> str:
        """`files`: option → [file name, base64]. The bot must have registered name and options."""
        root, *path = name.split()
        command = next((c for c in self._state.commands if c["name"] == root), None)
        if command is None:
            raise ValueError(f"the bot has no command {root}")
        node, above = command, []
        for step in path:
            node = next(o for o in node.get("options", []) if o["name"] == step)
            above.append({"name": step, "type": node["type"]})
        types = {o["name"]: o["type"] for o in node.get("options", []) if o["type"] not in GROUPS}
        given, attachments = dict(options), {}
        for option, (file_name, data) in files.items():
            file = File(id=self._state.snowflake(), filename=file_name, data=base64.b64decode(data))
            self._state.uploads[file.id] = file
            given[option] = str(file.id)
            attachments[str(file.id)] = attachment_payload(file, channel, self._rest.base_url)
        chosen = [{"name": n, "type": types[n], "value": v} for n, v in given.items()]
        for group in reversed(above):
            chosen = [{**group, "options": chosen}]
        data = {"id": command["id"], "name": root, "type": 1, "options": chosen}
        if attachments:
            data["resolved"] = {"attachments": attachments}
        return await self._interact(COMMAND, data, user, channel, locale)

    async def press(
        self, *, message: int, custom_id: str, user: int, values: list[str], locale: str
    ) -> str:
        """A button, or a select with `values`; it must be on the message."""
        shown = self._state.messages[message]
        if custom_id not in self._state.look(shown)["custom_ids"]:
            raise ValueError(f"there is no {custom_id} on the message")
        data: dict[str, Any] = {"custom_id": custom_id, "component_type": 3 if values else BUTTON}
        if values:
            data["values"] = values
        return await self._interact(COMPONENT, data, user, shown.channel_id, locale, shown)

    async def submit(
        self, *, interaction: int, values: dict[str, str], user: int, locale: str
    ) -> str:
        """The modal with which this interaction was answered."""
        opener = self._state.interactions[interaction]
        boxes = [
            {"type": LABEL, "component": {"type": TEXT_INPUT, "custom_id": name, "value": value}}
            for name, value in values.items()
        ]
        data = {"custom_id": opener.answer_data["custom_id"], "components": boxes}
        source = self._state.messages.get(opener.source_message_id or 0)
        return await self._interact(MODAL_SUBMIT, data, user, opener.channel_id, locale, source)

    async def _interact(
        self,
        kind: int,
        data: dict[str, Any],
        user: int,
        channel: int,
        locale: str,
        source: Message | None = None,
    ) -> str:
        id = self._state.snowflake()
        direct = channel in self._state.direct.values()
        payload: dict[str, Any] = {
            "id": str(id),
            "application_id": str(APPLICATION),
            "type": kind,
            "token": secrets.token_hex(16),
            "version": 1,
            "data": data,
            "channel_id": str(channel),
            "channel": channel_payload(channel, direct=direct),
            "locale": locale,
            "entitlements": [],
            "authorizing_integration_owners": {"0": "0" if direct else str(GUILD)},
            "context": 1 if direct else 0,
            "attachment_size_limit": UPLOAD_LIMIT_BYTES,
            "app_permissions": ALL_PERMISSIONS,
        }
        if direct:
            payload["user"] = user_payload(user)
        else:
            member = member_payload(user)
            payload |= {"guild_id": str(GUILD), "guild_locale": "en-US", "member": member}
        if source is not None:
            payload["message"] = self._state.message_payload(source, self._rest.base_url)
        self._state.interactions[id] = Interaction(
            id=id,
            token=payload["token"],
            kind=kind,
            channel_id=channel,
            user_id=user,
            created_at=self._state.now(),
            payload=payload,
            source_message_id=source.id if source else None,
        )
        await self._gateway.dispatch("INTERACTION_CREATE", payload)
        return str(id)

    async def redeliver(self, *, interaction: int, times: int) -> None:
        payload = self._state.interactions[interaction].payload
        for _ in range(times):
            await self._gateway.dispatch("INTERACTION_CREATE", payload)

    async def close_direct(self, *, user: int) -> None:
        self._state.closed_to.add(user)

    async def remove(self, *, message: int) -> None:
        """Somebody deletes a message."""
        self._state.delete(self._state.messages[message])

    # What goes wrong.

    async def fault(self, **given: Any) -> None:
        if "methods" in given:
            given["methods"] = tuple(given["methods"])
        self._rest.faults.append(Fault(**given))

    async def clear_faults(self) -> None:
        self._rest.faults.clear()

    async def limits(self, *, requests: int, seconds: float) -> None:
        """Of every bucket from now on."""
        self._rest.limit, self._rest.window_seconds = requests, seconds
        self._rest.buckets.clear()

    async def drop(self, *, code: int, forget: bool) -> None:
        await self._gateway.drop(code=code, forget=forget)

    async def revoke(self) -> None:
        self._state.revoked = True
        await self._gateway.drop(code=AUTHENTICATION_FAILED, forget=True)

    async def restore(self, *, token: str) -> None:
        """A new bot token; the old one stays dead."""
        self._state.revoked, self._state.token = False, token

    async def move_clock(self, *, seconds: float) -> float:
        self._state.offset_seconds += seconds
        return self._state.offset_seconds

    # What there is to see.

    async def seen(self, *, channel: int, user: int) -> list[dict[str, Any]]:
        return self._state.seen(channel, user)

    async def seen_direct(self, *, user: int) -> list[dict[str, Any]]:
        return self._state.seen(self._state.direct.get(user, 0), user)

    async def history(self) -> list[dict[str, Any]]:
        """Every message that ever was, with all that it said."""
        messages = self._state.messages.values()
        return [{**self._state.look(m), "versions": m.versions} for m in messages]

    async def interaction(self, *, interaction: int) -> dict[str, Any]:
        it = self._state.interactions[interaction]
        after = it.answered_at - it.created_at if it.answered_at is not None else None
        unanswered = after is None and self._state.now() - it.created_at > ANSWER_SECONDS
        return {
            "answer": it.answer,
            "answered_after_seconds": after,
            "did_not_respond": unanswered,
            "message_id": str(it.original_id or ""),
            "follow_ups": [str(id) for id in it.follow_ups],
            "modal": it.answer_data if it.answer == 9 else None,
        }

    async def status(self) -> dict[str, Any]:
        return {
            "connected": self._gateway.connected,
            "identified": self._gateway.identified,
            "resumed": self._gateway.resumed,
            "commands": [command["name"] for command in self._state.commands],
            "counts": dict(self._rest.counts),
            "faults_hit": sum(fault.done for fault in self._rest.faults),
            "violations": self._rest.violations,
        }


async def _control(request: web.Request) -> web.Response:
    control: Control = request.app["control"]
    verb = getattr(control, request.match_info["verb"].lstrip("_"), None)
    if verb is None:
        return web.json_response({"error": "unknown verb"}, status=404)
    try:
        return web.json_response({"result": await verb(**await request.json())})
    except Exception as error:
        return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)


async def serve(port: int, seed: int, token: str) -> None:
    state = State()
    state.token = token
    app = web.Application(client_max_size=64 * 1024 * 1024)
    runner = web.AppRunner(app, access_log=None)
    gateway = Gateway(state, "")
    rest = Rest(state, gateway, "", random.Random(seed))
    app["control"] = Control(state, rest, gateway)
    app.router.add_post("/control/{verb}", _control)
    app.router.add_get("/gateway", gateway.serve)
    app.router.add_get("/gateway/", gateway.serve)
    app.router.add_get("/attachments/{channel}/{id}/{name}", rest.download)
    app.router.add_route("*", f"{PREFIX}/{{path:.*}}", rest.serve)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    bound = runner.addresses[0][1]
    gateway.address = f"ws://127.0.0.1:{bound}/gateway"
    rest.base_url = f"http://127.0.0.1:{bound}"
    print(json.dumps({"port": bound}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--token", default="", help="The good bot token; empty takes any.")
    given = arguments.parse_args()
    asyncio.run(serve(given.port, given.seed, given.token))


if __name__ == "__main__":
    main()
