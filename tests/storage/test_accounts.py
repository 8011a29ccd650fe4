"""Two people of two Slack teams have the same id: what is done to one does not touch the other."""

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text

from bot.core import mine, steer
from storage import (
    accounts,
    deliveries,
    export,
    forget,
    forgotten,
    jobs,
    leases,
    log,
    places,
    review,
    sanctions,
    standing,
    usage,
)
from storage.blobs import open_blobs
from storage.database import Database
from storage.domain import Account, Place, Platform, Requester
from storage.inbox import Envelope
from storage.places import WorkspaceRules
from storage.tables import ReviewRow
from tests.conftest import make_settings
from tests.fakes.nouns import FakeClock, a_request, an_event, claimed, made

SLACK, DISCORD = Platform.SLACK, Platform.DISCORD


def of(tenant: str, user: str = "U1") -> Account:
    return Account(platform=SLACK, tenant=tenant, user_id=user)


ONE, OTHER = of("T1"), of("T2")


def asked(
    database: Database,
    clock: FakeClock,
    who: Account,
    *,
    where: str = "T1",
    channel: str = "C1",
    **request: Any,
) -> UUID:
    with database.write() as session:
        job_id = jobs.record(
            session,
            a_request(**request),
            event=an_event(),
            requester=Requester(platform=who.platform, tenant=who.tenant, user_id=who.user_id),
            place=Place(platform=who.platform, workspace_id=where, channel_id=channel),
            press="",
            verdicts=(),
            prompt_labels=frozenset(),
            now=clock(),
        )
        deliveries.create(session, job_id, who.platform, {}, clock(), "A1")
    return job_id


def drawn(database: Database, clock: FakeClock) -> None:
    """All that waits."""
    with database.write() as session:
        while job := leases.claim(
            session,
            ["builtin"],
            worker="w",
            lease=timedelta(seconds=10),
            max_attempts=3,
            now=clock(),
        ):
            assert jobs.finish(session, job, made(job, sha256=job.id.hex * 2), clock())


def as_before(database: Database, *tables: str) -> None:
    """As a chat client or worker of a release without tenants leaves them."""
    with database.write() as session:
        for table in tables:
            session.execute(text(f"update {table} set tenant = ''"))


@pytest.fixture(params=["now", "before"])
def both(request: pytest.FixtureRequest, database: Database, clock: FakeClock) -> Database:
    """A picture of each, in their own teams; written by this release, and by one before."""
    asked(database, clock, ONE, where="T1", prompt="a red apple of one")
    asked(database, clock, OTHER, where="T2", prompt="a red apple of the other")
    drawn(database, clock)
    if request.param == "before":
        as_before(database, "requests")
    return database


def test_a_ban(both: Database, clock: FakeClock) -> None:
    with both.write() as session:
        [entry] = log.page(session, user=ONE)
        assert sanctions.ban(session, entry.job_id, by="mod", now=clock()) == ONE
    with both.read() as session:
        assert standing.of(session, ONE, "T1", clock()).banned
        assert standing.of(session, ONE, "T9", clock()).banned, "the operator's holds everywhere"
        assert not standing.of(session, OTHER, "T1", clock()).banned
    with both.write() as session:
        assert not sanctions.unban(session, SLACK, "U1", tenant="T2", now=clock())
        assert sanctions.unban(session, SLACK, "U1", now=clock())
    with both.read() as session:
        assert not standing.of(session, ONE, "T1", clock()).banned


def test_a_ban_here(both: Database, clock: FakeClock) -> None:
    with both.write() as session:
        [entry] = log.page(session, user=ONE)
        sanctions.ban(session, entry.job_id, by="mod", now=clock(), here=True)
        sanctions.ban(session, entry.job_id, by="mod", now=clock(), here=True)
    with both.read() as session:
        assert standing.of(session, ONE, "T1", clock()).banned
        assert not standing.of(session, ONE, "T2", clock()).banned
        assert len(export.person(session, ONE, Envelope(None))["sanctions"]) == 1  # type: ignore[arg-type]
        assert export.person(session, OTHER, Envelope(None))["sanctions"] == []


