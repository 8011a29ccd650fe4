"""Station 6, step: the engine. One thread owns the device, and this is the only way to it.

It draws one sample after the other for now. Who shares a batch is to be decided here and nowhere
else: callers hand in a whole job and wait for its pictures, whatever else is drawn beside it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace

import structlog
from PIL import Image

from generation.pipeline import DiffusionModel, Drawing, release_memory
from storage.catalog import Catalog
from storage.domain import ImageRequest, Mode, StepReport
from storage.domain.job import Phase

log = structlog.get_logger()


class Stopped(Exception):
    """The job was cancelled, or belongs to somebody else now."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    pictures: tuple[Image.Image, ...]
    """RGB, width × height of the request; picture i was drawn with seed + i."""
    model_revision: str
    device_seconds: float


class Progress:
    """How far a job is and since when; written by the engine, read by the heartbeat."""

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        self._should_stop = should_stop
        self.report = StepReport(phase=Phase.LOADING)
        self.changed_at = time.monotonic()
        self.device_seconds = 0.0
        """What was spent from the first step to the end, however it ended."""

    def update(self, report: StepReport) -> None:
        """Raises Stopped at the first step after somebody asked for it."""
        self.report, self.changed_at = report, time.monotonic()
        if self._should_stop():
            raise Stopped


@contextmanager
def _timed(progress: Progress) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        progress.device_seconds = time.monotonic() - started


@dataclass(frozen=True, kw_only=True)
class _Work:
    request: ImageRequest
    reference: Image.Image | None
    mask: Image.Image | None
    progress: Progress
    future: Future[Drawn]


class Engine:
    def __init__(self, catalog: Catalog, *, device: str, max_loaded: int) -> None:
        self._catalog = catalog
        self._device = device
        self._max_loaded = max_loaded
        self._models: OrderedDict[str, DiffusionModel] = OrderedDict()
        self._work: queue.SimpleQueue[_Work | str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def loaded(self) -> Sequence[str]:
        return tuple(self._models)

    def warm(self, model: str) -> None:
        """Load a model before anybody asks for it."""
        self._work.put(model)

    def draw(
        self,
        request: ImageRequest,
        *,
        reference: Image.Image | None,
        mask: Image.Image | None,
        progress: Progress,
    ) -> Future[Drawn]:
        """The future raises Stopped, or what `DiffusionModel.load` and `draw` raise."""
        future: Future[Drawn] = Future()
        self._work.put(
            _Work(request=request, reference=reference, mask=mask, progress=progress, future=future)
        )
        return future

    def _run(self) -> None:
        while True:
            work = self._work.get()
            if isinstance(work, str):
                self._try_to_warm(work)
                continue
            try:
                work.future.set_result(self._draw(work))
            except Exception as error:
                # Frames of a traceback hold latents and weights until the exception dies.
                error.__cause__ = error.__context__ = None
                work.future.set_exception(error.with_traceback(None))
                del error
                release_memory(self._device)
            del work  # It holds the pictures, or the error with its frames.

    def _try_to_warm(self, name: str) -> None:
        try:
            self._model(name)
        except Exception as error:
            log.warning("engine.warm", model=name, error=type(error).__name__)

    def _model(self, name: str) -> DiffusionModel:
        """The loaded model; the one unused for longest makes room."""
        if name not in self._models:
            while len(self._models) >= self._max_loaded:
                self._models.popitem(last=False)
                release_memory(self._device)
            loras = {k: v for k, v in self._catalog.loras.items() if name in v.models}
            entry = self._catalog.models[name]
            self._models[name] = DiffusionModel.load(entry, device=self._device, loras=loras)
        self._models.move_to_end(name)
        return self._models[name]

    def _draw(self, work: _Work) -> Drawn:
        request, progress = work.request, work.progress
        progress.update(StepReport(phase=Phase.LOADING))
        model = self._model(request.model)
        drawing, mode = drawing_of(request, self._catalog), _mode(work)
        per_picture = model.steps_of(drawing, mode)
        total = per_picture * request.count
        pictures = []
        with _timed(progress):
            for index in range(request.count):
                done = index * per_picture
                progress.update(StepReport(phase=Phase.DRAWING, step=done, steps=total))

                def on_step(step: int, done: int = done) -> None:
                    progress.update(StepReport(phase=Phase.DRAWING, step=done + step, steps=total))

                pictures.append(
                    model.draw(
                        replace(drawing, seed=request.seed + index),
                        init_image=work.reference,
                        mask=work.mask,
                        on_step=on_step,
                    )
                )
        return Drawn(
            pictures=tuple(pictures),
            model_revision=model.revision,
            device_seconds=progress.device_seconds,
        )


def drawing_of(request: ImageRequest, catalog: Catalog) -> Drawing:
    """The first picture of a request, as the pipeline wants it."""
    styled = catalog.styled(request)
    return Drawing(
        prompt=styled.prompt,
        negative_prompt=styled.negative_prompt,
        width=request.width,
        height=request.height,
        steps=request.steps,
        guidance_scale=request.guidance_scale,
        scheduler=request.scheduler,
        seed=request.seed,
        strength=request.reference.strength if request.reference else 1.0,
        loras=styled.loras,
    )


def _mode(work: _Work) -> Mode:
    if work.reference is None:
        return Mode.TEXT_TO_IMAGE
    return Mode.IMAGE_TO_IMAGE if work.mask is None else Mode.INPAINT
