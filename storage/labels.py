"""What the image checkers of the settings can say, found without loading one. No torch here."""

from __future__ import annotations

import json
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from storage.catalog import Catalog
from storage.domain.policy import unjudged
from storage.settings import Settings

_OF_KINDS = {
    "opennsfw": frozenset({"nsfw"}),
    "diffusers": frozenset({"nsfw_concept", "special_care"}),
}


def deaf(settings: Settings, catalog: Catalog) -> list[str]:
    """Words about each checker none of whose labels has bounds. Those that are not on this machine
    are not looked at: the worker does it when it loads them."""
    thresholds = settings.thresholds_for(age_restricted=False)
    found = []
    for spec in settings.safety_checkers:
        labels = labels_of(spec, catalog)
        if labels is not None and unjudged(labels, thresholds):
            found.append(deaf_words(spec, labels))
    return found


def unknown(settings: Settings, catalog: Catalog) -> list[str]:
    """Words about each checker that is none, or whose folder is not here."""
    found = []
    for spec in settings.safety_checkers:
        entry = catalog.checkers.get(spec)
        kind, _, source = (entry.source if entry else spec).partition(":")
        if source and kind in ("diffusers", "transformers"):
            if source.startswith(("/", ".", "~")) and not Path(source).expanduser().is_dir():
                found.append(
                    f"The checker {spec} is not here: there is no folder {source}. Mend "
                    "EASEL_SAFETY_CHECKERS, or put it there"
                )
        elif spec != "opennsfw":
            names = ["opennsfw", *catalog.checkers]
            nearest = get_close_matches(spec, names, n=1, cutoff=0.0)[0]
            found.append(
                f"EASEL_SAFETY_CHECKERS names {spec}, which is no checker: did you mean "
                f"{nearest}? A model is named as in transformers:FOLDER_OR_ID"
            )
    return found


def deaf_words(checker: str, labels: Iterable[str]) -> str:
    return (
        f"The checker {checker} says {', '.join(sorted(labels)) or 'nothing'}, and "
        "EASEL_THRESHOLDS has no bound for any of it, so that it would keep nothing back."
    )


def labels_of(spec: str, catalog: Catalog) -> frozenset[str] | None:
    """None for what is not known here."""
    entry = catalog.checkers.get(spec)
    kind, _, source = (entry.source if entry else spec).partition(":")
    if kind in _OF_KINDS:
        return _OF_KINDS[kind]
    try:
        config = json.loads((Path(source).expanduser() / "config.json").read_bytes())
        return frozenset(map(str, config["id2label"].values()))
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError):
        return None
