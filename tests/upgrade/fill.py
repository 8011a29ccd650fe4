"""Fill a database as an older Easel would have: run by its code, never by this one's.

    PYTHONPATH=OLD python tests/upgrade/fill.py URL BLOBS ROWS [--open]

Each story is written once by the old code's own functions; then its rows are copied, with ids and
people of their own, until the database has so many. With `--open` some jobs wait or are drawn.
"""

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from storage import (
    deliveries,
    forget,
    jobs,
    migrate,
    places,
    review,
    search,
    slack_installations,
)
from storage.blobs import Blobs
from storage.database import Database
from storage.domain import (
    Decision,
    EventKey,
    Place,
    Platform,
    Reference,
    ReferenceUse,
    Requester,
    Subject,
)
from storage.domain.policy import MINOR_FLOOR_RULE
from storage.places import WorkspaceRules
from storage.tables import BanRow, Base
from tests.fakes.nouns import FakeClock, a_request, a_verdict
from tests.fakes.painter import Painter

OLDEST = timedelta(days=60)
APART_SECONDS = 40
"""Between a copy of a story and the next."""
CHUNK = 5_000
DISCORD, SLACK, TERMINAL = Platform.DISCORD, Platform.SLACK, Platform.TERMINAL

GUILD = Place(platform=DISCORD, workspace_id="4100", channel_id="4200")
THREAD = Place(platform=DISCORD, workspace_id="4100", channel_id="4200", thread_id="4300")
SOLO = Place(platform=SLACK, workspace_id="T0SOLO", channel_id="C0SOLO")
OTHER = Place(platform=SLACK, workspace_id="T0OTHER", channel_id="C0OTHER", thread_id="1.5")
GRID_A = Place(platform=SLACK, enterprise_id="E0GRID", workspace_id="T0GRIDA", channel_id="C0A")
GRID_B = Place(platform=SLACK, enterprise_id="E0GRID", workspace_id="T0GRIDB", channel_id="C0B")
SHELL = Place(platform=TERMINAL)

PEOPLE: dict[str, Callable[[int], str]] = {
    "4100": lambda n: str(900_000_000_000_000_000 + n % 500),
    "T0SOLO": lambda n: f"U0S{n % 200:03}",
    "T0OTHER": lambda n: f"U0S{190 + n % 200:03}",
    "T0GRIDA": lambda n: f"U0G{n % 200:03}",
    "T0GRIDB": lambda n: f"U0G{n % 200:03}",
    "": lambda n: f"operator{n % 3}",
}
"""Who asks in the nth copy, by workspace. U0S190 to U0S199 are known in two teams."""

BANNED = (
    *((DISCORD, "900000000000000003"), (DISCORD, "4999")),
    *((SLACK, "U0S005"), (SLACK, "U0S195"), (SLACK, "U0G007"), (SLACK, "U0NOBODY"), (SLACK, "")),
)
"""Known and unknown on Discord; on Slack known in one team, in two, in two of one enterprise, and
in none; and nobody, as a ban of somebody who had been forgotten was written."""


class Town:
    """An installation of the old release; a story is what happens to one request."""

    def __init__(self, url: str, blobs: str) -> None:
        self.clock = FakeClock(datetime.now(UTC).replace(microsecond=0) - OLDEST)
        self.database = Database(url, self.clock)
        migrate.upgrade(self.database)
        self.blobs = Blobs(f"file://{blobs}")
        self.painter = Painter(self.database, self.blobs, ("builtin",))
        self._numbers = count(7_000_000)

    def ask(self, place: Place, *verdicts: Any, private: bool = False, **changes: Any) -> UUID:
        number = next(self._numbers)
        event = EventKey(
            platform=place.platform,
            enterprise_id=place.enterprise_id,
            workspace_id=place.workspace_id,
            kind="interaction",
            id=str(number),
        )
        user = f"{PEOPLE[place.workspace_id](0)}"
        with self.database.write() as session:
            job = jobs.record(
                session,
                a_request(seed=number, private=private, **changes),
                event=event,
                requester=Requester(platform=place.platform, user_id=user, locale="fr"),
                place=place,
                press="",
                verdicts=verdicts or (a_verdict(subject=Subject.PROMPT),),
                prompt_labels=frozenset({"sexy"}),
                now=self.clock(),
            )
            address = _address(place, user, number, private=private)
            deliveries.create(session, job, place.platform, address, self.clock())
        return job

    def show(self, job: UUID) -> None:
        with self.database.write() as session:
            found = deliveries.get(session, job)
            assert found is not None
            leased = deliveries.lease_due(
                session,
                found.platform,
                owner="old",
                lease=timedelta(seconds=10),
                pace=timedelta(),
                now=self.clock.advance(seconds=1),
                only=job,
            )
            for delivery in leased:
                deliveries.shown(
                    session,
                    delivery,
                    owner="old",
                    address=delivery.address,
                    pictures=True,
                    now=self.clock(),
                )

    def write(self, act: Callable[[Session], object]) -> None:
        with self.database.write() as session:
            act(session)


