"""A text with all that was found in it, and whether a phrase is meant as it stands."""

from collections.abc import Iterable, Sequence
from enum import Enum

from bot.core.text.folding import Reading, read
from bot.core.text.phrases import Found
from bot.core.text.rules import HONEST, MARKERS, OWN_HONEST, Rule, TextRules

NEGATION_REACH = 3
NOUN_REACH = 2


def _split(row: str) -> list[str]:
    return row.split()


class Excuse(Enum):
    """Why a phrase is not meant as it stands."""

    HONEST = "it is part of an honest phrase"
    OWN = "it is part of a phrase that the operator calls honest"
    NOUN = "the word beside it says of what it is said"
    CONTEXT = "the rest of the text says so"
    NEGATED = "it is negated"


class Sight:
    """What there is to see in one text."""

    def __init__(self, text: str, rules: TextRules) -> None:
        self.rules = rules
        self.reading: Reading = read(text, rules.phrases.known)
        size = len(self.reading.words)
        found = list(rules.phrases.find(self.reading))
        languages = self._languages(found)
        self.found: dict[str, list[Found]] = {}
        for one in found:
            if not one.language or one.language in languages:
                self.found.setdefault(one.kind, []).append(one)
        self._honest = self._covered([HONEST, "fiction"], size, whole=True)
        self._own = self._covered([OWN_HONEST], size, whole=True)
        self._persons = self._covered(["person", "pronoun", "kin", "child", "kin_child"], size)
        self._negated = self._negations(size)
        self._named_things = self._covered(
            [kind for kind in self.found if kind not in _NO_WORDS], size
        )
        self._nouns: dict[tuple[str, ...], list[bool]] = {}
        self.unfolded = self._unfolded()

    def of(self, kinds: Iterable[str]) -> list[Found]:
        return [found for kind in kinds for found in self.found.get(kind, ())]

    def has(self, kinds: Iterable[str]) -> bool:
        return any(kind in self.found for kind in kinds)

    def meant(self, rule: Rule) -> list[Found]:
        """Of the rule's phrases as many that are meant as they stand as make it hold, or none."""
        found: list[Found] = []
        for one in self.paired(rule):
            if self.excuse(rule, one) is None and one.start not in {o.start for o in found}:
                found.append(one)
                if len(found) == rule.least:
                    return found
        return []

    def excuse(self, rule: Rule, one: Found) -> Excuse | None:
        if all(self._honest[one.start : one.end]):
            return Excuse.HONEST
        if rule.noun and self.belongs(one, rule.noun, acts=rule.senses > 1):
            return Excuse.NOUN
        if not rule.negated and self._negated[one.start]:
            return Excuse.NEGATED
        if self._is_in_context(rule):
            return Excuse.CONTEXT
        if all(self._own[one.start : one.end]):
            return Excuse.OWN
        return None

    def _is_in_context(self, rule: Rule) -> bool:
        """A manner of painting does not dress a body that somebody has; a work that is shown, or a
        place where works are, tells what it is about."""
        kinds = [kind for kind in rule.unless if kind in self.found]
        if kinds == ["art"] and rule.bare and "person" in self.found:
            return "art_object" in self.found
        return bool(kinds)

    def is_known(self, at: int) -> bool:
        """Whether the word there is of some class, so that it is no name."""
        return self._named_things[at]

    def is_honest(self, one: Found) -> bool:
        return all(self._honest[one.start : one.end])

    def is_negated(self, one: Found) -> bool:
        return self.is_negated_at(one.start)

    def is_negated_at(self, at: int) -> bool:
        return self._negated[at]

    def is_marked(self, nouns: Sequence[str], at: int) -> bool:
        """Whether the word there is of these classes."""
        return at >= 0 and self._nouns_of(tuple(nouns))[at]

    def is_beside(self, nouns: Sequence[str], one: Found, *, after: bool = False) -> bool:
        """Whether a word of these classes follows it, or stands before it, within two words."""
        marks, clauses = self._nouns_of(tuple(nouns)), self.reading.clauses
        size = len(marks)
        beside = [*range(one.end, min(size, one.end + NOUN_REACH))]
        if not after:
            beside += range(max(0, one.start - NOUN_REACH), one.start)
        return any(marks[at] and clauses[at] == clauses[one.start] for at in beside)

    def parted_by_little(self, start: int, end: int) -> bool:
        """Whether only articles, helping words and who it is about stand between two places of a
        clause."""
        clauses, words = self.reading.clauses, self.reading.words
        if not 0 <= start <= end < len(words) or clauses[max(0, start - 1)] != clauses[end]:
            return False
        little = _ARTICLES | _HELPING
        return all(words[at] in little or self._persons[at] for at in range(start, end))

    def is_said_of(self, nouns: Sequence[str], start: int, end: int) -> bool:
        """Whether a word of these classes comes next in the clause, and no person soon after."""
        marks, clauses = self._nouns_of(tuple(nouns)), self.reading.clauses
        coming = []
        for at in range(end, min(len(marks), end + 5)):
            if clauses[at] != clauses[start] or self.reading.words[at] in _APART:
                break
            coming.append(at)
        return any(marks[at] for at in coming[:3]) and not any(self._persons[at] for at in coming)

    def rule_holds(self, name: str) -> bool:
        return any(rule.name == name and self.meant(rule) for rule in self.rules.rules)

    def paired(self, rule: Rule) -> Sequence[Found]:
        """The rule's phrases, those alone that stand with others where it asks for that."""
        found = self.of(rule.words)
        if rule.also and not self.has(rule.also):
            return []
        if not found or not rule.with_:
            return found
        others = self._covered(rule.with_, len(self.reading.words))
        return [
            one
            for one in found
            if any(others[one.end : one.end + rule.near])
            or (not rule.order and any(others[max(0, one.start - rule.near) : one.end]))
        ]

    def belongs(self, one: Found, nouns: Sequence[str], *, acts: bool = False) -> bool:
        """Whether it is said of a thing of these classes, which stands beside it and no person
        nearer; or, where it is what somebody does (`acts`), is done to such a thing."""
        marks = self._nouns_of(tuple(nouns))
        clauses, size = self.reading.clauses, len(self.reading.words)

        def near(positions: Iterable[int]) -> bool:
            clause, passed = clauses[one.start], 0
            for at in positions:
                if not 0 <= at < size or clauses[at] != clause or self._persons[at]:
                    return False
                word = self.reading.words[at]
                if word in _APART or passed == NOUN_REACH:
                    return False
                passed += word not in _ARTICLES
                if marks[at]:
                    after = at + 1
                    while after < size and marks[after]:
                        after += 1
                    same = after < size and clauses[after] == clause and after != one.start
                    return not (same and self._persons[after])
            return False

        reach = 2 * NOUN_REACH + 1
        right = range(one.end, one.end + reach)
        if self._is_person(one.end) and not marks[one.end]:
            return False
        if self._is_person(one.start - 1) and not marks[one.start - 1]:
            return acts and near(right)
        return near(right) or near(range(one.start - 1, one.start - 1 - reach, -1))

    def _is_person(self, at: int) -> bool:
        return 0 <= at < len(self._persons) and self._persons[at]

    def _nouns_of(self, kinds: tuple[str, ...]) -> list[bool]:
        if kinds not in self._nouns:
            self._nouns[kinds] = self._covered(kinds, len(self.reading.words))
        return self._nouns[kinds]

    def _covered(self, kinds: Iterable[str], size: int, *, whole: bool = False) -> list[bool]:
        """Words of these classes; of phrases, if `whole`, those in one clause alone."""
        marks, clauses = [False] * size, self.reading.clauses
        for one in self.of(kinds):
            if not whole or clauses[one.start] == clauses[one.end - 1]:
                for at in range(one.start, one.end):
                    marks[at] = True
        return marks

    def _negations(self, size: int) -> list[bool]:
        """Words that a negation before them reaches, in the same clause."""
        marks, clauses = [False] * size, self.reading.clauses
        # "without clothes" says what there is, and denies nothing that follows.
        lifted = {one.start for one in self.of(["unnegator", "nudity", "child", "underwear"])}
        for one in self.of(["negator"]):
            if one.start in lifted:
                continue
            for at in range(one.end, min(size, one.end + NEGATION_REACH)):
                if clauses[at] != clauses[one.start] or self.reading.words[at] in _TURNS:
                    break
                marks[at] = True
        return marks

    def _languages(self, found: Iterable[Found]) -> set[str]:
        """Those of which some word stands in the text that is none of their ambiguous ones."""
        ambiguous = {one.start for one in found if one.language and one.kind != MARKERS}
        return {one.language for one in found if one.kind == MARKERS and one.start not in ambiguous}

    def _unfolded(self) -> frozenset[str]:
        """Classes of which something stands in a text in another script."""
        seen = self.reading.seen
        if seen.isascii() or not any("\u0400" <= c <= "\u04ff" or c >= "\u3040" for c in seen):
            return frozenset()
        plain = self.rules.unfolded[HONEST].sub(" ", seen)
        return frozenset(
            kind for kind, pattern in self.rules.unfolded.items() if pattern.search(plain)
        )


_NO_WORDS = frozenset({MARKERS, HONEST, OWN_HONEST, "negator", "unnegator", "fiction", "by"})
_ARTICLES = frozenset(
    _split("a an the of s de del d du des la le les l el los las un una une di da do")
)
"""Words that stand between a noun and what is said of it."""
_APART = frozenset(
    _split(
        "on in at by with near under over and from to into onto sur dans avec et en con "
        "sobre bajo y sous contre auf im mit und unter su nel nella sulla com na no em e for "
        "pour para como as beside besides behind before between among around against below "
        "beneath above next while devant derriere pres cote chez parmi vers pendant delante "
        "detras junto cerca entre hacia mientras frente ante bei neben hinter vor davanti "
        "dietro accanto vicino atras perto"
    )
)
"""Words after which another thing comes."""
_HELPING = frozenset(
    _split(
        "is are was were be being who that which slowly now just qui se s est sont en train etre "
        "que si esta estan siendo sich ist wird der die das che sta sono viene esta"
    )
)
"""Words between somebody and what they do."""
_BUT = "but only except mais sauf pero sino salvo aber sondern ma mas"
_TURNS = frozenset(_BUT.split())
