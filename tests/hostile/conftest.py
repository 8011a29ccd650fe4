"""Hostile cases, each measured in a process of their module's own."""

import pytest

from tests.hostile.measuring import CLEAR, Result, in_a_child

MEASURED = [
    pytest.mark.skipif(not CLEAR.exists(), reason="memory is measured as Linux tells it, in /proc"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> dict[str, Result]:
    """What the cases came to: those of `files` for `test_files`."""
    return in_a_child(request.module.__name__.replace("test_", ""))


def is_clear(says: list[str], wanted: str) -> None:
    """An answer that says what is wrong, and in each language in its own words."""
    english, *others = says
    assert wanted in english
    assert all(words and words != english for words in others)
