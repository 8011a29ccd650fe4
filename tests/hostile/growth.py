"""Texts that make a pattern try the same characters again and again, made of the pattern itself.

For each pattern, sentences that it fits are made from its own parse tree; an attack repeats a
beginning of such a sentence, or draws it out at one place.
"""

import re
from collections.abc import Callable, Iterator
from itertools import islice
from random import Random
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from time import thread_time
from typing import Any

SENTENCES = 12
"""Of one pattern, at most."""
CHARACTERS = "a0A -_<>@|:/.,(){}[]\"'`*~\\\n—é"
"""Of which one is taken where a pattern leaves the choice."""
LENGTH, TIMES = 2_500, 4
FLOOR_SECONDS = 0.002
"""What takes less at the longer length need not be compared."""
WORST = 9.0
"""Times as long for `TIMES` as much: 4 where it is linear, 16 where it is quadratic."""


def sentences(pattern: re.Pattern[str]) -> list[str]:
    tree = parser.parse(pattern.pattern, pattern.flags)
    return list(dict.fromkeys(_fitting(tree, pattern.flags)))


def _fitting(tree: Any, flags: int) -> Iterator[str]:
    """Some of all that can be put together, each part in each of its ways."""
    parts = [list(dict.fromkeys(_node(kind, given, flags))) for kind, given in tree]
    dice, most = Random(len(parts)), max(map(len, parts), default=1)
    for turn in range(min(SENTENCES, 2 * most)):
        yield "".join(
            part[turn % len(part)] if turn < most else dice.choice(part) for part in parts
        )


def _node(kind: Any, given: Any, flags: int) -> Iterator[str]:
    if kind is op.LITERAL:
        yield chr(given)
    elif kind in (op.IN, op.NOT_LITERAL, op.ANY):
        yield from _one_of(kind, given, flags)
    elif kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        least, most, inner = given
        for times in dict.fromkeys((max(least, 1), min(most, least + 2), least)):
            for sentence in _fitting(inner, flags):
                yield sentence * times
    elif kind is op.BRANCH:
        for branch in given[1]:
            yield from _fitting(branch, flags)
    elif kind is op.SUBPATTERN:
        yield from _fitting(given[-1], flags)
    elif kind is op.ASSERT:
        yield from _fitting(given[1], flags)
    elif kind is op.GROUPREF:
        yield "a"
    else:  # What may not stand there, and the ends: nothing stands for them.
        yield ""


def _one_of(kind: Any, given: Any, flags: int) -> Iterator[str]:
    if kind is op.NOT_LITERAL:
        fits = re.compile(f"[^{re.escape(chr(given))}]", flags)
    elif kind is op.ANY:
        fits = re.compile(".", flags)
    else:
        listed = [chr(value) for what, value in given if what is op.LITERAL]
        if listed and given[0][0] is not op.NEGATE:
            yield from (listed[0], listed[-1])
        fits = re.compile(_written(given), flags)
    yield from islice((c for c in CHARACTERS if fits.fullmatch(c)), 3)


_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d", op.CATEGORY_NOT_DIGIT: r"\D", op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S", op.CATEGORY_WORD: r"\w", op.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip


def _written(members: Any) -> str:
    """A class of characters as one writes it."""
    pieces = []
    for what, value in members:
        if what is op.LITERAL:
            pieces.append(re.escape(chr(value)))
        elif what is op.RANGE:
            pieces.append("-".join(re.escape(chr(end)) for end in value))
        elif what is op.CATEGORY:
            pieces.append(_CATEGORIES[value])
    return f"[{'^' if members[0][0] is op.NEGATE else ''}{''.join(pieces)}]"


def attacks(sentence: str) -> Iterator[tuple[str, str, str]]:
    """What stands before, what is repeated, and what comes last."""
    for end in range(1, len(sentence) + 1):
        yield "", sentence[:end], ""
        yield sentence[: end - 1], sentence[end - 1], ""
        yield sentence[: end - 1], sentence[end - 1], "\0"
        if end > 1:
            yield sentence[: end - 2], sentence[end - 2 : end], "\0"
    # Opened so often, and then closed so often.
    for end in range(1, len(sentence)):
        yield "", sentence[:end], sentence[end:] * (LENGTH // len(sentence))


def drawn_out(attack: tuple[str, str, str], length: int) -> str:
    before, repeated, after = attack
    after = after * max(1, length // LENGTH) if len(after) > 1 else after
    return before + repeated * (length // len(repeated)) + after


def growth(act: Callable[[str], object], attack: tuple[str, str, str]) -> float:
    """How many times longer `TIMES` as much takes; 0 where that is nothing. The least of three
    tries, since others are on the machine."""
    short, long = (drawn_out(attack, length) for length in (LENGTH, TIMES * LENGTH))
    least = float("inf")
    for _ in range(3):
        slow = _seconds(act, long)
        if slow < FLOOR_SECONDS:
            return 0.0
        least = min(least, slow / max(_seconds(act, short), FLOOR_SECONDS / TIMES))
        if least < WORST:
            break
    return least


def _seconds(act: Callable[[str], object], text: str) -> float:
    began = thread_time()
    act(text)
    return thread_time() - began
