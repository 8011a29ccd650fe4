"""A TCP proxy in front of a server, which can be taken away and come back."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Runs in a thread of its own, so that code which blocks can talk through it."""

    def __init__(self, url: str, default_port: int) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or default_port)
        self._connections: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy of {url}")
        self._thread.start()
        self._port = 0
        self._run(self._listen())
        at = parts.netloc.rpartition("@")[0]
        host = f"127.0.0.1:{self._port}"
        self.url = urlunsplit(parts._replace(netloc=f"{at}@{host}" if at else host))

    @contextmanager
    def gone(self) -> Iterator[None]:
        """Connections are cut, new ones refused."""
        self._run(self._close())
        try:
            yield
        finally:
            self._run(self._listen())

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Nothing is cut, and nothing answers."""
        self._loop.call_soon_threadsafe(self._flows.clear)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._flows.set)

    def close(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, act: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(act, self._loop).result(10)

    async def _listen(self) -> None:
        """Lets in by itself: asyncio's server leaves open whom it lets in while it is closed."""
        self._door = socket.create_server(("127.0.0.1", self._port))
        self._door.setblocking(False)
        self._port = self._door.getsockname()[1]
        self._loop.add_reader(self._door, self._let_in, self._door)

    def _let_in(self, door: socket.socket) -> None:
        with suppress(OSError):  # Who knocked is gone already.
            connection, _ = door.accept()
            task = self._loop.create_task(self._serve(connection, door))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _close(self) -> None:
        self._loop.remove_reader(self._door)
        self._door.close()
        for writer in self._connections:
            writer.transport.abort()

    async def _end(self) -> None:
        await self._close()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, connection: socket.socket, door: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, server_writer}
        self._connections |= both
        pumps = [
            asyncio.create_task(self._pump(reader, server_writer)),
            asyncio.create_task(self._pump(server_reader, writer)),
        ]
        if door.fileno() >= 0:  # Else it was closed meanwhile.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for end in both:
            end.transport.abort()
        self._connections -= both

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