def _address(place: Place, user: str, number: int, *, private: bool) -> dict[str, str]:
    """As `bot.discord.intake` and `bot.slack.message` of 8030ad7 have them."""
    if place.platform is TERMINAL:
        return {}
    if place.platform is DISCORD:
        address = {
            "application_id": "4242",
            "token": f"token-{number}",
            "token_expires_at": "2026-01-01T00:14:00+00:00",
            "channel_id": place.channel_id,
            "message_id": str(number),
            "ephemeral": "1" if private else "",
        }
        return address | ({"user_id": user} if private else {})
    address = {"enterprise_id": place.enterprise_id, "team_id": place.workspace_id}
    channel = f"D{number}" if private else place.channel_id
    whom = {"user_id": user} if private else {"thread_ts": place.thread_id}
    sent = {"ts": str(number), "message_id": f"{channel}:{number}"}
    return address | {"channel_id": channel} | whom | sent


def stories(town: Town) -> Iterator[UUID]:
    """All that can have become of a request, each shown."""

    def drawn(place: Place, *decisions: Decision, **given: Any) -> UUID:
        job = town.ask(place, **given)
        town.painter.paint(*decisions)
        return job

    for place in (GUILD, THREAD, SOLO, OTHER, GRID_A, GRID_B, SHELL):
        yield drawn(place, count=2)
    yield drawn(GUILD, private=True)
    yield drawn(SOLO, private=True)
    reference = Reference(
        sha256=town.blobs.put(b"a reference"), use=ReferenceUse.RESTYLE, strength=0.25
    )
    yield drawn(GUILD, reference=reference)
    yield drawn(GUILD, Decision.HOLD, Decision.ALLOW, count=2)
    yield drawn(GRID_A, Decision.BLOCK)
    held = a_verdict(Decision.HOLD, subject=Subject.PROMPT, rule="hate", label="hate")
    yield town.ask(OTHER, held, prompt="a swastika on a hindu temple")
    # Of these it fetched no reference, and wrote down what it made of the command without it.
    yield town.ask(GUILD, held, prompt="held with a parent", parent_sha256="cd" * 32)
    yield town.ask(SOLO, held, prompt="held with a strength", strength=1.0)
    yield town.ask(GUILD, a_verdict(Decision.BLOCK, rule=MINOR_FLOOR_RULE, label="minor"))
    for place, decide in ((SOLO, None), (OTHER, review.allow), (GUILD, review.remove)):
        job = drawn(place)
        with town.database.write() as session:
            review.report(session, job, by="U0FRIEND", now=town.clock())
            moved = decide(session, job, by="mod", now=town.clock()) if decide else ()
        for sha256 in moved if decide is review.remove else ():
            town.blobs.move(sha256, to_kept_apart=True)
        yield job
    job = town.ask(GUILD)
    town.write(lambda s: jobs.cancel(s, job, town.clock()))
    yield job
    town.ask(SHELL)
    claimed = town.painter.claim()
    assert claimed is not None
    town.painter.fail(claimed)
    yield claimed.id
    for place in (GUILD, OTHER):  # Last, since everything of these people goes.
        job = town.ask(place, prompt="what only they know")
        town.painter.paint()
        town.write(lambda s, job=job: _rename(s, job, "forgetme"))
        forget.forget(town.database, town.blobs, place.platform, "forgetme")
        yield job


def _rename(session: Session, job: UUID, user: str) -> None:
    requests, of_jobs, used = (Base.metadata.tables[n] for n in ("requests", "jobs", "usage"))
    mine = select(of_jobs.c.request_id).where(of_jobs.c.id == job).scalar_subquery()
    session.execute(requests.update().where(requests.c.id == mine).values(user_id=user))
    session.execute(used.update().where(used.c.job_id == job).values(user_id=user))


