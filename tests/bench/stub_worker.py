"""`easel worker` with a painter of fixed cost: `python -m tests.bench.stub_worker`.

Celery, claim, engine thread, heartbeat, fence and finish are the real ones. The model sleeps; no
checker looks, nothing is encoded and nothing stored, so that what is left is the line itself. When
a drawing began and ended, and when its job was finished, goes to `EASEL_BENCH_EVENTS`, a line each.
"""

import hashlib
import os
import time
from collections.abc import Callable
from typing import Any, Self

from PIL import Image

import generation.engine
import generation.tasks
from bot.cli import app
from generation.engine import Drawn
from generation.pipeline import Drawing
from generation.worker import Worker
from storage.domain import GenerationJob, Made, Mode, Outcome, Picture
from tests.fakes.nouns import a_verdict

STEPS = 4
COST_SECONDS = float(os.environ.get("EASEL_BENCH_COST", "0.05"))
PIXELS = Image.new("RGB", (64, 64), "teal")
PICTURE = Picture(
    index=0,
    seed=0,
    sha256=hashlib.sha256(PIXELS.tobytes()).hexdigest(),
    media_type="image/png",
    width=64,
    height=64,
    size_bytes=1,
    verdicts=(a_verdict(),),
)


def note(event: str) -> None:
    with open(os.environ["EASEL_BENCH_EVENTS"], "a", encoding="utf-8") as events:
        events.write(f"{event} {time.monotonic()}\n")


class StubModel:
    revision = "stub"

    @classmethod
    def load(cls, *_: object, **__: object) -> Self:
        return cls()

    def steps_of(self, _drawing: Drawing, _mode: Mode) -> int:
        return STEPS

    def draw(
        self, _drawing: Drawing, *, on_step: Callable[[int], None], **_: object
    ) -> Image.Image:
        """What the bare call costs: COST_SECONDS in STEPS."""
        note("begin")
        for step in range(STEPS):
            time.sleep(COST_SECONDS / STEPS)
            on_step(step + 1)
        note("drawn")
        return PIXELS


class StubWorker(Worker):
    def _seal(self, _job: GenerationJob, drawn: Drawn) -> Made:
        return Made(
            pictures=(PICTURE,),
            model_revision=drawn.model_revision,
            device_seconds=drawn.device_seconds,
        )

    def _finish(self, job: GenerationJob, outcome: Outcome) -> None:
        super()._finish(job, outcome)
        note("finished")


def main() -> None:
    stubs: Any = generation.tasks
    stubs.Worker, stubs.load_checkers = StubWorker, lambda *_: ()
    engine: Any = generation.engine
    engine.DiffusionModel = StubModel
    app(["worker"])


if __name__ == "__main__":
    main()
