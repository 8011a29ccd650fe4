"""What stands in a database: in its old columns, and what 0005 has filled."""

import hashlib
from collections import Counter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import text

from storage import log
from storage.database import Database
from storage.tables import Base

Columns = dict[str, list[str]]
Digest = dict[str, tuple[int, str]]


def columns_of(database: Database) -> Columns:
    """Tables as they are, and their columns; without what an index keeps for itself."""
    found = sa.inspect(database.engine)
    return {
        name: sorted(column["name"] for column in found.get_columns(name))
        for name in found.get_table_names()
        if not name.startswith("search_words") and name != "alembic_version"
    }


def digest(database: Database, columns: Columns) -> Digest:
    """Of each table how many rows it has, and a hash of all that stands in these columns. The same
    on every kind of database."""
    found = {}
    with database.engine.connect() as connection:
        for name, names in columns.items():
            table = Base.metadata.tables[name]
            query = sa.select(*(table.c[column] for column in names))
            rows = sorted(map(_plain, connection.execute(query)))
            found[name] = (len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest())
    return found


def _plain(row: sa.Row[Any]) -> str:
    words = row._mapping.get("words")
    if words is None:
        return repr(tuple(row))
    # PostgreSQL shows the words of a tsvector in quotes, and in their own order.
    return repr((*row[:-1], sorted(words.replace("'", "").split())))


def rows_of(database: Database, query: str) -> list[Any]:
    with database.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def check_new_columns(database: Database) -> None:
    """As 0005 says, from what the rows say themselves."""
    requests = rows_of(
        database,
        "select r.tenant, r.platform, r.enterprise_id, r.workspace_id, r.forget_at, j.allowed"
        " from requests r join jobs j on j.request_id = r.id",
    )
    for tenant, platform, enterprise, workspace, forget_at, allowed in requests:
        assert tenant == ((enterprise or workspace) if platform == "slack" else "")
        assert (forget_at, bool(allowed)) == (None, False)
    tenants = Counter(row[0] for row in requests)
    assert set(tenants) == {"", "E0GRID", "T0SOLO", "T0OTHER"}
    wrong = "select count(*) from {0} t join jobs j on j.id = t.job_id join requests r on"
    wrong += " r.id = j.request_id where t.{1} <> r.tenant"
    assert rows_of(database, wrong.format("usage", "tenant")) == [(0,)]
    assert rows_of(
        database, wrong.format("reviews", "opened_tenant") + " and t.opened_by <> ''"
    ) == [(0,)]
    assert set(rows_of(database, "select distinct opened_by, opened_tenant from reviews")) == {
        *(("", ""), ("U0FRIEND", ""), ("U0FRIEND", "T0SOLO"), ("U0FRIEND", "T0OTHER")),
    }
    assert set(rows_of(database, "select distinct platform, application from deliveries")) == {
        *(("discord", "4242"), ("slack", ""), ("terminal", "")),
    }
    sanctions = rows_of(
        database,
        "select platform, user_id, tenant, workspace_id, kind, decided_by, ended_at from sanctions",
    )
    everywhere = ("", "ban", "mod", None)
    assert sorted(sanctions, key=str) == sorted(
        [
            ("discord", "900000000000000003", "", *everywhere),
            ("discord", "4999", "", *everywhere),
            ("slack", "U0S005", "T0SOLO", *everywhere),
            ("slack", "U0S195", "T0SOLO", *everywhere),
            ("slack", "U0S195", "T0OTHER", *everywhere),
            ("slack", "U0G007", "E0GRID", *everywhere),
            ("slack", "U0NOBODY", None, *everywhere),
        ],
        key=str,
    )
    assert rows_of(database, "select count(*) from bans where not carried") == [(0,)]
    assert rows_of(database, "select count(*) from inbox") == [(0,)]


def check_log(database: Database) -> None:
    """Who looks finds it all, by words too."""
    with database.read() as session:
        held = log.page(session, search="swastika hindu", limit=1000)
        assert len(held) > 100
        assert {entry.place.workspace_id for entry in held} == {"T0OTHER"}
        assert len(log.page(session, unfinished=True)) == 7
