"""What people write in a prompt beside the prompt: links, flags and minus groups are taken out.

This is the shape of the grammar; `bot.core.grammar` knows what the values mean.
"""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice

from bot.core.named import shown
from bot.i18n import mark
from storage.domain import Complaint

MAX_TEXT_CHARACTERS = 10_000
"""More than any platform lets people type: Discord's options hold 6,000 (LIMITS.md)."""
MAX_PROMPT_CHARACTERS = 2000
MAX_FLAGS = 50
"""Each dash before a name is compared with every flag there is; nobody means so many."""
MAX_ROUNDS = 8
"""Taking one construct out may reveal another; nobody who means well nests them this deep."""

FLAGS = {
    "seed": "seed",
    "steps": "steps",
    "guidance": "guidance",
    "cfg": "guidance",
    "ar": "aspect",
    "aspect": "aspect",
    "size": "aspect",
    "count": "count",
    "n": "count",
    "style": "style",
    "model": "model",
    "strength": "strength",
    "use": "use",
    "no": "negative",
    "negative": "negative",
    "private": "private",
}
"""Flag as typed → option of RawCommand."""

EXAMPLES = {
    "seed": "1234",
    "steps": "20",
    "guidance": "7",
    "aspect": "3:2",
    "count": "2",
    "style": "sketch",
    "model": "builtin",
    "strength": "0.6",
    "use": "edit",
    "negative": "text, hands",
}

_DASHES = "-−‐‑–—―－﹣"
# In chats people put <> around a link so that it shows no preview.
_LINK = re.compile(
    r"\{ ?(?:image|imagen|img) ?(?:: ?| (?=<?https?:))<?([^{}\s<>]+)>? ?\}", re.IGNORECASE
)
_HALF_LINK = re.compile(r"\{ ?(?:image|imagen|img) ?(?::| <?https?:)", re.IGNORECASE)
# Phones turn two hyphens into an em dash, or each of them into an en dash; keyboards of Chinese,
# Japanese and Korean have wide ones.
_FLAG = re.compile(
    rf"(?<!\S)(?P<dash>[{_DASHES}]{{2,4}}|[−–—―－﹣])(?P<gap> ?)"
    r"(?P<name>[^\W\d_][\w-]*)(?P<equals>=?)"
)
_VALUE = re.compile(
    r""" ?(?:"([^"]*)"|'([^']*)'|“([^”]*)”|‘([^’]*)’|«\s?([^»]*?)\s?»"""
    r"""|([^\s,]\S*?)(?=,?(?:\s|$)))"""
)
_GAPPED_END = re.compile(rf",? ?(?:$|[{_DASHES}])")
_GAPPED_VALUES = {
    **dict.fromkeys(("seed", "steps", "guidance", "count", "strength"), r"[+−–-]?\d[\d.,]*%?"),
    "aspect": r"\d+[:/x×*]\d+",
    "use": r"\w+",
}
_QUOTED = re.compile(r"'(.*)'|\"(.*)\"|‘(.*)’|“(.*)”|«\s?(.*?)\s?»|`(.*)`", re.DOTALL)
_QUOTES = re.compile("['‘’`«»]")
_GROUP = re.compile(r"\( ?[-−‐‑–－﹣](?![-−‐‑–—－﹣])")
_BRACKET_MINUS = re.compile(rf"\( ?[{_DASHES}][{_DASHES} ]*")
_MINUS = re.compile(rf"(?:^|(?<=[ ,]))[{_DASHES}][{_DASHES} ]*")
_MEANINGLESS = re.compile(r"[{}\"“”]")


@dataclass(kw_only=True)
class Written:
    """What stood in a text."""

    prompt: str
    negatives: list[str] = field(default_factory=list)
    """Texts from `--no` and minus groups; see `terms`."""
    links: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    """Values by RawCommand's option names; the last of equal flags wins."""


def clean(text: str) -> str:
    """One line with single spaces, without what hides words from readers or shows them in another
    order. Joiners inside words and emoji stay, and signs that are seen. Ids become names."""
    text = shown(text)
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    kept = (" " if c.isspace() else c if _is_seen(text, at) else "" for at, c in enumerate(text))
    return " ".join("".join(kept).split())


def _is_seen(text: str, at: int) -> bool:
    character = text[at]
    category = unicodedata.category(character)
    if category == "Cf":
        before, after = text[max(0, at - 1) : at], text[at + 1 : at + 2]
        if character in "\u200c\u200d":
            return bool(_joins(before)) and _joins(before) == _joins(after)
        if "\U000e0020" <= character <= "\U000e007f":  # The flags of England and the like.
            _, flag, tags = text[max(0, at - 8) : at].rpartition("\U0001f3f4")
            return bool(flag) and all("\U000e0020" <= tag <= "\U000e007f" for tag in tags)
        return _script(character) in _JOINED  # Arabic signs around numbers.
    return category not in ("Cc", "Cs")


