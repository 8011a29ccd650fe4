"""PostgreSQL and a broker in place of the embedded parts, where the environment names them. Tests
whose server is not named are left out; one that is named and does not answer makes them fail."""

import os

import pytest
from sqlalchemy import make_url, text

from storage.database import Database

POSTGRES, REDIS = "EASEL_TEST_POSTGRES_URL", "EASEL_TEST_REDIS_URL"

_PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
if os.environ.get(REDIS):
    # Tests in several processes: each in a Redis database of its own.
    _redis = make_url(os.environ[REDIS])
    _number = int(_redis.database or 0) - int(_PROCESS)
    os.environ[REDIS] = _redis.set(database=str(_number)).render_as_string(False)


def needs(*variables: str) -> pytest.MarkDecorator:
    missing = [variable for variable in variables if not os.environ.get(variable)]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not set")


needs_postgres = needs(POSTGRES)


def _postgres_and(broker: str) -> object:
    variable = f"EASEL_TEST_{broker.upper()}_URL"
    marks = needs(POSTGRES, variable)
    return pytest.param(os.environ.get(variable, ""), id=f"postgres-{broker}", marks=marks)


EMBEDDED = pytest.param("", id="embedded")
ON_SERVERS = (_postgres_and("redis"), _postgres_and("rabbitmq"))
"""For `parametrize`: the URL of the broker, or "" for what needs no server."""


def server_settings(request: pytest.FixtureRequest, broker_url: str) -> dict[str, str]:
    """Settings for one of these; the database is empty and of this run's own."""
    if not broker_url:
        return {}
    database_url = request.getfixturevalue("empty_postgres_url")
    return {"database_url": database_url, "broker_url": broker_url}


def somebody_waits(database: Database) -> bool:
    """In PostgreSQL, for a lock."""
    query = text(
        "select count(*) from pg_stat_activity "
        "where datname = current_database() and wait_event_type = 'Lock'"
    )
    with database.read() as session:
        return bool(session.scalar(query))
