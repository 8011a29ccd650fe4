"""Reference images: fetched, decoded, re-encoded and stored under their hash.

A reference that cannot be had is a Complaint, never a silent picture from text alone.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog

from bot.references.decode import Decoded, Unreadable, decode, pixels
from bot.references.fetch import (
    MAX_BYTES,
    TIMEOUT_SECONDS,
    Fetcher,
    Unavailable,
    too_large,
    unfetched,
)
from bot.references.masks import erased, is_cut_off, painted
from bot.references.turns import Turns
from storage.blobs import Blobs, Stored
from storage.catalog import Catalog
from storage.domain import (
    Attached,
    Complaint,
    ImageRequest,
    Linked,
    Reference,
    ReferenceUse,
    Source,
)

__all__ = ["Fetcher", "Gathered", "Reader", "Turns", "Unavailable", "gather", "no_reader"]

T = TypeVar("T")
_log = structlog.get_logger()

SMALL_PIXELS = 4_200_000

# The largest picture takes some 400 MB for a second, so one at a time, and small ones do not wait
# for it; in threads of their own, so that what waits for them keeps none from the database.
_LARGE = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode-large")
_SMALL = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode-small")


Reader = Callable[[Attached], Awaitable[bytes]]
"""An adapter's way to the bytes of a file that came with a command. Raises Unavailable, or what
its own client raises."""


async def no_reader(file: Attached) -> bytes:
    """For who brings no files."""
    raise unfetched()


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """A request whose reference has been had."""

    request: ImageRequest
    brought: tuple[Stored, ...] = ()
    """Pixels that were not in the store before: to be deleted if no row comes to refer to them."""


async def gather(
    request: ImageRequest,
    *,
    read: Reader,
    fetcher: Fetcher,
    blobs: Blobs,
    catalog: Catalog,
) -> Gathered | Complaint:
    """Turn `source` and `mask_source` into `reference`, or say why that cannot be. The picture
    takes the reference's shape, unless the person chose one.

    A request without a source comes back as it is. Nothing is raised for what a person sent; what
    the blob store raises when it fails to write is.
    """
    if request.source is None:
        return Gathered(request=request)
    try:
        data = await _read(request.source, read, fetcher, blobs)
        picture, mask = await _decoded(_look(request), data)
        if request.mask_source:
            data = await _read(request.mask_source, read, fetcher, blobs)
            mask = await _decoded(lambda data: painted(data, picture), data)
    except (Unavailable, Unreadable) as error:
        return error.complaint
    width, height = request.width, request.height
    if not request.own_size:
        width, height = catalog.models[request.model].size(
            within_limits((picture.width, picture.height))
        )
    if mask is not None and is_cut_off(mask, (width, height)):
        return Complaint(
            text="In a picture of this shape ({width}×{height}), what should be repainted is cut "
            "off. Leave the shape out, or choose one nearer to the picture's.",
            values={"width": width, "height": height},
        )
    reference, brought = await asyncio.to_thread(_keep, request, picture, mask, blobs)
    request = replace(
        request, reference=reference, use=reference.use, width=width, height=height, own_size=True
    )
    return Gathered(request=request, brought=brought)


def within_limits(shape: tuple[int, int]) -> tuple[int, int]:
    """The aspect nearest to `shape` that pictures may have: 1:4 to 4:1."""
    width, height = shape
    return max(width, -(-height // 4)), max(height, -(-width // 4))


async def _read(source: Source, read: Reader, fetcher: Fetcher, blobs: Blobs) -> bytes:
    if isinstance(source, Linked):
        return await fetcher.fetch(source.url)
    if isinstance(source, Attached):
        return await _read_attached(source, read)
    try:
        return await asyncio.to_thread(blobs.get, source.sha256)
    except FileNotFoundError:
        raise Unavailable(
            Complaint(text="That picture is not kept any more. Attach it as a file instead.")
        ) from None


async def _read_attached(source: Attached, read: Reader) -> bytes:
    """The platform's word on the size saves a download; `decode` looks again."""
    if source.size_bytes > MAX_BYTES:
        raise Unavailable(too_large())
    try:
        # Others wait for their turn meanwhile, whatever patience an adapter's client has.
        async with asyncio.timeout(2 * TIMEOUT_SECONDS):
            return await read(source)
    except Unavailable:
        raise
    except Exception as error:
        # The adapter's own client raises what it likes; the request ends here all the same.
        _log.warning("attachment.unreadable", error=type(error).__name__)
        raise unfetched() from None


async def _decoded(decode: Callable[[bytes], T], data: bytes) -> T:
    """Raises Unreadable."""
    loop = asyncio.get_running_loop()
    large = await loop.run_in_executor(_SMALL, pixels, data) > SMALL_PIXELS
    return await loop.run_in_executor(_LARGE if large else _SMALL, decode, data)


def _look(request: ImageRequest) -> Callable[[bytes], tuple[Decoded, bytes | None]]:
    if request.use is ReferenceUse.EDIT and request.mask_source is None:
        return erased
    return lambda data: (decode(data), None)


def _keep(
    request: ImageRequest, picture: Decoded, mask: bytes | None, blobs: Blobs
) -> tuple[Reference, tuple[Stored, ...]]:
    """Store what is to be kept; also what of it was not there before. Blocking."""
    files = [picture.png] if mask is None else [picture.png, mask]
    before = [blobs.find(hashlib.sha256(png).hexdigest()) for png in files]
    hashes = [blobs.put(png) for png in files]
    reference = Reference(
        sha256=hashes[0],
        use=ReferenceUse.RESTYLE if mask is None else ReferenceUse.EDIT,
        strength=request.strength,
        mask_sha256=None if mask is None else hashes[1],
    )
    after = [blobs.find(sha256) for sha256 in hashes]
    new = [now for now, then in zip(after, before, strict=True) if now and not then]
    return reference, tuple(new)
