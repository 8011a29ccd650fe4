"""What one person is told of their own requests: the queue, and what they have used."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from bot.core.present import WORKER_LOST, present, queue_view
from bot.i18n import format_day, format_duration, mark, say, say_n
from storage import log, places, standing, troubles, usage
from storage.domain import Account, Complaint, JobState, ReviewKind
from storage.forget import Remains
from storage.log import LogEntry
from storage.settings import Settings

LISTED = 10
"""Requests that a queue shows; nobody has more waiting, unless the settings say so."""
RECENT = 5


@dataclass(frozen=True, kw_only=True)
class QueuedRequest:
    entry: LogEntry
    state: str
    """How it stands, in words."""
    held: bool = False
    """A moderator has to look before it goes on."""

    @property
    def stranded(self) -> bool:
        """Finished, but it could not be shown."""
        return self.entry.state.finished and not self.held


def queue(
    session: Session, account: Account, locale: str, now: datetime
) -> Sequence[QueuedRequest]:
    """What waits and runs, oldest first; then results that could not be shown, then what waits for
    a moderator."""
    open_entries = log.page(session, user=account, unfinished=True, limit=LISTED)
    jobs = troubles.stranded(session, account, LISTED - len(open_entries))
    stranded = [entry for job in jobs if (entry := log.entry(session, job))]
    found = [
        QueuedRequest(entry=entry, state=_state(session, entry, locale, now))
        for entry in [*reversed(open_entries), *stranded]
    ]
    held = log.page(session, user=account, reviews=[ReviewKind.HOLD], limit=LISTED)
    state = say(locale, "A moderator has to look first")
    found += [
        QueuedRequest(entry=entry, state=state, held=True)
        for entry in held
        if entry.job_id not in jobs and not entry.message_removed
    ]
    return found[:LISTED]


_UNSHOWN = {
    True: mark("Finished, but I could not send it to you."),
    False: mark("Finished, but I can't show it where you asked for it."),
}

FORGETS = mark(
    "This deletes your prompts, references and pictures here, takes their messages down, and "
    "cancels what is still waiting. What a moderator has still to look at stays until then, for "
    "{days} days at most. It cannot be undone."
)


def forgotten(locale: str, remains: Remains) -> str:
    """What has come of it, and what stays for a while."""
    done = say(locale, "Done. I have forgotten what you asked for.")
    if not remains.requests or remains.until is None:
        return done
    rest = say_n(
        locale,
        "{n} request that a moderator has still to look at is kept until {date}, then it goes.",
        "{n} requests that a moderator has still to look at are kept until {date}, then they go.",
        remains.requests,
        date=format_day(locale, remains.until),
    )
    return f"{done}\n{rest}"


def _state(session: Session, entry: LogEntry, locale: str, now: datetime) -> str:
    if entry.state.finished:
        return say(locale, _UNSHOWN[entry.request.private])
    if entry.lost(now):
        return say(locale, WORKER_LOST)
    if entry.state is JobState.RUNNING:
        return say(locale, "Being drawn.")
    view = queue_view(session, entry, now)
    text = say(locale, "Number {position} in the queue.", position=view.position)
    if view.estimate_seconds is None:
        return text
    duration = format_duration(locale, view.estimate_seconds)
    return f"{text} {say(locale, 'About {duration} to go.', duration=duration)}"


def unshown(entry: LogEntry) -> Complaint:
    """What who asked is told in private where the card itself cannot be shown."""
    if not entry.state.finished:
        return Complaint(
            text="I can't show your picture where you asked for it. Once it is drawn, `/queue` "
            "has it."
        )
    if entry.state is JobState.MADE:
        return Complaint(
            text="I can't show your picture where you asked for it. It is drawn: `/queue` has it."
        )
    card = present(entry, None)
    return Complaint(
        text="I can't answer where you asked for a picture. What became of it: {words}",
        values={"words": " ".join(f"{card.title} {card.text}".split())},
    )


@dataclass(frozen=True, kw_only=True)
class Used:
    pictures_today: int
    pictures_left: int
    recent: Sequence[LogEntry]


def used(
    session: Session,
    settings: Settings,
    account: Account,
    workspace_id: str,
    now: datetime,
) -> Used:
    """Today's pictures, what the quota of this place leaves, and the last requests."""
    rules = places.rules(session, account.platform, workspace_id)
    quota = rules.quota(settings.daily_pictures)
    today = standing.of(session, account, workspace_id, now).today
    entries = [log.entry(session, e.job_id) for e in usage.recent(session, account, RECENT)]
    return Used(
        pictures_today=today,
        pictures_left=max(0, quota - today),
        recent=[entry for entry in entries if entry],
    )
