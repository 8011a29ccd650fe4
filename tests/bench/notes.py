"""What is said beside a result of 2,000 characters, once for each request."""

import random
import statistics
import string
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bot.core.notes import found
from storage.catalog import Catalog, builtin_names, load_catalog
from storage.domain import Complaint, ImageRequest
from storage.settings import Settings
from tests.bench.figures import Figure
from tests.fakes.nouns import a_request

ROUNDS = 200
CHARACTERS = 2000
AIM_SECONDS = 0.001


def prompts() -> dict[str, str]:
    """Words that nobody knows, that are known, that are half known, and nothing but weights."""
    rng = random.Random(7)
    lengths = (rng.randint(2, 9) for _ in range(500))
    letters = ("".join(rng.choices(string.ascii_lowercase, k=length)) for length in lengths)
    names = rng.choices(builtin_names()["en"], k=300)
    return {
        "unknown words": " ".join(letters)[:CHARACTERS],
        "known names": " ".join(names)[:CHARACTERS],
        "a few words again and again": ("a medieval library at dusk " * 80)[:CHARACTERS],
        "accents": ("été élève bibliothèque châteaux " * 80)[:CHARACTERS],
        "weights": ("(red:1.3) (fox:1.2) " * 100)[:CHARACTERS],
    }


def figures(_: Path) -> Iterator[Figure]:
    """Medians; the baseline is splitting the prompt into words."""
    catalog = load_catalog(Settings())
    for name, prompt in prompts().items():
        ask = partial(_noted, a_request(prompt=prompt, negative_prompt=""), catalog)
        took = [_timed(ask) for _ in range(ROUNDS)]
        bare = [_timed(prompt.split) for _ in range(ROUNDS)]
        yield Figure(
            f"notes of 2,000 characters, {name}",
            statistics.median(took),
            statistics.median(bare),
            AIM_SECONDS,
        )


def _noted(request: ImageRequest, catalog: Catalog) -> tuple[Complaint, ...]:
    return tuple(found(request, catalog, "en"))


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
