"""A commit whose answer is lost has been made all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from bot.compose import build_line
from storage.database import Database
from storage.domain import EventKey, Place, Platform, RawCommand, Requester
from storage.tables import JobRow
from tests.conftest import make_settings


class Forgetful(Database):
    """Commits, and loses the answer of the first write."""

    lost = 0

    @contextmanager
    def write(self) -> Iterator[Session]:
        with super().write() as session:
            yield session
        if not self.lost:
            self.lost += 1
            raise OperationalError("lost", None, Exception("the connection broke"))


async def test_what_was_accepted_is_known_when_it_is_tried_again(tmp_path: Path) -> None:
    line = build_line(make_settings(tmp_path, broker_url="memory://"))
    database = Forgetful(line.settings.resolved_database_url)
    raw = RawCommand(
        event=EventKey(platform=Platform.TERMINAL, kind="call", id="1"),
        requester=Requester(platform=Platform.TERMINAL, user_id="alice"),
        place=Place(platform=Platform.TERMINAL),
        text="a red apple",
    )
    taken = await replace(line, database=database).submit(raw, {})
    assert isinstance(taken, UUID)
    assert database.lost == 1
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(JobRow)) == 1
    database.close()
    line.database.close()
