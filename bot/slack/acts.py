"""What a command does once it is written down: the same whether this process heard it just now or
takes it up after another one died over it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import aiohttp
from slack_sdk.errors import SlackApiError
from sqlalchemy.orm import Session

from bot.core import steer
from bot.core.named import introduced, strangers
from bot.i18n import mark, say
from bot.showing import Operators
from bot.slack import files, personal
from bot.slack.intake import Address, Heard, apologise, hear
from bot.slack.workspaces import passes
from storage import deliveries, inbox
from storage.domain import Complaint, Kept, RawCommand
from storage.inbox import Sealed
from storage.log import LogEntry

if TYPE_CHECKING:
    from bot.slack.app import Easel

Act = Callable[[Heard], Awaitable[bool]]
"""True if the command's row has been emptied in the transaction that did it."""
BY_RIGHT = frozenset({"rules", "cancel", "delete", "drop"})
"""What those may do too who manage the workspace."""
WORTH_TELLING = 3
"""So many posts before one's own are seconds in which nothing is seen."""
UNDER_WAY = mark("I have it: number {number} of what I still have to post here.")
Submit = Callable[[Address], Awaitable[UUID | Complaint]]


class Acts:
    """How Slack acts on what stands in the inbox."""

    def __init__(self, app: Easel, acts: Mapping[str, Act]) -> None:
        self._app, self._acts = app, acts

    async def act(self, raw: RawCommand) -> bool:
        heard = await self._heard(raw, sure=raw.act in BY_RIGHT)
        return heard is not None and await self._acts[raw.act](heard)

    def passes(self, error: Exception) -> bool:
        return passes(error)

    async def apologise(self, raw: RawCommand) -> None:
        if (heard := await self._heard(raw)) is not None:
            await apologise(heard)

    async def _heard(self, raw: RawCommand, *, sure: bool = False) -> Heard | None:
        """None when the app is not installed there any more: nobody is left to answer. Raises
        Sealed when the key does not open their token."""
        place = raw.place
        try:
            client = await self._app.workspaces.client(
                place.enterprise_id, place.workspace_id, patient=True
            )
        except Operators as wrong:
            raise Sealed from wrong
        return await hear(self._app, client, raw, sure=sure) if client else None


async def _ask(heard: Heard, submit: Submit, *, private: bool) -> bool:
    """One request for a picture, whatever it came from: submit it, and say what cannot be taken.
    All else is shown by the deliverer."""
    complaint, taken = None, None
    if not private and not heard.in_dm:
        complaint = await heard.app.places.check(heard.client, heard.channel_id)
    if complaint is None:
        taken = await submit(heard.address(private=private))
        complaint = taken if isinstance(taken, Complaint) else None
    if complaint is not None:
        await heard.complain(complaint)
        return False
    if private and not heard.in_dm:
        await heard.tell(say(heard.locale, "The picture will come to you by direct message."))
    elif isinstance(taken, UUID):
        await _tell_of_the_pace(heard, taken)
    return not heard.raw.press  # A second press makes no request that would empty its row.


async def _tell_of_the_pace(heard: Heard, job_id: UUID) -> None:
    """Slack lets us post once a second in a channel: who waits for longer hears at once that it is
    under way. What it is not told by takes nothing back."""
    line, now = heard.line, heard.line.database.clock()

    def ahead(session: Session) -> int:
        delivery = deliveries.get(session, job_id)
        if delivery is None or delivery.address.get("message_id"):
            return 0
        return deliveries.ahead(session, delivery, now)

    before = await line.read(ahead)
    if before < WORTH_TELLING or heard.in_dm:
        return
    with suppress(SlackApiError, aiohttp.ClientError, OSError, TimeoutError, ValueError):
        words = say(heard.locale, UNDER_WAY, number=before + 1)
        await heard.tell(words)


def _is_private(heard: Heard) -> bool:
    return bool(heard.raw.options.get("private"))


async def _draw(heard: Heard) -> bool:
    line, raw = heard.line, heard.raw

    async def submit(address: Address) -> UUID | Complaint:
        if isinstance(raw.reference, Kept):
            known = await _readable(heard, raw.reference.sha256)
            if isinstance(known, Complaint):
                return known
        read = files.reader(heard.client, raw)
        return await line.submit(await _named(heard), address, read)

    return await _ask(heard, submit, private=_is_private(heard))


async def _named(heard: Heard) -> RawCommand:
    """With the names of people and channels whom the text mentions by their id alone."""
    raw, names = heard.raw, {}
    for id_ in strangers(raw.text):
        if id_[0] in "UW":
            person = await heard.app.people.get(heard.client, heard.team_id, id_)
            names[id_] = person.name
        elif id_[0] in "CG":
            names[id_] = await heard.app.places.name(heard.client, id_)
    return replace(raw, text=introduced(raw.text, names))


