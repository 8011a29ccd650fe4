"""How a picture gets from the worker to the chat: a blob and its key, or a result in the broker."""

import random
import statistics
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import count
from pathlib import Path
from uuid import uuid4

from celery import Celery
from celery.result import AsyncResult
from PIL import Image

from storage import migrate
from storage.blobs import Blobs
from storage.database import Database
from storage.tables import PictureRow
from tests.bench.figures import Figure
from tests.fakes.nouns import recorded

ROUNDS = 30
SIDE_PX = 1024


def png() -> bytes:
    """1024² that compresses like a photograph: smooth, with grain."""
    grain = Image.frombytes("RGB", (SIDE_PX, SIDE_PX), random.Random(7).randbytes(SIDE_PX**2 * 3))
    smooth = Image.radial_gradient("L").resize((SIDE_PX, SIDE_PX)).convert("RGB")
    buffer = BytesIO()
    Image.blend(smooth, grain, 0.06).save(buffer, "PNG")
    return buffer.getvalue()


def celery_result(redis_url: str, data: bytes) -> Callable[[], bytes]:
    """Store as a worker would, and get as the one who waits would; no message in between, so
    that this is the least that a result backend costs."""
    app = Celery("bench", backend=redis_url, set_as_current=False)
    app.conf.update(result_expires=60)

    def hand_over() -> bytes:
        task_id = str(uuid4())
        app.backend.store_result(task_id, data, "SUCCESS")
        got: bytes = AsyncResult(task_id, app=app).get(timeout=30)
        app.backend.forget(task_id)
        return got

    return hand_over


def blob_and_key(folder: Path, data: bytes) -> Callable[[], bytes]:
    """Put, write the key, read it, get. The row has transactions of its own here; in the line it
    is in those that finish and show a job anyway, so that this is the most that it costs."""
    database = Database(f"sqlite:///{folder / 'handoff.db'}")
    migrate.upgrade(database)
    blobs = Blobs(f"file://{folder / 'blobs'}")
    with database.write() as session:
        job_id = recorded(session, now=database.clock())
    indexes = count()

    def hand_over() -> bytes:
        index, sha256 = next(indexes), blobs.put(data)
        with database.write() as session:
            session.add(
                PictureRow(
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
            )
        with database.read() as session:
            key = session.get_one(PictureRow, (job_id, index)).sha256
        return blobs.get(key)

    return hand_over


def figures(folder: Path, redis_url: str) -> Iterator[Figure]:
    """Alternately, so that both meet the same machine."""
    data = png()
    ours, theirs = blob_and_key(folder, data), celery_result(redis_url, data)
    took: list[float] = []
    baseline: list[float] = []
    for _ in range(ROUNDS + 2):
        for hand_over, seconds in ((ours, took), (theirs, baseline)):
            started = time.perf_counter()
            got = hand_over()
            seconds.append(time.perf_counter() - started)
            assert got == data
    mine, other = statistics.median(took[2:]), statistics.median(baseline[2:])
    note = f"PNG of {len(data) / 1e6:.1f} MB; baseline: Celery's result backend on Redis"
    yield Figure("picture hand-off, median", mine, other, other / 8, note)
