"""Files and folders for Easel's own user alone, whatever the umask and the folder around allow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

FOLDER, FILE = 0o700, 0o600


def make(folder: Path) -> None:
    """With those above it that are missing; one that is there stays as it is."""
    for missing in reversed([folder, *folder.parents]):
        if not missing.exists():
            missing.mkdir(mode=FOLDER, exist_ok=True)


def close(*paths: Path) -> None:
    """To everybody else. What is gone, or another user's, is left to who has it."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.chmod(FOLDER if path.is_dir() else FILE)


def opener(path: str, flags: int) -> int:
    """For `open`: a new file is closed to others from its first moment."""
    return os.open(path, flags, FILE)


@contextlib.contextmanager
def appending(file: Path) -> Iterator[IO[bytes]]:
    """Opened to write more at its end."""
    with open(file, "ab", opener=opener) as opened:
        close(file)
        yield opened


def open_to_others(path: Path) -> bool:
    """Whether they may do anything with it. Other systems than POSIX have other rights."""
    return os.name == "posix" and bool(path.stat().st_mode & 0o077)
