"""What a command does once it is written down: the same whether this process heard it just now or
takes it up after another one died over it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import discord
from sqlalchemy.orm import Session

from bot.core import steer
from bot.core.named import introduced, strangers
from bot.discord.errors import passes
from bot.discord.intake import reader
from bot.discord.reply import Address, Reply
from bot.discord.words import words
from bot.i18n import say
from storage import deliveries, inbox
from storage.domain import Complaint, Kept, RawCommand
from storage.log import LogEntry

if TYPE_CHECKING:
    from bot.discord.app import Easel

Act = Callable[["Easel", RawCommand], Awaitable[bool]]
"""True if the command's row has been emptied in the transaction that did it."""
Submit = Callable[[Address], Awaitable[UUID | Complaint]]


class Acts:
    """How Discord acts on what stands in the inbox."""

    def __init__(self, client: Easel, acts: Mapping[str, Act]) -> None:
        self._client, self._acts = client, acts

    async def act(self, raw: RawCommand) -> bool:
        heard_here = bool(raw.reply.get("acknowledged"))
        if not heard_here and not await Reply(self._client, raw).acknowledge():
            return False
        return await self._acts[raw.act](self._client, raw)

    async def apologise(self, raw: RawCommand) -> None:
        await Reply(self._client, raw).apologise()

    def passes(self, error: Exception) -> bool:
        return passes(error)


async def entry_for(client: Easel, raw: RawCommand, right: steer.Right) -> LogEntry | Complaint:
    """The request that the command is about."""
    job_id = steer.target(raw.about).job_id
    viewer = steer.Viewer(requester=raw.requester, place=raw.place)
    return await client.line.read(lambda s: steer.entry_for(s, job_id, viewer, right))


async def _ask(client: Easel, raw: RawCommand, submit: Submit) -> bool:
    """One request for a picture, whatever it came from: submit it, and answer what cannot be taken.
    All else is shown by the deliverer."""
    reply = Reply(client, raw)
    address = await reply.address()
    if address is None:
        return False
    taken = await submit(address)
    if isinstance(taken, Complaint):
        await reply.withdraw(words(raw.requester.locale, taken))
        return False
    delivery = await client.line.read(lambda s: deliveries.get(s, taken))
    if delivery is not None and delivery.address.get("message_id") != address["message_id"]:
        await reply.delete()  # A second press of a button: its job has a message already.
    return not raw.press  # A press that is known empties no row.


async def _draw(client: Easel, raw: RawCommand) -> bool:
    async def submit(address: Address) -> UUID | Complaint:
        if isinstance(raw.reference, Kept):
            known = await _readable(client, raw, raw.reference.sha256)
            if isinstance(known, Complaint):
                return known
        return await client.line.submit(await _named(client, raw), address, reader(client))

    return await _ask(client, raw, submit)


async def _named(client: Easel, raw: RawCommand) -> RawCommand:
    """With the names of people, roles and channels whom the text mentions, as Discord writes it, by
    their id."""
    guild = client.get_guild(int(raw.place.workspace_id or 0))
    names = {}
    for id_ in filter(str.isdecimal, strangers(raw.text)):
        known = guild and (guild.get_role(int(id_)) or guild.get_channel_or_thread(int(id_)))
        with suppress(discord.HTTPException):
            names[id_] = known.name if known else await _person(client, guild, int(id_))
    return replace(raw, text=introduced(raw.text, names))


async def _person(client: Easel, guild: discord.Guild | None, id_: int) -> str:
    if guild is None:
        return (await client.fetch_user(id_)).display_name
    return (guild.get_member(id_) or await guild.fetch_member(id_)).display_name


async def _readable(client: Easel, raw: RawCommand, sha256: str) -> LogEntry | Complaint:
    """The request that made a picture of ours, if this person may draw from it."""
    viewer = steer.Viewer(requester=raw.requester, place=raw.place)
    return await client.line.read(lambda s: steer.entry_of_picture(s, sha256, viewer))


async def _parent(client: Easel, raw: RawCommand) -> LogEntry | Complaint:
    """The request of which a new one is made. What is private stays so: its own buttons are seen by
    one person and answer them alone, and no other press shows it to more."""
    entry = await entry_for(client, raw, steer.may_read)
    seen_by_others = bool(raw.place.workspace_id) and not raw.reply["private"]
    if isinstance(entry, LogEntry) and entry.request.private and seen_by_others:
        return Complaint(
            text="That picture is yours alone, and everybody here would see the new one. Use the "
            "button under the picture itself, or ask again with /imagine and --private."
        )
    return entry


async def _edit(client: Easel, raw: RawCommand) -> bool:
    """The prompt of a request, changed; its reference and mask stay."""

    async def submit(address: Address) -> UUID | Complaint:
        entry = await _parent(client, raw)
        if isinstance(entry, Complaint):
            return entry
        edited = steer.edited(await _named(client, raw), entry)
        return await client.line.submit(edited, address, reader(client))

    return await _ask(client, raw, submit)


async def _remake(client: Easel, raw: RawCommand) -> bool:
    """A new request from an old one, in a message of its own."""

    async def submit(address: Address) -> UUID | Complaint:
        line = client.line
        entry = await _parent(client, raw)
        if isinstance(entry, Complaint):
            return entry
        picture = steer.target(raw.about).picture
        request = steer.remake(raw.act, entry, picture, seed=line.seed(), catalog=line.catalog)
        if isinstance(request, Complaint):
            return request
        again = replace(raw, parent_sha256=request.parent_sha256)
        return await line.take(request, again, address)

    return await _ask(client, raw, submit)


async def change(client: Easel, raw: RawCommand, to: Callable[[Session], Complaint | None]) -> bool:
    """Do something to the request of a card; the card itself shows what came of it."""

    def write(session: Session) -> Complaint | None:
        complaint = to(session)
        if complaint is None:
            inbox.taken(session, raw.event)
        return complaint

    entry = await entry_for(client, raw, steer.may_change)
    complaint = entry if isinstance(entry, Complaint) else await client.line.write(write)
    if complaint is None:
        return True
    await Reply(client, raw).complain(complaint)
    return False


async def _cancel(client: Easel, raw: RawCommand) -> bool:
    job_id, now = steer.target(raw.about).job_id, client.line.database.clock()
    return await change(client, raw, lambda s: steer.cancel(s, job_id, now))


async def _delete(client: Easel, raw: RawCommand) -> bool:
    job_id, now = steer.target(raw.about).job_id, client.line.database.clock()
    return await change(client, raw, lambda s: steer.delete(s, job_id, now))


async def _report(client: Easel, raw: RawCommand) -> bool:
    job_id, now = steer.target(raw.about).job_id, client.line.database.clock()
    locale, viewer = raw.requester.locale, steer.Viewer(requester=raw.requester, place=raw.place)
    complaint = await client.line.write(lambda s: steer.report(s, job_id, viewer, now))
    thanks = say(locale, "Thank you. A moderator will look at it.")
    await Reply(client, raw).edit(content=words(locale, complaint) if complaint else thanks)
    return False


ACTS: Mapping[str, Act] = {
    "draw": _draw,
    "edit": _edit,
    "reword": _edit,
    "again": _remake,
    "vary": _remake,
    "enlarge": _remake,
    "cancel": _cancel,
    "delete": _delete,
    "report": _report,
}