async def _readable(heard: Heard, sha256: str) -> LogEntry | Complaint:
    """The request that made a picture of ours, if this person may draw from it."""
    viewer = steer.Viewer(requester=heard.requester, place=heard.raw.place)
    return await heard.line.read(lambda s: steer.entry_of_picture(s, sha256, viewer))


async def _edit(heard: Heard) -> bool:
    """The prompt of a request, changed; its reference and mask stay."""
    line, raw = heard.line, heard.raw

    async def submit(address: Address) -> UUID | Complaint:
        entry = await heard.entry_for(steer.target(raw.about).job_id, steer.may_read)
        if isinstance(raw.reference, Kept) and not isinstance(entry, Complaint):
            known = await _readable(heard, raw.reference.sha256)
            entry = known if isinstance(known, Complaint) else entry
        if isinstance(entry, Complaint):
            return entry
        read = files.reader(heard.client, raw)
        return await line.submit(steer.edited(await _named(heard), entry), address, read)

    return await _ask(heard, submit, private=_is_private(heard))


async def _remake(heard: Heard) -> bool:
    """A new request from an old one, in a message of its own."""
    line, raw, target = heard.line, heard.raw, steer.target(heard.raw.about)
    entry = await heard.entry_for(target.job_id, steer.may_read)
    if isinstance(entry, Complaint):
        await heard.complain(entry)
        return False

    async def submit(address: Address) -> UUID | Complaint:
        request = steer.remake(
            raw.act, entry, target.picture, seed=line.seed(), catalog=line.catalog
        )
        if isinstance(request, Complaint):
            return request
        again = replace(raw, parent_sha256=request.parent_sha256)
        return await line.take(request, again, address)

    return await _ask(heard, submit, private=entry.request.private)


async def _complain(heard: Heard) -> bool:
    """What was seen to be wrong before it was written down."""
    await heard.complain(Complaint(text=heard.raw.text, values=heard.raw.options))
    return False


async def _change(
    heard: Heard,
    to: Callable[[Session, UUID], Complaint | None],
    right: steer.Right = steer.may_change,
) -> bool:
    """Do something to the request of a card; the card itself shows what came of it."""
    job_id = steer.target(heard.raw.about).job_id

    def write(session: Session) -> Complaint | None:
        complaint = to(session, job_id)
        if complaint is None:
            inbox.taken(session, heard.raw.event)
        return complaint

    entry = await heard.entry_for(job_id, right)
    complaint = entry if isinstance(entry, Complaint) else await heard.line.write(write)
    if complaint is None:
        return True
    await heard.complain(complaint)
    return False


async def _cancel(heard: Heard) -> bool:
    now = heard.line.database.clock()
    return await _change(heard, lambda s, job: steer.cancel(s, job, now))


async def _delete(heard: Heard) -> bool:
    now = heard.line.database.clock()
    return await _change(heard, lambda s, job: steer.delete(s, job, now))


async def _drop(heard: Heard) -> bool:
    """Cancel from the list of requests, and show what is left there."""
    done = await _cancel(heard)
    title, blocks = say(heard.locale, "Your requests"), await personal.queue_blocks(heard)
    if not await heard.respond(text=title, blocks=blocks, replace_original=True):
        await personal.publish_home(heard)
    return done


async def _fetch(heard: Heard) -> bool:
    """A result that could not be sent: show it in the direct messages."""
    address = heard.address(private=True)
    return await _change(heard, lambda s, job: steer.fetch(s, job, address), steer.may_have)


async def _report(heard: Heard) -> bool:
    job_id, now = steer.target(heard.raw.about).job_id, heard.line.database.clock()
    viewer = steer.Viewer(requester=heard.requester, place=heard.raw.place)
    complaint = await heard.line.write(lambda s: steer.report(s, job_id, viewer, now))
    if complaint is not None:
        await heard.complain(complaint)
    else:
        await heard.tell(say(heard.locale, "Thank you. A moderator will look at it."))
    return False


async def _export(heard: Heard) -> bool:
    if heard.raw.about == heard.user_id:
        await personal.send_all(heard)
    return False


async def _forget(heard: Heard) -> bool:
    """The button names the person, so nobody else's press could mean them."""
    if heard.raw.about == heard.user_id:
        await personal.forget_me(heard)
    return False


ACTS: Mapping[str, Act] = {
    "draw": _draw,
    "edit": _edit,
    "reword": _edit,
    "again": _remake,
    "vary": _remake,
    "enlarge": _remake,
    "complain": _complain,
    "cancel": _cancel,
    "delete": _delete,
    "drop": _drop,
    "fetch": _fetch,
    "report": _report,
    "export": _export,
    "forget": _forget,
}
