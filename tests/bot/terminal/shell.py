"""`easel` as a process of its own, with a folder and an environment of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Nothing of Easel's but its data in `folder`; and `more`."""
    ours = {"EASEL_DATA_FOLDER": str(folder / "data"), "LC_ALL": "C.UTF-8"}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("EASEL_")}
    return kept | {"PYTHONPATH": str(Path(__file__).parents[3])} | ours | more


def easel_bytes(
    folder: Path, *words: str, before: tuple[str, ...] = (), **more: str
) -> subprocess.CompletedProcess[bytes]:
    """Started in `folder`; `before` stands before the command, as in `setpriv … easel`."""
    return _run(folder, words, before, more)


def easel(
    folder: Path, *words: str, before: tuple[str, ...] = (), **more: str
) -> subprocess.CompletedProcess[str]:
    return _run(folder, words, before, more, encoding="utf-8", errors="surrogateescape")


def _run(
    folder: Path, words: tuple[str, ...], before: tuple[str, ...], more: dict[str, str], **how: Any
) -> Any:
    return subprocess.run(
        [*before, sys.executable, "-m", "bot.cli", *words],
        cwd=folder,
        env=environment(folder, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
        **how,
    )


def processes_of(folder: Path) -> list[psutil.Process]:
    """Those that were started for this data folder and are still there."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("EASEL_DATA_FOLDER", "").startswith(str(folder)):
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found
