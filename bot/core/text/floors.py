"""The two floors: sexual content with any sign of a minor, and of a real person. No setting and no
act lifts them, so what an operator calls honest is not honest here."""

from collections.abc import Iterator
from enum import IntEnum

from bot.core.text import ages
from bot.core.text.persons import Named
from bot.core.text.phrases import Found
from bot.core.text.rules import Rule, own_class
from bot.core.text.sight import Excuse, Sight
from storage.domain import Decision
from storage.domain.policy import MINOR_FLOOR_RULE, PERSON_FLOOR_RULE, Category

_HINTS = 3
"""Hints at somebody's age that make a sign together; one fewer is a doubt."""
_FAR = 4
"""Words between a child and a word that the rest of the text may excuse."""
_UNDRESSING = "undressing"
_NOUNS_TOO = frozenset({"strip", "strips"})
_UNDRESSED_NEAR = 4
"""Words between somebody and the verb that undresses them."""


class Meant(IntEnum):
    NO = 0
    DOUBT = 1
    YES = 2


Ruled = tuple[Decision, str, str]
"""What is decided, by which rule, for which category."""


Children = tuple[list[tuple[int, int]], Meant]
"""Where they stand in a text, and whether it is about one."""


def children(sight: Sight, year: int) -> Children:
    signs = [
        (one.start, one.end)
        for one in sight.of(
            ["child", "kin_child", "csam", own_class("minor"), own_class("sexual_minor")]
        )
        if not sight.is_honest(one)
    ]
    signs += [
        (one.start, one.end)
        for one in sight.of(["young"])
        if not sight.is_honest(one) and not sight.belongs(one, ["animal", "food", "plant", "thing"])
    ]
    signs += [
        (one.start, one.end)
        for one in sight.of(["minor"])
        if not sight.is_honest(one) and not sight.has(["music", "lesser"])
    ]
    negated = [sign for sign in signs if sight.is_negated_at(sign[0])]
    told = [
        (start, end)
        for start, end in ages.young(sight.reading, year)
        if not sight.is_said_of(["aged"], start, end)
    ]
    if told or len(negated) < len(signs):
        return [*(sign for sign in signs if sign not in negated), *told], Meant.YES
    if (
        "child" in sight.unfolded
        or "csam" in sight.unfolded
        or ages.young_unfolded(sight.reading.seen)
    ):
        return [], Meant.YES
    adults = {at for one in sight.of(["adult_hint"]) for at in range(one.start, one.end)}
    hints = {
        sight.reading.words[one.start].rstrip("s")
        for one in sight.of(["hint"])
        if one.start not in adults and not sight.is_honest(one)
    }
    if len(hints) >= _HINTS:
        return [], Meant.YES
    return [], Meant.DOUBT if negated or len(hints) == _HINTS - 1 else Meant.NO


def minor(sight: Sight, found: Children) -> Iterator[Ruled]:
    """What follows where the text names a minor."""
    signs, about = found
    if about is Meant.NO:
        return
    meant = max(
        (_beside_child(sight, rule, one, signs) for rule, one in _sexual(sight)), default=Meant.NO
    )
    meant = max(meant, _of_csam(sight))
    if sight.unfolded & {
        "nudity",
        "acts",
        "parts",
        "underwear",
        "suggestive",
        "undressing",
        "undress_verb",
        "csam",
    }:
        meant = Meant.YES
    if meant is Meant.NO:
        return
    if min(meant, about) is Meant.YES:
        yield Decision.BLOCK, MINOR_FLOOR_RULE, Category.MINOR
    else:
        yield Decision.HOLD, "text:minor_in_doubt", Category.MINOR


def _of_csam(sight: Sight) -> Meant:
    """Words that mean both at once: what an operator calls honest is not honest here, and a text
    that is against them is in doubt."""
    rule = next(rule for rule in sight.rules.rules if rule.name == "sexual_minor")
    excuses = {sight.excuse(rule, one) for one in sight.of(["csam", own_class("sexual_minor")])}
    if excuses & {None, Excuse.OWN}:
        return Meant.YES
    return Meant.DOUBT if excuses & {Excuse.CONTEXT, Excuse.NEGATED} else Meant.NO


def _sexual(sight: Sight) -> Iterator[tuple[Rule, Found]]:
    for rule in sight.rules.rules:
        if rule.floors:
            for one in sight.paired(rule):
                yield rule, one


