"""`python -m bot.i18n [--prune]`: bring `fr.po` and `es.po` up to date with what `bot/` says.

New sentences are added without a translation; with `--prune` those that the code no longer says
are dropped. Prints what is left to do, and exits with 1 if there is anything.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po

import bot
from bot.i18n import LOCALES, po_path

Sentence = str | tuple[str, str]
"""What `say` is given, or singular and plural for `say_n`."""

_SOURCE = Path(bot.__file__).parent


def sentences(folder: Path = _SOURCE) -> set[Sentence]:
    """Every literal sentence given to `say`, `say_n`, `mark` or `Complaint(text=…)`."""
    found: set[Sentence] = set()
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
            if isinstance(node, ast.Call):
                found.update(_of_call(node))
    return found


def _of_call(call: ast.Call) -> Iterator[Sentence]:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name == "say_n" and len(call.args) >= 3:
        singular, plural = (list(_literals(arg)) for arg in call.args[1:3])
        yield from zip(singular, plural, strict=True)
    elif name == "say" and len(call.args) >= 2:
        yield from _literals(call.args[1])
    elif name == "mark" and call.args:
        yield from _literals(call.args[0])
    elif name == "Complaint":
        for keyword in call.keywords:
            if keyword.arg == "text":
                yield from _literals(keyword.value)


def _literals(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from _literals(node.body)
        yield from _literals(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value


def load(locale: str) -> Catalog:
    with po_path(locale).open("rb") as source:
        return read_po(source, locale=locale, abort_invalid=True)


def untranslated(catalog: Catalog) -> list[Sentence]:
    """What has no string yet; of a plural, what lacks any form."""
    return [_id(m) for m in catalog if m.id and not all(_forms(m.string))]


def _id(message: Message) -> Sentence:
    return message.id if isinstance(message.id, str) else (message.id[0], message.id[1])


def _forms(string: str | Sequence[str] | None) -> Sequence[str]:
    return [string] if isinstance(string, str) else string or [""]


def update(catalog: Catalog, said: set[Sentence], *, prune: bool) -> set[Sentence]:
    """Add what is said, in place. What is no longer said is returned, and dropped if `prune`."""
    for sentence in sorted(said, key=str):
        if sentence not in catalog:
            catalog.add(sentence)
    known: set[Sentence] = {_id(message) for message in catalog if message.id}
    obsolete = known - said
    if prune:
        for sentence in obsolete:
            catalog.delete(sentence)
    return obsolete


def main() -> int:
    prune, said, open_ends = "--prune" in sys.argv[1:], sentences(), 0
    for locale in LOCALES[1:]:
        catalog = load(locale)
        obsolete = update(catalog, said, prune=prune)
        missing = untranslated(catalog)
        with po_path(locale).open("wb") as target:
            write_po(target, catalog, width=100, no_location=True, sort_output=True)
        print(f"{locale}: {len(catalog)} sentences")
        for word, items in (("untranslated", missing), ("obsolete", sorted(obsolete, key=str))):
            for item in items:
                print(f"  {word}: {item if isinstance(item, str) else ' | '.join(item)}")
        open_ends += len(missing) + (0 if prune else len(obsolete))
    return 1 if open_ends else 0


if __name__ == "__main__":
    sys.exit(main())
