"""Nouns with every field filled, for tests that care about one of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from storage import deliveries, jobs, leases
from storage.domain import (
    Account,
    Decision,
    EventKey,
    GenerationJob,
    ImageRequest,
    Made,
    Picture,
    Place,
    Platform,
    Requester,
    Subject,
    Verdict,
)

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class FakeClock:
    """A clock that stands still until it is told."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


def a_request(**changes: Any) -> ImageRequest:
    request = ImageRequest(
        prompt="a red apple",
        negative_prompt="leaf",
        model="builtin",
        width=64,
        height=64,
        steps=12,
        guidance_scale=3.0,
        seed=7,
    )
    return replace(request, **changes)


def account(
    user: str = "alice", platform: Platform = Platform.DISCORD, tenant: str = ""
) -> Account:
    return Account(platform=platform, tenant=tenant, user_id=user)


def an_event(id: str | None = None) -> EventKey:
    return EventKey(platform=Platform.DISCORD, kind="interaction", id=id or str(uuid4()))


def a_verdict(decision: Decision = Decision.ALLOW, **changes: Any) -> Verdict:
    verdict = Verdict(
        subject=Subject.OUTPUT,
        decision=decision,
        rule="test",
        label="nsfw",
        score=0.1,
        scores={"nsfw": 0.1},
        checker="fake",
        checker_version="1",
    )
    return replace(verdict, **changes)


def recorded(
    session: Session,
    *,
    now: datetime = NOON,
    user: str = "alice",
    server: str = "guild",
    event: EventKey | None = None,
    press: str = "",
    verdicts: tuple[Verdict, ...] = (),
    request: ImageRequest | None = None,
) -> UUID:
    """A job with its delivery, as the accept transaction writes it."""
    job_id = jobs.record(
        session,
        request or a_request(),
        event=event or an_event(),
        requester=Requester(platform=Platform.DISCORD, user_id=user),
        place=Place(platform=Platform.DISCORD, workspace_id=server, channel_id="channel"),
        press=press,
        verdicts=verdicts,
        prompt_labels=frozenset(),
        now=now,
    )
    address = {"channel_id": "channel", "message_id": str(job_id)}
    deliveries.create(session, job_id, Platform.DISCORD, address, now)
    return job_id


def claimed(session: Session, now: datetime) -> GenerationJob:
    """The next job that waits, in the hands of a worker."""
    lease = timedelta(seconds=10)
    job = leases.claim(session, ["builtin"], worker="w", lease=lease, max_attempts=3, now=now)
    assert job is not None
    return job


def made(job: GenerationJob, *decisions: Decision, sha256: str = "ab" * 32) -> Made:
    """An outcome with one picture per decision (one that is allowed by default)."""
    pictures = tuple(
        Picture(
            index=index,
            seed=job.request.seed + index,
            sha256=sha256[:-1] + str(index),
            media_type="image/png",
            width=256,
            height=256,
            size_bytes=1000,
            verdicts=(a_verdict(decision),),
        )
        for index, decision in enumerate(decisions or (Decision.ALLOW,))
    )
    return Made(pictures=pictures, model_revision="r1", device_seconds=2.0)
