"""What descends from a picture that Easel did not draw from words alone."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from storage import forget, jobs, leases, origins
from storage.blobs import open_blobs
from storage.database import Database
from storage.domain import (
    Attached,
    GenerationJob,
    ImageRequest,
    Kept,
    Linked,
    Reference,
    ReferenceUse,
)
from storage.settings import Settings
from storage.tables import RequestRow
from tests.fakes.nouns import FakeClock, a_request, account, made, recorded

PICTURE, OTHER = "ab" * 32, "cd" * 32


def brought(sha256: str, **changes: Any) -> ImageRequest:
    """A request as it is once its reference has been had: re-encoded, so under another hash."""
    reference = Reference(sha256=sha256, use=ReferenceUse.RESTYLE, strength=0.5)
    return a_request(reference=reference, use=ReferenceUse.RESTYLE, **changes)


class Line:
    def __init__(self, database: Database, clock: FakeClock) -> None:
        self.database, self.clock = database, clock

    def drawn(self, request: ImageRequest, sha256: str = PICTURE) -> GenerationJob:
        """What the worker gets; it draws one picture with that hash (its last digit is 0)."""
        with self.database.write() as session:
            job_id = recorded(session, request=request, now=self.clock())
        with self.database.write() as session:
            job = leases.claim(
                session,
                ["builtin"],
                worker="w",
                lease=timedelta(seconds=10),
                max_attempts=3,
                now=self.clock(),
            )
            assert job is not None
            assert job.id == job_id
            assert jobs.finish(session, job, made(job, sha256=sha256), self.clock())
        return job


@pytest.fixture
def line(database: Database, clock: FakeClock) -> Line:
    return Line(database, clock)


def hashed(sha256: str) -> str:
    return f"{sha256[:-1]}0"


def test_words_alone_come_from_nowhere_else(line: Line) -> None:
    assert not line.drawn(a_request()).outside
    assert not line.drawn(a_request(parent_sha256=hashed(PICTURE))).outside


@pytest.mark.parametrize(
    "source",
    [Attached(name="a.png", size_bytes=1, address="x"), Linked(url="https://x"), Kept(sha256="0")],
)
def test_what_is_brought_or_not_remembered_is_from_outside(line: Line, source: Any) -> None:
    assert line.drawn(brought("ef" * 32, source=source)).outside


@pytest.mark.parametrize("outside", [False, True])
def test_over_any_number_of_steps(line: Line, outside: bool) -> None:
    first = a_request()
    if outside:
        first = brought("ef" * 32, source=Linked(url="https://x"))
    line.drawn(first)
    varied = brought("01" * 32, source=Kept(sha256=hashed(PICTURE)))
    assert line.drawn(varied, sha256=OTHER).outside is outside
    again = replace(varied, source=None, seed=8)
    assert line.drawn(again, sha256="23" * 32).outside is outside
    enlarged = brought("45" * 32, source=Kept(sha256=hashed(OTHER)))
    assert line.drawn(enlarged, sha256="67" * 32).outside is outside
    edited = brought("01" * 32, source=Kept(sha256="01" * 32))
    assert line.drawn(edited, sha256="89" * 32).outside is outside


def test_rows_of_an_older_easel_say_it_by_their_reference(line: Line, database: Database) -> None:
    line.drawn(a_request(), sha256=OTHER)
    line.drawn(brought("ef" * 32, source=Kept(sha256=hashed(OTHER))))
    with database.write() as session:
        session.execute(update(RequestRow).values(outside=None))
    with database.read() as session:
        rows = session.scalars(select(RequestRow)).all()
        assert sorted(map(origins.of_row, rows)) == [False, True]
        assert origins.outside(session, brought("0", source=Kept(sha256=hashed(PICTURE))))
        assert not origins.outside(session, brought("0", source=Kept(sha256=hashed(OTHER))))


def test_it_is_kept_when_the_rest_is_forgotten(
    line: Line, database: Database, settings: Settings
) -> None:
    line.drawn(brought("ef" * 32, source=Linked(url="https://x")))
    forget.forget(database, open_blobs(settings), account(), keep=timedelta())
    with database.read() as session:
        [row] = session.scalars(select(RequestRow)).all()
        assert (row.reference_sha256, origins.of_row(row)) == (None, True)
