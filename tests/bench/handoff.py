"""How a picture gets from the worker to the chat: a blob and its key, or a result in the broker."""

import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from io import BytesIO
from itertools import count
from pathlib import Path
from uuid import uuid4

from celery import Celery
from celery.result import AsyncResult
from PIL import Image
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from storage import migrate
from storage.blobs import Blobs
from storage.database import Database
from storage.tables import PictureRow, add
from tests.bench.figures import Figure
from tests.fakes.nouns import recorded

ROUNDS, WARMING = 30, 2
SIDE_PX = 1024
KEY = select(PictureRow.sha256).where(
    PictureRow.job_id == bindparam("job"), PictureRow.index == bindparam("index")
)


def png() -> bytes:
    """1024² that compresses like a photograph: smooth, with grain."""
    grain = Image.frombytes("RGB", (SIDE_PX, SIDE_PX), random.Random(7).randbytes(SIDE_PX**2 * 3))
    smooth = Image.radial_gradient("L").resize((SIDE_PX, SIDE_PX)).convert("RGB")
    buffer = BytesIO()
    Image.blend(smooth, grain, 0.06).save(buffer, "PNG")
    return buffer.getvalue()


def celery_result(redis_url: str) -> Callable[[bytes], bytes]:
    """Store as a worker would, and get as the one who waits would; no message in between, so
    that this is the least that a result backend costs."""
    app = Celery("bench", backend=redis_url, set_as_current=False)
    app.conf.update(result_expires=60)

    def hand_over(data: bytes) -> bytes:
        task_id = str(uuid4())
        app.backend.store_result(task_id, data, "SUCCESS")
        got: bytes = AsyncResult(task_id, app=app).get(timeout=30)
        app.backend.forget(task_id)
        return got

    return hand_over


def blob_and_key(folder: Path, *, own_transactions: bool) -> Callable[[bytes], bytes]:
    """Put, write the key, read it, get. In the line the key is one more INSERT of the transaction
    that finishes the job and one more SELECT of the one that shows it, which are there in any case;
    with transactions of its own it is the most that it could cost."""
    database = Database(f"sqlite:///{folder / 'handoff.db'}")
    migrate.upgrade(database)
    blobs = Blobs(f"file://{folder / 'blobs'}")
    with database.write() as session:
        job_id = recorded(session, now=database.clock())
    indexes = count()
    there = Session(database.engine)

    def hand_over(data: bytes) -> bytes:
        index, sha256 = next(indexes), blobs.put(data)
        with database.write() if own_transactions else nullcontext(there) as session:
            add(
                session,
                PictureRow,
                job_id=job_id,
                index=index,
                seed=index,
                sha256=sha256,
                media_type="image/png",
                width=SIDE_PX,
                height=SIDE_PX,
                size_bytes=len(data),
                decision="allow",
                kept_apart=False,
            )
        with database.read() if own_transactions else nullcontext(there) as session:
            key = session.scalars(KEY, {"job": job_id, "index": index}).one()
        return blobs.get(key)

    return hand_over


def figures(folder: Path, redis_url: str) -> Iterator[Figure]:
    """Turn by turn, so that all meet the same machine."""
    picture = png()
    ways = {
        "line": blob_and_key(folder / "line", own_transactions=False),
        "own": blob_and_key(folder / "own", own_transactions=True),
        "result": celery_result(redis_url),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + WARMING):
        data = picture + number.to_bytes(4)  # No picture is ever made twice.
        for name, hand_over in ways.items():
            started = time.perf_counter()
            got = hand_over(data)
            took[name].append(time.perf_counter() - started)
            assert got == data
    line, own, result = (statistics.median(seconds[WARMING:]) for seconds in took.values())
    note = f"PNG of {len(picture) / 1e6:.1f} MB; baseline: Celery's result backend on Redis"
    for name, mine, aim in (
        ("picture hand-off", line, result / 8),
        ("picture hand-off with transactions of its own", own, None),
    ):
        times = f"{result / mine:.1f} times cheaper; {note}"
        yield Figure(f"{name}, median", mine, result, aim, times)
