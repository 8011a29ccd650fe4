"""One worker process serves all tests that don't harm it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.house import House


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"), daily_pictures=10_000)
    with house.worker():
        yield house


@pytest.fixture
def lone_house(tmp_path: Path) -> House:
    """A house of one's own, without a worker yet."""
    return House(tmp_path)
