"""What cannot be done as it was asked is said."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bot.core.names import _PLAIN, _folded, unknown_words
from bot.core.notes import notes
from bot.i18n import LOCALES, say
from generation.builtin import MODEL_FOLDER
from storage.catalog import Catalog, LoraEntry, ModelEntry, StyleEntry, load_catalog
from tests.conftest import make_settings
from tests.fakes.nouns import a_request

LARGE = ModelEntry(source="large", guidance_scale=7.0)
TURBO = ModelEntry(source="turbo", guidance_scale=0.0)
LCM = ModelEntry(source="lcm", guidance_scale=8.0, guidance_distilled=True)
CATALOG = Catalog(
    models={"large": LARGE, "turbo": TURBO, "lcm": LCM},
    loras={"ink": LoraEntry(source="ink", models=("large",))},
    styles={
        "photo": StyleEntry(suffix=", photo", negative="drawing"),
        "inked": StyleEntry(suffix=", ink", lora="ink"),
    },
)


def said(catalog: Catalog = CATALOG, locale: str = "en", **changes: Any) -> str:
    request = a_request(**{"negative_prompt": "", "model": "large", **changes})
    found = notes(request, catalog, locale)
    for language in LOCALES:
        assert all(say(language, note.text, **note.values) for note in found)
    return "\n".join(say(locale, note.text, **note.values) for note in found)


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("a red apple <lora:ink:1>", "left this out: <lora:ink:1>."),
        ("a red apple <lyco:ink>", "left this out: <lyco:ink>."),
        ("a cat AND a dog BREAK snow", "kept the words: AND, BREAK."),
        ("[a:b:0.5] fox", "kept the words: [a:b:0.5]."),
        ("a [red|blue] ((fox)) {cat|dog}", "kept the words: [red|blue], {cat|dog}, ((fox))."),
        ("(cat:-5) (cat:nan) (red:1,3)", "have none: (cat:-5), (cat:nan), (red:1,3)."),
        ("(red apple:2.5)", "I took 2 for: (red apple:2.5)."),
        ("(cat:999999999999)", "I took 2 for: (cat:999999999999)."),
        ("((red:1.8) fox:1.5)", "I took 2 for: (red:1.8)."),
        ("a house -- no people", "as words: -- no."),
    ],
)
def test_signs_that_mean_nothing_are_named(prompt: str, named: str) -> None:
    assert named in said(prompt=prompt)
    assert named in said(prompt="x", negative_prompt=prompt) or "as words" in named


@pytest.mark.parametrize(
    "prompt",
    ["a ((red apple:1.4) fox:1.2)", "SALT AND PEPPER", "(16:9) at 12:30 [sic]", "a cat — a dog",
     "the cat (black and white) :-)", "a <3 b", "C++"],
)  # fmt: skip
def test_what_is_understood_is_not(prompt: str) -> None:
    assert said(prompt=prompt) == ""


def test_a_model_that_takes_no_negative_prompt() -> None:
    for model in ("turbo", "lcm"):
        guidance = CATALOG.models[model].guidance_scale
        asked = {"model": model, "guidance_scale": guidance}
        assert f"“{model}” takes no negative prompt" in said(negative_prompt="text, logo", **asked)
        assert "left out: text, logo." in said(negative_prompt="text, logo", **asked)
        assert "left out: drawing." in said(style="photo", **asked)
        assert said(**asked) == ""
    assert "guidance of 1 or less" in said(negative_prompt="text", guidance_scale=1.0)
    assert said(negative_prompt="text", guidance_scale=1.5) == ""
    assert said(negative_prompt="text", model="turbo", guidance_scale=2.0) == ""


def test_a_style_whose_lora_is_not_for_the_model() -> None:
    """Asked for anew it is refused (test_grammar); an old request may still have one."""
    assert "LoRA was left out" in said(style="inked", model="turbo", guidance_scale=0.0)
    assert said(style="inked") == ""
    assert "“gone” is not here any more" in said(style="gone")


@pytest.fixture(scope="module")
def builtin(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return load_catalog(make_settings(tmp_path_factory.mktemp("data")))


@pytest.mark.parametrize(
    ("locale", "prompt", "parts"),
    [
        ("en", "a medieval library at dusk", ["library, dusk", "open book, books, sunset"]),
        ("en", "an elefant", ["none of them is in your prompt", "elefant", "elephant"]),
        ("en", "a cat on the beach", ["beach"]),
        ("fr", "une bibliothèque avec un chat", ["bibliothèque", "livre ouvert"]),
        ("es", "un gato y un elefanto", ["elefanto", "elefante"]),
        ("en", "a cat and a xyzzyq", ["xyzzyq", "suggests them"]),
        ("en", "xyzzyq", ["none of them is in your prompt"]),
        ("en", "a cat with @bob", ["bob"]),
    ],
)
def test_words_that_a_small_model_does_not_know(
    builtin: Catalog, locale: str, prompt: str, parts: list[str]
) -> None:
    words = said(builtin, locale, prompt=prompt, model="builtin")
    if locale == "en":
        assert all(part in words for part in parts), words
    else:
        assert all(part in words for part in parts), words
        assert "I did not understand" not in words


@pytest.mark.parametrize(
    "prompt",
    ["two red foxes on a green background", "un chat et deux chiens", "a small cat next to a pizza",
     "🍎", "🧑\u200d🚀 and a :cat:", "(red:1.3) apples, please", "l'avion bleu", "7 cats"],
)  # fmt: skip
def test_nothing_is_said_of_what_it_knows(builtin: Catalog, prompt: str) -> None:
    assert said(builtin, prompt=prompt, model="builtin") == ""


def test_words_of_captions_are_known() -> None:
    """What the embedded model was taught beside names."""
    taught = json.loads((MODEL_FOLDER / "words.json").read_text("utf-8"))
    words = {w for text in taught for w in re.findall(r"[^\W\d_]+", _folded(text))}
    assert len(words) > 100
    assert words - _PLAIN == set()


def test_a_defect_keeps_no_picture_from_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("bot.core.notes.unknown_words", fails)
    assert notes(a_request(), CATALOG, "en") == ()


def test_many_words_are_not_all_named(builtin: Catalog, tmp_path: Path) -> None:
    prompt = " ".join(f"q{chr(97 + i // 26)}{chr(97 + i % 26)}qz" for i in range(300))
    found = unknown_words(a_request(prompt=prompt), builtin)
    assert found is not None
    assert len(say("en", found.text, **found.values)) < 600