_JOINED = frozenset(
    {
        *("ARABIC", "SYRIAC", "NKO", "MANDAIC", "MONGOLIAN", "DEVANAGARI", "BENGALI", "GURMUKHI"),
        *("GUJARATI", "ORIYA", "TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA", "MYANMAR"),
        *("KHMER", "TIBETAN"),
    }
)
"""Scripts in which a joiner changes how a word is written (The Unicode Standard, 23.2)."""


def _joins(character: str) -> str:
    """What a joiner beside this character joins: "emoji", "word", or nothing."""
    if not character:
        return ""
    if character == "\ufe0f" or unicodedata.category(character) in ("So", "Sk"):
        return "emoji"
    return "word" if _script(character) in _JOINED else ""


def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]


def read(text: str, names: Collection[str] = ()) -> Written | Complaint:
    """Take a text apart. Reading what is left over (`prompt`) again finds nothing more. Takes time
    in proportion to the text, which may be read while others wait. `names` are those of models and
    styles."""
    if len(text) > MAX_TEXT_CHARACTERS:
        return too_long()
    written = Written(prompt=clean(text))
    for _ in range(MAX_ROUNDS):
        before = written.prompt
        complaint = _take_links(written) or _take_flags(written, names)
        if complaint is not None:
            return complaint
        written.prompt, groups = _take_groups(written.prompt)
        written.negatives += groups
        written.prompt = re.sub(r" ?,(?: ?,)+", ",", " ".join(written.prompt.split())).strip(" ,")
        if written.prompt == before:
            return written
    return _confusing()


def terms(text: str) -> list[str]:
    """The terms of a negative prompt: parted by commas outside brackets, or each begun by a
    minus, without quotes around them. What would mean something in a prompt (braces, leading
    dashes) means nothing here."""
    before, found = None, _terms(_unquoted(clean(text)))
    for _ in range(MAX_ROUNDS):  # Quotes that are taken off may uncover more.
        if found == before:
            return found
        before, found = found, _terms(", ".join(_unquoted(term) for term in found))
    return _terms(_QUOTES.sub(" ", ", ".join(found)))


def _terms(text: str) -> list[str]:
    rest, groups = _take_groups(clean(_MEANINGLESS.sub(" ", text)))
    found: list[str] = []
    for piece in [*groups, rest]:
        flat = _MINUS.sub(",", _BRACKET_MINUS.sub("(", piece))
        depth, start = 0, 0
        for at, character in enumerate(flat):
            depth = max(0, depth + (character == "(") - (character == ")"))
            if character == "," and depth == 0:
                found.append(flat[start:at])
                start = at + 1
        found.append(flat[start:])
    folded = (" ".join(term.split()) for term in found)
    return [term for term in folded if any(c.isalnum() for c in term)]


def _unquoted(text: str) -> str:
    """Without the quotes around it."""
    match = _QUOTED.fullmatch(text)
    return text if match is None else next(group for group in match.groups() if group is not None)


def _take_links(written: Written) -> Complaint | None:
    written.links += _LINK.findall(written.prompt)
    written.prompt = _LINK.sub(" ", written.prompt)
    if _HALF_LINK.search(written.prompt):
        return Complaint(
            text="I can't read that link. Write it like this: {{image: https://example.org/a.png}}"
        )
    return None


def _take_flags(written: Written, names: Collection[str]) -> Complaint | None:
    """Flags with their values; unknown ones are named with the nearest that is known."""
    text, kept, end = written.prompt, "", 0
    near = (m for m in _FLAG.finditer(text) if not m["gap"] or m["name"].lower() in FLAGS)
    dashed = list(islice(near, MAX_FLAGS + 1))
    if len(dashed) > MAX_FLAGS:
        return _confusing()
    flags = [match for match in dashed if _is_flag(match, names)]
    limits = [match.start() for match in flags[1:]] + [len(text)]
    for match, limit in zip(flags, limits, strict=False):
        flag = "--" + match["name"].lower()
        kept += text[end : match.start()] + " "
        key = FLAGS.get(match["name"].lower())
        if key is None:
            return unknown(flag, ["--" + known for known in FLAGS], UNKNOWN_FLAG)
        end, value = _value_of(key, text, match, limit)
        if not value and key == "private":
            value = "?"  # `values.yes` says how it is written.
        if not value:
            return Complaint(
                text="{flag} needs a value, for example {flag} {example}.",
                values={"flag": flag, "example": EXAMPLES[key]},
            )
        if key == "negative":
            written.negatives.append(value)
        else:
            written.options[key] = value
    written.prompt = kept + text[end:]
    return None


