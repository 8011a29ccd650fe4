"""Reference images: fetched, decoded, re-encoded and stored under their hash.

A reference that cannot be had is a Complaint, never a silent picture from text alone.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import structlog

from bot.references.decode import Decoded, Unreadable, decode, decode_mask
from bot.references.fetch import MAX_BYTES, Fetcher, Unavailable, too_large
from storage.blobs import Blobs
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

__all__ = ["Fetcher", "Reader", "Unavailable", "gather", "no_reader"]

_log = structlog.get_logger()

# The largest picture takes some 400 MB for a second, so one at a time; and in a thread of its own,
# so that what waits for it keeps none from the database.
_DECODER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode")


Reader = Callable[[Attached], Awaitable[bytes]]
"""An adapter's way to the bytes of a file that came with a command. Raises Unavailable, or what
its own client raises."""


async def no_reader(file: Attached) -> bytes:
    """For who brings no files."""
    raise _unfetched()


def _unfetched() -> Unavailable:
    return Unavailable(
        Complaint(text="I couldn't fetch your attachment. Send it once more, please.")
    )


async def gather(
    request: ImageRequest,
    *,
    read: Reader,
    fetcher: Fetcher,
    blobs: Blobs,
    catalog: Catalog,
) -> ImageRequest | Complaint:
    """Turn `source` and `mask_source` into `reference`, or say why that cannot be. The picture
    takes the reference's shape, unless the person chose one.

    A request without a source comes back as it is. Nothing is raised for what a person sent; what
    the blob store raises when it fails to write is.
    """
    if request.source is None:
        return request
    try:
        data = await _read(request.source, read, fetcher, blobs)
        mask = None
        if request.mask_source:
            mask = await _read(request.mask_source, read, fetcher, blobs)
        loop = asyncio.get_running_loop()
        picture, mask_png = await loop.run_in_executor(_DECODER, _decode, request.use, data, mask)
    except (Unavailable, Unreadable) as error:
        return error.complaint
    reference = await asyncio.to_thread(_keep, request, picture, mask_png, blobs)
    width, height = request.width, request.height
    if not request.own_size:
        width, height = catalog.models[request.model].size(
            within_limits((picture.width, picture.height))
        )
    return replace(
        request, reference=reference, use=reference.use, width=width, height=height, own_size=True
    )


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
        return await read(source)
    except Unavailable:
        raise
    except Exception as error:
        # The adapter's own client raises what it likes; the request ends here all the same.
        _log.warning("attachment.unreadable", error=type(error).__name__)
        raise _unfetched() from None


def _decode(
    use: ReferenceUse | None, data: bytes, mask: bytes | None
) -> tuple[Decoded, bytes | None]:
    """The picture, and the mask that the request needs. Blocking."""
    picture = decode(data)
    mask_png = decode_mask(mask, picture.width, picture.height) if mask is not None else None
    if mask_png is None and use is ReferenceUse.EDIT:
        mask_png = picture.transparent_png
        if mask_png is None:
            raise Unreadable(
                Complaint(
                    text="To edit, I must know where. Attach a mask (white is repainted, black "
                    "stays), or erase that part of the picture and save it as PNG."
                )
            )
    return picture, mask_png


def _keep(
    request: ImageRequest, picture: Decoded, mask_png: bytes | None, blobs: Blobs
) -> Reference:
    """Store what is to be kept. Blocking."""
    return Reference(
        sha256=blobs.put(picture.png),
        use=ReferenceUse.RESTYLE if mask_png is None else ReferenceUse.EDIT,
        strength=request.strength,
        mask_sha256=blobs.put(mask_png) if mask_png is not None else None,
    )
