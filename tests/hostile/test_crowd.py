"""Many references at once: what may not be asked for costs nothing, and what may be, little."""

import pytest

from tests.hostile.conftest import MEASURED
from tests.hostile.crowd import MINE, PEOPLE, QUEUE
from tests.hostile.measuring import Result

pytestmark = MEASURED
MIB_WITHOUT_QUOTA = 64
MIB_OF_ONE = 128
"""A file of 10 MiB, what is decoded of it, and the PNG that is kept; twice, for good measure."""
MIB_OF_MANY = 256
HONEST_SECONDS = 1.0


@pytest.mark.parametrize("chat", ["Discord", "Slack"])
def test_one_person_without_quota(results: dict[str, Result], chat: str) -> None:
    answer = results[f"one without quota on {chat}"].answer
    assert answer["taken"] == 0
    assert answer["fetched"] == 1, "the honest one's"
    assert answer["left"] == 0
    assert answer["grown_mib"] < MIB_WITHOUT_QUOTA
    assert answer["honest_seconds"] < HONEST_SECONDS


@pytest.mark.parametrize("chat", ["Discord", "Slack"])
def test_one_person_with_quota(results: dict[str, Result], chat: str) -> None:
    answer = results[f"one with quota on {chat}"].answer
    assert answer["taken"] == QUEUE - len(MINE)
    assert answer["fetched"] == 1 + answer["taken"], "what is over the limit is not read"
    assert answer["left"] == 0
    assert answer["grown_mib"] < MIB_OF_ONE
    assert answer["honest_seconds"] < HONEST_SECONDS


def test_many_people(results: dict[str, Result]) -> None:
    """All are served, in little memory: who came before is waited for."""
    answer = results["many with quota"].answer
    assert answer["taken"] == PEOPLE
    assert answer["left"] == 0
    assert answer["grown_mib"] < MIB_OF_MANY
