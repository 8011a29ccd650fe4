"""What a refusal says: the category in plain words and what to change; of a floor nothing more
than that it stands."""

import re
from dataclasses import replace

import pytest

from bot.core.present import FLOOR, REASONS, present
from bot.i18n import LOCALES, say
from storage import log
from storage.database import Database
from storage.domain import Card, Decision, Subject, Verdict
from storage.domain.policy import FLOOR_RULES, Category
from tests.fakes.nouns import FakeClock, a_verdict, recorded

APPEAL = re.compile(r"appeal|\bappel\b|recours|apelar|apelaci|recurrir|impugn", re.IGNORECASE)


class Door:
    def __init__(self, database: Database, clock: FakeClock) -> None:
        self.database, self.clock = database, clock

    def refused(self, verdict: Verdict, locale: str) -> Card:
        with self.database.write() as session:
            job_id = recorded(session, now=self.clock(), verdicts=(verdict,))
        with self.database.read() as session:
            entry = log.entry(session, job_id)
        assert entry is not None
        return present(replace(entry, locale=locale), None)


@pytest.fixture
def door(database: Database, clock: FakeClock) -> Door:
    return Door(database, clock)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("decision", [Decision.HOLD, Decision.BLOCK])
@pytest.mark.parametrize("subject", [Subject.PROMPT, Subject.NEGATIVE_PROMPT])
def test_a_category(door: Door, locale: str, decision: Decision, subject: Subject) -> None:
    for category in Category:
        verdict = a_verdict(decision, subject=subject, rule="text:x", label=category)
        text = door.refused(verdict, locale).text
        assert say(locale, REASONS[category]) in text
        assert not APPEAL.search(text)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("rule", sorted(FLOOR_RULES))
@pytest.mark.parametrize("subject", list(Subject))
def test_a_floor(door: Door, locale: str, rule: str, subject: Subject) -> None:
    verdict = a_verdict(Decision.BLOCK, subject=subject, rule=rule, label=Category.MINOR)
    assert door.refused(verdict, locale).text == say(locale, FLOOR)
    assert locale == "en" or say(locale, FLOOR) != FLOOR


@pytest.mark.parametrize(
    ("label", "category"),
    [
        ("slur", Category.HATE),
        ("hate_symbol", Category.HATE),
        ("sexual_violence", Category.SEXUAL),
        ("minor_sexual", Category.MINOR),
        ("violence", Category.VIOLENCE),
        ("brand", None),
        ("", None),
    ],
)
def test_verdicts_of_an_earlier_release(door: Door, label: str, category: Category | None) -> None:
    verdict = a_verdict(Decision.BLOCK, subject=Subject.PROMPT, rule=f"text:{label}", label=label)
    text = door.refused(verdict, "en").text
    said = [reason for reason in REASONS.values() if reason in text]
    assert said == ([REASONS[category]] if category else [])


def test_of_a_picture_the_prompts_reasons_are_not_told(door: Door) -> None:
    verdict = a_verdict(Decision.BLOCK, subject=Subject.REFERENCE, label="sexual")
    assert not any(reason in door.refused(verdict, "en").text for reason in REASONS.values())
