"""Steer: what the buttons do to a request that is there already."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from bot.core import values
from bot.core.grammar import echo
from bot.core.written import read
from bot.i18n import mark
from storage import deliveries, jobs, log, review, troubles
from storage.catalog import Catalog
from storage.domain import (
    Complaint,
    Decision,
    ImageRequest,
    Kept,
    Place,
    RawCommand,
    ReferenceUse,
    Requester,
)
from storage.log import LogEntry, LoggedPicture

VARY_STRENGTH = 0.55
ENLARGE_STRENGTH = 0.3
LARGEST_SIDE_PX = 2048
FORGOTTEN = Complaint(text="I have forgotten this request, so I can't do that any more.")


def remake(
    action: str, entry: LogEntry, index: int, *, seed: int, catalog: Catalog
) -> ImageRequest | Complaint:
    """The new request that again, vary or enlarge makes of an old one."""
    if entry.request.model not in catalog.models:
        return Complaint(
            text="The model “{model}” is not here any more.",
            values={"model": entry.request.model},
        )
    match action:
        case "vary":
            return vary(entry, index, seed)
        case "enlarge":
            return enlarge(entry, index, catalog)
        case _:
            return again(entry, seed)


def again(entry: LogEntry, seed: int) -> ImageRequest | Complaint:
    """The same request with a new seed."""
    if entry.request.lacks_reference:
        return Complaint(
            text="I have not kept the reference image of this request. Ask again, and attach it."
        )
    return replace(entry.request, seed=seed)


def vary(entry: LogEntry, index: int, seed: int) -> ImageRequest | Complaint:
    """Image to image from one picture at strength 0.55 with a new seed."""
    picture = shown_picture(entry, index)
    if isinstance(picture, Complaint):
        return picture
    return _from_picture(entry, picture, seed=seed, strength=VARY_STRENGTH)


def enlarge(entry: LogEntry, index: int, catalog: Catalog) -> ImageRequest | Complaint:
    """Twice the size by Lanczos, then image to image at strength 0.3, with the same seed."""
    picture = shown_picture(entry, index)
    if isinstance(picture, Complaint):
        return picture
    width, height = entry.request.width * 2, entry.request.height * 2
    model = catalog.models[entry.request.model]
    if max(width, height) * model.display_scale > LARGEST_SIDE_PX:
        return Complaint(text="This picture is as large as I can make it.")
    request = _from_picture(entry, picture, seed=picture.seed, strength=ENLARGE_STRENGTH)
    return replace(request, width=width, height=height)


def _from_picture(
    entry: LogEntry, picture: LoggedPicture, *, seed: int, strength: float
) -> ImageRequest:
    return replace(
        entry.request,
        reference=None,
        mask_source=None,
        source=Kept(sha256=picture.sha256),
        use=ReferenceUse.RESTYLE,
        strength=strength,
        seed=seed,
        count=1,
        parent_sha256=picture.sha256,
    )


def shown_pictures(entry: LogEntry) -> tuple[LoggedPicture, ...]:
    """The pictures of a result that may be seen and are still there."""
    if entry.message_removed:
        return ()
    visible = (Decision.ALLOW, Decision.BLUR)
    return tuple(p for p in entry.pictures if p.decision in visible and not p.removed)


def shown_picture(entry: LogEntry, index: int) -> LoggedPicture | Complaint:
    for picture in shown_pictures(entry):
        if picture.index == index:
            return picture
    return Complaint(text="This picture is not here any more.")


def cancel(session: Session, job_id: UUID, now: datetime) -> Complaint | None:
    if jobs.cancel(session, job_id, now):
        return None
    if troubles.is_stranded(session, job_id):
        return Complaint(text="Your picture is drawn, but I can't show it here. `/queue` has it.")
    return Complaint(text="Too late: this request is finished already.")


def fetch(session: Session, job_id: UUID, address: Mapping[str, str]) -> Complaint | None:
    """Show a result that could not be shown at this new placeholder."""
    if deliveries.move(session, job_id, address):
        return None
    return Complaint(
        text="Nothing is left to show here: the picture is shown already, on its way to another "
        "message, or removed."
    )


def delete(session: Session, job_id: UUID, now: datetime) -> None:
    """Remove the message; the log row stays until `forget`."""
    jobs.cancel(session, job_id, now)
    deliveries.desire(session, job_id, removed=True)


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a button is about. Zero where it is about no job."""

    job_id: UUID
    picture: int


