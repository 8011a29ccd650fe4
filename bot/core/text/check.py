"""The check of prompts: rules about words, with two floors.

It sees words, not meanings: it stops what is plainly asked for and what is disguised by spelling,
and leaves the rest to the checkers of the pictures.
"""

import time
from collections.abc import Iterable, Iterator, Sequence

from bot.core.text import floors, persons
from bot.core.text.floors import Children, Meant, Ruled
from bot.core.text.persons import Named
from bot.core.text.rules import TextRules
from bot.core.text.sight import Sight
from storage.domain import Decision, Subject, Verdict, worst
from storage.domain.policy import MINOR_FLOOR_RULE, Category

CHECKER = "easel-text"
MAX_CHARACTERS = 10_000
"""The grammar lets far less pass; what is longer is not judged, and so it is held."""

SEXUAL = frozenset({Category.SEXUAL, Category.SUGGESTIVE})
"""The labels that, beside a minor, are the floor."""
_COVERED = 2
"""Garments that have to be unwanted for a body to be meant without; a word for all of them does."""


def check_text(
    text: str, rules: TextRules, *, subject: Subject, age_restricted: bool
) -> tuple[Verdict, frozenset[str]]:
    """Judge a prompt or a negative prompt; also the labels found, for the policy on the output.

    Labels are names of categories: `minor` for whatever names one, `real_person` for a person who
    is named for sure. Whoever names a thing in a negative prompt steers away from it ("nsfw, child"
    is what careful people write), so there only slurs count, and the contrary of what is left out:
    without clothes is `sexual`, without adults is `minor`, and both together are the floor.
    """
    if len(text) > MAX_CHARACTERS:
        too_long = (Decision.HOLD, "text:too-long", "")
        return _verdict([too_long], rules, subject), frozenset()
    sight = Sight(text, rules)
    negative = subject is Subject.NEGATIVE_PROMPT
    place = "negative" if negative else "age_restricted" if age_restricted else "strict"
    ruled = list(_ruled(sight, place))
    if negative:
        labels = frozenset(_contrary(sight))
        if Category.MINOR in labels and labels & SEXUAL:
            ruled.append((Decision.BLOCK, MINOR_FLOOR_RULE, Category.MINOR))
        return _verdict(ruled, rules, subject), labels
    children = floors.children(sight, time.gmtime().tm_year)
    how = persons.named(sight)
    ruled += _signs(sight, place, children, how)
    ruled += floors.minor(sight, children)
    ruled += floors.person(sight, how)
    labels = frozenset(label for _, _, label in ruled if label)
    return _verdict(ruled, rules, subject), labels


def _ruled(sight: Sight, place: str) -> Iterator[Ruled]:
    """By the rules of the files."""
    for rule in sight.rules.rules:
        if not rule.hidden and sight.meant(rule):
            yield rule.decisions[place], f"text:{rule.name}", rule.category
    if sight.unfolded & {"nudity", "acts", "parts", "underwear", "undressing"}:
        decision = sight.rules.decisions[Category.SEXUAL][place]
        held = Decision.HOLD if decision is Decision.BLOCK else decision
        yield held, "text:unfolded", Category.SEXUAL
    elif "suggestive" in sight.unfolded:
        yield (
            sight.rules.decisions[Category.SUGGESTIVE][place],
            "text:unfolded",
            Category.SUGGESTIVE,
        )


def _signs(sight: Sight, place: str, children: Children, how: Named) -> Iterator[Ruled]:
    """Who is in the picture, which by itself stops nothing."""
    decisions = sight.rules.decisions
    if children[1] is Meant.YES:
        yield decisions[Category.MINOR][place], "text:minor", Category.MINOR
    if how is Named.SURELY or sight.unfolded & {"photo", "kin"}:
        yield decisions[Category.REAL_PERSON][place], "text:real_person", Category.REAL_PERSON
    if persons.artists(sight):
        yield decisions[Category.LIVING_ARTIST][place], "text:living_artist", Category.LIVING_ARTIST


def _contrary(sight: Sight) -> Iterable[str]:
    """What is asked for by leaving out the contrary."""
    garments = len({one.start for one in sight.of(["garment"])})
    if sight.has(["clothes"]) or garments >= _COVERED:
        yield Category.SEXUAL
    if sight.has(["grown"]):
        yield Category.MINOR


def _verdict(ruled: Sequence[Ruled], rules: TextRules, subject: Subject) -> Verdict:
    """The gravest of what was ruled."""
    nothing = (Decision.ALLOW, "text:nothing-found", "")
    return worst(
        Verdict(
            subject=subject,
            decision=decision,
            rule=rule,
            label=label,
            score=float(decision is not Decision.ALLOW),
            scores={name: 1.0 for _, _, name in ruled if name},
            checker=CHECKER,
            checker_version=rules.version,
        )
        for decision, rule, label in [*ruled, nothing]
    )
