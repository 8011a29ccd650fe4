"""A PostgreSQL that has fallen silent is given up, not waited for."""

import socket
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from storage import database
from storage.database import Database


@pytest.mark.timeout(60)  # The driver's own patience is 130 s.
def test_a_server_that_accepts_and_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(database.PATIENCE, "connect_timeout", 2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = Database(f"postgresql://nobody@127.0.0.1:{server.getsockname()[1]}/none")
        with pytest.raises(OperationalError), silent.read() as session:
            session.execute(text("select 1"))
        silent.close()


def test_what_the_url_says_counts() -> None:
    given = Database("postgresql://nobody@127.0.0.1:1/none?connect_timeout=3&keepalives_idle=7")
    passed: dict[str, Any] = {}

    @event.listens_for(given.engine, "do_connect")
    def note(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
        passed.update(parameters)

    with pytest.raises(OperationalError), given.read() as session:
        session.execute(text("select 1"))
    assert (passed.pop("connect_timeout"), passed.pop("keepalives_idle")) == ("3", "7")
    assert passed.items() >= {"tcp_user_timeout": 20_000, "keepalives_interval": 5}.items()
    given.close()
