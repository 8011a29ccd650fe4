"""The engine: what was spent on the device is known however it ended."""

import time
from concurrent.futures import Future

import pytest

from generation.engine import Drawn, Engine, Progress, Stopped
from storage.catalog import load_catalog
from storage.domain import ImageRequest, StepReport
from storage.domain.job import Phase
from tests.conftest import make_settings
from tests.fakes.nouns import a_request

PATIENCE_SECONDS = 60.0
STEPS = 4


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    settings = make_settings(tmp_path_factory.mktemp("engine"))
    return Engine(load_catalog(settings), device="cpu", max_loaded=1)


class Stops(Progress):
    """Its person cancels as soon as so many steps are done."""

    def __init__(self, after: int) -> None:
        super().__init__(lambda: self.report.phase is Phase.DRAWING and self.report.step >= after)


def asked(engine: Engine, request: ImageRequest, progress: Progress) -> Future[Drawn]:
    return engine.draw(request, reference=None, mask=None, progress=progress)


@pytest.mark.parametrize(("after", "pictures"), [(0, 0), (3, 1), (4, 1), (5, 1), (7, 2), (8, 2)])
def test_what_was_drawn_when_it_was_cancelled(engine: Engine, after: int, pictures: int) -> None:
    request, progress = a_request(steps=STEPS, count=2), Stops(after)
    started = time.monotonic()
    with pytest.raises(Stopped):
        asked(engine, request, progress).result(PATIENCE_SECONDS)
    assert progress.report.pictures(request.count) == pictures
    assert 0 < progress.device_seconds <= time.monotonic() - started


def test_what_was_spent_until_it_failed(engine: Engine) -> None:
    class Fails(Progress):
        def update(self, report: StepReport) -> None:
            super().update(report)
            if report.step == 2:
                raise MemoryError

    progress = Fails(lambda: False)
    with pytest.raises(MemoryError):
        asked(engine, a_request(steps=STEPS), progress).result(PATIENCE_SECONDS)
    assert progress.device_seconds > 0


def test_loading_is_not_drawing(engine: Engine) -> None:
    progress = Progress(lambda: False)
    drawn = asked(engine, a_request(steps=STEPS), progress).result(PATIENCE_SECONDS)
    assert drawn.device_seconds == progress.device_seconds > 0
    progress = Progress(lambda: True)
    with pytest.raises(Stopped):
        asked(engine, a_request(steps=STEPS), progress).result(PATIENCE_SECONDS)
    assert progress.device_seconds == 0
