"""An export that is larger than what may be posted is sent in parts."""

import json
from typing import Any

import pytest

from storage import export

STORED: dict[str, list[dict[str, Any]]] = {
    "requests": [{"id": f"{n}", "prompt": "é☃" * (n % 40), "labels": ["a"]} for n in range(300)],
    "usage": [{"job_id": str(n), "pictures": n} for n in range(100)],
    "bans": [],
}


@pytest.mark.parametrize("limit", [700, 2_000, 10_000])
def test_all_of_it_is_in_small_files(limit: int) -> None:
    files = export.files(STORED, limit)
    assert len(files) > 1
    assert all(len(file) <= limit for file in files)
    whole: dict[str, list[Any]] = {name: [] for name in STORED}
    for file in files:
        part = json.loads(file)
        assert list(part) == list(STORED)
        for name, rows in part.items():
            whole[name] += rows
    assert whole == STORED


def test_what_is_small_is_one_file() -> None:
    [file] = export.files(STORED, 10_000_000)
    assert json.loads(file) == STORED
    assert [json.loads(f) for f in export.files({"usage": []}, 100)] == [{"usage": []}]


def test_a_row_that_is_too_large_is_not_lost() -> None:
    files = export.files({"usage": [{"id": "x" * 500}, {"id": "y"}]}, 100)
    assert [json.loads(f)["usage"][0]["id"][0] for f in files] == ["x", "y"]
