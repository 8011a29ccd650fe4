"""A worker without torch: claims like the real one, finishes with small real PNGs.

It goes through the same leases and the same fence, so what tests see of the database is what a
worker would leave there.
"""

import io
from datetime import timedelta

from PIL import Image

from storage import jobs, leases, places
from storage.blobs import Blobs
from storage.database import Database
from storage.domain import (
    Decision,
    Failed,
    GenerationJob,
    Made,
    Outcome,
    Picture,
    StepReport,
    Subject,
    Verdict,
)
from storage.domain.job import FailureReason, Phase

LEASE = timedelta(seconds=15)
SIDE_PX = 8


def png(seed: int) -> bytes:
    """One colour, which the seed decides."""
    data = io.BytesIO()
    colour = (seed * 37 % 256, seed * 91 % 256, seed * 53 % 256)
    Image.new("RGB", (SIDE_PX, SIDE_PX), colour).save(data, "PNG")
    return data.getvalue()


def verdict(decision: Decision) -> Verdict:
    return Verdict(
        subject=Subject.OUTPUT,
        decision=decision,
        rule="painter",
        label="nsfw",
        score=0.0,
        scores={"nsfw": 0.0},
        checker="painter",
        checker_version="1",
    )


class Painter:
    """Usage: `painter.paint()` serves one waiting job; or claim, report and finish apart."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        models: tuple[str, ...],
        *,
        name: str = "painter",
        lease: timedelta = LEASE,
        max_attempts: int = 3,
    ) -> None:
        self._database, self._blobs, self._models = database, blobs, models
        self._name, self._lease, self._max_attempts = name, lease, max_attempts

    def sign_of_life(self) -> None:
        with self._database.write() as session:
            now = self._database.clock()
            places.worker_seen(session, self._name, self._models, self._models, now)

    def claim(self) -> GenerationJob | None:
        with self._database.write() as session:
            return leases.claim(
                session,
                self._models,
                worker=self._name,
                lease=self._lease,
                max_attempts=self._max_attempts,
                now=self._database.clock(),
            )

    def report(self, job: GenerationJob, phase: Phase, step: int = 0, steps: int = 0) -> bool:
        """Whether the requester wants it cancelled."""
        report = StepReport(phase=phase, step=step, steps=steps)
        with self._database.write() as session:
            now = self._database.clock()
            return leases.renew(session, job, report, lease=self._lease, now=now).cancel

    def finish(self, job: GenerationJob, *decisions: Decision) -> bool:
        """One picture for each decision; without any, all that were asked for are allowed."""
        decisions = decisions or (Decision.ALLOW,) * job.request.count
        pictures = tuple(self._picture(job, i, decision) for i, decision in enumerate(decisions))
        return self.end(job, Made(pictures=pictures, model_revision="r1", device_seconds=2.0))

    def fail(self, job: GenerationJob, reason: FailureReason = FailureReason.ERROR) -> bool:
        return self.end(job, Failed(reason=reason))

    def end(self, job: GenerationJob, outcome: Outcome) -> bool:
        with self._database.write() as session:
            return jobs.finish(session, job, outcome, self._database.clock())

    def paint(self, *decisions: Decision) -> GenerationJob:
        job = self.claim()
        assert job is not None, "there is no job to claim"
        assert self.finish(job, *decisions)
        return job

    def _picture(self, job: GenerationJob, index: int, decision: Decision) -> Picture:
        data = png(job.request.seed + index)
        apart = decision in (Decision.HOLD, Decision.BLOCK)
        return Picture(
            index=index,
            seed=job.request.seed + index,
            sha256=self._blobs.put(data, kept_apart=apart),
            media_type="image/png",
            width=SIDE_PX,
            height=SIDE_PX,
            size_bytes=len(data),
            verdicts=(verdict(decision),),
        )
