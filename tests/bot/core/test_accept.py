"""Accept: what the text check of both prompts adds up to."""

import pytest

from bot.core.accept import check
from bot.core.textcheck import TextRules
from storage.domain import Place, Platform
from tests.fakes.nouns import a_request

RULES = TextRules.load()
LOOSE = Place(platform=Platform.DISCORD, age_restricted=True)


@pytest.mark.parametrize(
    ("prompt", "negative", "refused"),
    [
        ("a red apple", "leaf", False),
        ("a nude portrait", "", False),
        ("a nude portrait", "adult", True),
        ("a child on a swing", "", False),
        ("a child on a swing", "clothes", True),
    ],
)
def test_the_floor_looks_at_both_prompts_together(
    prompt: str, negative: str, refused: bool
) -> None:
    request = a_request(prompt=prompt, negative_prompt=negative)
    checked = check(request, RULES, LOOSE)
    assert checked.refused is refused
    assert any(v.rule == "floor:minor" for v in checked.verdicts) is refused