def test_several_are_banned(both: Database, clock: FakeClock) -> None:
    with both.write() as session:
        for entry in log.page(session):
            sanctions.ban(session, entry.job_id, by="mod", now=clock())
        with pytest.raises(sanctions.Several) as told:
            sanctions.unban(session, SLACK, "U1", now=clock())
        assert told.value.tenants == ["T1", "T2"]
        assert sanctions.unban(session, SLACK, "U1", tenant="T1", now=clock())
    with both.read() as session:
        assert not standing.of(session, ONE, "T1", clock()).banned
        assert standing.of(session, OTHER, "T1", clock()).banned


def test_nobody_is_banned(both: Database, clock: FakeClock) -> None:
    direct = asked(both, clock, Account(platform=DISCORD, user_id="alice"), where="")
    with both.write() as session:
        [entry] = log.page(session, user=ONE)
        forget.forget_person(session, ONE, clock())
        with pytest.raises(LookupError, match="forgotten"):
            sanctions.ban(session, entry.job_id, by="mod", now=clock())
        with pytest.raises(LookupError, match="no server"):
            sanctions.ban(session, direct, by="mod", now=clock(), here=True)


def test_a_ban_of_an_old_release(both: Database, clock: FakeClock) -> None:
    """It knows no tenants and writes while the new schema is there."""
    with both.write() as session:
        old = "insert into bans (platform, user_id, banned_at, banned_by) values ('slack', 'U1', "
        session.execute(text(f"{old} '2026-11-21 12:00:00', 'mod')"))
    with both.read() as session:
        assert standing.of(session, ONE, "T1", clock()).banned
        assert standing.of(session, OTHER, "T2", clock()).banned
    with both.write() as session:
        assert sanctions.unban(session, SLACK, "U1", now=clock())
        assert not sanctions.unban(session, SLACK, "U1", now=clock())
    with both.read() as session:
        assert not standing.of(session, ONE, "T1", clock()).banned


def test_forgetting(both: Database, clock: FakeClock) -> None:
    with both.write() as session:
        hashes = forget.forget_person(session, ONE, clock())
    assert len(hashes) == 1
    with both.read() as session:
        assert log.page(session, user=ONE) == []
        [entry] = log.page(session, user=OTHER)
        assert entry.request.prompt == "a red apple of the other"
        assert not entry.message_removed
        assert standing.of(session, OTHER, "T2", clock()).drawn_today == 1
        assert [e.user_id for e in log.page(session, search="red")] == ["U1"]


def test_an_export(both: Database) -> None:
    with both.read() as session:
        one, other = (
            json.dumps(export.person(session, who, Envelope(None))) for who in (ONE, OTHER)
        )
    assert "apple of one" in one
    assert "apple of the other" not in one
    assert "apple of the other" in other


def test_the_day(both: Database, clock: FakeClock) -> None:
    asked(both, clock, ONE, count=3)
    with both.read() as session:
        assert standing.of(session, ONE, "T1", clock()).today == 4
        assert standing.of(session, OTHER, "T1", clock()).today == 1
        assert len(usage.recent(session, ONE, 9)) == 1
        assert len(mine.queue(session, ONE, "en", clock())) == 1
        assert mine.queue(session, OTHER, "en", clock()) == []


def test_usage_of_an_old_worker_counts_until_it_is_forgotten(
    both: Database, clock: FakeClock
) -> None:
    """It may be either's, so it counts; and who is forgotten takes only their own along."""
    as_before(both, "usage")
    with both.read() as session:
        assert standing.of(session, ONE, "T1", clock()).drawn_today == 2
        assert len(export.person(session, ONE, Envelope(None))["usage"]) == 1  # type: ignore[arg-type]
    with both.write() as session:
        forget.forget_person(session, ONE, clock())
    with both.read() as session:
        assert standing.of(session, OTHER, "T1", clock()).drawn_today == 1


