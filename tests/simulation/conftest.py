from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from bot.core.text import TextRules
from storage import migrate
from storage.catalog import BUILTIN, load_catalog
from storage.database import Database
from storage.tables import Base
from tests.conftest import make_settings
from tests.simulation.town import Parts, Town

Simulate = Callable[[int], Town]


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    folder: Path = tmp_path_factory.mktemp("town")
    settings = make_settings(
        folder,
        lease_seconds=6.0,
        heartbeat_seconds=2.0,
        daily_pictures=1000,
        person_queue_limit=100,
    )
    database = Database("sqlite://")
    migrate.upgrade(database)
    catalog = load_catalog(settings)
    # With all its names, a fifth of the time would go into looking for one in the prompt.
    builtin = catalog.models[BUILTIN].model_copy(update={"names": ("apple",)})
    catalog = catalog.model_copy(update={"models": {BUILTIN: builtin}})
    yield Parts(settings, catalog, TextRules.load(None), database.engine)
    database.close()


@pytest.fixture
def simulate(parts: Parts) -> Simulate:
    """Run one seed to its end, and check the promises."""

    def run(seed: int) -> Town:
        with parts.engine.begin() as connection:
            for table in reversed(Base.metadata.sorted_tables):
                connection.execute(delete(table))
        town = Town(seed, parts)
        try:
            with pytest.MonkeyPatch.context() as patch:
                town.run(patch)
        except Exception as error:
            error.add_note(f"once more: EASEL_SEEDS={seed}..{seed} pytest tests/simulation")
            raise
        return town

    return run
