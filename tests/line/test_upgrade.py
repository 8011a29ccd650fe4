"""An upgrade with a job in flight: the old worker goes on over the new schema."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.config import Config

from storage import migrate
from storage.domain import JobState
from tests.fakes.house import House
from tests.line.test_crashes import LONG, in_mid_step
from tests.servers import needs_postgres

ADDITIVE = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "9999", "{newest}", None, None


def upgrade():
    op.create_table("lists", sa.Column("name", sa.String(9), primary_key=True))
    for table in ("requests", "jobs", "pictures", "deliveries", "usage"):
        with op.batch_alter_table(table) as batch:
            batch.add_column(sa.Column("mood", sa.String(9), nullable=False, server_default="calm"))
    op.create_index("ix_jobs_mood", "jobs", ["mood"])
"""


def with_one_more(folder: Path, config: Callable[..., Config]) -> Callable[..., Config]:
    """The migrations of the next release: one more, in a folder of its own."""

    def extended(*given: Any) -> Config:
        extended = config(*given)
        here = f"{extended.get_main_option('script_location')}/versions"
        extended.set_main_option("path_separator", "newline")
        extended.set_main_option("version_locations", f"{here}\n{folder}")
        return extended

    return extended


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=needs_postgres)])
async def test_a_worker_that_draws_meanwhile(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    url = "" if kind == "sqlite" else request.getfixturevalue("empty_postgres_url")
    house = House(tmp_path / "house", database_url=url)
    database = house.line.database
    with house.worker():
        job = await house.submit(LONG)
        await house.until(job, in_mid_step)
        (next_release := tmp_path / "versions").mkdir()
        (next_release / "9999_mood.py").write_text(ADDITIVE.format(newest=migrate.newest()))
        with monkeypatch.context() as patch:
            patch.setattr(migrate, "_config", with_one_more(next_release, migrate._config))
            migrate.upgrade(database)
        assert migrate.current(database) == "9999"
        entry = await house.until(job, lambda e: e.state.finished)
        assert (entry.state, entry.attempts) == (JobState.MADE, 1)
        # The old release takes, draws and shows new requests too.
        assert (await house.ask("a cat")).state is JobState.MADE
    with house.worker():
        assert (await house.ask("a house")).state is JobState.MADE, "it starts anew as well"
    with database.read() as session:
        assert session.scalar(sa.text("select distinct mood from jobs")) == "calm"
    assert len(house.wall.pictures[job]) == 1
    database.close()
