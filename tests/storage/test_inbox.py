"""The inbox: written once, in hand of one, emptied when it is taken, gone after a day."""

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select, text

from bot.terminal.doctor import _inbox
from storage import backup, export, forget, forgotten, inbox, log, restore
from storage.blobs import Blobs
from storage.database import Database
from storage.domain import (
    Attached,
    EventKey,
    Kept,
    Linked,
    Place,
    Platform,
    RawCommand,
    Requester,
    Source,
)
from storage.inbox import Envelope, Sealed
from storage.tables import InboxRow
from tests.fakes.nouns import FakeClock, recorded

LEASE = timedelta(seconds=15)
FILE = Attached(name="a.png", size_bytes=3, address="https://files.example/a.png?is=1")


def command(id: str = "1", **given: object) -> RawCommand:
    platform = Platform.DISCORD
    raw = RawCommand(
        event=EventKey(platform=platform, kind="interaction", id=id, workspace_id="guild"),
        requester=Requester(platform=platform, user_id="alice", locale="fr", manages=True),
        place=Place(platform=platform, channel_id="c", workspace_id="guild", age_restricted=True),
        application="app",
        text="a fox",
        options={"seed": 7, "strength": 0.5, "private": True, "style": "ink"},
        reply={"token": "secret"},
    )
    return replace(raw, **given)  # type: ignore[arg-type]


def put(database: Database, *raws: RawCommand, owner: str = "me") -> set[str]:
    now, envelope = database.clock(), Envelope(None)
    letters = [(raw, envelope.pack(raw)) for raw in raws]
    with database.write() as session:
        return set(inbox.put(session, letters, owner=owner, until=now + LEASE, now=now))


def take_up(database: Database, owner: str = "other", application: str = "app") -> list[RawCommand]:
    now = database.clock()
    with database.write() as session:
        found = inbox.take_up(
            session, Platform.DISCORD, application, owner=owner, until=now + LEASE, now=now
        )
    return [Envelope(None).open(row.body) for row in found]


@pytest.mark.parametrize("key", [None, Fernet(Fernet.generate_key())])
@pytest.mark.parametrize("source", [None, FILE, Linked(url="https://x"), Kept(sha256="ab" * 32)])
def test_what_is_packed_is_what_is_opened(key: Fernet | None, source: Source | None) -> None:
    raw = command(reference=source, mask=source, about="j:1", press="p", parent_sha256="cd")
    body = Envelope(key).pack(raw)
    assert Envelope(key).open(body) == raw
    assert ("a fox" in body) == (key is None)


def test_another_key_opens_nothing() -> None:
    body = Envelope(Fernet(Fernet.generate_key())).pack(command())
    for key in (None, Fernet(Fernet.generate_key())):
        with pytest.raises(Sealed):
            Envelope(key).open(body)


def test_what_was_plain_is_read_when_a_key_is_set_later() -> None:
    body = Envelope(None).pack(command())
    assert Envelope(Fernet(Fernet.generate_key())).open(body) == command()


def test_an_event_is_written_once(database: Database) -> None:
    one, two = command("1"), command("2")
    assert put(database, one) == {str(one.event)}
    assert put(database, one, two) == {str(two.event)}
    with database.write() as session:
        inbox.taken(session, one.event)
    assert put(database, one) == set(), "its key stays for a day"


def test_what_is_taken_says_nothing_of_anybody(database: Database) -> None:
    put(database, raw := command())
    with database.write() as session:
        inbox.taken(session, raw.event)
    with database.read() as session:
        row = session.scalars(select(InboxRow)).one()
        assert (row.body, row.user_id, row.tenant) == ("", "", "")


def test_it_is_taken_up_when_the_lease_runs_out(database: Database, clock: FakeClock) -> None:
    put(database, raw := command())
    assert take_up(database) == []
    clock.advance(seconds=LEASE.total_seconds() + 1)
    assert take_up(database, application="another") == []
    assert take_up(database) == [raw]
    assert take_up(database, owner="third") == [], "somebody has it"


def test_who_lives_keeps_it(database: Database, clock: FakeClock) -> None:
    put(database, command())
    clock.advance(seconds=10)
    with database.write() as session:
        keys = [str(command().event)]
        inbox.renew(session, "me", keys, database.clock() + LEASE)
    clock.advance(seconds=10)
    assert take_up(database) == []


def test_who_leaves_in_good_order_leaves_it_to_the_next(
    database: Database, clock: FakeClock
) -> None:
    put(database, mine := command("1"))
    put(database, command("2"), owner="neighbour")
    with database.write() as session:
        inbox.release(session, "me", database.clock())
    clock.advance(seconds=0.001)
    assert take_up(database) == [mine]


def test_what_failed_comes_again_at_its_time(database: Database, clock: FakeClock) -> None:
    put(database, raw := command())
    with database.write() as session:
        inbox.again(session, raw.event, "me", database.clock() + timedelta(seconds=4))
    clock.advance(seconds=3)
    assert take_up(database) == []
    clock.advance(seconds=2)
    assert take_up(database) == [raw]


@pytest.mark.parametrize("late", ["again", "leave"])
def test_who_was_too_slow_takes_it_out_of_nobody_s_hand(
    database: Database, clock: FakeClock, late: str
) -> None:
    """Their lease has run out, and somebody else is at it."""
    put(database, raw := command())
    clock.advance(seconds=LEASE.total_seconds() + 1)
    assert take_up(database) == [raw]
    with database.write() as session:
        if late == "again":
            inbox.again(session, raw.event, "me", clock.now)
        else:
            inbox.leave(session, [str(raw.event)], "me", clock.now)
    clock.advance(seconds=1)
    assert take_up(database, owner="third") == []


