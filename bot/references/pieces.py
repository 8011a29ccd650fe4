"""The pieces that a file of pixels is made of: how many they are, and which are looked at."""

from collections.abc import Callable

MAX_PIECES = 10_000
"""Chunks of a PNG, or segments of a JPEG before its pixels. Each is taken in Python, so that a file
of 10 MiB with nothing else in it would keep a core for some ten seconds."""
MAX_SCANS = 100
"""Of a JPEG; a progressive one has about ten. Each may be a few bytes that pass over all pixels."""

# Of the chunks that a decoder may pass over, those that change what is seen or say how many frames
# there are: transparency, orientation, animation (PNG specification, third edition, 11.3).
_PNG_SEEN = frozenset({b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT"})
# Of a JPEG's application segments JFIF's and Adobe's tell the colours, and EXIF which side is up.
_JFIF, _APP1, _ADOBE, _COMMENT = 0xE0, 0xE1, 0xEE, 0xFE
_APPLICATION = range(0xE0, 0xF0)

Piece = tuple[int, bool]
"""Bytes from its beginning to the next one's, 0 for all the rest; and whether it is kept."""


class Crowded(Exception):
    """More pieces than any honest file has."""


def pixels_only(data: bytes) -> bytes:
    """A PNG or JPEG without texts, profiles and thumbnails, however large or broken those are;
    anything else as it is. Raises Crowded."""
    if data.startswith(b"\x89PNG"):
        return _kept(data, 8, _png_chunk)
    if data.startswith(b"\xff\xd8"):
        if data.count(b"\xff\xda") > MAX_SCANS:
            raise Crowded
        return _kept(data, 2, _jpeg_segment)
    return data


def _kept(data: bytes, at: int, piece: Callable[[bytes, int], Piece]) -> bytes:
    kept = [data[:at]]
    for _ in range(MAX_PIECES):
        length, is_kept = piece(data, at)
        end = at + length if length else len(data)
        if is_kept:
            kept.append(data[at:end])
        at = end
        if at >= len(data):
            return b"".join(kept)
    raise Crowded


def _png_chunk(data: bytes, at: int) -> Piece:
    """By the PNG specification, 5.3 and 5.4: a small first letter is a chunk that can be left
    out."""
    kind = data[at + 4 : at + 8]
    if kind == b"IEND":
        return 0, True
    optional = kind[:1].islower()
    return 12 + int.from_bytes(data[at : at + 4]), not optional or kind in _PNG_SEEN


def _jpeg_segment(data: bytes, at: int) -> Piece:
    """By ITU-T T.81, B.1.1. What is no marker, fill bytes included, is skipped one by one, as
    Pillow does."""
    if data[at : at + 1] != b"\xff" or data[at + 1 : at + 2] in (b"\x00", b"\xff"):
        return 1, True
    marker = data[at + 1] if at + 1 < len(data) else 0xD9
    if marker == 0xDA:
        return 0, True
    if marker == 0x01 or 0xD0 <= marker <= 0xD9:
        return 2, True
    is_exif = marker == _APP1 and data.startswith(b"Exif\0\0", at + 4)
    other = marker == _COMMENT or (marker in _APPLICATION and marker not in (_JFIF, _ADOBE))
    return 2 + int.from_bytes(data[at + 2 : at + 4]), is_exif or not other
