"""What a small model knows by name: an honest hint, and autocomplete."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

from storage.catalog import Catalog, ModelEntry, builtin_names
from storage.domain import Complaint, ImageRequest

MAX_CHOICES = 25
"""What Discord shows at most (LIMITS.md)."""


def hint(request: ImageRequest, catalog: Catalog) -> Complaint | None:
    """Say so if the model knows only certain things and the prompt names none of them.

    The request is fine all the same: show this beside the picture, not in its place.
    """
    model = catalog.models.get(request.model)
    if model is None or not model.names:
        return None
    prompt = [_forms(word) for word in _words(request.prompt)]
    if any(_names(prompt, _words_of(name)) for name in model.names):
        return None
    return Complaint(
        text="This small model knows {n} things by name and none of them is in your prompt, so "
        "the picture may be anything. The prompt field suggests names; for anything else, ask "
        "who runs this bot for a larger model.",
        values={"n": len(_of_locale(model, "en"))},
    )


def suggest_names(
    prefix: str, entry: ModelEntry, locale: str, limit: int = MAX_CHOICES
) -> tuple[str, ...]:
    """Names that `entry` knows, in that language: first those that begin with `prefix`, then
    those of which another word does, then those that hold it. At most `limit`."""
    wanted = " ".join(_words(prefix))
    ranked: list[tuple[int, str]] = []
    for name in _of_locale(entry, locale):
        folded = " ".join(_words_of(name))
        if folded.startswith(wanted):
            ranked.append((0, name))
        elif f" {wanted}" in folded:
            ranked.append((1, name))
        elif wanted in folded:
            ranked.append((2, name))
    return tuple(name for _, name in sorted(ranked, key=lambda item: item[0])[:limit])


def _of_locale(entry: ModelEntry, locale: str) -> Sequence[str]:
    """The embedded model has its names in each language; others have one list for all."""
    if not entry.names:
        return ()
    known = set(entry.names)
    return [name for name in builtin_names().get(locale, ()) if name in known] or entry.names


def _words(text: str) -> list[str]:
    bare = (c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) != "Mn")
    return re.findall(r"\w+", "".join(bare).casefold())


@cache
def _words_of(name: str) -> list[str]:
    """Of a name of the catalog: the same for every card. Prompts are not kept like this."""
    return _words(name)


def _forms(word: str) -> set[str]:
    """The word and what it may be the plural of, in any of the three languages."""
    found = {word}
    found |= {word[: -len(end)] for end in ("s", "es", "x") if word.endswith(end)}
    return found | ({word[:-3] + "y"} if word.endswith("ies") else set())


def _names(prompt: list[set[str]], name: list[str]) -> bool:
    """Whether the words of `name` stand in the prompt one after the other."""
    return bool(name) and any(
        all(word in forms for word, forms in zip(name, prompt[start:], strict=False))
        for start in range(len(prompt) - len(name) + 1)
    )
