"""Accept: the text check, then the rules of the place and the quota, in the one transaction that
writes request, job and first delivery revision."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from bot.core.text import SEXUAL, TextRules, check_text
from storage import deliveries, jobs, origins, places, standing
from storage.domain import (
    Complaint,
    Decision,
    ImageRequest,
    Place,
    RawCommand,
    Subject,
    Verdict,
)
from storage.domain.policy import (
    FLOOR_RULES,
    MINOR_FLOOR_RULE,
    PERSON_FLOOR_RULE,
    Category,
)
from storage.settings import Settings
from storage.standing import Standing


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What the text check said of prompt and negative prompt."""

    verdicts: tuple[Verdict, ...]
    labels: frozenset[str]

    @property
    def refused(self) -> bool:
        return any(v.decision.keeps_apart for v in self.verdicts)

    @property
    def blocked(self) -> bool:
        """For good. What is held is drawn once it is allowed, so it needs its reference, and room
        in its person's day, like any other."""
        return any(v.decision is Decision.BLOCK for v in self.verdicts)


def check(request: ImageRequest, rules: TextRules, place: Place) -> Checked:
    """Judge both prompts; labels are what they name without being refused for it. The negative
    prompt's are those of what it leaves out: no clothes, no adults."""
    prompt, labels = check_text(
        request.prompt, rules, subject=Subject.PROMPT, age_restricted=place.age_restricted
    )
    negative, unwanted = check_text(
        request.negative_prompt,
        rules,
        subject=Subject.NEGATIVE_PROMPT,
        age_restricted=place.age_restricted,
    )
    checked = Checked(verdicts=(prompt, negative), labels=labels | unwanted)
    if (Category.MINOR in labels and unwanted & SEXUAL) or (
        Category.MINOR in unwanted and labels & SEXUAL
    ):
        return _floored(checked, MINOR_FLOOR_RULE, Category.MINOR)
    if Category.REAL_PERSON in labels and Category.SEXUAL in unwanted:
        return _floored(checked, PERSON_FLOOR_RULE, Category.REAL_PERSON)
    return checked


def _floored(checked: Checked, rule: str, category: Category) -> Checked:
    """What neither prompt is refused for, and both together are."""
    prompt, *others = checked.verdicts
    if any(verdict.rule in FLOOR_RULES for verdict in checked.verdicts):
        return checked
    floor = replace(prompt, decision=Decision.BLOCK, rule=rule, label=category, score=1.0)
    return replace(checked, verdicts=(floor, *others))


def accept(
    session: Session,
    settings: Settings,
    request: ImageRequest,
    raw: RawCommand,
    address: Mapping[str, str],
    checked: Checked,
    now: datetime,
) -> UUID | Complaint:
    """Write it down, or say why not. The caller holds the requester's lock."""
    count = 0 if checked.blocked else request.count
    complaint = standing_allows(session, settings, raw, count, now)
    if complaint is not None:
        return complaint
    if Category.SEXUAL in checked.labels and origins.outside(session, request):
        checked = _floored(checked, PERSON_FLOOR_RULE, Category.REAL_PERSON)
    job_id = jobs.record(
        session,
        request,
        event=raw.event,
        requester=raw.requester,
        place=raw.place,
        press=raw.press,
        verdicts=checked.verdicts,
        prompt_labels=checked.labels,
        now=now,
    )
    deliveries.create(session, job_id, raw.place.platform, address, now, raw.application)
    return job_id


def standing_allows(
    session: Session, settings: Settings, raw: RawCommand, count: int, now: datetime
) -> Complaint | None:
    """Why this person may not ask for so many pictures here and now; 0 are those of a request that
    is refused and only written down. Asked before anything is fetched, and again in the transaction
    that accepts."""
    rules = places.rules(session, raw.place.platform, raw.place.workspace_id)
    person = standing.of(session, raw.requester, raw.place.workspace_id, now)
    complaint = _place_allows(settings, rules, person, raw.place)
    if complaint is None and count:
        complaint = _quota_allows(rules.quota(settings.daily_pictures), person, count)
    if complaint is None and count:
        complaint = _queue_allows(settings, person)
    return complaint


def _place_allows(
    settings: Settings, rules: places.WorkspaceRules, person: Standing, place: Place
) -> Complaint | None:
    if person.banned:
        return Complaint(text="A moderator has barred you from asking for pictures here.")
    if rules.paused:
        return Complaint(text="Drawing is paused here. Try again later, or ask a moderator.")
    if rules.channels and not {place.channel_id, place.thread_id} & set(rules.channels):
        return Complaint(
            text="I may not draw in this channel. Channels where I may: {channels}.",
            values={"channels": ", ".join(f"<#{channel}>" for channel in rules.channels)},
        )
    if person.refused_today >= settings.daily_refusals:
        return Complaint(
            text="{refused} of your requests were refused today, so I take no more of them until "
            "midnight UTC.",
            values={"refused": person.refused_today},
        )
    return None


def _quota_allows(quota: int, person: Standing, count: int) -> Complaint | None:
    if person.today + count <= quota:
        return None
    return Complaint(
        text="That would be {wanted} pictures today, and your limit is {quota}. You have "
        "{left} left; the count starts again at midnight UTC.",
        values={
            "wanted": person.today + count,
            "quota": quota,
            "left": max(0, quota - person.today),
        },
    )


def _queue_allows(settings: Settings, person: Standing) -> Complaint | None:
    if person.unfinished >= settings.person_queue_limit:
        return Complaint(
            text="You have {limit} requests waiting already. Wait for one, or cancel one with "
            "/queue.",
            values={"limit": settings.person_queue_limit},
        )
    if person.queue >= settings.queue_limit:
        return Complaint(
            text="The queue is full ({limit} requests). Try again in a few minutes.",
            values={"limit": settings.queue_limit},
        )
    share = max(1, int(settings.queue_limit * settings.server_queue_share))
    if person.server_queue >= share:
        return Complaint(
            text="The people here fill their part of the queue ({limit} requests). Try again in a "
            "few minutes.",
            values={"limit": share},
        )
    return None
