"""One person's words through the whole line, from a Discord in memory to a real worker process,
with all logs at DEBUG; then what was left of them where they have no business, as files.

`python -m tests.hostile.journey FOLDER DATABASE_URL BROKER_URL`: each file of FOLDER/told is what
one place told; `rows` and `data` hold what was stored, before and after `forget` and `restore`.
"""

import asyncio
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy
from celery import Celery
from PIL import Image
from simcord import Env
from sqlalchemy import inspect, text

from bot.compose import build_line
from bot.core.line import Line
from bot.demo import WallClock
from bot.discord.app import create_bot
from bot.reaper import Reaper
from bot.watch import watched
from storage import backup, doorbell, forget, logs, restore
from storage.blobs import Blobs, open_blobs
from storage.database import Database
from storage.domain import JobState
from storage.log import LogEntry
from storage.settings import Settings
from tests.fakes.discord_world import World
from tests.fakes.nouns import account
from tests.hostile.failing_worker import WORD

CANARY = "canary5309wort"
PATIENCE_SECONDS = 400.0
FORGOTTEN_WITHIN_SECONDS = 60.0
"""What `/privacy delete` promises."""


class Told:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def __call__(self, place: str, what: object) -> None:
        with (self.folder / place).open("a") as out:
            out.write(f"{what if isinstance(what, str) else repr(what)}\n")


