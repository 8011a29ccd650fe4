"""`easel review` in a shell says what it has seen, and ends with 1 where it has done nothing."""

import getpass
import json
import re
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import update

from bot.core import steer
from storage import decisions, forget, jobs
from storage.blobs import Blobs
from storage.database import Database
from storage.domain import Decision, JobState, Platform, Subject
from storage.tables import DeliveryRow, RequestRow
from tests.bot.terminal.test_cli import (
    blobs,
    database,
    entry_of,
    finished,
    held,
    run,
    said,
    waiting,
)
from tests.fakes.nouns import NOON, a_verdict, account, recorded

__all__ = ["blobs", "database", "held", "waiting"]


@pytest.fixture
def held_prompt(database: Database) -> UUID:
    return refused(database, Decision.HOLD)


def refused(database: Database, decision: Decision, rule: str = "words:hate") -> UUID:
    verdict = a_verdict(decision, subject=Subject.PROMPT, rule=rule)
    with database.write() as session:
        return recorded(session, verdicts=(verdict,))


def not_done(*words: str) -> str:
    result = run("review", *words)
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    return " ".join(result.stderr.split())


def rings(folder: Path) -> int:
    return len(list((folder / "broker" / "messages").glob("*")))


def test_what_is_allowed_waits_and_is_rung_for(
    tmp_path: Path, database: Database, held_prompt: UUID
) -> None:
    assert str(held_prompt)[:8] in said("log", "--held")
    told = said("review", "allow", str(held_prompt)[:8])
    assert told.startswith("Allowed: it waits to be drawn. The chat client changes the message, if")
    assert rings(tmp_path) == 1
    assert str(held_prompt)[:8] not in said("log", "--held")
    shown = json.loads(said("log", "show", str(held_prompt)))
    assert (shown["outcome"], shown["held"], shown["judged"]) == ("waiting", False, "allow")


