"""`easel` in a shell: what it writes, prints and exits with."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from PIL import Image
from sqlalchemy import text
from typer.testing import CliRunner, Result

from bot.cli import app
from storage import (
    forget,
    jobs,
    leases,
    log,
    migrate,
    review,
    sanctions,
    slack_installations,
    standing,
)
from storage.blobs import Blobs, open_blobs
from storage.database import Database, connect
from storage.domain import Decision, JobState
from storage.log import LogEntry
from tests.bot.terminal.shell import easel, processes_of
from tests.conftest import make_settings
from tests.fakes.nouns import NOON, a_request, account, made, recorded

BROKEN = "a red apple [/red] [bold]x[/bold]"
"""Markup of the library that prints tables."""


def test_draw_from_an_empty_folder(tmp_path: Path) -> None:
    apple, strange = tmp_path / "apple.png", tmp_path / "strange.png"
    result = easel(tmp_path, "draw", "a red apple", "--no", "leaf", "--seed", "7", "-o", str(apple))
    assert result.returncode == 0, result.stderr
    lines = result.stdout.split("\n")
    assert str(apple) in lines
    assert "by name" not in result.stdout
    with Image.open(apple) as image:
        assert (image.format, image.size) == ("PNG", (256, 256))
    assert processes_of(tmp_path) == []

    # What the model has no name for is drawn all the same, with a word about it.
    result = easel(tmp_path, "draw", BROKEN.replace("apple", "zorblax"), "-o", str(strange))
    assert result.returncode == 0, result.stderr
    assert "things by name and none of them is in your prompt" in " ".join(result.stdout.split())
    assert strange.exists()
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize(
    ("locale", "words"),
    [("C.UTF-8", "I don't know --sede. Did you mean --seed?"), ("fr_FR.UTF-8", "--seed")],
)
def test_a_wrong_flag(tmp_path: Path, locale: str, words: str) -> None:
    result = easel(tmp_path, "draw", "a cat --sede 4", "-o", str(tmp_path / "x.png"), LC_ALL=locale)
    assert result.returncode == 1
    assert words in result.stdout
    assert not (tmp_path / "x.png").exists()
    assert not (tmp_path / "data" / "worker.log").exists(), "no worker for what is not drawn"


def test_a_wrong_setting(tmp_path: Path) -> None:
    result = easel(tmp_path, "draw", "a cat", EASEL_LEASE_SECONDS="soon")
    assert result.returncode == 2
    assert result.stderr.startswith("EASEL_LEASE_SECONDS: ")
    assert "Traceback" not in result.stderr


# From here on in this process, on a database that others have filled.


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setenv("EASEL_DATA_FOLDER", str(tmp_path))
    monkeypatch.setattr("storage.logs.configure", lambda *_, **__: None)
    database = connect(make_settings(tmp_path))
    migrate.upgrade(database)
    yield database
    database.close()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return open_blobs(make_settings(tmp_path))


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})


def said(*words: str) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def waiting(database: Database) -> UUID:
    with database.write() as session:
        return recorded(session, request=a_request(prompt=BROKEN))


@pytest.fixture
def held(database: Database, blobs: Blobs, waiting: UUID) -> UUID:
    return finished(database, waiting, Decision.HOLD, sha256=blobs.put(b"pixels", kept_apart=True))


def finished(database: Database, job_id: UUID, decision: Decision, sha256: str) -> UUID:
    with database.write() as session:
        job = leases.claim(
            session,
            ["builtin"],
            worker="w",
            lease=timedelta(seconds=10),
            max_attempts=3,
            now=NOON,
        )
        assert job is not None
        assert job.id == job_id
        outcome = made(job, decision)
        pictures = (replace(outcome.pictures[0], sha256=sha256),)
        assert jobs.finish(session, job, replace(outcome, pictures=pictures), NOON)
    return job_id


def entry_of(database: Database, job_id: UUID) -> LogEntry:
    with database.read() as session:
        entry = log.entry(session, job_id)
    assert entry is not None
    return entry


def test_log_lists_what_was_asked(database: Database, waiting: UUID) -> None:
    listed = said("log")
    assert str(waiting)[:8] in listed
    assert BROKEN in listed
    assert BROKEN in said("log", "--search", "APPLE")
    assert BROKEN not in said("log", "--search", "pear")
    assert BROKEN not in said("log", "--held")
    assert BROKEN not in said("log", "--reported")


def test_log_lists_what_moderators_wait_for(database: Database, held: UUID) -> None:
    assert "made (held)" in said("log", "--held")
    with database.write() as session:
        assert review.report(session, held, by=account("bob"), now=NOON)
    assert BROKEN in said("log", "--reported")


def test_log_show(tmp_path: Path, held: UUID) -> None:
    picture = tmp_path / "look.png"
    shown = json.loads(said("log", "show", str(held)[:8], "-o", str(picture)))
    assert (shown["id"], shown["prompt"]) == (str(held), BROKEN)
    assert (shown["outcome"], shown["held"]) == ("made", True)
    assert shown["pictures"][0]["decision"] == "hold"
    assert picture.read_bytes() == b"pixels"


def test_log_show_of_nothing(tmp_path: Path, waiting: UUID) -> None:
    result = run("log", "show", "00000000")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "No single request" in result.stderr
    result = run("log", "show", str(waiting), "-o", str(tmp_path / "none.png"))
    assert result.exit_code == 1
    assert "no picture" in result.stderr


def test_log_export(held: UUID) -> None:
    [line] = said("log", "export").splitlines()
    exported = json.loads(line)
    assert exported == json.loads(said("log", "show", str(held)))
    [row] = csv.DictReader(io.StringIO(said("log", "export", "--format", "csv")))
    assert list(row) == list(exported)
    assert row["prompt"] == BROKEN
    assert json.loads(row["pictures"]) == exported["pictures"]
    assert run("log", "export", "--format", "xml").exit_code == 2


@pytest.mark.parametrize("prompt", ["=1+1", "+1", "-1", "@SUM(A1)", "=HYPERLINK(1)"])
def test_log_export_runs_nothing(database: Database, prompt: str) -> None:
    """A prompt that a spreadsheet would take for a formula."""
    with database.write() as session:
        recorded(session, request=a_request(prompt=prompt))
    [row] = csv.DictReader(io.StringIO(said("log", "export", "--format", "csv")))
    assert row["prompt"] == f"'{prompt}"
    assert json.loads(said("log", "export"))["prompt"] == prompt


def test_log_export_of_many(database: Database) -> None:
    with database.write() as session:
        ids = [str(recorded(session, now=NOON + timedelta(seconds=n))) for n in range(501)]
    assert [json.loads(line)["id"] for line in said("log", "export").splitlines()] == ids[::-1]


def test_review_allow(database: Database, blobs: Blobs, held: UUID) -> None:
    assert "Allowed" in said("review", "allow", str(held)[:8])
    entry = entry_of(database, held)
    assert (entry.held, entry.pictures[0].decision) == (False, Decision.ALLOW)
    assert blobs.get(entry.pictures[0].sha256) == b"pixels"


def test_review_remove(database: Database, blobs: Blobs, waiting: UUID) -> None:
    finished(database, waiting, Decision.ALLOW, sha256=blobs.put(b"pixels"))
    assert "Removed" in said("review", "remove", str(waiting))
    entry = entry_of(database, waiting)
    assert (entry.state, entry.message_removed) == (JobState.MADE, True)
    assert blobs.get(entry.pictures[0].sha256, kept_apart=True) == b"pixels"


def test_review_ban_and_unban(database: Database, waiting: UUID) -> None:
    def is_banned() -> bool:
        with database.read() as session:
            return standing.of(session, account(), "guild", database.clock()).banned

    assert "discord user alice is banned" in said("review", "ban", str(waiting)[:8])
    assert is_banned()
    said("review", "unban", "discord", "alice")
    assert not is_banned()
    assert run("review", "unban", "discord", "alice").exit_code == 1


def test_one_slack_id_is_banned_in_two_teams(database: Database) -> None:
    with database.write() as session:
        for tenant in ("T1", "T2"):
            job = recorded(session)
            slack = f"update requests set platform = 'slack', tenant = '{tenant}'"
            session.execute(text(f"{slack} where platform = 'discord'"))
            assert sanctions.ban(session, job, by="mod", now=NOON).tenant == tenant
        before = "insert into bans (platform, user_id, banned_at, banned_by, carried) "
        session.execute(text(f"{before} values ('slack', 'alice', '2026-11-21', 'mod', true)"))
    assert "Slack user alice is banned in T1 and T2" in run("doctor").stdout
    result = run("review", "unban", "slack", "alice")
    assert result.exit_code == 1
    assert "--tenant T1 or --tenant T2" in result.stderr
    said("review", "unban", "slack", "alice", "--tenant", "T2")
    assert "is banned in" not in run("doctor").stdout


def test_review_ban_here(database: Database, waiting: UUID) -> None:
    assert "alice is banned in guild" in said("review", "ban", "--here", str(waiting))
    with database.read() as session:
        assert standing.of(session, account(), "guild", NOON).banned
        assert not standing.of(session, account(), "another", NOON).banned


def test_nobody_is_banned(database: Database, waiting: UUID) -> None:
    with database.write() as session:
        forget.forget_person(session, account(), NOON)
    result = run("review", "ban", str(waiting))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Nobody is banned: nobody knows who asked for this" in result.stderr


def test_review_of_nothing(database: Database) -> None:
    for decision in ("allow", "remove", "ban"):
        assert run("review", decision, "00000000").exit_code == 1


def test_migrate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    monkeypatch.setenv("EASEL_DATABASE_URL", f"sqlite:///{tmp_path / 'new' / 'easel.db'}")
    newest = migrate.newest()
    assert said("migrate") == f"nothing → {newest}\n"
    assert said("migrate") == f"{newest} → {newest}\n"


def test_doctor(database: Database) -> None:
    findings = said("doctor").splitlines()
    assert f"ok SQLite answers; schema {migrate.newest()}." in findings
    assert not [line for line in findings if line.startswith("no")]


def test_a_key_that_is_none_is_no_trouble_of_the_database(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EASEL_ENCRYPTION_KEY", "s3cret")
    result = run("doctor")
    [wrong] = [line for line in result.stdout.splitlines() if line.startswith("no")]
    assert wrong.startswith("no EASEL_ENCRYPTION_KEY: ")
    assert "s3cret" not in result.output
    assert f"ok SQLite answers; schema {migrate.newest()}." in result.stdout.splitlines()


def test_a_workspace_whose_token_nobody_needs_is_taken_out(database: Database) -> None:
    with database.write() as session:
        for enterprise, team in (("", "T1"), ("E1", "T2"), ("E1", "")):
            slack_installations.put(session, enterprise, team, "sealed", database.clock())

    def left() -> set[str]:
        with database.read() as session:
            found = slack_installations.newest_first(session)
        return {row.team_id or row.enterprise_id for row in found}

    said("slack", "forget", "T1")
    assert left() == {"T2", "E1"}
    said("slack", "forget", "E1")
    assert left() == {"T2"}, "of an enterprise the one that is for the whole of it"
    assert run("slack", "forget", "T1").exit_code == 1


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("EASEL_DATABASE_URL", "postgresql://x:s3cret@127.0.0.1:1/x", "EASEL_DATABASE_URL"),
        ("EASEL_DATABASE_URL", "nonsense", "EASEL_DATABASE_URL"),
        ("EASEL_DATABASE_URL", "postgresql://x:s3cret@db:port/x", "EASEL_DATABASE_URL"),
        ("EASEL_BROKER_URL", "redis://:s3cret@127.0.0.1:1/0", "EASEL_BROKER_URL"),
        ("EASEL_BLOB_URL", "nonsense://s3cret", "EASEL_BLOB_URL"),
        ("EASEL_CATALOG", "/nowhere/catalog.toml", "The catalog cannot be read"),
        ("EASEL_DEFAULT_MODEL", "dreams", "'dreams' is not in the catalog"),
        ("EASEL_TEXT_RULES", "/nowhere/rules.toml", "EASEL_TEXT_RULES"),
        ("EASEL_DISCORD_API_URL", "http://x:s3cret@127.0.0.1:1", "does not answer at 127.0.0.1"),
    ],
)
def test_doctor_finds_what_is_wrong(
    database: Database, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv("EASEL_DISCORD_TOKEN", "t0ken")
    monkeypatch.setenv("EASEL_DISCORD_API_URL", "http://127.0.0.1:1")
    monkeypatch.setenv(name, value)
    result = run("doctor")
    assert result.exit_code == 1
    assert [line for line in result.stdout.splitlines() if line.startswith("no") and words in line]
    assert "s3cret" not in result.output
    assert "t0ken" not in result.output


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("EASEL_DEVICE", "abacus", "EASEL_DEVICE: "),
        ("EASEL_LEASE_SECONDS", "1", "EASEL_LEASE_SECONDS must be at least three times"),
        ("EASEL_THRESHOLDS", '{"nsfw":', "EASEL_THRESHOLDS: this is not JSON"),
        ("EASEL_THRESHOLDS", '{"nsfw": {"hold": "x"}}', "EASEL_THRESHOLDS__NSFW__HOLD: "),
        ("EASEL_DATABASE_URL", "nonsense", "EASEL_DATABASE_URL is no address"),
        ("EASEL_DATABASE_URL", "postgresql://x:s3cret@db:port/x", "EASEL_DATABASE_URL"),
        ("EASEL_DATABASE_URL", "postgresql://x:s3cret@127.0.0.1:1/x", "Nothing answers at 127.0"),
        ("EASEL_CATALOG", "/nowhere/catalog.toml", "EASEL_CATALOG: "),
        ("EASEL_TEXT_RULES", "/nowhere/rules.toml", "EASEL_TEXT_RULES: "),
    ],
)
def test_wrong_settings_are_named(
    database: Database, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    result = run("draw", "a cat")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(words)
    assert "s3cret" not in result.stderr


def test_a_wrong_catalog_is_told_in_one_line(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = tmp_path / "catalog.toml"
    catalog.write_text("[models.x]\nsorce = 'a'\n")
    monkeypatch.setenv("EASEL_CATALOG", str(catalog))
    result = run("draw", "a cat")
    assert result.exit_code == 2
    assert "models.x.source: Field required; models.x.sorce: " in result.stderr


def test_discord_needs_a_token(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_DISCORD_TOKEN", "")
    result = run("discord")
    assert result.exit_code == 2
    assert "EASEL_DISCORD_TOKEN" in result.stderr


def test_draw_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    result = run("draw", "a cat", "-o", str(tmp_path / "nowhere" / "cat.png"))
    assert result.exit_code == 2
    assert "There is no folder" in result.stderr
