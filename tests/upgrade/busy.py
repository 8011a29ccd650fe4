"""Somebody who writes as the old release does, in its columns."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from sqlalchemy import text

from storage.database import Database

OLD_REQUEST = """
insert into requests (id, event_key, press, platform, enterprise_id, workspace_id, channel_id,
thread_id, user_id, locale, age_restricted, upload_limit_bytes, private, prompt, negative_prompt,
prompt_labels, model, width, height, steps, guidance_scale, seed, count, strength, created_at)
select :request, :event, '', platform, enterprise_id, workspace_id, channel_id, thread_id, user_id,
locale, age_restricted, upload_limit_bytes, private, prompt, negative_prompt, prompt_labels, model,
width, height, steps, guidance_scale, seed, count, strength, created_at
from requests where platform = 'slack' and user_id = 'U0G042' limit 1
"""
OLD_JOB = """
insert into jobs (id, request_id, model, state, attempt, released, worker, cancel_requested, phase,
step, step_count, model_revision, queue_seconds, device_seconds, created_at, rung_at)
select :job, :request, model, 'waiting', 0, 0, '', cancel_requested, '', 0, 0, '', 0, 0, created_at,
rung_at from jobs limit 1
"""
OLD_USAGE = """
insert into usage (job_id, platform, workspace_id, user_id, day, pictures, device_seconds,
queue_seconds, created_at)
select :job, platform, workspace_id, user_id, day, 77, device_seconds, queue_seconds,
created_at from usage where platform = 'slack' and user_id = 'U0G042' limit 1
"""
OLD_REVIEW = """
insert into reviews (id, job_id, kind, picture_sha256, opened_at, opened_by, decided_by)
select :request, :job, 'report', '', created_at, 'U0BUSY', '' from jobs limit 1
"""
OLD_BEAT = "update deliveries set desired_revision = desired_revision + 1 where job_id = (\
select job_id from deliveries where platform = 'discord' order by job_id {} limit 1)"


class Busy:
    """Somebody who writes all the time as the old release does: each time a request and what
    becomes of it, and a beat of a job whose card is being filled."""

    def __init__(self, database: Database) -> None:
        self._database, self._over = database, threading.Event()
        self.waits: list[float] = []
        self.failed: Exception | None = None

    def wait(self) -> None:
        """Until this has been done twice more."""
        until = len(self.waits) + 2
        while len(self.waits) < until and self.failed is None:
            time.sleep(0.01)

    def _work(self) -> None:
        while not self._over.is_set():
            request, job = uuid4(), uuid4()
            ids = {"request": request.hex, "job": job.hex, "event": f"slack:busy:{request}"}
            began = time.perf_counter()
            try:
                with self._database.write() as session:
                    for statement in (OLD_REQUEST, OLD_JOB, OLD_USAGE, OLD_REVIEW):
                        session.execute(text(statement), ids)
                    for order in ("asc", "desc"):
                        session.execute(text(OLD_BEAT.format(order)))
            except Exception as error:
                self.failed = error
                return
            self.waits.append(time.perf_counter() - began)

    @contextmanager
    def working(self) -> Iterator[None]:
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            self.wait()
            yield
            self.wait()
        finally:
            self._over.set()
            thread.join()
