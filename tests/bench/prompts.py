"""The prompt check: processor time by length, for prose and for texts that are made to cost."""

from collections.abc import Iterator
from time import process_time

from bot.core.text import TextRules, check_text
from storage.domain import Subject
from tests.bench.figures import Figure

PROSE = (
    "a medieval library at dusk with tall windows, warm light on oak tables, an old librarian "
    "reading a large book, dust in the air, detailed oil painting, a cat asleep near the fire, "
)
TEXTS = {
    "prose": PROSE,
    "letters with spaces": "n u d e ",
    "letters with hyphens": "n-u-d-e-",
    "signs for letters": "a@",
    "hidden letters": "a*b",
    "accents": "été àçé ",
    "what is looked for, negated": "no nude ",
    "a child, again and again": "child nude, ",
    "names": "Emma Holloway ",
    "Russian": "голая девочка ",
}
SHORT, LONG = 200, 6000
RULES = TextRules.load()


def figures() -> Iterator[Figure]:
    """The longer beside half of it: where time grows with the length, the ratio is 2."""
    for name, unit in TEXTS.items():
        short, half, long = (_seconds(unit, length) for length in (SHORT, LONG // 2, LONG))
        yield Figure(f"prompt check, {name}: {SHORT} characters", short, half, 0.001)
        yield Figure(f"prompt check, {name}: {LONG} characters", long, half, 0.020, "beside half")


def _seconds(unit: str, length: int) -> float:
    text = (unit * (length // len(unit) + 1))[:length]
    return min(_once(text) for _ in range(7))


def _once(text: str) -> float:
    began = process_time()
    check_text(text, RULES, subject=Subject.PROMPT, age_restricted=False)
    return process_time() - began
