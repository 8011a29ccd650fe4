"""Deliveries: due until shown, one deliverer at a time, final when nobody is there."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from storage import deliveries
from storage.database import Database
from storage.domain import Delivery, Platform
from tests.fakes.nouns import FakeClock, recorded


class Post:
    def __init__(self, database: Database, clock: FakeClock) -> None:
        self.database, self.clock = database, clock
        with database.write() as session:
            self.job: UUID = recorded(session, now=clock())

    def due(self, owner: str = "a") -> list[Delivery]:
        with self.database.write() as session:
            return deliveries.lease_due(
                session,
                Platform.DISCORD,
                owner=owner,
                lease=timedelta(seconds=30),
                pace=timedelta(seconds=1.5),
                now=self.clock(),
            )

    def one(self, owner: str = "a") -> Delivery:
        [delivery] = self.due(owner)
        return delivery

    def shown(self, delivery: Delivery, owner: str = "a") -> None:
        with self.database.write() as session:
            deliveries.shown(
                session,
                delivery,
                owner=owner,
                address=delivery.address,
                pictures=True,
                now=self.clock(),
            )

    def desire(self, *, urgent: bool = True) -> None:
        with self.database.write() as session:
            deliveries.desire(session, self.job, urgent=urgent)


@pytest.fixture
def post(database: Database, clock: FakeClock) -> Post:
    return Post(database, clock)


def test_due_until_shown(post: Post) -> None:
    post.shown(post.one())
    assert post.due() == []
    post.desire()
    assert post.one().shown_pictures


def test_what_is_desired_meanwhile_stays_due(post: Post) -> None:
    delivery = post.one()
    post.desire()
    post.shown(delivery)
    assert post.one().desired_revision == 2


def test_one_deliverer_at_a_time_until_its_lease_runs_out(post: Post) -> None:
    post.one("a")
    assert post.due("b") == []
    post.clock.advance(seconds=31)
    post.one("b")


def test_what_is_posted_after_the_message_was_taken_down_goes_too(post: Post) -> None:
    late = post.one("a")
    post.clock.advance(seconds=31)
    with post.database.write() as session:
        deliveries.desire(session, post.job, removed=True)
    post.shown(replace(post.one("b"), address={}), "b")
    assert post.due("b") == []
    post.shown(replace(late, address={"message_id": "new"}), "a")
    assert post.one("b").address == {"message_id": "new"}


def test_progress_is_paced_and_results_are_not(post: Post) -> None:
    post.shown(post.one())
    post.clock.advance(seconds=1)
    post.desire(urgent=False)
    assert post.due() == []
    post.desire()
    post.shown(post.one())
    post.desire(urgent=False)
    post.clock.advance(seconds=1.5)
    post.one()


def test_a_retry_waits_and_counts(post: Post) -> None:
    delivery = post.one()
    with post.database.write() as session:
        at = post.clock() + timedelta(seconds=5)
        deliveries.retry(session, delivery, owner="a", at=at)
    assert post.due() == []
    post.clock.advance(seconds=5)
    assert post.one().tries == 1


def test_gone_is_final(post: Post) -> None:
    with post.database.write() as session:
        deliveries.give_up(session, post.one(), "unknown channel")
    post.desire()
    post.clock.advance(hours=1)
    assert post.due() == []


def test_a_message_leads_to_its_job(post: Post) -> None:
    with post.database.read() as session:
        found = deliveries.by_message(session, Platform.DISCORD, str(post.job))
        assert found == post.job
        assert deliveries.by_message(session, Platform.SLACK, str(post.job)) is None


def test_the_queue_is_told_only_when_it_moved(post: Post) -> None:
    post.shown(post.one())
    for words, due in (("2 alive", 1), ("2 alive", 0), ("1 alive", 1)):
        post.clock.advance(seconds=2)
        with post.database.write() as session:
            deliveries.say_of_waiting(session, post.job, words)
        found = post.due()
        assert len(found) == due
        for delivery in found:
            post.shown(delivery)
