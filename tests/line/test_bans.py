"""A ban and an acceptance that meet on PostgreSQL: neither misses the other. SQLite lets one write
after the other."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from bot.compose import build_line
from bot.core import accept
from bot.core.line import Line
from storage import log, migrate, sanctions
from storage.domain import (
    Complaint,
    EventKey,
    JobState,
    Place,
    Platform,
    RawCommand,
    Requester,
)
from tests.conftest import make_settings
from tests.servers import needs_postgres, somebody_waits

pytestmark = needs_postgres
PEOPLE = {
    "Discord": Requester(platform=Platform.DISCORD, user_id="1"),
    "Slack": Requester(platform=Platform.SLACK, tenant="E1", user_id="U1"),
}


@pytest.fixture
def line(empty_postgres_url: str, tmp_path: Path) -> Iterator[Line]:
    settings = make_settings(tmp_path, database_url=empty_postgres_url, broker_url="memory://")
    line = build_line(settings)
    migrate.upgrade(line.database)
    yield line
    line.database.close()


def ask(line: Line, person: Requester) -> UUID | Complaint:
    raw = RawCommand(
        event=EventKey(platform=person.platform, kind="call", id=str(uuid4())),
        requester=person,
        place=Place(platform=person.platform, workspace_id="T1", channel_id="C1"),
        text="a red apple",
    )
    return asyncio.run(line.submit(raw, {}))


def asked(line: Line, person: Requester) -> UUID:
    job = ask(line, person)
    assert isinstance(job, UUID), job
    return job


def ban(line: Line, job: UUID) -> None:
    with line.database.write() as session:
        sanctions.ban(session, job, by="mod", now=line.database.clock())


def until_it_is_done_or_waits(line: Line, other: Future[Any]) -> None:
    end = time.monotonic() + 30
    while not other.done() and not somebody_waits(line.database):
        assert time.monotonic() < end
        time.sleep(0.01)


def state(line: Line, job: UUID) -> JobState:
    with line.database.read() as session:
        entry = log.entry(session, job)
    assert entry is not None
    return entry.state


@pytest.mark.parametrize("who", PEOPLE)
def test_a_ban_sees_who_is_being_accepted(
    line: Line, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = asked(line, PEOPLE[who])
    bans: list[Future[None]] = []
    really = accept.accept

    def meanwhile(*given: Any) -> UUID | Complaint:
        """Between the last write of an acceptance and its commit."""
        taken = really(*given)
        bans.append(pool.submit(ban, line, first))
        until_it_is_done_or_waits(line, bans[0])
        return taken

    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(accept, "accept", meanwhile)
        second = asked(line, PEOPLE[who])
        bans[0].result(30)
    assert [state(line, job) for job in (first, second)] == [JobState.CANCELLED] * 2


@pytest.mark.parametrize("who", PEOPLE)
def test_who_is_being_banned_is_not_accepted(line: Line, who: str) -> None:
    first = asked(line, PEOPLE[who])
    with ThreadPoolExecutor(1) as pool:
        with line.database.write() as session:
            sanctions.ban(session, first, by="mod", now=line.database.clock())
            other = pool.submit(ask, line, PEOPLE[who])
            until_it_is_done_or_waits(line, other)
        answer = other.result(30)
    assert isinstance(answer, Complaint)
    assert "barred" in answer.text


def test_a_ban_keeps_nobody_else_waiting(line: Line) -> None:
    first = asked(line, PEOPLE["Discord"])
    with line.database.write() as session:
        sanctions.ban(session, first, by="mod", now=line.database.clock())
        with ThreadPoolExecutor(1) as pool:
            assert isinstance(pool.submit(ask, line, PEOPLE["Slack"]).result(30), UUID)
