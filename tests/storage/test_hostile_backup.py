"""Backups that somebody wrote to do harm: words, nothing changed, and no memory for what is not
there."""

import gzip
import json
import struct
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from bot.cli import app
from storage import backup, forgotten, migrate, restore, saved
from storage.backup import Unfit
from storage.blobs import Blobs
from storage.database import Database
from tests.fakes.archives import Archive
from tests.fakes.nouns import FakeClock, account
from tests.servers import needs_postgres
from tests.storage.test_backup import blobs_in, draw

Change = Callable[[Archive], object]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an installation with one finished request of alice's."""
    folder, clock = tmp_path_factory.mktemp("good"), FakeClock()
    database, pictures = Database(f"sqlite:///{folder / 'old.db'}", clock), blobs_in(folder / "a")
    migrate.upgrade(database)
    draw(database, pictures, clock, "alice", b"pixels")
    forgotten.add(pictures, account("nobody"), clock())
    backup.backup(database, pictures, folder / "good.tar")
    database.close()
    return folder / "good.tar"


@pytest.fixture
def archive(good: Path) -> Archive:
    return Archive(good)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=needs_postgres)])
def target(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("empty_postgres_url")
    database = Database(url, clock)
    yield database
    database.close()


def refused(file: Path, target: Database, folder: Path, words: str) -> None:
    blobs = blobs_in(folder)
    with pytest.raises(Unfit, match=words):
        restore.restore(file, target, blobs)
    assert migrate.current(target) is None
    assert list(blobs.all()) == []


def test_what_is_put_together_again_is_whole(
    archive: Archive, target: Database, tmp_path: Path
) -> None:
    report = restore.restore(archive.save(tmp_path / "b.tar"), target, blobs_in(tmp_path / "b"))
    assert (report.pictures, report.forgotten) == (2, 0)


def of(table: str, **changes: Any) -> Change:
    return lambda archive: archive.rows[table][0].update(changes)


def without(table: str, column: str) -> Change:
    return lambda archive: archive.rows[table][0].pop(column)


def twice(table: str) -> Change:
    return lambda archive: archive.rows[table].append(archive.rows[table][0])


ROWS: dict[str, tuple[Change, str]] = {
    "a number for a name": (of("requests", user_id=7), "row 1 of requests"),
    "a name for a number": (of("requests", steps="many"), "row 1 of requests"),
    "a number in words": (of("requests", steps="12"), "row 1 of requests"),
    "a number that is no whole one": (of("requests", width=1.5), "row 1 of requests"),
    "yes for true": (of("requests", private="yes"), "row 1 of requests"),
    "true for a number": (of("requests", count=True), "row 1 of requests"),
    "a list for an object": (of("deliveries", address=[1]), "row 1 of deliveries"),
    "an object for a list": (of("requests", prompt_labels={"a": 1}), "row 1 of requests"),
    "numbers in a list of words": (of("requests", prompt_labels=[1]), "row 1 of requests"),
    "nothing where something must be": (of("requests", prompt=None), "row 1 of requests"),
    "no such time": (of("requests", created_at="soon"), "row 1 of requests"),
    "a time without a zone": (of("requests", created_at="2026-01-01T00:00"), "row 1 of requests"),
    "a time that is a number": (of("jobs", rung_at=1e300), "row 1 of jobs"),
    "no such id": (of("jobs", id="../../etc/passwd"), "row 1 of jobs"),
    "an endless number": (of("requests", seed=10**400), "row 1 of requests"),
    "a number too large": (of("requests", seed=2**63), "row 1 of requests"),
    "no number": (of("usage", device_seconds=float("nan")), "row 1 of usage"),
    "without end": (of("usage", device_seconds=float("inf")), "row 1 of usage"),
    "a platform of nobody": (of("requests", platform="myspace"), "row 1 of requests"),
    "a state of nobody": (of("jobs", state="flying"), "row 1 of jobs"),
    "a verdict of nobody": (of("verdicts", decision="shrug"), "row 1 of verdicts"),
    "a name too long": (of("requests", user_id="x" * 65), "row 1 of requests"),
    "a picture that is a path": (of("pictures", sha256="../../../etc/x"), "row 1 of pictures"),
    "NUL": (of("requests", prompt="a\0b"), "row 1 of requests"),
    "half a letter": (of("requests", prompt="\ud800"), "row 1 of requests"),
    "a column of nobody": (of("requests", shoe_size=44), "row 1 of requests"),
    "a column of pydantic's": (of("requests", model_config={}), "row 1 of requests"),
    "a column that is missing": (without("requests", "platform"), "contradict"),
    "no object": (lambda a: a.rows["requests"].append([1]), "row 2 of requests"),
    "no row": (lambda a: a.rows["requests"].append(None), "row 2 of requests"),
    "the same twice": (twice("requests"), "contradict"),
    "a job without a request": (lambda a: a.rows["requests"].clear(), "contradict"),
    "very deep": (of("deliveries", address=json.loads('{"a":' * 900 + "1" + "}" * 900)), "row 1"),
}


@pytest.mark.parametrize("what", ROWS)
def test_rows(archive: Archive, tmp_path: Path, clock: FakeClock, what: str) -> None:
    change, words = ROWS[what]
    change(archive)
    target = Database(f"sqlite:///{tmp_path / 'new.db'}", clock)
    refused(archive.save(tmp_path / "bad.tar"), target, tmp_path / "b", words)
    target.close()


@pytest.mark.parametrize("what", [what for what, (_, words) in ROWS.items() if words[:3] != "row"])
def test_rows_that_only_the_database_finds(
    archive: Archive, target: Database, tmp_path: Path, what: str
) -> None:
    change, words = ROWS[what]
    change(archive)
    refused(archive.save(tmp_path / "bad.tar"), target, tmp_path / "b", words)


def manifest(**changes: Any) -> Change:
    return lambda archive: archive.last.append(lambda said: said.update(changes))


def raw(said: bytes) -> Change:
    return lambda archive: setattr(archive, "raw_manifest", said)


def tables(**changes: Any) -> Change:
    return lambda archive: archive.last.append(lambda said: said["tables"].update(changes))


HASH = "0" * 64
MANIFESTS: dict[str, tuple[Change, str]] = {
    "nothing": (raw(b""), "manifest.json"),
    "no JSON": (raw(b"\x89PNG"), "manifest.json"),
    "not UTF-8": (raw(b'{"format": 1, "schema": "\xff"}'), "manifest.json"),
    "UTF-16": (raw('{"format": 1}'.encode("utf-16")), "manifest.json"),
    "half of it": (raw(b'{"format": 1, "schema": "00'), "manifest.json"),
    "a list": (raw(b"[1, 2]"), "manifest.json"),
    "null": (raw(b"null"), "manifest.json"),
    "very deep": (raw(b"[" * 200_000), "manifest.json"),
    "an endless number": (raw(b'{"format": ' + b"9" * 100_000 + b"}"), "manifest.json"),
    "the end alone": (raw(b'{"format": 1, "schema": "0001"}'), "manifest.json"),
    "a format in words": (manifest(format="one"), "manifest.json"),
    "a schema that is a list": (manifest(schema=["0001"]), "manifest.json"),
    "a schema that is a way": (manifest(schema="0001:head"), "newer Easel"),
    "a schema that is a step": (manifest(schema="+1"), "newer Easel"),
    "no schema": (manifest(schema=None), "manifest.json"),
    "no such time": (manifest(created_at="yesterday"), "manifest.json"),
    "a time without a zone": (manifest(created_at="2026-01-01T00:00:00"), "manifest.json"),
    "tables in a list": (manifest(tables=["requests"]), "manifest.json"),
    "a table in words": (tables(requests="all"), "manifest.json"),
    "fewer than none": (tables(requests={"rows": -1, "sha256": HASH}), "manifest.json"),
    "a table of nobody": (tables(sqlite_master={"rows": 0, "sha256": HASH}), "which there is not"),
    "a table that is a path": (tables(**{"../../x": {"rows": 0, "sha256": HASH}}), "there is not"),
    "signs of life": (tables(workers={"rows": 0, "sha256": HASH}), "which there is not"),
    "no jobs": (lambda archive: archive.leave_out("jobs"), "jobs is missing"),
    "a picture that is a path": (manifest(blobs=["shown/../../../etc/passwd"]), "manifest.json"),
    "a picture elsewhere": (manifest(blobs=[f"hidden/{HASH}"]), "manifest.json"),
    "a picture that is missing": (manifest(blobs=[f"shown/{HASH}"]), "does not name|missing"),
    "pictures that it does not name": (manifest(blobs=[]), "does not name"),
    "no hash": (manifest(forgotten=None), "manifest.json"),
}


@pytest.mark.parametrize("what", MANIFESTS)
def test_manifests(archive: Archive, tmp_path: Path, clock: FakeClock, what: str) -> None:
    change, words = MANIFESTS[what]
    change(archive)
    target = Database(f"sqlite:///{tmp_path / 'new.db'}", clock)
    refused(archive.save(tmp_path / "bad.tar"), target, tmp_path / "b", words)
    target.close()


@pytest.mark.parametrize(
    "said",
    [
        b"[]",
        b"\xff",
        b"{",
        b'{"alice": "2026-01-01T00:00:00Z"}',
        b'{"../../x": "2026-01-01T00:00:00Z"}',
        b'{"%s": "soon"}' % (b"0" * 64),
        b'{"%s": "2026-01-01T00:00:00"}' % (b"0" * 64),
        b'{"%s": 5}' % (b"0" * 64),
    ],
)
def test_lists_of_the_forgotten(
    archive: Archive, tmp_path: Path, clock: FakeClock, said: bytes
) -> None:
    archive.put("forgotten.json", said)
    target = Database(f"sqlite:///{tmp_path / 'new.db'}", clock)
    refused(archive.save(tmp_path / "bad.tar"), target, tmp_path / "b", "forgotten.json is not")
    target.close()


def packed(archive: Archive, data: bytes) -> None:
    archive.packed["requests"] = data


ZIPS: dict[str, tuple[Callable[[], bytes], str]] = {
    "not packed": (lambda: b'{"id": 1}', "cannot be unpacked"),
    "nothing": (lambda: b"", "rows, and its manifest"),
    "half": (lambda: gzip.compress(b"x" * 10_000)[:-12], "cannot be unpacked|is not as"),
    "broken": (lambda: gzip.compress(b"{}\n" * 99)[:-4] + b"\0\0\0\0", "is not as|unpacked"),
    "not UTF-8": (lambda: gzip.compress(b'{"prompt": "\xff\xfe"}\n'), "is not as it should be"),
    "empty lines": (lambda: gzip.compress(b"\n\n\n"), "is not as it should be"),
    "one line without end": (lambda: gzip.compress(b"a" * 2**27), "more than it can be"),
    "one line of spaces": (lambda: gzip.compress(b" " * 2**27), "more than it can be"),
}


@pytest.mark.parametrize("what", ZIPS)
def test_packed_tables(archive: Archive, tmp_path: Path, clock: FakeClock, what: str) -> None:
    """Small on disk, however large they would be: 128 MiB here."""
    make, words = ZIPS[what]
    packed(archive, make())
    file = archive.save(tmp_path / "bad.tar")
    target = Database(f"sqlite:///{tmp_path / 'new.db'}", clock)
    tracemalloc.start()
    refused(file, target, tmp_path / "b", words)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 64 * 2**20
    target.close()


def test_many_rows_that_unpack_to_much(
    archive: Archive, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line could be a row; all of them are more than people write."""
    monkeypatch.setattr(saved, "ALWAYS_BYTES", 2**20)
    [row] = archive.rows["requests"]
    lines = b"".join(
        json.dumps(row | {"id": f"{n:032x}", "event_key": str(n), "prompt": "a" * 2**20}).encode()
        + b"\n"
        for n in range(16)
    )
    packed(archive, gzip.compress(lines, 9))
    archive.manifest["tables"]["requests"]["rows"] = 16
    target = Database(f"sqlite:///{tmp_path / 'new.db'}", clock)
    refused(archive.save(tmp_path / "bad.tar"), target, tmp_path / "b", "more than it can be")
    target.close()


def more(archive: Archive, name: str, **of_header: Any) -> None:
    header = tarfile.TarInfo(name)
    for field, value in of_header.items():
        setattr(header, field, value)
    archive.extra.append((header, b""))


PICTURE = f"shown/{'a' * 64}"
MEMBERS: dict[str, Change] = {
    "a path out": lambda a: more(a, "../../etc/cron.d/x"),
    "a path from the top": lambda a: more(a, "/etc/passwd"),
    "a letter of Windows": lambda a: more(a, "C:\\x"),
    "a table of a path": lambda a: more(a, "tables/../x.jsonl.gz"),
    "an escape sequence": lambda a: more(a, "\x1b[2J"),
    "a name without end": lambda a: more(a, "x" * 10_000),
    "a symbolic link": lambda a: more(a, PICTURE, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a hard link": lambda a: more(a, PICTURE, type=tarfile.LNKTYPE, linkname="manifest.json"),
    "a folder": lambda a: more(a, PICTURE, type=tarfile.DIRTYPE),
    "a device": lambda a: more(a, PICTURE, type=tarfile.CHRTYPE),
    "a pipe": lambda a: more(a, PICTURE, type=tarfile.FIFOTYPE),
    "a file with holes": lambda a: more(
        a, PICTURE, pax_headers={"GNU.sparse.map": "0,0", "GNU.sparse.size": str(2**62)}
    ),
    "less than nothing": lambda a: more(a, PICTURE, pax_headers={"size": "-1024"}),
    "exabytes": lambda a: more(a, PICTURE, pax_headers={"size": str(2**62)}),
    "a size that is none": lambda a: more(a, PICTURE, pax_headers={"size": "big"}),
    "another manifest": lambda a: more(a, "manifest.json"),
    "a picture twice": lambda a: more(a, a.manifest["blobs"][0]),
}


@pytest.mark.parametrize("what", MEMBERS)
def test_members(archive: Archive, tmp_path: Path, clock: FakeClock, what: str) -> None:
    MEMBERS[what](archive)
    target = Database(f"sqlite:///{tmp_path / 'new.db'}", clock)
    words = "in no backup|is missing|not a whole backup|does not name"
    refused(archive.save(tmp_path / "bad.tar"), target, tmp_path / "b", words)
    target.close()


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    """512 bytes as tar has them, with a right checksum."""
    block = bytearray(512)
    block[:100] = name.ljust(100, b"\0")
    block[100:108], block[108:116], block[116:124] = b"0000600\0", b"0000000\0", b"0000000\0"
    block[124:136], block[136:148] = size, b"00000000000\0"
    block[148:156], block[156:157], block[257:265] = b" " * 8, kind, b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


NEGATIVE = b"\xff" + struct.pack(">11s", (-1024 + 2**88).to_bytes(11, "big"))
HUGE = b"\x80" + (2**62).to_bytes(11, "big")
TARS = {
    "nothing": b"",
    "zeros": bytes(10_240),
    "a zip": b"PK\x03\x04" + bytes(2_000),
    "a packed tar": gzip.compress(bytes(10_240)),
    "a size below nothing": header(b"manifest.json", NEGATIVE) * 3,
    "a picture of exabytes": header(PICTURE.encode(), HUGE) + bytes(1_024),
    "a manifest of exabytes": header(b"manifest.json", HUGE) + bytes(1_024),
    "a name of exabytes": header(b"././@LongLink", HUGE, b"L") + bytes(1_024),
    "more headers of exabytes": header(b"pax", HUGE, b"x") + bytes(1_024),
    "headers of headers": header(b"pax", b"00000000000\0", b"x") * 5_000,
    "a name below nothing": header(b"././@LongLink", NEGATIVE, b"L") * 3,
}


@pytest.mark.parametrize("what", TARS)
@pytest.mark.timeout(60)
def test_what_is_hardly_a_tar(tmp_path: Path, clock: FakeClock, what: str) -> None:
    (tmp_path / "bad.tar").write_bytes(TARS[what])
    target = Database(f"sqlite:///{tmp_path / 'new.db'}", clock)
    refused(tmp_path / "bad.tar", target, tmp_path / "b", "backup")
    target.close()


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_part_of_it(archive: Archive, tmp_path: Path, clock: FakeClock, part: float) -> None:
    whole = archive.save(tmp_path / "good.tar").read_bytes()
    end = len(whole.rstrip(b"\0"))
    (tmp_path / "bad.tar").write_bytes(whole[: int(end * part)])
    target = Database(f"sqlite:///{tmp_path / 'new.db'}", clock)
    refused(tmp_path / "bad.tar", target, tmp_path / "b", "backup")
    target.close()


@pytest.mark.parametrize("created_at", ["9999-12-31T23:59:59Z", "2999-01-01T00:00:00+00:00"])
def test_a_backup_from_the_future_brings_nobody_back(
    archive: Archive, tmp_path: Path, clock: FakeClock, created_at: str
) -> None:
    archive.manifest["created_at"] = created_at
    entries = {forgotten.pseudonym(account("alice")): clock.advance(hours=1)}
    target = Database(f"sqlite:///{tmp_path / 'new.db'}", clock)
    file = archive.save(tmp_path / "b.tar")
    assert restore.restore(file, target, blobs_in(tmp_path / "b"), entries).forgotten == 1
    target.close()


def test_a_backup_of_the_first_day(archive: Archive, tmp_path: Path, clock: FakeClock) -> None:
    archive.manifest["created_at"] = "0001-01-01T00:00:00Z"
    target = Database(f"sqlite:///{tmp_path / 'new.db'}", clock)
    restore.restore(archive.save(tmp_path / "b.tar"), target, blobs_in(tmp_path / "b"))
    target.close()


@pytest.mark.parametrize("said", [b"", b"\xff", b"soon", b"2026-01-01T00:00:00"])
def test_a_damaged_note_of_somebody_forgotten_counts_all_the_same(
    archive: Archive, tmp_path: Path, clock: FakeClock, said: bytes
) -> None:
    """With the time of its file, which is later than the backup: too much, never too little."""
    pictures: Blobs = blobs_in(tmp_path / "b")
    pictures.write(f"forgotten/{forgotten.pseudonym(account('alice'))}", said)
    target = Database(f"sqlite:///{tmp_path / 'new.db'}", clock)
    file = archive.save(tmp_path / "b.tar")
    assert restore.restore(file, target, pictures).forgotten == 1
    target.close()


def test_the_command_says_it_in_words(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EASEL_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.setattr("storage.logs.configure", lambda *_, **__: None)
    archive.rows["requests"][0]["prompt"] = {"canary": "5309"}
    file = archive.save(tmp_path / "bad.tar")
    result = CliRunner().invoke(app, ["restore", str(file)])
    assert result.exit_code == 2
    assert "row 1 of requests is not as it should be: prompt: string_type." in result.stderr
    assert "Nothing was changed." in result.stderr
    assert "canary" not in result.output


def test_a_list_that_is_not_there(archive: Archive, tmp_path: Path) -> None:
    file = archive.save(tmp_path / "b.tar")
    result = CliRunner().invoke(app, ["restore", str(file), "--forgotten", f"{tmp_path}/nowhere"])
    assert result.exit_code == 2
    assert "There is no folder" in result.stderr
    assert not (tmp_path / "nowhere").exists()


@needs_postgres
def test_a_server_that_goes_away(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_postgres_url: str
) -> None:
    monkeypatch.setenv("EASEL_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.setenv("EASEL_DATABASE_URL", empty_postgres_url)
    monkeypatch.setattr("storage.logs.configure", lambda *_, **__: None)
    insert = restore._insert

    def interrupted(connection: Any, *given: Any) -> int:
        connection.execute(text("select pg_terminate_backend(pg_backend_pid())"))
        return insert(connection, *given)

    monkeypatch.setattr(restore, "_insert", interrupted)
    result = CliRunner().invoke(app, ["restore", str(archive.save(tmp_path / "b.tar"))])
    assert result.exit_code == 2
    assert "Restoring stopped (" in result.stderr
