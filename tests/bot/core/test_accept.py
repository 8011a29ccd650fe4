"""Accept: what the text check of both prompts adds up to, and who may ask where."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from bot.core.accept import Checked, accept, check, standing_allows
from bot.core.rules import rows
from bot.core.text import TextRules
from storage import leases, log, places, review, usage
from storage.database import Database
from storage.domain import (
    Complaint,
    Decision,
    ImageRequest,
    JobState,
    Linked,
    Place,
    Platform,
    RawCommand,
    Requester,
    ReviewKind,
    Subject,
)
from storage.domain.policy import MINOR_FLOOR_RULE
from storage.places import WorkspaceRules
from storage.settings import Settings
from tests.fakes.nouns import FakeClock, a_request, a_verdict, account, an_event

RULES = TextRules.load()
LOOSE = Place(platform=Platform.DISCORD, age_restricted=True)


@pytest.mark.parametrize(
    ("prompt", "negative", "refused"),
    [
        ("a red apple", "leaf", False),
        ("a nude portrait", "", False),
        ("a nude portrait", "adult", True),
        ("a child on a swing", "", False),
        ("a child on a swing", "clothes", True),
        ("a child on a swing", "swimsuit, trousers", True),
        ("a child on a swing", "hat, scarf", False),
        ("un enfant", "vêtements", True),
        ("una niña", "ropa", True),
        ("a child and a strip of paper", "adult", False),
    ],
)
def test_the_floor_looks_at_both_prompts_together(
    prompt: str, negative: str, refused: bool
) -> None:
    request = a_request(prompt=prompt, negative_prompt=negative)
    checked = check(request, RULES, LOOSE)
    assert checked.refused is refused
    assert any(v.rule == "floor:minor" for v in checked.verdicts) is refused


@pytest.mark.parametrize(
    ("prompt", "negative", "refused"),
    [
        ("Odile Vasseur on a swing", "clothes", True),
        ("Odile Vasseur on a swing", "hands", False),
        ("my neighbour", "vêtements", True),
        ("a woman on a swing", "clothes", False),
    ],
)
def test_so_does_that_for_real_persons(prompt: str, negative: str, refused: bool) -> None:
    checked = check(a_request(prompt=prompt, negative_prompt=negative), RULES, LOOSE)
    assert any(v.rule == "floor:person" for v in checked.verdicts) is refused
    assert checked.refused is refused


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize(
    ("prompt", "negative", "sexual"),
    [("a nude woman", "", True), ("a woman", "clothes", True), ("a woman in a coat", "", False)],
)
def test_sexual_words_about_a_picture_from_outside_are_the_floor(
    door: Door, prompt: str, negative: str, sexual: bool, outside: bool
) -> None:
    source = Linked(url="https://x") if outside else None
    request = a_request(prompt=prompt, negative_prompt=negative, source=source)
    job_id = door.asks(check(request, RULES, LOOSE), request=request)
    assert isinstance(job_id, UUID)
    with door.database.read() as session:
        entry = log.entry(session, job_id)
        restricted = review.waiting(session, ReviewKind.RESTRICTED)
    assert entry is not None
    floored = outside and sexual
    assert (entry.state is JobState.REFUSED) is floored
    assert ("floor:person" in {v.rule for _, v in entry.verdicts}) is floored
    assert bool(restricted) is floored


HONEST = Checked(verdicts=(), labels=frozenset())
REFUSED = Checked(
    verdicts=(
        a_verdict(Decision.BLOCK, subject=Subject.PROMPT, rule=MINOR_FLOOR_RULE),
        a_verdict(subject=Subject.NEGATIVE_PROMPT),
    ),
    labels=frozenset(),
)


class Door:
    """Somebody asks, again and again."""

    def __init__(self, database: Database, settings: Settings, clock: FakeClock) -> None:
        self.database, self.settings, self.clock = database, settings, clock

    def raw(self, user: str, server: str) -> RawCommand:
        return RawCommand(
            event=an_event(),
            requester=Requester(platform=Platform.DISCORD, user_id=user),
            place=Place(platform=Platform.DISCORD, workspace_id=server, channel_id="c"),
        )

    def asks(
        self,
        checked: Checked = HONEST,
        *,
        user: str = "alice",
        server: str = "guild",
        request: ImageRequest | None = None,
    ) -> UUID | str:
        """The job, or why not; the same before anything is fetched as in the transaction."""
        raw, now = self.raw(user, server), self.clock()
        count = 0 if checked.refused else 1
        with self.database.read() as session:
            before = standing_allows(session, self.settings, raw, count, now)
        with self.database.write() as session:
            taken = accept(session, self.settings, request or a_request(), raw, {}, checked, now)
        if isinstance(taken, Complaint):
            assert before == taken
            return taken.text.format(**taken.values)
        assert before is None
        return taken


@pytest.fixture
def door(database: Database, settings: Settings, clock: FakeClock) -> Door:
    return Door(database, settings, clock)


def test_refusals_have_a_bound_of_their_own(door: Door) -> None:
    answers = [door.asks(REFUSED) for _ in range(60)]
    assert all(isinstance(answer, UUID) for answer in answers[:30])
    words = "30 of your requests were refused today, so I take no more of them until midnight UTC."
    assert set(answers[30:]) == {words}
    with door.database.read() as session:
        assert len(review.waiting(session, ReviewKind.RESTRICTED, limit=100)) == 30
        assert usage.recent(session, account(), 9) == [], "nothing of it was drawn"
    assert door.asks() == words
    assert isinstance(door.asks(REFUSED, user="bob"), UUID)
    door.clock.advance(days=1)
    assert isinstance(door.asks(), UUID)


def test_one_server_fills_its_part_of_the_queue(door: Door, settings: Settings) -> None:
    door.settings = settings.model_copy(update={"queue_limit": 8, "person_queue_limit": 3})
    told = [door.asks(user=f"u{n}") for n in range(6)]
    assert [isinstance(answer, UUID) for answer in told] == [True] * 4 + [False] * 2
    assert "their part of the queue (4 requests)" in str(told[-1])
    assert [isinstance(door.asks(server="other", user=f"v{n}"), UUID) for n in range(4)] == [
        True
    ] * 4
    assert "The queue is full (8 requests)" in str(door.asks(server="third"))


def test_direct_messages_are_no_server_to_be_filled(door: Door, settings: Settings) -> None:
    door.settings = settings.model_copy(update={"queue_limit": 8})
    for person in ("alice", "bob"):
        assert all(isinstance(door.asks(server="", user=person), UUID) for _ in range(3))


def test_what_is_drawn_is_not_in_the_queue(door: Door, settings: Settings) -> None:
    door.settings = settings.model_copy(update={"queue_limit": 2})
    assert isinstance(door.asks(), UUID)
    assert isinstance(door.asks(user="bob"), str)
    with door.database.write() as session:
        lease = timedelta(seconds=10)
        given = {"worker": "w", "lease": lease, "max_attempts": 3, "now": door.clock()}
        assert leases.claim(session, ["builtin"], **given)  # type: ignore[arg-type]
    assert isinstance(door.asks(user="bob"), UUID)


@pytest.mark.parametrize(("chosen", "quota"), [(None, 5), (3, 3), (50, 5), (0, 0)])
def test_the_operators_number_is_a_ceiling(
    door: Door, settings: Settings, chosen: int | None, quota: int
) -> None:
    door.settings = settings.model_copy(update={"daily_pictures": 5})
    rules = WorkspaceRules(daily_pictures=chosen)
    with door.database.write() as session:
        places.set_rules(session, Platform.DISCORD, "guild", rules)
    told = [door.asks() for _ in range(6)]
    assert sum(isinstance(answer, UUID) for answer in told) == quota
    said = dict(rows("en", rules, 5))["Quota"]
    assert said.startswith(f"{quota} picture")
    assert ("you chose 50; who runs me allows 5 at most" in said) is (chosen == 50)
