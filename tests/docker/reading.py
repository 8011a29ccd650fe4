"""`docker/` as Python sees it."""

import importlib
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
CONSTRAINTS = ROOT / "docker" / "constraints.txt"
COMPOSE = ROOT / "docker" / "compose.yaml"


def instructions(target: str) -> dict[str, list[str]]:
    """The instructions of one stage by their name, each on one line."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    starts = [i for i, line in enumerate(lines) if line.startswith("FROM ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        if lines[start].endswith(f" AS {target}"):
            found: dict[str, list[str]] = {}
            for line in lines[start:end]:
                name, _, rest = line.partition(" ")
                found.setdefault(name, []).append(rest)
            return found
    raise KeyError(target)


def script(name: str) -> ModuleType:
    """One of those beside the Dockerfile. They find each other as when they are run."""
    sys.path.insert(0, str(ROOT / "docker"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def words(exec_form: str) -> list[str]:
    """Of a command like `["easel", "health"]`."""
    found: list[str] = json.loads(exec_form)
    return found


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded
