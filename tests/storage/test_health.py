"""`/health` and `/metrics` over HTTP."""

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from storage import doorbell, health
from storage.database import Database
from storage.health import WELL, Check, Health
from tests.conftest import make_settings

SECRET = "s3cret-password"


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def asked(checks: Mapping[str, Check], path: str = "/health") -> tuple[int, str]:
    with health.serving("127.0.0.1:0", checks) as address:
        assert address is not None
        return ask(address[1], path)


def broken() -> str:
    raise ConnectionError(f"postgresql://easel:{SECRET}@db/easel")


def test_well() -> None:
    status, body = asked({"database": lambda: WELL})
    assert (status, json.loads(body)) == (200, {"status": "ok", "checks": {"database": "ok"}})


def test_one_part_that_is_not_well_is_named_without_its_secrets() -> None:
    status, body = asked({"database": broken, "broker": lambda: WELL})
    assert status == 503
    assert json.loads(body)["checks"] == {
        "database": "does not answer (ConnectionError)",
        "broker": "ok",
    }
    assert SECRET not in body


def test_metrics_and_nothing_else() -> None:
    status, body = asked({"database": broken}, "/metrics")
    assert status == 200
    assert "# TYPE easel_jobs_finished_total counter" in body
    assert "process_resident_memory_bytes" in body
    assert asked({}, "/")[0] == 404


def test_a_check_that_hangs_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(health, "FRESH_SECONDS", -1.0)
    over, calls, done = threading.Event(), [], threading.Event()

    def hangs() -> str:
        calls.append(1)
        over.wait(60)
        done.set()
        return WELL

    looks = Health({"database": hangs, "broker": lambda: WELL})
    for _ in range(3):
        found = looks.look()
        assert found["database"].startswith("no answer within")
        assert found["broker"] == WELL
    assert len(calls) == 1
    over.set()
    assert done.wait(60)
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 60)
    assert looks.look()["database"] == WELL


def test_asking_often_costs_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH_SECONDS", 3600.0)
    calls = []

    def counted() -> str:
        calls.append(1)
        return WELL

    looks = Health({"database": counted})
    for _ in range(3):
        looks.look()
    assert len(calls) == 1


def test_a_real_database_and_broker(database: Database, tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    app = doorbell.create_app(settings, ["m"])
    checks = {
        "database": health.database_answers(database),
        "broker": health.broker_answers(app),
    }
    assert asked(checks)[0] == 200


@pytest.mark.parametrize(
    "url", [f"amqp://guest:{SECRET}@127.0.0.1:1//", f"redis://:{SECRET}@127.0.0.1:1/0"]
)
def test_a_broker_that_is_not_there(tmp_path: Path, url: str) -> None:
    app = doorbell.create_app(make_settings(tmp_path, broker_url=url), ["m"])
    status, body = asked({"broker": health.broker_answers(app)})
    assert status == 503
    assert "OperationalError" in body
    assert SECRET not in body


def test_a_database_that_is_not_there() -> None:
    database = Database(f"postgresql://easel:{SECRET}@127.0.0.1:1/easel")
    status, body = asked({"database": health.database_answers(database)})
    assert status == 503
    assert "OperationalError" in body
    assert SECRET not in body
    database.close()


def test_without_an_address_it_is_off() -> None:
    with health.serving("", {}) as address:
        assert address is None


def test_an_address_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with (
            pytest.raises(SystemExit, match=f"EASEL_HEALTH_ADDRESS: {address} cannot be had"),
            health.serving(address, {}),
        ):
            pass
