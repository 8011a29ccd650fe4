"""Who waits for something to show is woken by the commit that has it."""

import asyncio

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout

from storage import deliveries
from storage.changes import Changes
from storage.database import Database
from tests.fakes.nouns import FakeClock, recorded


async def test_a_desire_is_heard_when_it_is_committed(database: Database, clock: FakeClock) -> None:
    with database.write() as session:
        job = recorded(session, now=clock())
    changes = Changes(database)
    for _ in range(3):
        await changes.wait(0.01)
    for _ in range(2):
        waiting = asyncio.create_task(changes.wait(1_000))
        await asyncio.sleep(0)

        def desire() -> None:
            with database.write() as session:
                deliveries.desire(session, job)

        await asyncio.to_thread(desire)
        await asyncio.wait_for(waiting, 60)
    changes.close()


async def test_silence_ends_after_so_long(database: Database) -> None:
    changes = Changes(database)
    for _ in range(3):
        await asyncio.wait_for(changes.wait(0.02), 60)
    changes.close()
    changes.close()


async def test_a_database_that_is_gone_is_asked_again(database: Database, clock: FakeClock) -> None:
    if database.is_sqlite:
        pytest.skip("a file does not hang up")
    changes = Changes(database)
    await changes.wait(0.01)
    with database.write() as session:
        job = recorded(session, now=clock())
        kill = (
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
        )
        session.connection().exec_driver_sql(f"{kill} and datname = current_database()")
    for _ in range(20):
        await changes.wait(0.02)
    waiting = asyncio.create_task(changes.wait(1_000))
    await asyncio.sleep(0)

    def desire() -> None:
        with database.write() as session:
            deliveries.desire(session, job)

    await asyncio.to_thread(desire)
    await asyncio.wait_for(waiting, 60)
    changes.close()


async def test_who_gets_no_connection_looks_again_after_a_while(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_is_free() -> None:
        raise PoolTimeout

    changes = Changes(database)
    with monkeypatch.context() as patch:
        patch.setattr(database.engine, "raw_connection", none_is_free)
        await changes.wait(0.01)
    await changes.wait(0.01)
    changes.close()