async def until(what: str, found: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    end = time.monotonic() + seconds
    while not (value := await asyncio.to_thread(found)):
        if time.monotonic() > end:
            raise TimeoutError(what)
        await asyncio.sleep(0.1)
    return value


@contextmanager
def worker(settings: Settings, told: Told, address: str) -> Iterator[None]:
    given = {"DATA_FOLDER": str(settings.data_folder), "DATABASE_URL": settings.database_url,
             "BROKER_URL": settings.broker_url, "LOG_LEVEL": "DEBUG",
             "HEALTH_ADDRESS": address, "PARENT_PID": str(os.getpid())}  # fmt: skip
    environment = os.environ | {f"EASEL_{name}": value for name, value in given.items()}
    with (told.folder / "worker log").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.failing_worker"],
            env=environment,
            stdout=out,
            stderr=out,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def broker_holds(settings: Settings) -> list[Any]:
    """Everything that waits in the broker, headers and all."""
    if settings.broker_url.startswith("redis"):
        from redis import Redis

        redis = Redis.from_url(settings.broker_url)
        kinds = {b"list": lambda k: redis.lrange(k, 0, -1), b"set": redis.smembers,
                 b"hash": redis.hgetall, b"zset": lambda k: redis.zrange(k, 0, -1)}  # fmt: skip
        return [(key, kinds.get(redis.type(key), redis.get)(key)) for key in redis.scan_iter()]
    if settings.broker_url.startswith("amqp"):
        app = doorbell.create_app(settings, ("builtin",))
        with app.connection_for_read() as connection:
            channel = connection.default_channel
            message = channel.basic_get(doorbell.queue_name("builtin"), no_ack=False)
            held = [message.body, message.headers, message.properties] if message else []
            if message:
                channel.basic_reject(message.delivery_tag, requeue=True)
            return held
    return [(p.name, p.read_bytes()) for p in _files(settings.data_folder / "broker")]


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def listen(app: Celery, told: Told, stop: threading.Event) -> threading.Thread:
    def hear() -> None:
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": lambda e: told("events", e)})
            while not stop.is_set():
                try:
                    receiver.capture(limit=None, timeout=0.5, wakeup=False)
                except TimeoutError:
                    continue

    thread = threading.Thread(target=hear, daemon=True)
    thread.start()
    return thread


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def metrics(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics") as answer:
        return str(answer.read().decode())


def rows(database: Database) -> str:
    """All that the database holds, table by table."""
    with database.engine.connect() as connection:
        names = inspect(connection).get_table_names()
        found = {name: connection.execute(text(f'select * from "{name}"')).all() for name in names}
    return repr(found)


def stored(database: Database, settings: Settings, blobs: Blobs) -> dict[str, int]:
    """How often the words stand in rows and in files, and how many pictures there are."""
    # The log of SQLite belongs to its files, and so does what its pages have free.
    files = [p for p in _files(settings.data_folder) if not p.name.endswith((".log", ".tar"))]
    return {
        "rows": rows(database).count(CANARY),
        "files": sum(path.read_bytes().count(CANARY.encode()) for path in files),
        "pictures": sum(1 for _ in blobs.all()),
    }


class Journey:
    def __init__(self, folder: Path, settings: Settings) -> None:
        self.told = Told(folder / "told")
        self.settings = settings
        self.worker_address = free_address()
        self.line: Line = build_line(settings)

    async def run(self) -> dict[str, Any]:
        env = Env(create_bot(self.settings, self.line), check_errors=False)
        env.backend.clock = WallClock()
        await env.start()
        world = World(env, self.line, None)  # type: ignore[arg-type]
        person = str(world.alice.id)
        with watched(self.line):
            await self._ask(world, f"a cat {CANARY}")
            self.told("broker", broker_holds(self.settings))
            with worker(self.settings, self.told, self.worker_address):
                await self._walk(world)
                before = stored(self.line.database, self.settings, self.line.blobs)
                file = self.settings.data_folder / "saved.tar"
                await asyncio.to_thread(backup.backup, self.line.database, self.line.blobs, file)
                after = await self._forget(person)
        await env.shutdown()
        return {"before": before, "after": after, "restored": self._restore(file)}

    async def _ask(self, world: World, prompt: str) -> None:
        reference = io.BytesIO()
        Image.new("RGB", (64, 64), "gold").save(reference, "PNG")
        attached = (f"{CANARY}.png", reference.getvalue())
        said = await world.imagine(
            prompt, negative=f"dog {CANARY}", reference=attached, steps=2, strength=0.6
        )
        self.told("told in the chat", said)

    async def _finished(self, world: World) -> LogEntry:
        end = time.monotonic() + PATIENCE_SECONDS
        while not (entry := world.entry).state.finished:
            if time.monotonic() > end:
                raise TimeoutError(repr(entry))
            await Reaper(self.line).step()
            await world.deliver()
            await asyncio.sleep(0.1)
        await world.deliver()
        return entry

    async def _walk(self, world: World) -> None:
        app = doorbell.create_app(self.settings, ("builtin",))
        assert (await self._finished(world)).state is JobState.MADE
        stop = threading.Event()
        thread = listen(app, self.told, stop)
        app.control.enable_events()
        await self._ask(world, f"{WORD} cat {CANARY}")
        assert (await self._finished(world)).state is JobState.FAILED
        await self._fail_here(world)
        await self._ask(world, f"a dog {CANARY}")
        for name in ("active", "reserved", "stats", "conf", "report"):
            self.told("inspect", await asyncio.to_thread(getattr(app.control.inspect(), name)))
        assert (await self._finished(world)).state is JobState.MADE
        self.told("broker", broker_holds(self.settings))
        for address in (self.worker_address, self.settings.health_address):
            self.told("metrics", await asyncio.to_thread(metrics, address))
        heard = self.told.folder / "events"
        await until("no event of a task", lambda: "task-" in heard.read_text())
        stop.set()
        thread.join(10)

    async def _fail_here(self, world: World) -> None:
        """What breaks in the chat process has the words in its message, and nobody catches it."""
        real = Line._take

        async def broken(_: Line, request: Any, *__: Any) -> UUID:
            raise RuntimeError(f"cannot take {request}")

        Line._take = broken  # type: ignore[method-assign, assignment]
        await self._ask(world, f"a bird {CANARY}")
        Line._take = real  # type: ignore[method-assign]

        async def nobody() -> None:
            raise RuntimeError(CANARY)

        task = asyncio.create_task(nobody())
        await asyncio.sleep(0)
        del task

    async def _forget(self, person: str) -> dict[str, int]:
        """With the worker still there, as it is in life."""
        line = self.line
        reaper = asyncio.create_task(Reaper(line).run())
        start = time.monotonic()
        await asyncio.to_thread(
            forget.forget, line.database, line.blobs, account(person), keep=timedelta()
        )
        found: dict[str, int] = {}

        def gone() -> bool:
            found.update(stored(line.database, self.settings, line.blobs))
            return not any(found.values())

        with suppress(TimeoutError):
            await until("words are left", gone, FORGOTTEN_WITHIN_SECONDS)
        self.told("time", f"{time.monotonic() - start:.1f} s to forget")
        reaper.cancel()
        await asyncio.gather(reaper, return_exceptions=True)
        return found

    def _restore(self, file: Path) -> dict[str, int]:
        """Into an empty database, with the pictures of before."""
        self.line.database.close()
        url = self.settings.resolved_database_url
        if url.startswith("sqlite"):
            for path in self.settings.data_folder.glob("easel.db*"):
                path.unlink()
        else:
            engine = sqlalchemy.create_engine(url)
            with engine.begin() as connection:
                connection.execute(text("drop schema public cascade"))
                connection.execute(text("create schema public"))
            engine.dispose()
        database, blobs = Database(url), open_blobs(self.settings)
        report = restore.restore(file, database, blobs)
        database.checkpoint()
        found = stored(database, self.settings, blobs)
        with database.read() as session:
            jobs = session.scalar(text("select count(*) from jobs"))
        database.close()
        return found | {"people": report.forgotten, "jobs": int(jobs or 0)}


def main() -> None:
    folder = Path(sys.argv[1])
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        data_folder=folder / "data",
        database_url=sys.argv[2],
        broker_url=sys.argv[3],
        log_level="DEBUG",
        health_address=free_address(),
    )
    settings.data_folder.mkdir()
    logs.configure(settings)
    found = asyncio.run(Journey(folder, settings).run())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
