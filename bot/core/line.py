"""The line's front half as one object: what an adapter needs to turn a command into a job."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import structlog
from kombu.exceptions import OperationalError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from bot.core import accept, steer
from bot.core.grammar import parse
from bot.core.notes import notes
from bot.core.text import TextRules
from bot.references import Fetcher, Reader, Turns, gather, no_reader
from storage import doorbell, inbox, jobs, places, sweep
from storage.blobs import Blobs
from storage.catalog import Catalog
from storage.database import TRANSIENT, Database, lock
from storage.domain import Complaint, ImageRequest, RawCommand
from storage.settings import Settings

if TYPE_CHECKING:
    from celery import Celery
    from sqlalchemy.orm import Session

T = TypeVar("T")
log = structlog.get_logger()


def random_seed() -> int:
    return secrets.randbits(32)


@dataclass(frozen=True, kw_only=True)
class Line:
    """Everything that outlives one request. The composition root makes one for each process."""

    settings: Settings
    catalog: Catalog
    database: Database
    blobs: Blobs
    text_rules: TextRules
    fetcher: Fetcher
    turns: Turns = field(default_factory=Turns)
    doorbell: Celery
    seed: Callable[[], int] = random_seed

    async def submit(
        self, raw: RawCommand, address: Mapping[str, str], read: Reader = no_reader
    ) -> UUID | Complaint:
        """Parse what was typed, and go on as `take` does. The placeholder is already in the
        conversation: `address` says where, in the platform's own words. `read` is the way to the
        files that came along."""

        def read_and_check() -> tuple[ImageRequest, accept.Checked] | Complaint:
            with self.database.read() as session:
                model = self._default_model(session, raw)
            request = parse(raw, self.catalog, default_model=model, random_seed=self.seed)
            if isinstance(request, Complaint):
                return request
            return self._looked_at(request, raw)

        # A long prompt takes milliseconds, which nobody else's acknowledgement waits for.
        parsed = await asyncio.to_thread(read_and_check)
        if isinstance(parsed, Complaint):
            return parsed
        return await self._take(*parsed, raw, address, read)

    async def take(
        self, request: ImageRequest, raw: RawCommand, address: Mapping[str, str]
    ) -> UUID | Complaint:
        """Check, fetch the reference, accept in one transaction, and ring. The job's id, also
        when the same event was taken before; or why it cannot be taken."""
        request, checked = await asyncio.to_thread(self._looked_at, request, raw)
        return await self._take(request, checked, raw, address, no_reader)

    def _looked_at(
        self, request: ImageRequest, raw: RawCommand
    ) -> tuple[ImageRequest, accept.Checked]:
        said = notes(request, self.catalog, raw.requester.locale)
        checked = accept.check(request, self.text_rules, raw.place)
        return replace(request, notes=said), checked

    async def _take(
        self,
        request: ImageRequest,
        checked: accept.Checked,
        raw: RawCommand,
        address: Mapping[str, str],
        read: Reader,
    ) -> UUID | Complaint:
        if checked.blocked or request.source is None:
            taken = await asyncio.to_thread(self._accept, request, raw, address, checked)
        else:
            async with self.turns.of(raw.requester.account):
                answer = await self.read(lambda session: self._answer(session, raw, request.count))
                if isinstance(answer, UUID) and not raw.press:
                    await self.write(lambda session: inbox.taken(session, raw.event))
                if answer is not None:
                    return answer
                gathered = await gather(
                    request, read=read, fetcher=self.fetcher, blobs=self.blobs, catalog=self.catalog
                )
                if isinstance(gathered, Complaint):
                    return gathered
                taken = await asyncio.to_thread(
                    self._accept, gathered.request, raw, address, checked
                )
                # Not where this was stopped or failed: the row may be written all the same.
                await asyncio.to_thread(sweep.discard, self.database, self.blobs, gathered.brought)
        if isinstance(taken, UUID) and not checked.refused:
            # A broker that is away keeps nobody's turn.
            await asyncio.to_thread(self.ring, request.model, taken)
        return taken

    def _answer(self, session: Session, raw: RawCommand, count: int) -> UUID | Complaint | None:
        """What can be said before a byte of a reference is read. None: it is worth reading."""
        now = self.database.clock()
        known = jobs.known(session, raw.event, raw.press, raw.heard_at or now)
        return known or accept.standing_allows(session, self.settings, raw, count, now)

    @retry(
        retry=retry_if_exception_type(TRANSIENT),
        wait=wait_exponential(multiplier=0.1),
        stop=stop_after_attempt(3),
        reraise=True,
    )
    def _accept(
        self,
        request: ImageRequest,
        raw: RawCommand,
        address: Mapping[str, str],
        checked: accept.Checked,
    ) -> UUID | Complaint:
        """Tried again, since a commit whose answer was lost has been made all the same: then the
        event is known, its placeholder must stay, and its row is emptied as by the first. Where a
        press is known, the placeholder may be a second one that is still to go, so that its row
        stays. Of who was forgotten meanwhile nothing is taken."""
        now = self.database.clock()
        with self.database.write() as session:
            lock(session, str(raw.requester))
            emptied = inbox.is_emptied(session, raw.event)
            known = jobs.known(session, raw.event, raw.press, raw.heard_at or now)
            if known is None and emptied:
                return steer.FORGOTTEN
            taken = known or accept.accept(
                session, self.settings, request, raw, address, checked, now
            )
            if isinstance(taken, UUID) and (known is None or not raw.press):
                inbox.taken(session, raw.event)
            return taken

    def ring(self, model: str, job_id: UUID) -> None:
        """Blocking. A doorbell that does not answer is the reaper's business, not the person's."""
        try:
            doorbell.ring(self.doorbell, model, job_id)
        except (OperationalError, OSError) as error:
            log.warning("ring.failed", job=str(job_id), error=type(error).__name__)

    def _default_model(self, session: Session, raw: RawCommand) -> str:
        rules = places.rules(session, raw.place.platform, raw.place.workspace_id)
        chosen = rules.default_model or ""
        return chosen if chosen in self.catalog.models else self.settings.default_model

    async def read(self, query: Callable[[Session], T]) -> T:
        """Run a storage function in a thread, in a transaction that only reads."""

        def run() -> T:
            with self.database.read() as session:
                return query(session)

        return await asyncio.to_thread(run)

    async def write(self, change: Callable[[Session], T]) -> T:
        """Run a storage function in a thread, in one transaction."""

        def run() -> T:
            with self.database.write() as session:
                return change(session)

        return await asyncio.to_thread(run)
