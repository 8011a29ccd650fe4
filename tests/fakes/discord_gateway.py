"""The gateway of the fake Discord: sessions that can be dropped and resumed.

Opcodes and close codes: Discord's developer page "Opcodes and Status Codes".
"""

from __future__ import annotations

import asyncio
import json
import secrets
import zlib
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.fakes.discord_state import APPLICATION, GUILD, State, guild_payload, user_payload

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, INVALID_SESSION, HELLO, HEARTBEAT_ACK = 0, 1, 2, 6, 9, 10, 11
AUTHENTICATION_FAILED = 4004
HEARTBEAT_MS = 41_250


class Socket:
    """One connection, compressed when the client asked for it."""

    def __init__(self, ws: web.WebSocketResponse, *, compressed: bool) -> None:
        self._ws = ws
        self._deflate = zlib.compressobj() if compressed else None

    async def send(self, message: dict[str, Any]) -> None:
        text = json.dumps(message)
        if self._deflate is None:
            await self._ws.send_str(text)
        else:
            data = self._deflate.compress(text.encode()) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
            await self._ws.send_bytes(data)

    async def close(self, code: int) -> None:
        await self._ws.close(code=code)


@dataclass
class Session:
    """Outlives its connection, with what was sent since, until it is forgotten."""

    id: str
    socket: Socket | None = None
    events: list[dict[str, Any]] = field(default_factory=list)


class Gateway:
    def __init__(self, state: State, address: str) -> None:
        self._state = state
        self.address = address
        self.sessions: dict[str, Session] = {}
        self.identified = self.resumed = 0

    @property
    def connected(self) -> int:
        return sum(session.socket is not None for session in self.sessions.values())

    async def dispatch(self, event: str, data: dict[str, Any]) -> None:
        """To every session; one that is without a connection gets it when it resumes."""
        for session in list(self.sessions.values()):
            await self._send(session, event, data)

    async def drop(self, *, code: int, forget: bool) -> None:
        """End all connections; `forget` their sessions too, so that none can be resumed."""
        sockets = [s.socket for s in self.sessions.values() if s.socket]
        if forget:
            self.sessions.clear()
        await asyncio.gather(*(socket.close(code) for socket in sockets))

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(heartbeat=None, autoping=True)
        await ws.prepare(request)
        compressed = request.query.get("compress") == "zlib-stream"
        socket, session = Socket(ws, compressed=compressed), None
        await socket.send({"op": HELLO, "d": {"heartbeat_interval": HEARTBEAT_MS}})
        try:
            async for message in ws:
                if message.type is not WSMsgType.TEXT:
                    continue
                given = message.json()
                if given["op"] == HEARTBEAT:
                    await socket.send({"op": HEARTBEAT_ACK})
                elif given["op"] in (IDENTIFY, RESUME):
                    if not self._takes(given["d"]["token"]):
                        await socket.close(AUTHENTICATION_FAILED)
                        break
                    start = self._identify if given["op"] == IDENTIFY else self._resume
                    session = await start(socket, given["d"])
        finally:
            # A killed process leaves its session behind, which nobody resumes.
            if session is not None and session.socket is socket:
                session.socket = None
        return ws

    def _takes(self, token: str) -> bool:
        return not self._state.revoked and self._state.token in ("", token)

    async def _identify(self, socket: Socket, _given: dict[str, Any]) -> Session:
        session = Session(secrets.token_hex(8), socket)
        self.sessions[session.id] = session
        self.identified += 1
        ready = {
            "v": 10,
            "user": user_payload(APPLICATION),
            "guilds": [{"id": str(GUILD), "unavailable": True}],
            "session_id": session.id,
            "resume_gateway_url": self.address,
            "application": {"id": str(APPLICATION), "flags": 0},
        }
        await self._send(session, "READY", ready)
        await self._send(session, "GUILD_CREATE", guild_payload())
        return session

    async def _resume(self, socket: Socket, given: dict[str, Any]) -> Session | None:
        session = self.sessions.get(given["session_id"])
        if session is None:
            await socket.send({"op": INVALID_SESSION, "d": False})
            return None
        session.socket = socket
        self.resumed += 1
        for event in session.events[given["seq"] or 0 :]:
            await socket.send(event)
        await self._send(session, "RESUMED", {})
        return session

    async def _send(self, session: Session, event: str, data: dict[str, Any]) -> None:
        message = {"op": DISPATCH, "t": event, "s": len(session.events) + 1, "d": data}
        session.events.append(message)
        if session.socket is not None:
            try:
                await session.socket.send(message)
            except (ConnectionError, RuntimeError):
                session.socket = None  # It is closing.