def target(about: str) -> Target:
    """Of `RawCommand.about`: a job, or a job and the index of one of its pictures."""
    job, _, picture = about.partition(":")
    job_id, index = UUID(int=0), 0
    with suppress(ValueError):  # Whatever somebody sends in place of ours is about nothing.
        job_id = UUID(job)
        index = int(picture or 0)
    return Target(job_id=job_id, picture=index)


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What the form of "Edit prompt" begins with."""

    act: str
    """What sending it does: `edit`, or `reword` where the form cannot hold all of it."""
    text: str
    remarks: tuple[str, ...]
    """Marked sentences that stand beside the field."""


def draft(entry: LogEntry, limit: int) -> Draft:
    """The whole request in at most `limit` characters, or else its prompt alone, and then all the
    rest stays as it is; nothing is cut."""
    text, act, remarks = echo(entry.request), "edit", []
    if entry.request.reference is not None:
        remarks.append(FROM_OURS if entry.request.parent_sha256 else FROM_REFERENCE)
    if len(text) > limit:
        text, act = entry.request.prompt, "reword"
        remarks.append(REST_STAYS)
    return Draft(act=act, text=text, remarks=tuple(remarks))


REST_STAYS = mark(
    "The rest is too long for this form and stays as it was; flags that you write here win."
)
FROM_OURS = mark("Drawn from an earlier picture. To draw from the words alone, write --use none.")
FROM_REFERENCE = mark(
    "Drawn from a reference image. To draw from the words alone, write --use none."
)
"""Discord has room for 100 characters beside a field."""


def edited(raw: RawCommand, entry: LogEntry) -> RawCommand:
    """A changed prompt of a request: its reference and mask stay, unless others were brought. To
    `reword` keeps all else too, but for the flags in the new text. Of one that lacks its reference
    the text says so (`grammar.echo`), until the person drops that."""
    kept = entry.request.reference
    mask_sha256 = kept.mask_sha256 if kept and raw.reference is None else None
    private = {"private": True} if entry.request.private else {}
    settings = _unsaid(raw.text, entry.request) if raw.act == "reword" else {}
    return replace(
        raw,
        options={**settings, **raw.options, **private},
        reference=raw.reference or (Kept(sha256=kept.sha256) if kept else None),
        mask=raw.mask or (Kept(sha256=mask_sha256) if mask_sha256 else None),
        parent_sha256=entry.request.parent_sha256 if kept else None,
    )


def _unsaid(text: str, request: ImageRequest) -> dict[str, str | int | float]:
    """The options of a request that no flag of a text is about."""
    written = read(text)
    if isinstance(written, Complaint):
        return {}  # It is refused anyhow.
    options: dict[str, str | int | float | None] = {
        "negative": "" if written.negatives else request.negative_prompt,
        "model": request.model,
        "style": request.style,
        "aspect": f"{request.width}x{request.height}",
        "steps": request.steps,
        "guidance": request.guidance_scale,
        "seed": request.seed,
        "count": request.count,
    }
    if request.reference is not None and written.options.get("use") not in values.NO_USE:
        options |= {"use": request.reference.use, "strength": request.reference.strength}
    return {name: v for name, v in options.items() if v and name not in written.options}


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Who looks at a card or presses its buttons, and from where."""

    requester: Requester
    place: Place


Right = Callable[[LogEntry, Viewer], bool]


def may_change(entry: LogEntry, viewer: Viewer) -> bool:
    """Cancel and delete: the requester, and whoever may manage messages there."""
    return may_have(entry, viewer) or (viewer.requester.manages and _is_here(entry, viewer))


def may_have(entry: LogEntry, viewer: Viewer) -> bool:
    """What was asked for, wherever they are: the requester alone."""
    return entry.account == viewer.requester.account


def may_read(entry: LogEntry, viewer: Viewer) -> bool:
    """Details, and what a new request is made of. What is private is its requester's alone, also
    where others may manage messages; what was refused is not for everybody."""
    if entry.request.private:
        return may_have(entry, viewer)
    public = not entry.state.finished or bool(shown_pictures(entry))
    return (_is_here(entry, viewer) and public) or may_change(entry, viewer)


def may_report(entry: LogEntry, viewer: Viewer) -> bool:
    """Who sees the pictures: in the channel where they are shown."""
    own = entry.account == viewer.requester.account
    asked, now = entry.place, viewer.place
    there = _is_here(entry, viewer) and asked.channel_id == now.channel_id
    return bool(shown_pictures(entry)) and (own or (there and not entry.request.private))


def _is_here(entry: LogEntry, viewer: Viewer) -> bool:
    """Whether it was asked where the viewer is now: on the same server. Direct messages are none,
    so there it has to be the same conversation."""
    asked, now = entry.place, viewer.place
    if (asked.platform, asked.workspace_id) != (now.platform, now.workspace_id):
        return False
    if asked.workspace_id:
        return True
    return bool(asked.channel_id) and asked.channel_id == now.channel_id


def entry_for(session: Session, job_id: UUID, viewer: Viewer, right: Right) -> LogEntry | Complaint:
    """The request, if it is still known and the viewer has this right to it."""
    entry = log.entry(session, job_id)
    if entry is None or entry.forgotten or not entry.user_id:
        return FORGOTTEN
    if right(entry, viewer):
        return entry
    manager = replace(viewer, requester=replace(viewer.requester, manages=True))
    if not right(entry, manager):
        return Complaint(text="Only who asked for this picture can do that.")
    return Complaint(
        text="Only who asked for this picture, or who may manage messages here, can do that."
    )


def entry_of_picture(session: Session, sha256: str, viewer: Viewer) -> LogEntry | Complaint:
    """A request that made this picture of ours and that the viewer may read, if there is any."""
    why = Complaint(text="This picture is not here any more.")
    for job_id in log.by_picture(session, sha256):
        entry = entry_for(session, job_id, viewer, may_read)
        if isinstance(entry, LogEntry):
            return entry
        why = entry
    return why


def report(session: Session, job_id: UUID, viewer: Viewer, now: datetime) -> Complaint | None:
    """Ask moderators to look, or say why not."""
    entry = entry_for(session, job_id, viewer, lambda *_: True)
    if isinstance(entry, Complaint):
        return entry
    if not may_report(entry, viewer):
        return Complaint(text="Pictures are reported where they are shown.")
    by = viewer.requester.account
    if not review.may_report(session, by, now):
        return Complaint(
            text="You have reported {limit} pictures today. If another one is wrong, tell a "
            "moderator.",
            values={"limit": review.REPORTS_A_DAY},
        )
    if not review.report(session, job_id, by=by, now=now):
        return Complaint(text="You have reported this already. A moderator will look at it.")
    return None
