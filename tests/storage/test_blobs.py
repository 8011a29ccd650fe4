"""The same promises of a folder and of S3: a real server speaks its protocol on this machine."""

import hashlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from storage import forget, forgotten, jobs, leases, migrate, sweep
from storage.blobs import Blobs, NotStored
from storage.database import Database
from storage.domain import Platform, Reference, ReferenceUse
from tests.fakes.nouns import FakeClock, a_request, account, made, recorded

PATIENCE_SECONDS = 60.0
ORPHAN = hashlib.sha256(b"orphan").hexdigest()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Its address. moto keeps everything in the memory of a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()
            break
        except OSError:
            assert process.poll() is None, "it ended"
            assert time.monotonic() < end, "it never answered"
            time.sleep(0.05)
    yield url
    process.terminate()
    process.wait()


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where an empty store is."""
    if request.param == "folder":
        return f"file://{tmp_path}/blobs%20with%20space"
    server, bucket = request.getfixturevalue("s3_server"), f"easel-{uuid4().hex[:8]}"
    made = urllib.request.Request(f"{server}/{bucket}", method="PUT")
    urllib.request.urlopen(made, timeout=30).close()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return f"s3://{bucket}/pictures"


@pytest.fixture
def blobs(url: str) -> Blobs:
    return Blobs(url)


def names(blobs: Blobs) -> list[tuple[str, bool]]:
    return sorted((stored.sha256, stored.kept_apart) for stored in blobs.all())


def test_by_hash_in_two_places(blobs: Blobs) -> None:
    sha256 = blobs.put(b"pixels")
    assert sha256 == hashlib.sha256(b"pixels").hexdigest()
    assert blobs.put(b"pixels") == sha256
    assert blobs.get(sha256) == b"pixels"
    with pytest.raises(FileNotFoundError):
        blobs.get(sha256, kept_apart=True)
    for _ in range(2):
        blobs.move(sha256, to_kept_apart=True)
    with pytest.raises(FileNotFoundError):
        blobs.get(sha256)
    assert blobs.get(sha256, kept_apart=True) == b"pixels"
    assert names(blobs) == [(sha256, True)]
    for _ in range(2):
        blobs.delete(sha256)
    assert names(blobs) == []
    with pytest.raises(FileNotFoundError):
        blobs.move(sha256, to_kept_apart=True)
    assert blobs.find(sha256, kept_apart=True) is None


def test_from_one_place_only(blobs: Blobs) -> None:
    sha256 = blobs.put(b"pixels")
    blobs.put(b"pixels", kept_apart=True)
    for _ in range(2):
        blobs.delete_from(sha256, kept_apart=False)
    assert names(blobs) == [(sha256, True)]


def test_what_is_kept_is_there_for_the_next_process(url: str, blobs: Blobs) -> None:
    sha256 = blobs.put(b"pixels" * 100_000)
    assert Blobs(url).get(sha256) == b"pixels" * 100_000
    [stored] = Blobs(url).all()
    assert stored == blobs.find(sha256)
    assert abs(datetime.now(UTC) - stored.changed_at) < timedelta(hours=1)


def test_many(blobs: Blobs) -> None:
    """More than one page of a listing would hold, were pages this small."""
    hashes = sorted(blobs.put(f"{i}".encode()) for i in range(120))
    assert [sha256 for sha256, _ in names(blobs)] == hashes


def test_who_was_forgotten(blobs: Blobs) -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert forgotten.read(blobs) == {}
    forgotten.add(blobs, account("alice"), noon)
    forgotten.add(blobs, account("alice"), noon + timedelta(hours=1))
    forgotten.add(blobs, account("alice", Platform.SLACK), noon)
    assert sorted(forgotten.read(blobs).values()) == [noon, noon + timedelta(hours=1)]
    assert all("alice" not in name for name in forgotten.read(blobs))
    assert names(blobs) == [], "it is no picture, and no sweep deletes it"


def test_a_store_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that nobody made, at an address where nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    with pytest.raises(NotStored) as raised:
        Blobs("s3://nowhere").put(b"pixels")
    assert "s3cret" not in str(raised.value)


@pytest.fixture
def now(tmp_path: Path) -> Iterator[Database]:
    """A database whose clock is two days ahead, so that what was stored just now is old."""
    database = Database(f"sqlite:///{tmp_path}/easel.db", FakeClock(datetime.now(UTC)))
    migrate.upgrade(database)
    yield database
    database.close()


def later(database: Database) -> None:
    database.clock.advance(days=2)  # type: ignore[attr-defined]


def test_a_sweep_takes_what_nobody_refers_to(blobs: Blobs, now: Database) -> None:
    reference, mask = blobs.put(b"reference"), blobs.put(b"mask")
    request = a_request(
        reference=Reference(sha256=reference, mask_sha256=mask, use=ReferenceUse.EDIT, strength=0.5)
    )
    with now.write() as session:
        recorded(session, now=now.clock(), request=request)
        lease = timedelta(seconds=9)
        job = leases.claim(
            session, ["builtin"], worker="w", lease=lease, max_attempts=3, now=now.clock()
        )
        assert job is not None
        outcome = made(job)
        object.__setattr__(outcome.pictures[0], "sha256", blobs.put(b"picture"))
        assert jobs.finish(session, job, outcome, now.clock())
    wanted = names(blobs)
    blobs.put(b"orphan")
    blobs.put(b"orphan", kept_apart=True)
    blobs.put(b"picture", kept_apart=True)
    assert sweep.sweep(now, blobs) == 0, "their rows may come yet"
    assert sweep.missing(now, blobs) == 0
    later(now)
    assert sweep.sweep(now, blobs) == 2
    assert names(blobs) == wanted, "also without the copy that a broken move left behind"
    blobs.move(hashlib.sha256(b"picture").hexdigest(), to_kept_apart=True)
    assert sweep.sweep(now, blobs) == 0
    assert names(blobs) == wanted, "who had to move it died before that"
    blobs.delete(mask)
    assert sweep.missing(now, blobs) == 1


def test_a_sweep_leaves_what_was_stored_again_meanwhile(
    blobs: Blobs, now: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs.put(b"orphan")
    later(now)
    [(found, _)] = sweep.strays(now, blobs)
    newer = replace(found, changed_at=found.changed_at + timedelta(seconds=1))
    monkeypatch.setattr(blobs, "find", lambda *_, **__: newer)
    assert sweep.sweep(now, blobs) == 0
    assert names(blobs) == [(ORPHAN, False)]


def test_forgetting_leaves_no_byte_in_any_file(tmp_path: Path) -> None:
    """Neither in the database, nor in SQLite's log beside it, nor among the pictures."""
    canary = "canaryword5309"
    database = Database(f"sqlite:///{tmp_path}/data/easel.db", FakeClock())
    migrate.upgrade(database)
    blobs = Blobs(f"file://{tmp_path}/data/blobs")
    reference = Reference(
        sha256=blobs.put(f"{canary} pixels".encode()), use=ReferenceUse.RESTYLE, strength=0.5
    )
    with database.write() as session:
        for number in range(30):
            request = a_request(prompt=f"{canary} {number}", reference=reference)
            recorded(session, now=database.clock(), user="alice4711", request=request)
        recorded(session, now=database.clock(), user="bob", request=a_request(prompt="a house"))

    def everything() -> bytes:
        files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
        return b"".join(path.read_bytes() for path in files)

    assert canary.encode() in everything()
    with database.read():
        forget.forget(database, blobs, account("alice4711"), keep=timedelta())
    database.checkpoint()
    left = everything()
    assert canary.encode() not in left
    assert b"alice4711" not in left
    assert b"a house" in left
    database.close()
