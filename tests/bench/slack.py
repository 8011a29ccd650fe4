"""How soon Slack is answered: `python -m tests.bench.slack`.

Signed commands over HTTP, each alone and 50 at once, to Easel's app and, turn by turn in the same
run, to a Bolt app that does nothing but acknowledge. Each is a process of its own, and Easel's
works at what it has been told (people, placeholder, transaction, ring) against the fake Slack
meanwhile; the next volley waits until that is done. Exits with 1 where an aim is missed.
"""

import asyncio
import hashlib
import hmac
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
from aiohttp import web
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.app import create_app
from bot.slack.manifest import EVENTS_PATH
from bot.slack.run import web_app
from storage import migrate, queue
from storage.database import Database
from storage.settings import Settings
from tests.bench.figures import Figure, p99
from tests.bench.million import postgres
from tests.fakes.slack_client import BOT_TOKEN, SIGNING_SECRET, FakeSlack

ALONE, AT_ONCE, VOLLEYS, WARMING = 100, 50, 12, 2
BEYOND, P99_SECONDS, RATIO = 0.008, 0.25, 2.5
_count = itertools.count()


def signed(payload: dict[str, str]) -> tuple[str, dict[str, str]]:
    body, stamp = urlencode(payload), str(int(time.time()))
    signature = hmac.new(SIGNING_SECRET.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256)
    return body, {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": f"v0={signature.hexdigest()}",
    }


async def seconds(session: aiohttp.ClientSession, url: str, payload: dict[str, str]) -> float:
    """Until a command is acknowledged."""
    number = next(_count)
    people = {"user_id": f"U0PERSON{number % AT_ONCE}", "trigger_id": f"{number}.{os.getpid()}.x"}
    body, headers = signed({**payload, **people})
    started = time.perf_counter()
    async with session.post(url, data=body, headers=headers) as answer:
        await answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{url} answers {answer.status}")
        return time.perf_counter() - started


async def volley(url: str, payload: dict[str, str]) -> list[float]:
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(connector=connector) as session:
        return await asyncio.gather(*(seconds(session, url, payload) for _ in range(AT_ONCE)))


def bench_settings() -> Settings:
    """From the environment that `serving` makes."""
    return Settings(_env_file=None, person_queue_limit=10_000, queue_limit=10_000)


@asynccontextmanager
async def easel() -> AsyncIterator[web.Application]:
    app = create_app(bench_settings())
    async with aiohttp.ClientSession() as session:
        app.client.session = app.workspaces.session = session
        keeping = asyncio.create_task(app.inbox.run())
        yield web_app(app)
        keeping.cancel()


@asynccontextmanager
async def bare() -> AsyncIterator[web.Application]:
    client = AsyncWebClient(BOT_TOKEN, base_url=bench_settings().slack_api_url)
    app = AsyncApp(client=client, signing_secret=SIGNING_SECRET)

    @app.command("/imagine")
    async def imagine(ack: AsyncAck) -> None:
        await ack()

    yield app.server(path=EVENTS_PATH).web_app


async def serve(which: str) -> None:
    async with {"easel": easel, "bare": bare}[which]() as pages:
        runner = web.AppRunner(pages, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}{EVENTS_PATH}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextmanager
def serving(which: str, environment: dict[str, str]) -> Iterator[str]:
    """The address at which a process of its own listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.slack", which],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


async def measure(
    slack: FakeSlack, folder: Path, database_url: str
) -> dict[str, tuple[list[float], list[float]]]:
    """Seconds of acknowledgements alone, and of those AT_ONCE at once, of each app."""
    environment = {**slack.environment, "EASEL_DATA_FOLDER": str(folder)}
    environment["EASEL_DATABASE_URL"] = database_url
    del environment["EASEL_SLACK_APP_TOKEN"]
    for number in range(AT_ONCE):
        slack.person(f"U0PERSON{number}")
    slack.loosen(1_000_000)
    payload = slack.delivery(slack.command("/imagine", "a red apple"))["payload"]
    found: dict[str, tuple[list[float], list[float]]] = {"bare": ([], []), "easel": ([], [])}
    with serving("bare", environment) as bare_url, serving("easel", environment) as easel_url:
        urls = (("bare", bare_url), ("easel", easel_url))
        async with aiohttp.ClientSession() as session:
            for number in range(WARMING + ALONE):
                for name, url in urls:
                    took = await seconds(session, url, payload)
                    found[name][0].extend([took] if number >= WARMING else [])
        jobs = WARMING + ALONE
        for number in range(VOLLEYS + WARMING):
            for name, url in urls:
                volleyed = await volley(url, payload)
                found[name][1].extend(volleyed if number >= WARMING else [])
            jobs += AT_ONCE
            await accepted(jobs, database_url)
    return found


async def accepted(jobs: int, database_url: str) -> None:
    """Until all that was asked for is in the database."""
    database = Database(database_url)
    end = time.monotonic() + 120
    while True:
        with database.read() as session:
            if (there := queue.length(session)) >= jobs:
                break
        if time.monotonic() > end:
            raise TimeoutError(f"{there} of {jobs} requests were accepted")
        await asyncio.sleep(0.1)
    database.close()


def figures(folder: Path, server_url: str = "") -> Iterator[Figure]:
    """On SQLite, and on PostgreSQL where there is a server."""
    with ExitStack() as stack:
        urls = {"SQLite": f"sqlite:///{folder}/easel.db"}
        if server_url:
            urls["PostgreSQL"] = stack.enter_context(postgres(server_url))
        for name, url in urls.items():
            database = Database(url)
            migrate.upgrade(database)
            database.close()
            with FakeSlack() as slack:
                found = asyncio.run(measure(slack, folder, url))
            (ours, together), (bare, bare_together) = found["easel"], found["bare"]
            mine, other = statistics.median(ours), statistics.median(bare)
            note = f"{name}; baseline: Bolt that only acknowledges"
            yield Figure("Slack, alone, median", mine, other, None, note)
            yield Figure("Slack, alone, beyond bare Bolt", mine - other, other, BEYOND, note)
            at_once = p99(together), p99(bare_together)
            yield Figure(f"Slack, {AT_ONCE} at once, p99", *at_once, P99_SECONDS, note)
            ratio = at_once[0] / at_once[1]
            what = f"Slack, {AT_ONCE} at once, p99 ÷ bare Bolt's"
            yield Figure(what, ratio, 1.0, RATIO, note, unit="×")


def main() -> int:
    missed = 0
    with tempfile.TemporaryDirectory(prefix="easel-bench-") as folder:
        server = os.environ.get("EASEL_TEST_POSTGRES_URL", "")
        for figure in figures(Path(folder), server):
            missed += figure.met is False
            words = {True: "met", False: "missed", None: ""}[figure.met]
            print(f"{figure.name}: {figure.value:.4f} {figure.unit} ({figure.note}) {words}")
    return 1 if missed else 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(serve(sys.argv[1]))
    else:
        sys.exit(main())