def _beside_child(sight: Sight, rule: Rule, one: Found, signs: list[tuple[int, int]]) -> Meant:
    excuse = sight.excuse(rule, one)
    if excuse in (None, Excuse.OWN):
        return Meant.YES
    apart = min((_between(sign, (one.start, one.end)) for sign in signs), default=_FAR)
    if rule.senses > 1:
        return _with_two_senses(sight, rule, one, signs, excuse)
    if excuse in (Excuse.HONEST, Excuse.NOUN):
        # "naked mole rat", but not "child naked eye".
        if apart == 0:
            return Meant.YES
        return Meant.DOUBT if excuse is Excuse.NOUN and apart < _FAR else Meant.NO
    return Meant.YES if excuse is Excuse.CONTEXT and apart < _FAR else Meant.DOUBT


def _with_two_senses(
    sight: Sight, rule: Rule, one: Found, signs: list[tuple[int, int]], excuse: Excuse
) -> Meant:
    """A comic strip about a child, but not one of a stripping child: where a child does it or has
    it done, only what it is done to instead shows another sense, and what stands elsewhere leaves
    a doubt."""
    if excuse is Excuse.NEGATED:
        return Meant.DOUBT
    if excuse is Excuse.HONEST or rule.hidden or _is_a_noun(sight, one):
        return Meant.NO
    has_it_done = any(sight.parted_by_little(one.end, start) for start, _ in signs)
    if _UNDRESSING in rule.words and has_it_done:
        return Meant.YES
    does_it = any(sight.parted_by_little(end, one.start) for _, end in signs)
    if excuse is Excuse.CONTEXT:
        return Meant.YES if does_it else Meant.DOUBT
    return Meant.NO


def _is_a_noun(sight: Sight, one: Found) -> bool:
    """A strip of bacon, before "kids meal"."""
    alone = one.end - one.start == 1 and sight.reading.words[one.start] in _NOUNS_TOO
    return alone and sight.is_marked(["strip_sense", "thing", "plant", "food"], one.start - 1)


def _between(one: tuple[int, int], other: tuple[int, int]) -> int:
    """Words between two places."""
    return max(0, other[0] - one[1], one[0] - other[1])


def person(sight: Sight, how: Named) -> Iterator[Ruled]:
    """What follows where the text names a real person, or undresses somebody."""
    if _undresses(sight, how):
        yield Decision.BLOCK, PERSON_FLOOR_RULE, Category.REAL_PERSON
        return
    if sight.unfolded & {"photo", "kin"} and sight.unfolded & {
        "nudity",
        "acts",
        "parts",
        "underwear",
        "undressing",
        "undress_verb",
    }:
        yield Decision.BLOCK, PERSON_FLOOR_RULE, Category.REAL_PERSON
    if how is Named.NOBODY:
        return
    bare = suggested = Meant.NO
    for rule, one in _sexual(sight):
        if rule.floors == "both":
            meant = _beside_person(sight.excuse(rule, one))
            if rule.bare:
                bare = max(bare, meant)
            else:
                suggested = max(suggested, meant)
    if bare is Meant.YES and how >= Named.LIKELY:
        yield Decision.BLOCK, PERSON_FLOOR_RULE, Category.REAL_PERSON
    elif bare is not Meant.NO and (how >= Named.LIKELY or bare is Meant.YES):
        yield Decision.HOLD, "text:person_in_doubt", Category.REAL_PERSON
    elif suggested is Meant.YES and how is Named.SURELY:
        yield Decision.HOLD, "text:person_suggestive", Category.REAL_PERSON


def _beside_person(excuse: Excuse | None) -> Meant:
    if excuse in (None, Excuse.OWN):
        return Meant.YES
    return Meant.DOUBT if excuse in (Excuse.CONTEXT, Excuse.NOUN) else Meant.NO


def _undresses(sight: Sight, how: Named) -> bool:
    """A verb that undresses, and somebody as its object."""
    if "undress_verb" in sight.unfolded:
        return True
    if sight.has(["photo"]) and _takes_off(sight):
        return True
    people = {one.start for one in sight.of(["person", "pronoun", "kin", "photo"])}
    return any(
        not sight.is_honest(one)
        and not sight.is_negated(one)
        and not sight.is_beside(["strip_sense", "thing"], one, after=True)
        and (
            one.kind == "undress_them"
            or any(at in people for at in range(one.end, one.end + _UNDRESSED_NEAR))
            or how >= Named.GIVEN
        )
        for one in sight.of(["undress_verb", "undress_them"])
    )


def _takes_off(sight: Sight) -> bool:
    """Somebody's garment is to go, in a picture that is there."""
    garments = [one for one in sight.of(["intimate"]) if not sight.is_honest(one)]
    people = {one.start for one in sight.of(["person", "pronoun", "kin"])}
    return any(
        0 <= garment.start - verb.end < _UNDRESSED_NEAR
        and any(at in people for at in range(verb.end, garment.end + _UNDRESSED_NEAR))
        for verb in sight.of(["remove_verb"])
        if not sight.is_negated(verb)
        for garment in garments
    )
