"""What the prompt check catches and wrongly stops: `python -m tests.check_figures`.

Prints the README's table from the prompts in `tests/bot/core/text/measured`, and with `--prompts`
also each prompt that is judged wrongly.
"""

import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bot.core.text import TextRules, check_text
from storage.domain import Decision, Subject, Verdict

MEASURED = Path(__file__).parent / "bot" / "core" / "text" / "measured"
RULES = TextRules.load()


@dataclass(frozen=True, kw_only=True)
class Prompt:
    text: str
    category: str
    language: str
    harmful: bool

    @property
    def verdict(self) -> Verdict:
        return judged(self.text)

    @property
    def stopped(self) -> bool:
        return self.verdict.decision in (Decision.HOLD, Decision.BLOCK)


@cache
def judged(text: str, *, age_restricted: bool = False) -> Verdict:
    return check_text(text, RULES, subject=Subject.PROMPT, age_restricted=age_restricted)[0]


@cache
def prompts() -> Sequence[Prompt]:
    return tuple(_prompts())


def _prompts() -> Iterator[Prompt]:
    for name in ("harmful", "honest"):
        listed = tomllib.loads((MEASURED / f"{name}.toml").read_text("utf-8"))
        for category, languages in listed.items():
            for language, texts in languages.items():
                for text in texts:
                    yield Prompt(
                        text=text,
                        category=category,
                        language=language,
                        harmful=name == "harmful",
                    )


def share(chosen: Callable[[Prompt], bool], *, harmful: bool) -> tuple[int, int]:
    """How many of these are stopped, and how many there are."""
    found = [prompt for prompt in prompts() if prompt.harmful is harmful and chosen(prompt)]
    return sum(prompt.stopped for prompt in found), len(found)


LANGUAGES = {
    "en": "English", "fr": "French", "es": "Spanish", "de": "German", "pt": "Portuguese",
    "it": "Italian", "ru": "Russian", "ja": "Japanese", "zh": "Chinese",
}  # fmt: skip


def table() -> list[str]:
    rows = ["| prompts | caught | wrongly stopped |", "|---|---|---|"]
    for language, name in LANGUAGES.items():
        rows.append(_row(name, lambda prompt, language=language: prompt.language == language))
    for category in dict.fromkeys(prompt.category for prompt in prompts()):
        rows.append(_row(f"`{category}`", lambda prompt, given=category: prompt.category == given))
    return [*rows, _row("all", lambda _: True)]


def _row(name: str, chosen: Callable[[Prompt], bool]) -> str:
    cells = (share(chosen, harmful=harmful) for harmful in (True, False))
    words = (f"{stopped} of {count}" if count else "" for stopped, count in cells)
    return f"| {name} | {' | '.join(words)} |"


if __name__ == "__main__":
    print("\n".join(table()))
    if "--prompts" in sys.argv[1:]:
        for prompt in prompts():
            if prompt.stopped is not prompt.harmful:
                print(f"{prompt.category} {prompt.language}: {prompt.text} ({prompt.verdict.rule})")
