"""Results that could not be shown, and what is exported of a person."""

import json
from dataclasses import replace
from datetime import timedelta

from sqlalchemy.orm import Session

from storage import deliveries, export, forget, jobs, leases, places, review, troubles
from storage.database import Database
from storage.domain import Delivery, Platform, ReviewKind
from storage.inbox import Envelope
from storage.places import WorkspaceRules
from tests.fakes.nouns import FakeClock, a_request, account, made, recorded

LEASE = timedelta(seconds=15)
DISCORD = Platform.DISCORD


def drawn(database: Database, clock: FakeClock, *, private: bool, user: str = "alice") -> Delivery:
    """A finished job whose message is gone."""
    with database.write() as session:
        request = a_request(private=private)
        job_id = recorded(session, now=clock.now, user=user, request=request)
        job = leases.claim(
            session, ["builtin"], worker="w", lease=LEASE, max_attempts=3, now=clock.now
        )
        assert job is not None
        jobs.finish(session, job, made(job), clock.now)
        delivery = deliveries.get(session, job_id)
        assert delivery is not None
        deliveries.give_up(session, delivery, "direct messages are closed")
    clock.advance(seconds=1)
    return delivery


def taken(session: Session, clock: FakeClock) -> list[Delivery]:
    pace = timedelta(seconds=1.5)
    return deliveries.lease_due(session, DISCORD, owner="me", lease=LEASE, pace=pace, now=clock.now)


def test_results_wait_for_their_person(database: Database, clock: FakeClock) -> None:
    first = drawn(database, clock, private=True)
    public = drawn(database, clock, private=False)
    drawn(database, clock, private=True, user="bob")
    last = drawn(database, clock, private=True)
    with database.read() as session:
        found = troubles.stranded(session, account("alice"), 10)
    assert list(found) == [last.job_id, public.job_id, first.job_id]


def test_a_moved_result_is_due_at_its_new_address(database: Database, clock: FakeClock) -> None:
    lost = drawn(database, clock, private=True)
    with database.write() as session:
        deliveries.move(session, lost.job_id, {"message_id": "new"})
    with database.write() as session:
        (due,) = taken(session, clock)
        assert not troubles.stranded(session, account("alice"), 10)
    assert (due.job_id, due.address) == (lost.job_id, {"message_id": "new"})
    assert not due.shown_pictures


def test_forgetting_takes_down_what_was_given_up(database: Database, clock: FakeClock) -> None:
    """It may have shown a picture before its channel refused an edit."""
    lost = drawn(database, clock, private=True)
    with database.write() as session:
        forget.forget_person(session, account("alice"), clock.now)
    with database.write() as session:
        (due,) = taken(session, clock)
        assert due.removed
        assert due.address == lost.address
        deliveries.give_up(session, due, "10008")
    with database.read() as session:
        delivery = deliveries.get(session, lost.job_id)
    assert delivery is not None
    assert delivery.address == {}


def test_an_export_holds_one_person(database: Database, clock: FakeClock) -> None:
    drawn(database, clock, private=False)
    drawn(database, clock, private=False, user="bob")
    with database.read() as session:
        stored = export.person(session, account("alice"), Envelope(None))
    assert json.loads(json.dumps(stored)) == stored
    counts = {name: len(rows) for name, rows in stored.items() if isinstance(rows, list)}
    assert counts == {
        "requests": 1,
        "jobs": 1,
        "pictures": 1,
        "messages": 1,
        "verdicts": 1,
        "usage": 1,
        "reviews": 0,
        "sanctions": 0,
        "bans": 0,
        "inbox": 0,
    }
    assert "bob" not in json.dumps(stored)


def test_who_reported_is_known_to_nobody_else(database: Database, clock: FakeClock) -> None:
    job_id = drawn(database, clock, private=False).job_id
    with database.write() as session:
        review.report(session, job_id, by=account("bob"), now=clock.now)
    with database.read() as session:
        assert "bob" not in json.dumps(export.person(session, account("alice"), Envelope(None)))
        assert "bob" in json.dumps(export.person(session, account("bob"), Envelope(None)))
    with database.write() as session:
        forget.forget_person(session, account("bob"), clock.now)
    with database.read() as session:
        (still_open,) = review.waiting(session, ReviewKind.REPORT)
    assert "bob" not in still_open.opened_by


def test_rules_are_changed_in_one_transaction(database: Database) -> None:
    with database.write() as session:
        places.set_rules(session, DISCORD, "guild", WorkspaceRules(paused=True))
        chosen = places.change(session, DISCORD, "guild", lambda r: replace(r, daily_pictures=3))
    assert chosen == WorkspaceRules(paused=True, daily_pictures=3)
    with database.read() as session:
        assert places.rules(session, DISCORD, "guild") == chosen
