"""Stations 5 to 7 for one ring: claim, step, judge, seal, finish."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from uuid import UUID

import structlog
import torch
from obstore.exceptions import BaseError
from PIL import Image
from sqlalchemy.exc import SQLAlchemyError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_exponential

from generation.engine import Drawn, Engine, Stopped
from generation.heart import Heart
from generation.provenance import encode_and_seal, parameters_of
from generation.safety import Checker, judge
from generation.schedulers import TooManySteps
from generation.soundness import Broken
from generation.weights import LoraUnavailable, ModelUnavailable
from storage import jobs, leases, metrics, pixels
from storage.blobs import Blobs, NotStored
from storage.catalog import Catalog
from storage.database import TRANSIENT, Database
from storage.domain import (
    Cancelled,
    Decision,
    Failed,
    GenerationJob,
    Made,
    Outcome,
    Picture,
    Refused,
    Subject,
    Verdict,
    worst,
)
from storage.domain.job import FailureReason
from storage.settings import Settings

log = structlog.get_logger()

# Longer than a database takes to come back; a lease that ran out meanwhile is refused by the fence.
persistent = retry(
    retry=retry_if_exception_type(TRANSIENT),
    wait=wait_exponential(multiplier=0.1, max=2),
    stop=stop_after_delay(60),
    reraise=True,
)

STORE_SECONDS = 10.0
"""A store that takes nothing for so long is not there, or full."""


class Worker:
    """What a worker process is made of. `work` may run in several threads: while one judges and
    stores what it has drawn, another draws."""

    def __init__(
        self,
        *,
        name: str,
        models: Sequence[str],
        settings: Settings,
        catalog: Catalog,
        database: Database,
        blobs: Blobs,
        engine: Engine,
        checkers: Sequence[Checker],
        ring: Callable[[str, UUID], None],
        capacity: int = 1,
    ) -> None:
        """`ring` tells other workers of a job that was handed back; `capacity` is how many jobs
        the engine is given at once."""
        self.name = name
        self.models = tuple(models)
        self.settings = settings
        self.catalog = catalog
        self.database = database
        self.blobs = blobs
        self.engine = engine
        self.checkers = tuple(checkers)
        self._ring = ring
        self.draining = threading.Event()
        self._in_hand = 0
        self._jobs: set[UUID] = set()
        self._changed = threading.Condition()
        self._places = threading.Semaphore(capacity)
        self._door = threading.Lock()

    def work(self) -> bool:
        """Claim the fairest job and finish it. False when there was none."""
        with self._changed:
            if self.draining.is_set():
                return False
            self._in_hand += 1
        try:
            return self._work()
        finally:
            with self._changed:
                self._in_hand -= 1
                self._changed.notify_all()

    def drain(self) -> None:
        """Take no more work, stop at the next step what is in hand, and wait until it is handed
        back."""
        with self._changed:
            self.draining.set()
            self._changed.wait_for(lambda: self._in_hand == 0)

    def _work(self) -> bool:
        with ExitStack() as place:
            # Nothing is claimed before there is room for it: until then others may have it.
            place.enter_context(self._places)
            with self._door:
                job = self._take()
                if job is not None and job.attempt.crashes:
                    self._do(job, place)
                    return True
            if job is not None:
                self._do(job, place)
            return job is not None

    def _take(self) -> GenerationJob | None:
        """The fairest job. One that may have ended a worker is drawn alone, so that it takes no
        other along: the caller lets nobody else through the door until it is done."""
        job = None if self.draining.is_set() else self._claim()
        if job is not None and job.attempt.crashes and self._jobs:
            self._release(job)
            with self._changed:
                self._changed.wait_for(lambda: not self._jobs)
            job = None if self.draining.is_set() else self._claim()
        if job is not None:
            with self._changed:
                self._jobs.add(job.id)
        return job

    def _do(self, job: GenerationJob, place: ExitStack) -> None:
        try:
            # Also what libraries say on this thread tells whose it is.
            with structlog.contextvars.bound_contextvars(job=str(job.id)):
                self._draw_and_finish(job, place)
        finally:
            with self._changed:
                self._jobs.remove(job.id)
                self._changed.notify_all()

    def _draw_and_finish(self, job: GenerationJob, place: ExitStack) -> None:
        """`place` is the job's in the engine; it is left as soon as the pixels are there."""
        log.info("job.claimed", job=str(job.id), attempt=job.attempt.number)
        with Heart(job, self.settings, self.database, self.draining) as heart:
            outcome = self._outcome(job, heart, place)
        if outcome is not None:
            self._finish(job, outcome)
        elif heart.lost:
            log.info("job.lost", job=str(job.id), attempt=job.attempt.number)
            metrics.LEASES_LOST.inc()
        else:
            self._release(job, _cancelled(job, heart))

    @persistent
    def _claim(self) -> GenerationJob | None:
        with self.database.write() as session:
            return leases.claim(
                session,
                self.models,
                worker=self.name,
                lease=timedelta(seconds=self.settings.lease_seconds),
                max_attempts=self.settings.max_attempts,
                now=self.database.clock(),
                in_hand=self._jobs,
            )

    def _outcome(self, job: GenerationJob, heart: Heart, place: ExitStack) -> Outcome | None:
        """How it ended; None when it did not, because the job is not ours or we are leaving."""
        try:
            return self._draw(job, heart, place)
        except Stopped:
            return _cancelled(job, heart) if heart.cancelled and not heart.lost else None
        except Exception as error:
            spent = heart.progress.device_seconds
            return Failed(reason=_reason(job, error), device_seconds=spent)

    def _draw(self, job: GenerationJob, heart: Heart, place: ExitStack) -> Outcome:
        reference = mask = None
        if job.request.reference is not None:
            reference = self._load(job.request.reference.sha256)
            if job.request.reference.mask_sha256 is not None:
                mask = self._load(job.request.reference.mask_sha256)
            [verdicts] = self._judge([reference], job, Subject.REFERENCE)
            verdict = worst(verdicts)
            held = verdict.decision is Decision.HOLD and not job.allowed
            if held or verdict.decision is Decision.BLOCK:
                return Refused(verdict=verdict)
        # No name for the future: an error's frames would hold it, and it the error.
        drawn = self.engine.draw(
            job.request, reference=reference, mask=mask, progress=heart.progress
        ).result()
        place.close()
        heart.finishing()
        steps = max(1, heart.progress.report.steps)
        metrics.STEP_SECONDS.labels(job.request.model).observe(drawn.device_seconds / steps)
        return self._seal(job, drawn)

    def _load(self, sha256: str) -> Image.Image:
        with Image.open(io.BytesIO(self.blobs.get(sha256)), formats=["PNG"]) as image:
            image.load()
            return image

    def _judge(
        self, images: Sequence[Image.Image], job: GenerationJob, subject: Subject
    ) -> list[list[Verdict]]:
        return judge(
            images,
            subject=subject,
            checkers=self.checkers,
            thresholds=self.settings.thresholds_for(age_restricted=job.place.age_restricted),
            prompt_labels=job.prompt_labels,
            outside=job.outside,
        )

    def _seal(self, job: GenerationJob, drawn: Drawn) -> Made:
        """Judge, encode and store; what is held or blocked is kept apart from the rest."""
        pictures = []
        judged = self._judge(drawn.pictures, job, Subject.OUTPUT)
        for index, (image, verdicts) in enumerate(zip(drawn.pictures, judged, strict=True)):
            seed = job.request.seed + index
            sealed = encode_and_seal(
                image,
                parameters=parameters_of(job.request, seed, drawn.model_revision),
                limit_bytes=job.place.picture_limit_bytes(job.request.count),
                display_scale=self.catalog.models[job.request.model].display_scale,
            )
            apart = worst(verdicts).decision.keeps_apart
            sha256 = self._store(sealed.data, kept_apart=apart)
            pictures.append(
                Picture(
                    index=index,
                    seed=seed,
                    sha256=sha256,
                    media_type=sealed.media_type,
                    width=sealed.width,
                    height=sealed.height,
                    size_bytes=len(sealed.data),
                    verdicts=tuple(verdicts),
                )
            )
        return Made(
            pictures=tuple(pictures),
            model_revision=drawn.model_revision,
            device_seconds=drawn.device_seconds,
        )

    @retry(
        retry=retry_if_exception_type(NotStored),
        wait=wait_exponential(multiplier=0.1, max=2),
        stop=stop_after_delay(STORE_SECONDS),
        reraise=True,
    )
    def _store(self, data: bytes, *, kept_apart: bool) -> str:
        return self.blobs.put(data, kept_apart=kept_apart)

    def _finish(self, job: GenerationJob, outcome: Outcome) -> None:
        written = self._write(job, outcome)
        log.info("job.finished", job=str(job.id), outcome=type(outcome).__name__, written=written)
        if written and isinstance(outcome, Made):
            self._settle(job, outcome)

    @persistent
    def _write(self, job: GenerationJob, outcome: Outcome) -> bool:
        with self.database.write() as session:
            return jobs.finish(session, job, outcome, self.database.clock())

    def _settle(self, job: GenerationJob, made: Made) -> None:
        """A moderator may have taken them down while they were judged and stored."""
        stored = {(p.sha256, p.verdict.decision.keeps_apart) for p in made.pictures}
        try:
            settle = persistent(pixels.settle)
            settle(self.database, self.blobs, {h for h, _ in stored}, stored=stored)
        except (SQLAlchemyError, BaseError, OSError) as error:
            # Nobody is shown them, and the sweep moves them.
            log.error("job.unsettled", job=str(job.id), error=type(error).__name__)

    @persistent
    def _release(self, job: GenerationJob, cancelled: Cancelled = leases.UNTOUCHED) -> None:
        with self.database.write() as session:
            released = leases.release(session, job, self.database.clock(), cancelled)
        log.info("job.released", job=str(job.id), written=released)
        if released:
            self._ring(job.request.model, job.id)


