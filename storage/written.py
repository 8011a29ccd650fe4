"""Text files that people wrote, with whatever editor they have."""

from __future__ import annotations

import codecs
from pathlib import Path


def encoding_of(file: Path) -> str:
    """UTF-8, or UTF-16 where the first bytes say so, as Windows writes it. Raises OSError."""
    with file.open("rb") as opened:
        first = opened.read(2)
    if first in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    if len(first) == 2 and 0 in first:
        return "utf-16-be" if first[0] == 0 else "utf-16-le"
    return "utf-8-sig"


def read_text(file: Path) -> str:
    """Raises OSError, and ValueError, in words, for another encoding."""
    try:
        return file.read_text(encoding_of(file))
    except UnicodeDecodeError:
        raise ValueError(f"{file} is neither UTF-8 nor UTF-16: save it as UTF-8") from None
