"""Search in prompts: the same words on every database, since the words are made here.

A prompt is found by words and beginnings of words, in any order, without case and accents. What
the databases index is plain words with spaces between, so none of them has a say in what a word is.
"""

import unicodedata
from functools import cache
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Subquery,
    and_,
    cast,
    column,
    false,
    func,
    literal,
    select,
    table,
    true,
)
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.orm import Session

from storage.database import is_sqlite
from storage.tables import SearchRow

MOST_WORDS = 64
"""Of a longer search text the first so many count; FTS5 parses no more than some 250."""
LONGEST_WORD = 16
"""Of longer words the first so many letters count: SQLite has a list for each beginning, which it
walks from the newest, where a longer one would be put together from all its words first."""
WALKED = (3_000, 30_000)
"""Prompts that PostgreSQL reads from the newest on before it asks its index, which knows no order:
what is in every hundredth prompt is found here, and what is rarer makes a short list there."""
ASKED = 3
"""PostgreSQL's index takes its time for each word that it is asked for, since it puts together all
that begin so. So it is asked for the longest words, which are mostly the rarest, and the others are
looked for in what it finds. So many together are rare: it is asked at once."""

_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ł": "l"})
_fts = table("search_words", column("rowid", Integer), column("search_words"))


def words(text: str) -> list[str]:
    """The different words of a text, without case, accents and invisible characters; signs such
    as emoji, and characters of scripts without spaces, are words of their own."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    flat = unicodedata.normalize("NFKD", folded).translate(_LIGATURES)
    found = "".join(map(_spaced, flat)).split()
    return list(dict.fromkeys(word[:LONGEST_WORD] for word in found))


@cache
def _spaced(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Cf" or kind[0] == "M":
        return ""
    if kind == "So" or "\u3041" <= character <= "\u9fff":
        return f" {character} "
    return character if kind[0] in "LN" else " "


def tag(kind: str, platform: str, id: str) -> str:
    """A word that no prompt holds, by which the index knows whose a prompt may be, and where:
    accounts of several tenants share it."""
    plain = "".join(c for c in f"{platform}{id}".lower() if c.isascii() and c.isalnum())
    return f"_{kind}{plain}"


def indexed(prompt: str, platform: str, workspace_id: str, user_id: str) -> str:
    """What `SearchRow.words` says of a request."""
    tags = tag("u", platform, user_id), tag("w", platform, workspace_id)
    return " ".join((*words(prompt), *tags))


def holds(session: Session, text: str) -> ColumnElement[bool]:
    """Whether a row of `SearchRow` has all words of the text: for rows found by other means."""
    sought = words(text)[:MOST_WORDS]
    if not sought:
        return false() if text.strip() else true()
    if not is_sqlite(session):
        return SearchRow.words.op("@@")(cast(_tsquery(sought, ()), TSQUERY))
    spaced = literal(" ").concat(SearchRow.words)
    return and_(*(func.instr(spaced, f" {word}") > 0 for word in sought))


def found(session: Session, text: str, tags: tuple[str, ...], before: int | None) -> list[Subquery]:
    """Ways to the `number` and `request_id` of the prompts that hold all words of the text, best
    first. If one gives fewer than are wanted, the next has to be asked; the last gives all."""
    sought = words(text)[:MOST_WORDS]
    row = select(SearchRow.number, SearchRow.request_id)
    if not sought:
        return [row.where(false()).subquery("found")]
    if is_sqlite(session):
        match = " ".join([f'"{word}"*' for word in sought] + [f'"{tag}"' for tag in tags])
        query = (
            select(_fts.c.rowid.label("number"), SearchRow.request_id)
            .join(SearchRow, SearchRow.number == _fts.c.rowid)
            .where(_fts.c.search_words.op("match")(match))
        )
        if before is not None:
            query = query.where(_fts.c.rowid < before)
        return [query.subquery("found")]
    row = row.add_columns(SearchRow.words)
    if before is not None:
        row = row.where(SearchRow.number < before)
    all_of_it = cast(_tsquery(sought, tags), TSQUERY)

    def among(rows: FromClause) -> Select[int, UUID]:
        return select(rows.c.number, rows.c.request_id).where(rows.c.words.op("@@")(all_of_it))

    longest = sorted(sought, key=len, reverse=True)[:ASKED]
    # MATERIALIZED keeps the planner from walking the numbers instead of asking the index, and from
    # asking it for all words.
    some_of_it = cast(_tsquery(longest, tags), TSQUERY)
    listed = row.where(SearchRow.words.op("@@")(some_of_it)).cte("listed")
    listed = listed.prefix_with("MATERIALIZED")
    # Sorted before anything is joined to it: a page needs the rest of fifty rows, not of all.
    asked = among(listed).order_by(listed.c.number.desc()).subquery("found")
    if len(sought) >= ASKED:
        return [asked]
    newest = row.order_by(SearchRow.number.desc())
    walks = [among(newest.limit(count).subquery()).subquery("found") for count in WALKED]
    return [*walks, asked]


def _tsquery(sought: list[str], tags: tuple[str, ...]) -> str:
    return " & ".join([f"'{word}':*" for word in sought] + [f"'{tag}'" for tag in tags])
