"""Who is named in a text, told without any list of persons: by a mention, by a given name with a
surname, by a title or kinship, or by a name on the operator's list. Nothing here knows whether
somebody lives."""

from enum import IntEnum

from bot.core.text.folding import MENTION
from bot.core.text.rules import OWN_NAMES, own_class
from bot.core.text.sight import Sight

_PARTICLES = (
    "de del della di da do dos das du des la le las los van von der den zu ter ten bin ibn al el "
    "mac mc o y e st saint san santa d"
)
PARTICLES = frozenset(_PARTICLES.split())
_LITTLE = 4
"""Letters from which an unknown word in lower case may be a surname."""
_ENDINGS = (
    "ing", "ed", "ly", "ant", "ante", "ando", "endo", "ado", "ada", "ido", "ida", "tion", "ness",
)  # fmt: skip
"""Of words in lower case that are said of somebody and are no surname."""
_SELDOM = 3
"""Words of a text of which nearly all are capitalised tell nothing by it."""


class Named(IntEnum):
    NOBODY = 0
    GIVEN = 1
    """A given name alone."""
    LIKELY = 2
    """A given name and a word in lower case that nothing else is known of."""
    SURELY = 3


def named(sight: Sight) -> Named:
    """How surely the text names somebody."""
    if sight.has(["kin", "title", "photo", OWN_NAMES, own_class("real_person")]) or _by_name(sight):
        return Named.SURELY
    return max((how for how, _ in _names(sight)), default=Named.NOBODY)


def artists(sight: Sight) -> bool:
    """Whether something is to be in the manner of somebody who is named."""
    ends = {one.end for one in sight.of(["style"])}
    return any(how is Named.SURELY and at in ends for how, at in _names(sight, attributed=True))


def _by_name(sight: Sight) -> bool:
    """A mention, or an honorific before a name."""
    reading, names = sight.reading, sight.rules.names
    if MENTION in reading.words:
        return True
    for one in sight.of(["honorific"]):
        if sight.is_honest(one):
            continue
        if one.end < len(reading.words) and reading.clauses[one.end] == reading.clauses[one.start]:
            word = reading.words[one.end]
            given = word in names.given and word not in names.things
            if given or (word in names.surnames and word not in names.ordinary | names.things):
                return True
    return False


def _names(sight: Sight, *, attributed: bool = False) -> list[tuple[Named, int]]:
    """Each given name: how surely somebody is meant, and where it stands. Who only made a work is
    not shown by it."""
    fiction = {at for one in sight.of(["fiction"]) for at in range(one.start, one.end)}
    makers = set() if attributed else _makers(sight)
    titled = _is_titled(sight)
    return [
        (how, at)
        for at in range(len(sight.reading.words))
        if at not in fiction and at not in makers
        if (how := _name_at(sight, at, titled)) is not Named.NOBODY
    ]


def _makers(sight: Sight) -> set[int]:
    """Where names of those stand by whom a work is, in a text about art."""
    if not sight.has(["art"]):
        return set()
    return {at for one in sight.of(["by"]) for at in range(one.end, one.end + 4)}


def _name_at(sight: Sight, at: int, titled: bool) -> Named:
    reading, names = sight.reading, sight.rules.names
    word = reading.words[at]
    if word in PARTICLES:
        return Named.NOBODY
    if word not in names.given:
        return _unknown(sight, at, titled)
    thing = word in names.things or (word in names.ordinary and not _is_shown(sight, at, titled))
    clause, last = reading.clauses[at], at + 1
    while (
        last < len(reading.words)
        and reading.clauses[last] == clause
        and (reading.words[last] in PARTICLES or len(reading.words[last]) == 1)
        and last - at < 4
    ):
        last += 1
    if last < len(reading.words) and reading.clauses[last] == clause:
        how = _surname(sight, last, word, thing, titled, _is_shown(sight, at, titled))
        if how is not Named.NOBODY:
            return how
        certain = not thing and word not in names.ordinary and not sight.is_known(at)
        if last - at > 1 and certain and len(reading.words[last - 1]) > 1:
            return Named.LIKELY
    alone = not thing and word not in names.ordinary and len(word) > 2
    return Named.GIVEN if alone else Named.NOBODY


def _unknown(sight: Sight, at: int, titled: bool) -> Named:
    """How surely an unknown word is somebody's given name: by a surname after it."""
    reading, names = sight.reading, sight.rules.names
    if at + 1 >= len(reading.words) or reading.clauses[at + 1] != reading.clauses[at]:
        return Named.NOBODY
    word, surname = reading.words[at], reading.words[at + 1]
    if len(word) < _LITTLE or not word.isalpha() or word in names.ordinary or sight.is_known(at):
        return Named.NOBODY
    both = _is_shown(sight, at, titled) and _is_shown(sight, at + 1, titled)
    common = surname in names.ordinary or surname in names.things or sight.is_known(at + 1)
    if surname in names.surnames and not common:
        return Named.SURELY if both else Named.LIKELY
    if both and len(surname) >= _LITTLE and (surname in names.surnames or not common):
        return Named.LIKELY
    return Named.NOBODY


def _surname(
    sight: Sight, at: int, given: str, thing: bool, titled: bool, given_shown: bool
) -> Named:
    """How surely the word there is a surname after a given name, which may be a `thing`."""
    reading, names = sight.reading, sight.rules.names
    word, shown = reading.words[at], _is_shown(sight, at, titled)
    plain = word in names.ordinary or word in names.things or sight.is_known(at)
    if word in names.surnames:
        if not thing and (not plain or shown or word not in names.ordinary):
            return Named.SURELY
        if thing and given_shown and shown and not sight.is_known(at):
            return Named.SURELY
        if not thing and not sight.is_known(at):
            return Named.LIKELY
        if thing and not plain and len(given) > _LITTLE:
            return Named.LIKELY
    if shown and not plain and len(word) > 2:
        return Named.SURELY
    if not thing and not plain and len(word) >= _LITTLE and word.isalpha():
        return Named.NOBODY if word.endswith(_ENDINGS) and not shown else Named.LIKELY
    return Named.NOBODY


def _is_shown(sight: Sight, at: int, titled: bool) -> bool:
    """By a capital, where not every word has one."""
    return sight.reading.capital[at] and not titled


def _is_titled(sight: Sight) -> bool:
    capital = sight.reading.capital
    return len(capital) > _SELDOM and sum(capital) > 0.75 * len(capital)