def once(town: Town) -> None:
    """What is no request's."""
    now = town.clock()
    with town.database.write() as session:
        for number in range(40):
            for platform in (DISCORD, SLACK):
                rules = WorkspaceRules(
                    channels=("4200",), daily_pictures=number, paused=number > 30
                )
                places.set_rules(session, platform, f"server{number}", rules)
        for enterprise, team in (("", "T0SOLO"), ("", "T0OTHER"), ("E0GRID", "")):
            slack_installations.put(session, enterprise, team, f"sealed {team}", now)
        for platform, user in BANNED:
            session.add(BanRow(platform=platform, user_id=user, banned_at=now, banned_by="mod"))
        places.worker_seen(session, "old-worker", ["builtin"], ["builtin"], now)


class Copier:
    """Rows of stories, again and again, with ids, people and times of their own."""

    def __init__(self, town: Town, told: list[UUID]) -> None:
        self._town = town
        by_job = ("jobs", "pictures", "verdicts", "deliveries", "usage", "reviews")
        self._stories: list[dict[str, list[dict[str, Any]]]] = []
        tables = Base.metadata.tables
        with town.database.read() as session:
            for job in told:
                rows: dict[str, list[dict[str, Any]]] = {"requests": [], "search": []}
                for name in by_job:
                    of_job = tables[name].c["id" if name == "jobs" else "job_id"]
                    found = session.execute(select(tables[name]).where(of_job == job)).mappings()
                    rows[name] = [dict(row) for row in found]
                request = rows["jobs"][0]["request_id"]
                for name, key in (("requests", "id"), ("search", "request_id")):
                    query = select(tables[name]).where(tables[name].c[key] == request)
                    rows[name] = [dict(row) for row in session.execute(query).mappings()]
                self._stories.append(rows)

    @property
    def rows(self) -> int:
        """Of all stories together."""
        return sum(len(found) for story in self._stories for found in story.values())

    def copy(self, first: int, last: int) -> None:
        """The copies with these numbers."""
        with self._town.database.write() as session:
            for name in Base.metadata.tables:  # In the order of who refers to whom.
                made = [
                    row
                    for number in range(first, last)
                    for place, story in enumerate(self._stories)
                    for row in self._rows(name, story, number, place)
                ]
                for start in range(0, len(made), CHUNK):
                    session.execute(insert(Base.metadata.tables[name]), made[start:][:CHUNK])

    def _rows(
        self, name: str, story: dict[str, list[dict[str, Any]]], number: int, place: int
    ) -> Iterator[dict[str, Any]]:
        request = story["requests"][0]
        old = request["user_id"]
        user = PEOPLE[request["workspace_id"]](number) if old else ""
        later = timedelta(seconds=APART_SECONDS * number)
        for row in story.get(name, ()):
            new = {
                key: value + later if isinstance(value, datetime) else value
                for key, value in row.items()
            }
            for key in ("id", "job_id", "request_id"):
                if isinstance(row.get(key), UUID):
                    new[key] = UUID(int=row[key].int ^ number)
            if row.get("user_id"):
                new["user_id"] = user
            if name in ("verdicts", "search"):
                del new["id" if name == "verdicts" else "number"]
            if name == "search" and old:
                where = (request["platform"], request["workspace_id"])
                new["words"] = search.indexed(request["prompt"], *where, user)
            if name == "requests":
                new["event_key"] += f"-{number}"
            if name == "usage":
                new["day"] = new["created_at"].date()
            if name == "deliveries" and row["message_id"]:
                new["message_id"] += f"{number:06}"
                new["address"] = row["address"] | {"message_id": new["message_id"]}
            yield new


def main(url: str, blobs: str, rows: str, *flags: str) -> None:
    town = Town(url, blobs)
    told = []
    for job in stories(town):
        town.show(job)
        told.append(job)
        town.clock.advance(seconds=APART_SECONDS / 20)
    once(town)
    copier = Copier(town, told)
    step = 100
    copies = -(-int(rows) // copier.rows)
    for first in range(1, copies, step):
        copier.copy(first, min(first + step, copies))
    town.clock.now = datetime.now(UTC)
    if "--open" in flags:
        for place in (GUILD, OTHER, SHELL):
            town.ask(place)
            assert town.painter.claim() is not None
        for place in (GUILD, SOLO, GRID_A, SHELL):
            town.ask(place)
    town.database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