def test_a_report(both: Database, clock: FakeClock) -> None:
    with both.write() as session:
        [entry] = log.page(session, user=ONE)
        assert review.report(session, entry.job_id, by=ONE, now=clock())
        forget.forget_person(session, OTHER, clock())
    with both.read() as session:
        [told] = export.person(session, ONE, Envelope(None))["reviews"]  # type: ignore[misc,attr-defined]
        assert told["opened_by"] == "U1"  # type: ignore[index]
    with both.write() as session:
        forget.forget_person(session, ONE, clock())
        assert session.scalar(text("select count(*) from reviews where opened_by = 'U1'")) == 0


def test_a_report_on_another_chat(both: Database, clock: FakeClock) -> None:
    """The same id on Discord is somebody else."""
    job = asked(both, clock, Account(platform=DISCORD, user_id="U1"), where="guild")
    with both.write() as session:
        assert review.report(session, job, by=Account(platform=DISCORD, user_id="U1"), now=clock())
        forget.forget_person(session, ONE, clock())
        assert session.scalar(text("select count(*) from reviews where opened_by = 'U1'")) == 1


def test_what_may_be_pressed(both: Database, clock: FakeClock) -> None:
    def viewer(who: Account, where: str, channel: str = "C1", **rights: bool) -> steer.Viewer:
        return steer.Viewer(
            requester=Requester(
                platform=who.platform, tenant=who.tenant, user_id=who.user_id, **rights
            ),
            place=Place(platform=who.platform, workspace_id=where, channel_id=channel),
        )

    direct = asked(both, clock, Account(platform=DISCORD, user_id="alice"), where="", channel="DM1")
    bob = Account(platform=DISCORD, user_id="bob")
    with both.read() as session:
        [entry] = log.page(session, user=ONE)
        private = log.entry(session, direct)
    assert private is not None
    assert steer.may_change(entry, viewer(ONE, "T1"))
    assert not steer.may_change(entry, viewer(OTHER, "T1"))
    assert not steer.may_change(entry, viewer(Account(platform=DISCORD, user_id="U1"), "T1"))
    assert steer.may_read(entry, viewer(OTHER, "T1"))
    assert not steer.may_read(entry, viewer(OTHER, "T2"))
    assert steer.may_change(entry, viewer(OTHER, "T1", manages=True))
    assert not steer.may_change(entry, viewer(OTHER, "T2", manages=True))
    assert steer.may_have(entry, viewer(ONE, "T1"))
    assert steer.may_have(entry, viewer(ONE, "", "D1")), "wherever they are"
    assert not steer.may_have(entry, viewer(OTHER, "T1", manages=True)), "not who moderates"
    assert not steer.may_read(private, viewer(bob, "", "DM2", manages=True))
    assert steer.may_read(private, viewer(bob, "", "DM1")), "a group shares its messages"


def test_direct_messages_have_no_rules(database: Database) -> None:
    with database.write() as session:
        with pytest.raises(ValueError, match="direct messages"):
            places.set_rules(session, DISCORD, "", WorkspaceRules(paused=True))
        session.execute(
            text(
                "insert into workspaces (platform, workspace_id, channels, paused) "
                "values ('discord', '', '[]', true)"
            )
        )
    with database.read() as session:
        assert not places.rules(session, DISCORD, "").paused


def test_in_direct_messages_each_person_is_a_server(database: Database, clock: FakeClock) -> None:
    """Else who writes to the bot alone would wait behind all others who do."""
    alice, bob, carol, dave = (
        Account(platform=DISCORD, user_id=name) for name in ("alice", "bob", "carol", "dave")
    )
    for who, where in ((alice, ""), (alice, ""), (dave, "guild")):
        asked(database, clock, who, where=where)
    drawn(database, clock)
    asked(database, clock, carol, where="guild")
    clock.advance(seconds=1)
    job_id = asked(database, clock, bob, where="")
    with database.write() as session:
        job = claimed(session, clock())
    assert job.id == job_id


