"""Hostile prompts: a clear answer, and nothing that pings, links, colours or breaks."""

import pytest

from bot.i18n import LOCALES, say
from storage.emoji import spoken
from tests.hostile.conftest import MEASURED
from tests.hostile.measuring import MAX_MIB, MAX_SECONDS, Result
from tests.hostile.prompts import PROMPTS

pytestmark = MEASURED
ELLIPSIS = "…"


@pytest.mark.parametrize("number", range(len(PROMPTS)))
def test_a_prompt(results: dict[str, Result], number: int) -> None:
    [result] = [r for name, r in results.items() if name.startswith(f"{number} ")]
    for locale, answer in result.answer.items():
        assert answer["alive"] == []
        assert "\x1b" not in answer["said"]
        if "complaint" not in answer:
            _check_card(answer, locale)
    if "complaint" in result.answer["en"]:
        said = {answer["said"] for answer in result.answer.values()}
        assert len(said) == len(LOCALES), "each in its own words"
    assert result.cpu_seconds < MAX_SECONDS
    assert result.peak_mib < MAX_MIB


def _check_card(answer: dict[str, str], locale: str) -> None:
    prompt, seen = answer["prompt"], answer["seen"]
    assert prompt.isprintable() or not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in prompt)
    shown = spoken(prompt, locale)  # Emoji are words there.
    if answer["state"] == "refused":
        assert seen == say(locale, "Not drawn")
    elif seen.endswith(ELLIPSIS) and seen != shown:
        assert shown.startswith(seen.removesuffix(ELLIPSIS)), "as far as there is room"
    else:
        assert seen == shown, "as the person saw it"
    assert len(answer["said"]) <= 256
    assert answer["details"] == prompt
    controls = {c for c in answer["shell"] if ord(c) < 32 or 127 <= ord(c) < 160}
    assert controls <= {"\n"}


def test_so_many_and_no_fewer(results: dict[str, Result]) -> None:
    assert len(PROMPTS) >= 200
    assert len(results) == len(PROMPTS)


def test_some_are_drawn_some_are_refused_some_are_not_understood(
    results: dict[str, Result],
) -> None:
    states = [result.answer["en"].get("state", "complaint") for result in results.values()]
    assert {"made", "refused", "complaint"} == set(states)
