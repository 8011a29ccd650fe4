"""What the image checkers of the settings can say, found without loading one. No torch here."""

from __future__ import annotations

import json
from collections.abc import Iterable
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
