"""Where pixels belong: what rows want decides, and nothing else moves or deletes a file.

The same pixels may be another request's too, so that a file leaves a place only when no row needs
it there, and lies in both places when rows do not agree.
"""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from storage.blobs import Blobs
from storage.database import Database
from storage.tables import PictureRow, RequestRow

BATCH = 500
Place = tuple[str, bool]
"""A hash, and whether it is kept apart."""


class Lost(FileNotFoundError):
    """Pixels that rows want lie in neither place; `hashes` has theirs."""

    def __init__(self, hashes: Sequence[str]) -> None:
        super().__init__(*hashes)
        self.hashes = hashes


def wanted(session: Session, hashes: Iterable[str]) -> set[Place]:
    """Where rows expect these pixels."""
    hashes = set(hashes)
    pictures = select(PictureRow.sha256, PictureRow.kept_apart).where(
        PictureRow.sha256.in_(hashes), PictureRow.removed_at.is_(None)
    )
    references = select(RequestRow.reference_sha256, RequestRow.mask_sha256).where(
        or_(RequestRow.reference_sha256.in_(hashes), RequestRow.mask_sha256.in_(hashes))
    )
    found = {(sha256, kept_apart) for sha256, kept_apart in session.execute(pictures)}
    return found | {(h, False) for row in session.execute(references) for h in row if h in hashes}


def settle(
    database: Database, blobs: Blobs, hashes: Iterable[str], *, stored: Iterable[Place] = ()
) -> None:
    """After a commit: put files where rows want them now. Safe to repeat, and at the same time
    as others do: who comes last has seen the newest rows. `stored` is where the caller has just
    put some of them, which costs no look at the store if rows want them there and nowhere else.

    Raises Lost once all others are in their place."""
    every = sorted(set(hashes))
    lost: dict[str, None] = {}
    for start in range(0, len(every), BATCH):
        placed = {sha256: {(sha256, apart)} for sha256, apart in stored}
        while wrong := _misplaced(database, every[start : start + BATCH], placed):
            for sha256, places in wrong.items():
                try:
                    _place(blobs, sha256, places)
                except FileNotFoundError:  # The others have to go all the same.
                    lost[sha256] = None
            placed |= wrong
    if lost:
        raise Lost([*lost])


def _misplaced(
    database: Database, hashes: Sequence[str], placed: Mapping[str, set[Place]]
) -> dict[str, set[Place]]:
    """Where those are wanted that have not been put there."""
    with database.read() as session:
        there = wanted(session, hashes)
    places = {h: {(h, apart) for apart in (False, True) if (h, apart) in there} for h in hashes}
    return {sha256: found for sha256, found in places.items() if placed.get(sha256) != found}


def _place(blobs: Blobs, sha256: str, places: set[Place]) -> None:
    shown, apart = (sha256, False) in places, (sha256, True) in places
    if shown and apart:
        blobs.copy(sha256)
    elif shown or apart:
        blobs.move(sha256, to_kept_apart=apart)
        blobs.delete_from(sha256, kept_apart=shown)
    else:
        blobs.delete(sha256)