def test_a_broker_that_is_away_is_the_reapers_business(
    database: Database, held_prompt: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EASEL_BROKER_URL", "redis://127.0.0.1:1/0")
    assert "it waits to be drawn" in said("review", "allow", str(held_prompt))
    assert entry_of(database, held_prompt).state is JobState.WAITING


def test_what_was_asked_for_in_a_shell_is_had_in_a_shell(
    database: Database, held_prompt: UUID
) -> None:
    with database.write() as session:
        session.execute(update(RequestRow).values(platform=Platform.TERMINAL))
    told = said("review", "allow", str(held_prompt))
    assert f"easel log show {str(held_prompt)[:8]}" in told
    assert "chat" not in told


def test_who_and_when_is_said_the_second_time(database: Database, held_prompt: UUID) -> None:
    said("review", "refuse", str(held_prompt))
    when = r"on \d{4}-\d\d-\d\d at \d\d:\d\d UTC\. "
    by = re.escape(getpass.getuser())
    for decision in ("refuse", "allow"):
        told = not_done(decision, str(held_prompt))
        assert re.match(f"This was kept refused by {by} {when}Nothing of this is held", told)
    shown = json.loads(said("log", "show", str(held_prompt)))
    assert (shown["outcome"], shown["held"], shown["judged"]) == ("refused", False, "refuse")


@pytest.mark.parametrize("decision", ["allow", "remove"])
def test_a_file_that_is_lost_ends_no_decision(
    database: Database, blobs: Blobs, waiting: UUID, decision: str
) -> None:
    sha256 = blobs.put(b"pixels", kept_apart=decision == "allow")
    how = Decision.HOLD if decision == "allow" else Decision.ALLOW
    finished(database, waiting, how, sha256=sha256)
    blobs.delete(sha256)
    result = run("review", decision, str(waiting))
    assert result.exit_code == 0, result.output
    assert f"Picture {sha256} is lost" in result.stderr
    told = {"allow": "Allowed. Pictures to be seen now: 0.", "remove": "Removed."}
    assert result.stdout.startswith(told[decision])


def test_nothing_rings_for_a_picture(tmp_path: Path, database: Database, held: UUID) -> None:
    assert "Pictures to be seen now: 1." in said("review", "allow", str(held))
    assert rings(tmp_path) == 0


def test_a_refused_picture_stays_apart(database: Database, blobs: Blobs, held: UUID) -> None:
    assert said("review", "refuse", str(held)).startswith("It stays refused. ")
    [picture] = entry_of(database, held).pictures
    assert (picture.decision, picture.kept_apart) == (Decision.BLOCK, True)
    assert blobs.get(picture.sha256, kept_apart=True) == b"pixels"
    assert "This was kept refused by" in not_done("allow", str(held))
    assert blobs.get(picture.sha256, kept_apart=True) == b"pixels"


def test_a_move_that_was_cut_short_is_made_up_for(
    database: Database, blobs: Blobs, held: UUID
) -> None:
    """Killed between the commit and the move: saying it again moves the pixels."""
    with database.write() as session:
        decisions.allow(session, held, by="mod", now=database.clock())
    assert "This was allowed by mod" in not_done("allow", str(held))
    [picture] = entry_of(database, held).pictures
    assert blobs.get(picture.sha256) == b"pixels"


def test_taken_down_stays_down(database: Database, blobs: Blobs, waiting: UUID) -> None:
    finished(database, waiting, Decision.ALLOW, sha256=blobs.put(b"pixels"))
    assert said("review", "remove", str(waiting)).startswith("Removed. The chat client takes")
    for decision, words in (
        ("allow", "this does not bring it back"),
        ("refuse", "Nothing of this is held"),
        ("remove", "The message is to be gone"),
    ):
        told = not_done(decision, str(waiting))
        assert "This was taken down by" in told
        assert words in told
    [picture] = entry_of(database, waiting).pictures
    assert picture.decision is Decision.BLOCK
    assert blobs.get(picture.sha256, kept_apart=True) == b"pixels"


def test_what_waits_is_not_drawn_for_nobody(database: Database, waiting: UUID) -> None:
    assert "It waits to be drawn." in not_done("allow", str(waiting))
    assert "What was not drawn yet is cancelled." in said("review", "remove", str(waiting))
    assert entry_of(database, waiting).state is JobState.CANCELLED
    assert "does not bring it back" in not_done("allow", str(waiting))


def test_taken_down_by_its_own_person_before(
    database: Database, blobs: Blobs, waiting: UUID
) -> None:
    finished(database, waiting, Decision.ALLOW, sha256=blobs.put(b"pixels"))
    with database.write() as session:
        steer.delete(session, waiting, NOON)
    assert "was taken down, and this does not bring it back" in not_done("allow", str(waiting))
    assert "was taken down before" in said("review", "remove", str(waiting))


@pytest.mark.parametrize("decision", ["allow", "refuse", "remove"])
def test_of_who_is_forgotten(database: Database, blobs: Blobs, held: UUID, decision: str) -> None:
    forget.forget(database, blobs, account(), keep=timedelta())
    told = not_done(decision, str(held))
    assert "forgotten" in told or "Nothing of this is held" in told


def test_of_who_is_banned_since(tmp_path: Path, database: Database, held_prompt: UUID) -> None:
    said("review", "ban", str(held_prompt))
    assert "has been banned since, so it is not drawn" in not_done("allow", str(held_prompt))
    assert (entry_of(database, held_prompt).state, rings(tmp_path)) == (JobState.REFUSED, 0)
    assert "It stays refused." in said("review", "refuse", str(held_prompt))


@pytest.mark.parametrize(
    ("decision", "rule", "words"),
    [
        (Decision.BLOCK, "floor:minor", "The floor blocked this, and nobody can allow that."),
        (Decision.BLOCK, "floor:person", "The floor blocked this, and nobody can allow that."),
        (Decision.BLOCK, "words:sexual", "What the check or a moderator has refused stays so."),
    ],
)
def test_what_is_blocked_is_not_allowed(
    database: Database, decision: Decision, rule: str, words: str
) -> None:
    assert words in not_done("allow", str(refused(database, decision, rule)))


def test_of_what_was_cancelled(database: Database, held_prompt: UUID) -> None:
    said("review", "allow", str(held_prompt))
    with database.write() as session:
        assert jobs.cancel(session, held_prompt, NOON)
    told = not_done("allow", str(held_prompt))
    assert "This was allowed by" in told
    assert "It was cancelled." in told


def test_a_message_that_is_gone_is_not_promised(database: Database, held_prompt: UUID) -> None:
    with database.write() as session:
        session.execute(update(DeliveryRow).values(gone="404 10008"))
    assert "if it is still there" in said("review", "allow", str(held_prompt))
