"""Bans of a release that knew no tenants, after the upgrade."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from storage import migrate, sanctions, standing
from storage.database import Database
from storage.domain import Account, Platform
from storage.tables import Base
from tests.fakes.nouns import NOON, FakeClock
from tests.servers import needs_postgres

REQUESTS, BANS = Base.metadata.tables["requests"], Base.metadata.tables["bans"]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=needs_postgres)])
def old(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/easel.db"
    if request.param == "postgres":
        url = request.getfixturevalue("empty_postgres_url")
    database = Database(url, clock)
    with database.engine.begin() as connection:
        migrate.run(connection, "0003")
    yield database
    database.close()


def banned(old: Database, user: str, *teams: tuple[str, str]) -> None:
    """By the old release, after requests in these (enterprise, workspace)."""
    with old.engine.begin() as connection:
        for enterprise, workspace in teams:
            _insert(
                connection,
                REQUESTS,
                user_id=user,
                workspace_id=workspace,
                enterprise_id=enterprise,
                event_key=str(uuid4()),
                prompt_labels=[],
                platform="slack",
            )
        _insert(connection, BANS, user_id=user, platform="slack", banned_by="mod")


def _insert(connection: sa.Connection, table: sa.Table, **given: object) -> None:
    """What is not given, as little as its column takes."""
    row: dict[str, object] = {}
    there = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
    for column in table.columns:
        if column.name not in there:
            continue
        kind = column.type.python_type
        least = uuid4 if kind is UUID else kind
        row[column.name] = (
            None if column.nullable else NOON if column.name.endswith("_at") else least()
        )
    columns = [sa.column(name, table.c[name].type) for name in row]
    connection.execute(sa.table(table.name, *columns).insert().values(row | given))


def holds(old: Database, user: str, tenant: str) -> bool:
    account = Account(platform=Platform.SLACK, tenant=tenant, user_id=user)
    with old.read() as session:
        return standing.of(session, account, "T9", NOON).banned


def test_bans_hold_where_the_id_is_known(old: Database) -> None:
    banned(old, "U1", ("", "T1"))
    banned(old, "U2", ("", "T1"), ("", "T2"))
    banned(old, "U3")
    banned(old, "U4", ("E1", "T1"), ("E1", "T2"))
    migrate.upgrade(old)
    assert [holds(old, "U1", tenant) for tenant in ("T1", "T2")] == [True, False]
    assert [holds(old, "U2", tenant) for tenant in ("T1", "T2", "T3")] == [True, True, False]
    assert [holds(old, "U3", tenant) for tenant in ("T1", "T2")] == [True, True]
    assert [holds(old, "U4", tenant) for tenant in ("E1", "T1")] == [True, False]
    with old.read() as session:
        assert sanctions.banned_in_several(session) == {"U2": ["T1", "T2"]}


def test_they_are_ended(old: Database) -> None:
    for user, teams in (("U1", ["T1"]), ("U2", ["T1", "T2"]), ("U3", [])):
        banned(old, user, *(("", team) for team in teams))
    migrate.upgrade(old)
    with old.write() as session:
        assert sanctions.unban(session, "slack", "U1", now=NOON)
        with pytest.raises(sanctions.Several):
            sanctions.unban(session, "slack", "U2", now=NOON)
        assert sanctions.unban(session, "slack", "U2", tenant="T2", now=NOON)
        assert sanctions.unban(session, "slack", "U3", tenant="T7", now=NOON), "of no known tenant"
    assert not holds(old, "U1", "T1")
    assert [holds(old, "U2", tenant) for tenant in ("T1", "T2")] == [True, False]
    assert not holds(old, "U3", "T1")
    with old.read() as session:
        assert sanctions.banned_in_several(session) == {}