def test_no_look_takes_more_than_its_limit(database: Database, clock: FakeClock) -> None:
    """Also where PostgreSQL plans to ask again for each row what is due."""
    for number in range(6):
        put(database, command(str(number)))
        clock.advance(seconds=1)
    clock.advance(seconds=LEASE.total_seconds())
    now = database.clock()
    with database.write() as session:
        if not database.is_sqlite:
            for plan in ("hashjoin", "mergejoin", "hashagg", "sort", "material"):
                session.execute(text(f"set local enable_{plan} = off"))
        found = inbox.take_up(
            session, Platform.DISCORD, "app", owner="me", until=now + LEASE, now=now, limit=2
        )
    assert [row.event_key for row in found] == [str(command(n).event) for n in ("0", "1")]


def test_what_is_older_than_a_day_is_acted_on_by_nobody(
    database: Database, clock: FakeClock
) -> None:
    """Whoever should have deleted it may be late."""
    put(database, command("1"))
    clock.advance(seconds=inbox.KEPT.total_seconds() - LEASE.total_seconds() - 1)
    put(database, late := command("2"))
    clock.advance(seconds=LEASE.total_seconds() + 2)
    with database.read() as session:
        assert inbox.any_untaken(session, Platform.DISCORD, "app", clock.now)
    assert take_up(database) == [late]
    put(database, command("3"))
    clock.advance(seconds=inbox.KEPT.total_seconds() + 1)
    with database.read() as session:
        assert not inbox.any_untaken(session, Platform.DISCORD, "app", clock.now)


def test_no_row_is_older_than_a_day(database: Database, clock: FakeClock) -> None:
    put(database, taken := command("1"), command("2"))
    with database.write() as session:
        inbox.taken(session, taken.event)
    clock.advance(seconds=inbox.KEPT.total_seconds() + 1)
    put(database, command("3"))
    with database.write() as session:
        assert inbox.expire(session, database.clock()) == 1, "one that nobody had taken"
        assert session.scalars(select(InboxRow.event_key)).all() == [str(command("3").event)]


BOB = Requester(platform=Platform.DISCORD, user_id="bob")


def heard_of(database: Database) -> set[str]:
    with database.read() as session:
        query = select(InboxRow.event_key).where(InboxRow.body != "")
        return {key.rpartition(":")[2] for key in session.scalars(query)}


def test_who_is_forgotten_has_asked_for_nothing(database: Database, clock: FakeClock) -> None:
    """Neither here, nor in a database that a backup brings back."""
    put(database, command("1"), command("2", requester=BOB))
    with database.write() as session:
        forget.forget_person(session, command().requester.account, clock())
    assert heard_of(database) == {"2"}


def test_who_forgets_waits_for_what_is_being_taken(database: Database, clock: FakeClock) -> None:
    """And forgets that too."""
    put(database, raw := command())
    account = raw.requester.account

    def forget_them() -> None:
        with database.write() as session:
            forget.forget_person(session, account, clock())

    forgetting = threading.Thread(target=forget_them)
    with database.write() as session:
        assert not inbox.is_emptied(session, raw.event)
        forgetting.start()
        forgetting.join(0.5)
        job_id = recorded(session, now=clock(), user=account.user_id)
        inbox.taken(session, raw.event)
    forgetting.join()
    with database.read() as session:
        assert inbox.is_emptied(session, raw.event)
        entry = log.entry(session, job_id)
    assert entry is not None
    assert (entry.user_id, entry.request.prompt) == ("", "")


@pytest.mark.parametrize("key", [None, Fernet(Fernet.generate_key())])
def test_an_export_says_what_was_heard_but_not_how_to_answer(
    database: Database, key: Fernet | None
) -> None:
    now, envelope, raw = database.clock(), Envelope(key), command()
    with database.write() as session:
        letters = [(raw, envelope.pack(raw))]
        inbox.put(session, letters, owner="me", until=now + LEASE, now=now)
    with database.read() as session:
        stored = export.person(session, raw.requester.account, envelope)
        assert export.person(session, BOB.account, envelope)["inbox"] == []
        locked = export.person(session, raw.requester.account, Envelope(None))
    [told] = stored["inbox"]
    assert (told["act"], told["text"]) == ("draw", "a fox")
    assert "secret" not in str(stored)
    assert ("text" in locked["inbox"][0]) == (key is None)


def test_a_backup_brings_back_what_was_not_taken_yet(
    database: Database, tmp_path: Path, clock: FakeClock
) -> None:
    """But of nobody who asked to be forgotten since."""
    blobs = Blobs((tmp_path / "blobs").as_uri())
    put(database, command("1"), command("2", requester=BOB))
    backup.backup(database, blobs, tmp_path / "easel.tar")
    clock.advance(seconds=1)
    forgotten.add(blobs, command().requester.account, clock())
    restored = Database(f"sqlite:///{tmp_path / 'restored.db'}", clock)
    restore.restore(tmp_path / "easel.tar", restored, blobs)
    assert heard_of(restored) == {"2"}
    restored.close()


def test_what_nobody_takes_is_told_to_the_operator(database: Database, clock: FakeClock) -> None:
    key, now = Envelope(Fernet(Fernet.generate_key())), clock()
    raw = command("1")
    put(database, command("2"))
    with database.write() as session:
        inbox.put(session, [(raw, key.pack(raw))], owner="me", until=now + LEASE, now=now)
    assert _inbox(database, key) == []
    clock.advance(minutes=1)
    assert [well for well, _ in _inbox(database, key)] == [None]
    (lost, words), (waits, _) = _inbox(database, Envelope(None))
    assert (lost, waits) == (False, None)
    assert "EASEL_ENCRYPTION_KEY" in words
    clock.advance(hours=24)
    assert _inbox(database, Envelope(None)) == [], "nobody takes it any more, with no key"