def test_what_is_written(database: Database, clock: FakeClock) -> None:
    job = asked(database, clock, OTHER, where="T1")
    drawn(database, clock)
    with database.read() as session:
        assert session.scalar(text("select tenant from requests")) == "T2"
        assert session.scalar(text("select tenant from usage")) == "T2"
        assert session.scalar(text("select application from deliveries")) == "A1"
        entry = log.entry(session, job)
    assert entry is not None
    assert entry.account == OTHER


def test_forgotten_under_todays_name_and_the_one_before(tmp_path: Path) -> None:
    blobs = open_blobs(make_settings(tmp_path))
    forgotten.add(blobs, ONE, FakeClock()())
    assert set(forgotten.read(blobs)) & forgotten.names(ONE)
    assert not set(forgotten.read(blobs)) & forgotten.names(OTHER)
    before = forgotten.pseudonym(Account(platform=SLACK, user_id="U1"))
    assert before in forgotten.names(ONE) & forgotten.names(OTHER)


def test_who_is_banned_waits_for_nothing(database: Database, clock: FakeClock) -> None:
    """Nor does somebody else with the same id lose anything."""
    first = asked(database, clock, ONE)
    with database.write() as session:
        job = claimed(session, clock())
        assert job.id == first
    waiting, elsewhere = asked(database, clock, ONE), asked(database, clock, ONE, where="T3")
    other = asked(database, clock, OTHER)

    def states() -> list[tuple[str, bool]]:
        with database.read() as session:
            entries = [log.entry(session, job) for job in (first, waiting, elsewhere, other)]
        return [(e.state, e.cancel_requested) for e in entries if e is not None]

    with database.write() as session:
        sanctions.ban(session, waiting, by="mod", now=clock(), here=True)
    stopped, open_still = ("cancelled", True), ("waiting", False)
    assert states() == [("running", True), stopped, open_still, open_still]
    with database.write() as session:
        sanctions.ban(session, first, by="mod", now=clock())
    assert states() == [("running", True), stopped, stopped, open_still]


def shown(database: Database, clock: FakeClock, **where: str) -> UUID:
    job_id = asked(database, clock, Account(platform=DISCORD, user_id="alice"), **where)
    drawn(database, clock)
    return job_id


def report(
    database: Database,
    clock: FakeClock,
    job: UUID,
    user: str = "bob",
    channel: str = "C1",
    where: str = "G",
) -> str:
    viewer = steer.Viewer(
        requester=Requester(platform=DISCORD, user_id=user),
        place=Place(platform=DISCORD, workspace_id=where, channel_id=channel),
    )
    with database.write() as session:
        complaint = steer.report(session, job, viewer, clock())
    return complaint.text if complaint else ""


def test_who_sees_it_may_report_it_once(database: Database, clock: FakeClock) -> None:
    job = shown(database, clock, where="G")
    elsewhere = "Pictures are reported where they are shown."
    assert report(database, clock, job, where="H") == elsewhere
    assert report(database, clock, job, channel="C2") == elsewhere
    assert report(database, clock, job) == ""
    assert "already" in report(database, clock, job)
    assert report(database, clock, job, user="carol") == ""
    private = asked(
        database, clock, Account(platform=DISCORD, user_id="alice"), where="G", private=True
    )
    waiting = report(database, clock, private, user="alice")
    assert waiting == elsewhere, "nothing is to be seen yet"
    drawn(database, clock)
    assert report(database, clock, private) == elsewhere
    assert report(database, clock, private, user="alice", channel="DM") == ""


def test_a_report_of_what_is_not_known(database: Database, clock: FakeClock) -> None:
    job = shown(database, clock, where="G")
    with database.write() as session:
        forget.forget_person(session, Account(platform=DISCORD, user_id="alice"), clock())
    words = "I have forgotten this request, so I can't do that any more."
    assert report(database, clock, job) == words
    assert report(database, clock, UUID(int=7)) == words


