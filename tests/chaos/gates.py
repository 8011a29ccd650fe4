"""Where a worker is held up, and which jobs go wrong: what a test and its workers both know."""

from __future__ import annotations

import os
import threading
import time
from enum import IntEnum
from pathlib import Path


class Fault(IntEnum):
    """A job with the seed `Fault.X + n`, n below 1000, has this fault."""

    NONE = 0
    CRASHES = 1000
    HANGS_ONCE = 2000
    OUT_OF_MEMORY = 3000
    DISK_FULL = 4000
    DISK_FULL_ONCE = 5000


def fault_of(seed: int) -> Fault:
    return Fault(seed // 1000 * 1000) if seed < 6000 else Fault.NONE


class Gates:
    """Both ends of the files in one folder: the test holds and lets go, the worker waits."""

    def __init__(self, data_folder: Path) -> None:
        self._folder = data_folder / "gates"
        self._folder.mkdir(exist_ok=True)

    def hold(self, station: str, *, but: int = 0) -> None:
        """Everybody but the process `but`."""
        (self._folder / f"at-{station}").unlink(missing_ok=True)
        (self._folder / f"free-{station}").write_text(str(but))
        (self._folder / f"hold-{station}").touch()

    def let_go(self, station: str) -> None:
        (self._folder / f"hold-{station}").unlink()

    def waiting(self, station: str) -> int | None:
        """The process that waits there."""
        at = self._folder / f"at-{station}"
        return int(at.read_text()) if at.exists() else None

    def come(self, station: str) -> None:
        held, free = self._folder / f"hold-{station}", self._folder / f"free-{station}"
        if held.exists() and free.read_text() == str(os.getpid()):
            return
        if held.exists():
            part = self._folder / f".{os.getpid()}-{threading.get_ident()}"
            part.write_text(str(os.getpid()))
            part.rename(self._folder / f"at-{station}")
        while held.exists():
            time.sleep(0.01)

    def first(self, name: str) -> bool:
        """True once in the life of the folder."""
        try:
            (self._folder / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True
