"""The log: newest first, page by page, found by words, by the start of an id, by a review."""

from uuid import UUID

import pytest

from storage import log, queue, review
from storage.database import Database
from storage.domain import Platform, ReviewKind
from tests.fakes.nouns import NOON, FakeClock, a_request, account, recorded


@pytest.fixture
def ids(database: Database, clock: FakeClock) -> list[UUID]:
    prompts = ("a red apple", "100% wool", "a green_frog", "a red car", "una manzana ROJA")
    found = []
    for prompt in prompts:
        clock.advance(seconds=1)
        with database.write() as session:
            request = a_request(prompt=prompt)
            found.append(recorded(session, now=clock(), request=request))
    return found


def test_pages_meet_without_gap_or_overlap(database: Database, ids: list[UUID]) -> None:
    seen: list[UUID] = []
    before = None
    with database.read() as session:
        while entries := log.page(session, limit=2, before=before):
            seen += [entry.job_id for entry in entries]
            before = (entries[-1].created_at, entries[-1].job_id)
    assert seen == ids[::-1]


@pytest.mark.parametrize(
    ("words", "hits"), [("red", 2), ("roja", 1), ("100%", 1), ("green", 1), ("nothing", 0), ("", 5)]
)
def test_words_are_found(database: Database, ids: list[UUID], words: str, hits: int) -> None:
    with database.read() as session:
        assert len(log.page(session, search=words)) == hits


def test_the_start_of_an_id_is_enough(database: Database, ids: list[UUID]) -> None:
    with database.read() as session:
        entry = log.by_prefix(session, str(ids[0])[:13])
        assert entry is not None
        assert entry.job_id == ids[0]
        assert log.by_prefix(session, str(ids[0]).upper()) == log.by_prefix(session, ids[0].hex)
        longer = (f"{ids[0]}0", "0" * 33, "f" * 5000)
        for hopeless in ("", "abc", "zzzzzzzz", "0000000000", *longer):
            assert log.by_prefix(session, hopeless) is None, hopeless


def test_reported_ones(database: Database, clock: FakeClock, ids: list[UUID]) -> None:
    with database.write() as session:
        assert review.report(session, ids[2], by=account("bob"), now=clock())
        assert not review.report(session, ids[2], by=account("bob"), now=clock()), "once each"
        assert review.report(session, ids[2], by=account("carol"), now=clock())
    with database.read() as session:
        found = log.page(session, reviews=[ReviewKind.REPORT])
        assert [entry.job_id for entry in found] == [ids[2]]
        assert log.page(session, reviews=[ReviewKind.HOLD]) == []


def test_position_counts_who_is_before(database: Database, ids: list[UUID]) -> None:
    with database.read() as session:
        assert [queue.position(session, job) for job in ids] == [1, 2, 3, 4, 5]
        unfinished = queue.unfinished(session, Platform.DISCORD, NOON)
        there = {job.job_id: job.position for job in unfinished}
        assert there == {job: place for place, job in enumerate(ids, 1)}
        assert queue.unfinished(session, Platform.SLACK, NOON) == []
