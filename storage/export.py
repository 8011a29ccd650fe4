"""What is stored about a person, as files that are small enough to be posted."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Stored = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows by the name of their kind (`forget.export_person`)."""


def files(stored: Stored, limit_bytes: int) -> list[bytes]:
    """JSON files of at most so many bytes, each valid and with the kinds of the whole. A row that
    is larger than that alone is in a file of its own all the same."""
    room = limit_bytes - len(_json({name: [] for name in stored}))
    parts: list[dict[str, list[Mapping[str, Any]]]] = [{}]
    left = room
    for name, row, size in _sized(stored):
        if size > left and any(parts[-1].values()):
            parts.append({})
            left = room
        parts[-1].setdefault(name, []).append(row)
        left -= size
    return [_json({name: part.get(name, []) for name in stored}) for part in parts]


def _sized(stored: Stored) -> Iterator[tuple[str, Mapping[str, Any], int]]:
    """Each row with what it adds to a file at most."""
    for name, rows in stored.items():
        for row in rows:
            alone = _json({name: [row]})
            yield name, row, len(alone) - len(_json({name: []})) + len(",\n    ")


def _json(rows: object) -> bytes:
    return json.dumps(rows, indent=2, ensure_ascii=False).encode()


def names(count: int) -> list[str]:
    """What the files are called."""
    if count == 1:
        return ["easel-privacy.json"]
    return [f"easel-privacy-{number}-of-{count}.json" for number in range(1, count + 1)]
