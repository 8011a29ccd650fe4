"""What the values of the grammar's flags and options mean, and what to type instead."""

import re
from collections.abc import Mapping

from bot.core.written import Written, read, unknown
from storage.catalog import ModelEntry
from storage.domain import Complaint, ReferenceUse

MAX_SIDE_PX = 2048

_NUMBER = re.compile(r"[+−–－-]?\d{1,15}(?:[.,]\d{1,15})?", re.ASCII)
_PLAIN = str.maketrans(",−–－", ".---")
_PAIR = re.compile(r"(\d{1,5}) ?([:/x×*]) ?(\d{1,5})", re.ASCII | re.IGNORECASE)
_YES = frozenset({"true", "yes", "1", "on", "oui", "sí", "si"})
_NO = frozenset({"false", "no", "0", "off", "non"})


NO_USE = frozenset({"none", "aucun", "ninguno"})
"""`--use none` draws from the words alone, whatever picture the request comes with."""


class Wrong(Exception):
    """Carries a complaint out of the reading of one value; `parse` catches it."""

    def __init__(self, complaint: Complaint) -> None:
        self.complaint = complaint


def use(typed: str | None, *, masked: bool) -> ReferenceUse:
    if typed is None:
        return ReferenceUse.EDIT if masked else ReferenceUse.RESTYLE
    if typed.lower() not in tuple(ReferenceUse):
        raise Wrong(
            Complaint(
                text="A reference is there to restyle or to edit: --use restyle or --use edit. To "
                "draw without it: --use none."
            )
        )
    use = ReferenceUse(typed.lower())
    if masked and use is ReferenceUse.RESTYLE:
        raise Wrong(
            Complaint(text="A mask is for editing. Write --use edit, or leave the mask out.")
        )
    return use


def size(typed: str | None, entry: ModelEntry) -> tuple[int, int]:
    """Pixels for `3:2` (an aspect) or `512x768` (a size).

    Aspects go from 1:4 to 4:1. Sizes go as far as aspects and one enlargement do.
    """
    if typed is None:
        return entry.width, entry.height
    pair = _PAIR.fullmatch(typed)
    if pair is None:
        raise Wrong(
            Complaint(
                text="I can't read “{given}” as a shape. Write --ar 3:2 or "
                "--size {width}x{height}.",
                values={"given": typed[:40], "width": entry.width, "height": entry.height},
            )
        )
    first, second = int(pair[1]), int(pair[3])
    if pair[2] in ":/":
        if not (1 <= first <= 32 and 1 <= second <= 32 and 1 / 4 <= first / second <= 4):
            raise Wrong(
                Complaint(
                    text="--ar goes from 1:4 to 4:1, in whole numbers up to 32, for "
                    "example --ar 3:2."
                )
            )
        return entry.size((first, second))
    _check_size(first, second, entry)
    return first, second


def _check_size(width: int, height: int, entry: ModelEntry) -> None:
    if (width, height) == (entry.width, entry.height):
        return
    extremes = [*entry.size((1, 4)), *entry.size((4, 1))]
    most = min(2 * max(entry.width, entry.height), MAX_SIDE_PX // entry.display_scale)
    low, high, unit = min(extremes), max(*extremes, most), entry.size_multiple
    if not all(low <= side <= high for side in (width, height)):
        raise Wrong(
            Complaint(
                text="With this model, width and height go from {low} to {high} pixels each.",
                values={"low": low, "high": high},
            )
        )
    if width % unit or height % unit:
        raise Wrong(
            Complaint(
                text="Width and height must divide by {unit}. The nearest is "
                "--size {width}x{height}.",
                values={
                    "unit": unit,
                    "width": round(width / unit) * unit,
                    "height": round(height / unit) * unit,
                },
            )
        )


def _number(typed: str) -> float | None:
    """With a point or a comma before the decimals, of which four count."""
    match = _NUMBER.fullmatch(typed)
    return round(float(match[0].translate(_PLAIN)), 4) if match else None


def whole(options: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    if name not in options:
        return None
    number = _number(options[name])
    if number is None or number != int(number) or not low <= number <= high:
        raise Wrong(
            Complaint(
                text="{name} is a whole number from {low} to {high}; I can't use “{given}”.",
                values={"name": "--" + name, "low": low, "high": high, "given": options[name][:40]},
            )
        )
    return int(number)


def seed(options: Mapping[str, str], high: int) -> int | None:
    """None for a random one, which −1 asks for as everywhere."""
    if _number(options.get("seed", "")) == -1:
        return None
    return whole(options, "seed", 0, high)


def guidance(options: Mapping[str, str], entry: ModelEntry) -> float:
    if "guidance" not in options:
        return entry.guidance_scale
    number = _number(options["guidance"])
    if number is None or not 0 <= number <= entry.max_guidance_scale:
        raise Wrong(
            Complaint(
                text="--guidance is a number from 0 to {high}; I can't use “{given}”.",
                values={"high": entry.max_guidance_scale, "given": options["guidance"][:40]},
            )
        )
    return number


def strength(typed: str | None, default: float) -> float:
    if typed is None:
        return default
    percent = typed.endswith("%")
    number = _number(typed.removesuffix("%").rstrip())
    if number is not None and percent:
        number = round(number / 100, 4)
    if number is None or not 0 < number <= 1:
        raise Wrong(
            Complaint(
                text="--strength is above 0 and at most 1 (or 100%); I can't use “{given}”.",
                values={"given": typed[:40]},
            )
        )
    return number


def yes(typed: str) -> bool:
    if typed.lower() not in _YES | _NO:
        raise Wrong(Complaint(text="--private stands alone, or is --private=yes or --private=no."))
    return typed.lower() in _YES


def known(typed: str | None, known: Mapping[str, object], texts: tuple[str, str]) -> str | None:
    """The name as the catalog has it, whatever its case. None if nothing was typed."""
    if typed is None:
        return None
    for name in known:
        if name.casefold() == typed.casefold():
            return name
    raise Wrong(unknown(typed, list(known), texts))


def asks_privately(text: str) -> bool:
    """Whether `--private` stands in the text: where to answer must be known before all is
    parsed."""
    written = read(text)
    if not isinstance(written, Written):
        return False
    try:
        return yes(written.options.get("private", "no"))
    except Wrong:
        return False