def test_a_few_reports_a_day(database: Database, clock: FakeClock) -> None:
    pictures = [shown(database, clock, where="G") for _ in range(review.REPORTS_A_DAY + 1)]
    told = [report(database, clock, job) for job in pictures]
    assert [bool(words) for words in told] == [False] * review.REPORTS_A_DAY + [True]
    assert "tell a moderator" in told[-1]
    assert report(database, clock, pictures[-1], user="carol") == ""
    clock.advance(days=1)
    assert report(database, clock, pictures[-1]) == ""


def test_who_is_forgotten_does_not_report_anew(
    database: Database, clock: FakeClock, tmp_path: Path
) -> None:
    """Neither the same picture nor more in a day; at midnight the last trace of who it was goes."""
    blobs, bob = open_blobs(make_settings(tmp_path)), Account(platform=DISCORD, user_id="bob")
    pictures = [shown(database, clock, where="G") for _ in range(review.REPORTS_A_DAY + 1)]
    earlier, *others, last = pictures
    assert report(database, clock, earlier) == ""
    clock.advance(days=1)
    for job in others:
        assert report(database, clock, job) == ""

    def names() -> Counter[str]:
        """By which reports are known; what is nobody's by what comes before the colon."""
        with database.read() as session:
            found = session.scalars(select(ReviewRow.opened_by)).all()
        return Counter(name.partition(":")[0] for name in found)

    for _ in range(2):
        forget.forget(database, blobs, bob, keep=timedelta())
        forget.go_on(database, blobs, keep=timedelta())
        assert names() == {forgotten.pseudonym(bob): len(others), "forgotten": 1}
        assert "already" in report(database, clock, others[0])
    assert report(database, clock, last) == ""
    assert "tell a moderator" in report(database, clock, earlier)
    assert report(database, clock, others[0], user="carol") == ""
    with database.read() as session:
        [told] = export.person(session, bob, Envelope(None))["reviews"]  # type: ignore[arg-type]
    assert told["job_id"] == str(last), "what is forgotten is told to nobody"
    forget.forget(database, blobs, bob, keep=timedelta())
    clock.advance(days=1)
    forget.go_on(database, blobs, keep=timedelta())
    assert names() == {"forgotten": len(pictures), "carol": 1}
    assert report(database, clock, others[0]) == ""


def test_on_slack_who_is_forgotten_is_one_of_their_team(both: Database, clock: FakeClock) -> None:
    """The same id of another team reports for itself; a guest of another team counts too."""
    with both.read() as session:
        [job] = [entry.job_id for entry in log.page(session, user=ONE)]
    guest = Account(platform=SLACK, tenant="T9", user_id="U9")
    with both.write() as session:
        assert review.report(session, job, by=guest, now=clock())
        forget.forget_person(session, guest, clock())
        assert not review.report(session, job, by=guest, now=clock())
        native = replace(guest, tenant="T1")
        assert review.report(session, job, by=native, now=clock())
        [theirs, none] = [
            session.scalar(select(func.count()).where(accounts.counted_reports(who)))
            for who in (guest, replace(guest, user_id="U8"))
        ]
    assert (theirs, none) == (1, 0)


def test_a_report_that_the_release_before_took_again(database: Database, clock: FakeClock) -> None:
    """It knows no pseudonyms. Two rows of one picture cannot have the same name."""
    job, bob = shown(database, clock, where="G"), Account(platform=DISCORD, user_id="bob")
    for _ in range(2):
        with database.write() as session:
            session.add(
                ReviewRow(id=uuid4(), job_id=job, kind="report", opened_by="bob", opened_at=clock())
            )
        with database.write() as session:
            forget.forget_person(session, bob, clock())
    with database.read() as session:
        found = sorted(session.scalars(select(ReviewRow.opened_by)))
    assert forgotten.pseudonym(bob) in found
    assert [name.partition(":")[0] for name in found].count("forgotten") == 1