def _is_flag(match: re.Match[str], names: Collection[str]) -> bool:
    """A single long dash may be honest punctuation ("the cat —black and white"), so it begins a
    flag only before a name that is, or nearly is, a flag's. So may any dash before a gap ("a house
    -- no people"): there a value has to follow that fits, and nothing but flags after it."""
    name = match["name"].lower()
    if match["gap"]:
        return _is_flag_after_gap(FLAGS[name], match, names)
    if match["dash"].startswith("--") or name in FLAGS:
        return True
    return match["dash"] in ("—", "－－") and bool(get_close_matches(name, FLAGS, 1, cutoff=0.75))


def _is_flag_after_gap(key: str, match: re.Match[str], names: Collection[str]) -> bool:
    text, end = match.string, match.end()
    if key == "private":
        return bool(_GAPPED_END.match(text, end))
    found = _VALUE.match(text, end)
    if found is None:
        return False
    value = next(group for group in found.groups() if group is not None)
    if key in ("style", "model"):
        fits = value.casefold() in (name.casefold() for name in names)
    else:
        fits = bool(re.fullmatch(_GAPPED_VALUES.get(key, "(?!)"), value))
    return fits and (key == "seed" or bool(_GAPPED_END.match(text, found.end())))


def _value_of(key: str, text: str, match: re.Match[str], limit: int) -> tuple[int, str]:
    """Where the value ends, and the value; empty if there is none before `limit`."""
    if key == "private" and not match["equals"]:
        return match.end(), "true"
    if key == "negative":
        return limit, text[match.end() : limit].strip()
    found = _VALUE.match(text, match.end(), limit)
    if found is None:
        return match.end(), ""
    return found.end(), next(group for group in found.groups() if group is not None)


def _take_groups(text: str) -> tuple[str, list[str]]:
    """Take out bracketed groups that begin with a minus, as in `(-bad hands -text)`.

    `(-_-)` and the like hold no word, and stay.
    """
    closing = _brackets(text)
    kept, groups, end, seen = "", [], 0, 0
    for match in _GROUP.finditer(text):
        close = closing.get(match.start(), -1)
        if match.start() < seen or close < 0:
            continue
        inside, seen = text[match.start() + 1 : close], close + 1
        if any(c.isalnum() for c in inside):
            kept += text[end : match.start()] + " "
            groups.append(inside)
            end = seen
    return kept + text[end:], groups


def _brackets(text: str) -> dict[int, int]:
    r"""Position of each opening bracket → its closing one; `\(` and `\)` are mere characters."""
    opened: list[int] = []
    pairs: dict[int, int] = {}
    escaped = False
    for at, character in enumerate(text):
        if escaped or character == "\\":
            escaped = not escaped
        elif character == "(":
            opened.append(at)
        elif character == ")" and opened:
            pairs[opened.pop()] = at
    return pairs


def too_long() -> Complaint:
    return Complaint(
        text="That is too long: prompt and negative prompt may have {limit} characters each.",
        values={"limit": MAX_PROMPT_CHARACTERS},
    )


def _confusing() -> Complaint:
    return Complaint(
        text="I can't tell prompt and flags apart there. Write the prompt first and the flags "
        "after it, for example: a red fox --no text --seed 7."
    )


UNKNOWN_FLAG = (
    mark("I don't know {given}. Did you mean {nearest}?"),
    mark("I don't know {given}. I know {known}."),
)


def unknown(given: str, known: list[str], texts: tuple[str, str]) -> Complaint:
    """Name the nearest of what is known, or else all of it."""
    given, folded = given[:40], {name.casefold(): name for name in known}
    near = get_close_matches(given.casefold(), folded, 1, cutoff=0.6)
    if near:
        return Complaint(text=texts[0], values={"given": given, "nearest": folded[near[0]]})
    return Complaint(text=texts[1], values={"given": given, "known": ", ".join(known[:20])})


def flags_with_gap(prompt: str) -> list[str]:
    """`-- no` and the like, of what `read` left over: it may have been meant as a flag."""
    return [
        match[0]
        for match in _FLAG.finditer(prompt)
        if match["gap"] and len(match["dash"]) > 1 and match["name"].lower() in FLAGS
    ]
