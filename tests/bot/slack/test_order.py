"""Whose turn it is to be posted in a channel: `deliveries.ahead`, as Slack's addresses have it."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from storage import deliveries, jobs
from storage.database import Database
from storage.domain import Delivery, Place, Platform, Requester
from tests.fakes.nouns import FakeClock, a_request, an_event

LEASE = timedelta(seconds=30)


class Line:
    """People ask one after the other, a second apart."""

    def __init__(self, database: Database, clock: FakeClock) -> None:
        self.database, self.clock = database, clock

    def asked(self, channel: str = "C1", *, team: str = "T1", user: str = "") -> Delivery:
        address = {"enterprise_id": "", "team_id": team, "channel_id": channel}
        address |= {"user_id": user} if user else {}
        now = self.clock()
        with self.database.write() as session:
            job_id = jobs.record(
                session,
                a_request(),
                event=an_event(),
                requester=Requester(platform=Platform.SLACK, user_id="alice"),
                place=Place(platform=Platform.SLACK, workspace_id=team, channel_id=channel),
                press="",
                verdicts=(),
                prompt_labels=frozenset(),
                now=now,
            )
            deliveries.create(session, job_id, Platform.SLACK, address, now)
            delivery = deliveries.get(session, job_id)
        self.clock.advance(seconds=1)
        assert delivery is not None
        return delivery

    def taken(self, delivery: Delivery) -> Delivery:
        """Somebody is at it."""
        with self.database.write() as session:
            [leased] = deliveries.lease_due(
                session,
                Platform.SLACK,
                owner="a",
                lease=LEASE,
                pace=timedelta(0),
                now=self.clock(),
                only=delivery.job_id,
            )
        return leased

    def remember(self, delivery: Delivery, **more: str) -> None:
        address: Mapping[str, str] = {**delivery.address, **more}
        with self.database.write() as session:
            assert deliveries.remember(session, delivery, address)

    def retry(self, delivery: Delivery, seconds: float) -> None:
        at = self.clock() + timedelta(seconds=seconds)
        with self.database.write() as session:
            deliveries.retry(session, delivery, owner="a", at=at)

    def ahead(self, delivery: Delivery) -> int:
        with self.database.read() as session:
            return deliveries.ahead(session, delivery, self.clock())


@pytest.fixture
def queue(database: Database, clock: FakeClock) -> Line:
    return Line(database, clock)


def test_who_asked_earlier_is_posted_first(queue: Line) -> None:
    asked = [queue.asked() for _ in range(3)]
    assert [queue.ahead(delivery) for delivery in asked] == [0, 1, 2]


def test_who_is_being_posted_counts(queue: Line) -> None:
    first, second = queue.taken(queue.asked()), queue.asked()
    queue.remember(first, posting="1")
    assert queue.ahead(second) == 1
    queue.clock.advance(seconds=60)
    assert queue.ahead(second) == 0, "whoever was at it is dead"


def test_who_has_tried_and_comes_back_does_not(queue: Line) -> None:
    first, second = queue.taken(queue.asked()), queue.asked()
    queue.remember(first, posting="1")
    queue.retry(first, seconds=0.5)
    assert queue.ahead(second) == 0


def test_who_waits_for_a_turn_counts(queue: Line) -> None:
    """Put off for a moment, and never tried."""
    first, second = queue.taken(queue.asked()), queue.asked()
    queue.retry(first, seconds=1)
    assert queue.ahead(second) == 1


def test_who_comes_back_much_later_does_not(queue: Line) -> None:
    first, second = queue.taken(queue.asked()), queue.asked()
    queue.retry(first, seconds=60)
    assert queue.ahead(second) == 0


def test_who_is_posted_or_gone_does_not(queue: Line) -> None:
    posted, gone, last = queue.taken(queue.asked()), queue.taken(queue.asked()), queue.asked()
    assert queue.ahead(last) == 2
    queue.remember(posted, message_id="C1:1.1")
    assert queue.ahead(last) == 1
    with queue.database.write() as session:
        deliveries.give_up(session, gone, "not_in_channel")
    assert queue.ahead(last) == 0


def test_another_place_does_not(queue: Line) -> None:
    queue.asked("C2")
    queue.asked("C1", team="T2")
    queue.asked("", user="U2")
    assert queue.ahead(queue.asked("C1")) == 0
    assert queue.ahead(queue.asked("", user="U1")) == 0
    assert queue.ahead(queue.asked("", user="U2")) == 1