def _cancelled(job: GenerationJob, heart: Heart) -> Cancelled:
    progress = heart.progress
    pictures = progress.report.pictures(job.request.count)
    return Cancelled(device_seconds=progress.device_seconds, pictures=pictures)


def _reason(job: GenerationJob, error: Exception) -> FailureReason:
    match error:
        case FileNotFoundError():
            return FailureReason.REFERENCE_MISSING
        case LoraUnavailable():
            log.error("job.lora", job=str(job.id), model=job.request.model, reason=str(error))
            return FailureReason.LORA_UNAVAILABLE
        case ModelUnavailable():
            log.error("job.model", job=str(job.id), model=job.request.model, reason=str(error))
            return FailureReason.MODEL_UNAVAILABLE
        case NotStored():
            log.error("job.not_stored", job=str(job.id), reason=str(error))
            return FailureReason.NOT_STORED
        case TooManySteps():
            log.warning("job.steps", job=str(job.id), model=job.request.model, reason=str(error))
            return FailureReason.TOO_MANY_STEPS
        case Broken():
            log.error("job.broken", job=str(job.id), model=job.request.model, reason=str(error))
            return FailureReason.BROKEN_PICTURE
        case torch.OutOfMemoryError():
            return FailureReason.OUT_OF_MEMORY
    # Messages of deeper libraries may quote the prompt, so only the type is logged.
    log.error("job.error", job=str(job.id), error=type(error).__name__)
    return FailureReason.ERROR
