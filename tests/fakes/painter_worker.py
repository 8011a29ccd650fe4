"""A worker process without torch: `python -m tests.fakes.painter_worker`.

Celery, doorbell, leases, fence and blobs are the real ones; only the drawing is a painter's. It
starts in a second or two, where `easel worker` takes ten.
"""

import os
import socket
import time
from datetime import timedelta

from storage import doorbell, logs
from storage.blobs import open_blobs
from storage.catalog import load_catalog
from storage.database import connect
from storage.domain.job import Phase
from storage.settings import Settings
from tests.fakes.painter import Painter

STEPS = 4


def main() -> None:
    settings = Settings()
    logs.configure(settings)
    models = tuple(load_catalog(settings).models)
    painter = Painter(
        connect(settings),
        open_blobs(settings),
        models,
        name=f"{socket.gethostname()}:{os.getpid()}",
        lease=timedelta(seconds=settings.lease_seconds),
        max_attempts=settings.max_attempts,
    )
    painter.sign_of_life()
    app = doorbell.create_app(settings, models)
    app.conf.imports = ()

    @app.task(name=doorbell.TASK, ignore_result=True)
    def generate(_trace: str) -> None:
        job = painter.claim()
        if job is None:
            return
        for step in range(1, STEPS + 1):
            time.sleep(settings.heartbeat_seconds / 3)
            painter.report(job, Phase.DRAWING, step, STEPS)
        painter.finish(job)

    queues = ",".join(doorbell.queue_name(model) for model in models)
    app.worker_main(
        [
            *("worker", "--pool=threads", "--concurrency=1", f"--queues={queues}"),
            *(f"--hostname=painter-{os.getpid()}@%h", f"--loglevel={settings.log_level}"),
            *("--without-gossip", "--without-mingle"),
        ]
    )


if __name__ == "__main__":
    main()
