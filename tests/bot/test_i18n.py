"""Sentences: each is there in three languages, and values in them stay what they are."""

from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Catalog

from bot.i18n import LOCALES, format_duration, format_number, mark, pick_locale, say, say_n
from bot.i18n.__main__ import Sentence, load, sentences, untranslated, update


@pytest.mark.parametrize(
    ("tag", "locale"),
    [
        ("fr", "fr"), ("fr-CA", "fr"), ("FR_fr", "fr"), ("es-ES", "es"), ("es-419", "es"),
        ("en-GB", "en"), ("de", "en"), ("frisian", "en"), ("", "en"), (None, "en"),
    ],
)  # fmt: skip
def test_platform_tags(tag: str | None, locale: str) -> None:
    assert pick_locale(tag) == locale


@pytest.mark.parametrize("locale", LOCALES)
def test_values_are_data(locale: str) -> None:
    nasty = "{x} {0} %s {{ \\n {flag.__class__}"
    assert nasty in say(locale, "{flag} needs a value, for example {flag} {example}.", flag="-",
                        example=nasty)  # fmt: skip
    assert say(locale, "Nobody {said} this.", said=nasty) == f"Nobody {nasty} this."
    assert say(locale, "") == ""


def test_a_sentence_is_said_in_the_language() -> None:
    known = "I don't know {given}. Did you mean {nearest}?"
    said = {say(locale, known, given="--sede", nearest="--seed") for locale in LOCALES}
    assert len(said) == 3
    assert all("--sede" in sentence and "--seed" in sentence for sentence in said)


def test_numbers_of_things() -> None:
    assert [say_n("en", "{n} fox", "{n} foxes", n) for n in (0, 1, 2)] == [
        "0 foxes", "1 fox", "2 foxes",
    ]  # fmt: skip
    assert say_n("fr", "{n} {what}", "{n} {what}s", 2, what="x{n}") == "2 x{n}s"


def test_numbers_and_durations() -> None:
    assert [format_number(locale, 1234.5) for locale in ("en", "fr")] == [
        "1,234.5", "1\u202f234,5",
    ]  # fmt: skip
    assert [format_number(locale, 7.5) for locale in LOCALES] == ["7.5", "7,5", "7,5"]
    assert [format_duration(locale, 0.2) for locale in LOCALES] == [
        "1 second", "1\u00a0seconde", "1 segundo",
    ]  # fmt: skip
    assert [format_duration("en", seconds) for seconds in (59, 80, 120, 7000)] == [
        "59 seconds", "80 seconds", "2 minutes", "2 hours",
    ]  # fmt: skip
    assert say("fr", "{x} {seed}", x=7.5, seed=4294967295) == "7,5 4294967295"


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("locale", LOCALES[1:])
def test_every_sentence_is_translated_and_nothing_else_is_there(locale: str) -> None:
    catalog, said = load(locale), sentences()
    known: set[Sentence] = {m.id for m in catalog if m.id}  # type: ignore[misc]
    assert said - known == set(), "run `python -m bot.i18n`, then translate"
    assert known - said == set(), "run `python -m bot.i18n --prune`"
    assert untranslated(catalog) == []
    assert not catalog.obsolete
    assert [message.id for message in catalog if message.id and message.fuzzy] == []


@pytest.mark.parametrize("locale", LOCALES[1:])
def test_translations_have_the_same_placeholders(locale: str) -> None:
    for message in load(locale):
        if not message.id:
            continue
        ids = [message.id] if isinstance(message.id, str) else list(message.id)
        strings = (
            [message.string] if isinstance(message.string, str) else list(message.string or ())
        )
        for string in filter(None, strings):
            assert _placeholders(string) == _placeholders(ids[-1]), message.id


def test_sentences_are_found_wherever_they_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        'say(x, "a " "b")\ni18n.say(x, y)\nsay_n(x, "one", "many", 3)\nmark("c")\n'
        'Complaint(text="d" if x else "e", values={})\nsay(x, f"{z}")\nprint("f")\nsay("g")\n'
    )
    assert sentences(tmp_path) == {"a b", ("one", "many"), "c", "d", "e"}
    assert mark("c") == "c"


def test_update_adds_and_prunes() -> None:
    catalog = Catalog(locale="fr")
    catalog.add("old", "vieux")
    assert update(catalog, {"new", ("one", "many")}, prune=False) == {"old"}
    assert set(untranslated(catalog)) == {"new", ("one", "many")}
    assert update(catalog, {"new"}, prune=True) == {"old", ("one", "many")}
    assert [message.id for message in catalog if message.id] == ["new"]
