"""What a moderator decides about what was held: it goes on or stays refused, and each act is
written down with who and when."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from bot.core import steer
from bot.core.grammar import parse
from storage import decisions, forget, jobs, leases, log, review, sanctions, standing
from storage.catalog import load_catalog
from storage.database import Database
from storage.domain import (
    Complaint,
    Decision,
    ImageRequest,
    JobState,
    Place,
    Platform,
    RawCommand,
    Reference,
    ReferenceUse,
    Refused,
    Requester,
    ReviewKind,
    Subject,
)
from storage.settings import Settings
from storage.tables import JobRow, RequestRow, ReviewRow, UsageRow, VerdictRow
from tests.fakes.nouns import FakeClock, a_request, a_verdict, account, an_event, made
from tests.storage.test_jobs import Shop, shop

__all__ = ["shop"]

REFERENCE = Reference(sha256="cd" * 32, use=ReferenceUse.RESTYLE, strength=0.5)
HELD_PROMPT = a_verdict(Decision.HOLD, subject=Subject.PROMPT)
HELD_REFERENCE = Refused(verdict=a_verdict(Decision.HOLD, subject=Subject.REFERENCE))
BLOCKED_REFERENCE = Refused(verdict=a_verdict(Decision.BLOCK, subject=Subject.REFERENCE))


def act(shop: Shop, name: str, job_id: UUID, by: str = "mod") -> list[str]:
    with shop.database.write() as session:
        return list(getattr(decisions, name)(session, job_id, by=by, now=shop.clock()))


def why_not(shop: Shop, name: str, job_id: UUID) -> str:
    with pytest.raises(decisions.NotDone) as refused:
        act(shop, name, job_id)
    return str(refused.value)


def acts(shop: Shop, job_id: UUID) -> list[tuple[Any, ...]]:
    with shop.database.read() as session:
        rows = session.scalars(select(ReviewRow).where(ReviewRow.job_id == job_id)).all()
    rows = sorted(rows, key=lambda row: row.decided_at or shop.clock())
    return [(row.kind, row.decision, row.decided_by) for row in rows]


def held_prompt(shop: Shop, **given: Any) -> UUID:
    return shop.record(verdicts=(HELD_PROMPT, a_verdict(subject=Subject.NEGATIVE_PROMPT)), **given)


def held_reference(shop: Shop) -> UUID:
    job_id = shop.record(request=a_request(reference=REFERENCE))
    assert shop.finish(shop.claimed(), HELD_REFERENCE)
    return job_id


def made_of(shop: Shop, *decisions: Decision) -> UUID:
    job_id = shop.record()
    job = shop.claimed()
    assert shop.finish(job, made(job, *decisions))
    return job_id


def today(shop: Shop) -> standing.Standing:
    with shop.database.read() as session:
        return standing.of(session, account(), "guild", shop.clock())


def test_a_held_prompt_that_is_allowed_waits_like_any_other(shop: Shop) -> None:
    job_id = held_prompt(shop)
    assert (today(shop).today, today(shop).unfinished, shop.claim()) == (0, 0, None)
    assert act(shop, "allow", job_id) == []
    entry = shop.entry(job_id)
    assert (entry.state, entry.held, entry.judged) == (JobState.WAITING, False, "allow")
    assert (entry.finished_at, entry.attempts) == (None, 0)
    assert (today(shop).today, today(shop).unfinished, today(shop).queue) == (1, 1, 1)
    job = shop.claimed()
    assert (job.id, job.attempt.crashes) == (job_id, 0)
    assert shop.finish(job)
    assert (shop.entry(job_id).state, today(shop).today) == (JobState.MADE, 1)
    assert acts(shop, job_id) == [("hold", "allow", "mod")]


def test_a_held_reference_that_is_allowed_is_not_held_again(shop: Shop) -> None:
    job_id = held_reference(shop)
    act(shop, "allow", job_id)
    job = shop.claimed()
    assert (job.allowed, job.attempt.number, job.attempt.crashes) == (True, 2, 0)
    assert shop.finish(job)
    entry = shop.entry(job_id)
    assert (entry.state, entry.attempts, today(shop).today) == (JobState.MADE, 1, 1)
    said = [(v.subject, v.decision) for index, v in entry.verdicts if index is None]
    assert said == [(Subject.REFERENCE, Decision.HOLD)], "verdicts stay as they were"
    with shop.database.read() as session:
        [usage] = session.scalars(select(UsageRow)).all()
    assert (usage.pictures, usage.device_seconds) == (1, 2.0)


def test_a_prompt_that_is_allowed_allows_no_reference(shop: Shop) -> None:
    """Nobody has seen it yet as what a checker would not let pass."""
    job_id = held_prompt(shop, request=a_request(reference=REFERENCE))
    act(shop, "allow", job_id)
    job = shop.claimed()
    assert not job.allowed
    assert shop.finish(job, HELD_REFERENCE)
    assert shop.entry(job_id).held
    act(shop, "allow", job_id)
    assert shop.claimed().allowed
    assert acts(shop, job_id) == [("hold", "allow", "mod")] * 2


def test_what_an_old_worker_holds_again_can_be_allowed_again(shop: Shop) -> None:
    """The release before knew nothing of `allowed`, and looks at the reference as ever."""
    job_id = held_reference(shop)
    for _ in range(3):
        shop.clock.advance(seconds=1)
        act(shop, "allow", job_id)
        assert shop.finish(shop.claimed(), HELD_REFERENCE)
        assert shop.entry(job_id).held, "a moderator hears of it"
    act(shop, "allow", job_id)
    assert shop.finish(shop.claimed())
    assert shop.entry(job_id).state is JobState.MADE


def test_what_the_release_before_allowed_for_nothing_can_be_allowed(shop: Shop) -> None:
    job_id = held_prompt(shop)
    with shop.database.write() as session:
        row = {"decision": "allow", "decided_by": "old", "decided_at": shop.clock()}
        session.execute(update(ReviewRow).values(row))
    shop.clock.advance(hours=1)
    act(shop, "allow", job_id)
    assert shop.entry(job_id).state is JobState.WAITING
    assert acts(shop, job_id) == [("hold", "allow", "old"), ("act", "allow", "mod")]


def test_a_held_attempt_is_no_crash_and_crashes_still_count(shop: Shop) -> None:
    job_id = shop.record(request=a_request(reference=REFERENCE))
    for _ in range(2):
        shop.claimed()
        shop.clock.advance(seconds=11)
    assert shop.finish(shop.claimed(), HELD_REFERENCE)
    act(shop, "allow", job_id)
    assert shop.claimed().attempt.crashes == 2
    shop.clock.advance(seconds=11)
    shop.reap()
    assert shop.entry(job_id).state is JobState.FAILED
    assert "It could not be drawn." in why_not(shop, "allow", job_id)


def test_the_worker_that_held_it_writes_nothing_into_what_comes_after(shop: Shop) -> None:
    job_id = shop.record(request=a_request(reference=REFERENCE))
    zombie = shop.claimed()
    assert shop.finish(zombie, HELD_REFERENCE)
    act(shop, "allow", job_id)
    assert not shop.finish(zombie, HELD_REFERENCE)
    shop.claimed("w2")
    assert not shop.finish(zombie, HELD_REFERENCE)
    assert shop.entry(job_id).state is JobState.RUNNING


@pytest.mark.parametrize("decision", ["allow", "refuse", "remove"])
def test_a_decision_is_taken_once(shop: Shop, decision: str) -> None:
    job_id = held_prompt(shop)
    act(shop, decision, job_id)
    done = {"allow": "allowed", "refuse": "kept refused", "remove": "taken down"}[decision]
    assert f"This was {done} by mod on 2026-11-21 at 12:00 UTC." in why_not(shop, decision, job_id)
    assert acts(shop, job_id) == [("hold", decision, "mod")]


def test_of_two_moderators_one_decides(shop: Shop) -> None:
    """The second reads what the first has decided, and not what stood there before."""
    job_id = held_prompt(shop)

    def decide(by: str) -> str:
        try:
            act(shop, "allow" if by == "ann" else "refuse", job_id, by)
        except decisions.NotDone as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(decide, ("ann", "ben")))
    assert sorted(map(bool, said)) == [False, True]
    first = ("ann", "ben")[said.index("")]
    assert f"by {first} on" in "".join(said)
    assert [by for _, _, by in acts(shop, job_id)] == [first]


def test_pictures_that_are_refused_stay_apart_and_go_in_time(shop: Shop) -> None:
    job_id = made_of(shop, Decision.ALLOW, Decision.HOLD)
    shop.clock.advance(days=20)
    assert len(act(shop, "refuse", job_id)) == 1
    pictures = shop.entry(job_id).pictures
    assert [p.decision for p in pictures] == [Decision.ALLOW, Decision.BLOCK]
    assert pictures[1].kept_apart

    def expire() -> int:
        with shop.database.write() as session:
            older = timedelta(days=30)
            return len(forget.expire_blocked(session, older_than=older, now=shop.clock()))

    shop.clock.advance(days=20)
    assert expire() == 0, "it counts from the decision"
    shop.clock.advance(days=11)
    assert expire() == 1


def test_of_several_pictures_only_the_held_are_allowed(shop: Shop) -> None:
    job_id = made_of(shop, Decision.HOLD, Decision.BLOCK, Decision.ALLOW, Decision.HOLD)
    assert len(act(shop, "allow", job_id)) == 2
    entry = shop.entry(job_id)
    assert [p.decision.value for p in entry.pictures] == ["allow", "block", "allow", "allow"]
    assert [p.kept_apart for p in entry.pictures] == [False, True, False, False]
    assert not entry.held


@pytest.mark.parametrize("refused", ["prompt", "picture", "reference of an allowed prompt"])
def test_what_a_check_blocked_is_not_held(shop: Shop, refused: str) -> None:
    if refused == "prompt":
        blocked = a_verdict(Decision.BLOCK, subject=Subject.PROMPT)
        held = a_verdict(Decision.HOLD, subject=Subject.NEGATIVE_PROMPT)
        job_id = shop.record(verdicts=(blocked, held))
    elif refused == "picture":
        job_id = made_of(shop, Decision.BLOCK)
    else:
        job_id = held_prompt(shop, request=a_request(reference=REFERENCE))
        act(shop, "allow", job_id)
        assert shop.finish(shop.claimed(), BLOCKED_REFERENCE)
    before = shop.entry(job_id)
    assert not before.held
    assert "Nothing of this is held." in why_not(shop, "allow", job_id)
    assert "Nothing of this is held." in why_not(shop, "refuse", job_id)
    assert shop.entry(job_id) == before


def test_a_picture_that_one_checker_holds_and_another_blocks_is_blocked(shop: Shop) -> None:
    job_id = shop.record()
    job = shop.claimed()
    outcome = made(job, Decision.HOLD)
    picture = replace(
        outcome.pictures[0], verdicts=(a_verdict(Decision.HOLD), a_verdict(Decision.BLOCK))
    )
    assert shop.finish(job, replace(outcome, pictures=(picture,)))
    assert not shop.entry(job_id).held
    assert "Nothing of this is held." in why_not(shop, "allow", job_id)


def test_for_who_is_banned_nothing_is_drawn(shop: Shop) -> None:
    job_id = held_prompt(shop)
    with shop.database.write() as session:
        sanctions.ban(session, job_id, by="mod", now=shop.clock())
    assert "banned since" in why_not(shop, "allow", job_id)
    assert shop.entry(job_id).held, "it is still to be decided"
    with shop.database.write() as session:
        sanctions.unban(session, "discord", "alice", now=shop.clock())
    act(shop, "allow", job_id)
    assert shop.entry(job_id).state is JobState.WAITING


@pytest.mark.parametrize(
    "trace", [{"parent_sha256": "cd" * 32}, {"strength": 0.4}, {"use": ReferenceUse.EDIT}]
)
def test_from_the_words_alone_nothing_is_drawn(shop: Shop, trace: dict[str, Any]) -> None:
    """The reference was not kept: a release before 0004 did not fetch it for what it held."""
    job_id = held_prompt(shop, request=a_request(**trace))
    assert "Ask the person to send both again." in why_not(shop, "allow", job_id)
    entry = shop.entry(job_id)
    assert (entry.state, entry.held) == (JobState.REFUSED, True), "it is still to be decided"
    again = steer.again(entry, seed=3)
    assert isinstance(again, Complaint)
    assert again.text.startswith("I have not kept the reference image")
    act(shop, "refuse", job_id)
    assert not shop.entry(job_id).held


def test_what_words_leave_is_no_trace_of_a_reference(shop: Shop) -> None:
    """Else nothing that is held could be drawn."""
    raw = RawCommand(
        event=an_event(),
        requester=Requester(platform=Platform.DISCORD, user_id="alice"),
        place=Place(platform=Platform.DISCORD),
        text="a swastika on a hindu temple --seed 7",
    )
    catalog = load_catalog(Settings(_env_file=None))  # type: ignore[call-arg]
    request = parse(raw, catalog, default_model="builtin", random_seed=lambda: 7)
    assert isinstance(request, ImageRequest)
    job_id = held_prompt(shop, request=request)
    assert not shop.entry(job_id).request.lacks_reference
    act(shop, "allow", job_id)
    assert shop.claimed().id == job_id


@pytest.mark.parametrize("late", [False, True])
def test_for_who_is_forgotten_nothing_is_drawn(shop: Shop, late: bool) -> None:
    job_id = held_prompt(shop)
    with shop.database.write() as session:
        if late:
            session.execute(update(RequestRow).values(forget_at=shop.clock() + timedelta(days=9)))
        else:
            forget.forget_person(session, account(), shop.clock())
    assert "forgotten" in why_not(shop, "allow", job_id)
    assert shop.entry(job_id).state is JobState.REFUSED


def test_what_its_person_has_deleted_is_not_drawn_and_can_be_closed(shop: Shop) -> None:
    job_id = held_prompt(shop)
    with shop.database.write() as session:
        steer.delete(session, job_id, shop.clock())
    assert "The message was taken down" in why_not(shop, "allow", job_id)
    act(shop, "refuse", job_id)
    assert acts(shop, job_id) == [("hold", "refuse", "mod")]


def test_what_its_person_has_deleted_can_be_taken_down_once_more(shop: Shop) -> None:
    """Its pictures are kept apart then, and there is a record of who wanted that."""
    job_id = made_of(shop, Decision.ALLOW)
    with shop.database.write() as session:
        steer.delete(session, job_id, shop.clock())
    assert len(act(shop, "remove", job_id)) == 1
    assert acts(shop, job_id) == [("act", "remove", "mod")]


def test_an_act_that_nothing_asked_for_is_written_down(shop: Shop) -> None:
    job_id = made_of(shop, Decision.ALLOW)
    act(shop, "remove", job_id)
    assert acts(shop, job_id) == [("act", "remove", "mod")]
    assert shop.entry(job_id).judged == "remove"
    with shop.database.read() as session:
        assert review.waiting(session) == []
        held = log.page(session, reviews=[ReviewKind.HOLD, ReviewKind.RESTRICTED])
    assert held == []


def test_a_report_is_closed_without_a_word_of_what_was_held(shop: Shop) -> None:
    job_id = made_of(shop, Decision.ALLOW)
    with shop.database.write() as session:
        assert review.report(session, job_id, by=account("bob"), now=shop.clock())
    assert "use `remove`" in why_not(shop, "refuse", job_id)
    assert act(shop, "allow", job_id) == []
    assert acts(shop, job_id) == [("report", "allow", "mod")]
    assert shop.entry(job_id).judged == ""


def test_who_died_before_the_move_can_say_it_again(shop: Shop) -> None:
    job_id = made_of(shop, Decision.HOLD)
    hashes = act(shop, "allow", job_id)
    with pytest.raises(decisions.NotDone) as refused:
        act(shop, "allow", job_id)
    assert refused.value.hashes == hashes


def test_a_race_with_cancel_respects_the_person(shop: Shop) -> None:
    """Cancelled while the worker looked at the reference, and held all the same."""
    job_id = shop.record(request=a_request(reference=REFERENCE))
    job = shop.claimed()
    with shop.database.write() as session:
        assert jobs.cancel(session, job_id, shop.clock())
    assert shop.finish(job, HELD_REFERENCE)
    assert "has cancelled it" in why_not(shop, "allow", job_id)


def test_verdicts_are_appended_and_never_changed(shop: Shop, clock: FakeClock) -> None:
    job_id = held_prompt(shop, request=a_request(reference=REFERENCE))

    def verdicts(database: Database) -> list[tuple[Any, ...]]:
        with database.read() as session:
            rows = session.scalars(select(VerdictRow).order_by(VerdictRow.id))
            return [(row.id, row.subject, row.decision, row.attempt) for row in rows]

    seen: list[tuple[Any, ...]] = []
    for outcome in (HELD_REFERENCE, None):
        act(shop, "allow", job_id)
        assert verdicts(shop.database)[: len(seen)] == seen
        seen = verdicts(shop.database)
        shop.finish(shop.claimed(), outcome)
        clock.advance(seconds=1)
    assert verdicts(shop.database)[: len(seen)] == seen
    with shop.database.read() as session:
        assert session.get_one(JobRow, job_id).state == JobState.MADE


def test_renewing_is_as_ever(shop: Shop) -> None:
    act(shop, "allow", held_prompt(shop))
    assert shop.renew(shop.claimed()) == leases.Renewal(held=True, cancel=False)
