"""What lies about: pixels that no row refers to, and rows whose pixels are gone."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from storage import pixels
from storage.blobs import Blobs, Stored
from storage.database import Database
from storage.forget import is_used
from storage.pixels import Place, wanted
from storage.tables import PictureRow, RequestRow

AGE = timedelta(days=1)
"""Pixels are stored before their row is written, so what is young may get its row yet."""
BATCH = 500


def sweep(database: Database, blobs: Blobs) -> int:
    """Delete pixels that no row has referred to for a day, and put where their rows want them
    those that have lain elsewhere for as long. How many were deleted."""
    deleted = 0
    for stored, elsewhere in strays(database, blobs):
        if not elsewhere:
            deleted += _delete(blobs, stored)
        elif _is_as_seen(blobs, stored):
            pixels.settle(database, blobs, [stored.sha256])
    return deleted


def discard(database: Database, blobs: Blobs, brought: Sequence[Stored]) -> None:
    """Delete pixels that were stored for a row, if it was not written after all: unless another
    row refers to them."""
    if not brought:
        return
    with database.read() as session:
        unused = [stored for stored in brought if not is_used(session, stored.sha256)]
    for stored in unused:
        _delete(blobs, stored)


def _delete(blobs: Blobs, stored: Stored) -> bool:
    if not _is_as_seen(blobs, stored):
        return False
    blobs.delete_from(stored.sha256, kept_apart=stored.kept_apart)
    return True


def _is_as_seen(blobs: Blobs, stored: Stored) -> bool:
    """Unless the same pixels were stored again since we looked."""
    return blobs.find(stored.sha256, kept_apart=stored.kept_apart) == stored


def strays(database: Database, blobs: Blobs) -> Iterator[tuple[Stored, bool]]:
    """Pixels older than a day that no row wants where they lie, and whether one wants them in the
    other place: who decided that, or moved them, died before it was done."""
    before = database.clock() - AGE
    everything = blobs.all()
    while batch := list(islice(everything, BATCH)):
        with database.read() as session:
            there = wanted(session, {stored.sha256 for stored in batch})
        for stored in batch:
            if stored.changed_at < before and (stored.sha256, stored.kept_apart) not in there:
                yield stored, (stored.sha256, not stored.kept_apart) in there


def expected(connection: Connection | Session) -> set[Place]:
    """Everything that rows refer to."""
    pictures = select(PictureRow.sha256, PictureRow.kept_apart).where(
        PictureRow.removed_at.is_(None)
    )
    references = select(RequestRow.reference_sha256, RequestRow.mask_sha256)
    found = {(sha256, kept_apart) for sha256, kept_apart in connection.execute(pictures)}
    return found | {(h, False) for row in connection.execute(references) for h in row if h}


def missing(database: Database, blobs: Blobs) -> int:
    """How many pixels rows refer to that are in neither place."""
    there = {stored.sha256 for stored in blobs.all()}
    with database.read() as session:
        return len({sha256 for sha256, _ in expected(session)} - there)
