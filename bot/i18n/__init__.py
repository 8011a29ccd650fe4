"""Every sentence in English, French and Spanish: the English sentence is the key.

Sentences are `str.format` templates with `{name}` placeholders, so a literal brace is doubled.
Translations are in `fr.po` and `es.po`; `python -m bot.i18n` says what is missing there.
"""

import gettext
import io
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from babel.dates import format_date, format_timedelta
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

LOCALES = ("en", "fr", "es")


def pick_locale(tag: str | None) -> str:
    """One of LOCALES for a platform's tag such as "fr", "fr-CA", "es-419" or "en-GB"."""
    language = (tag or "").replace("_", "-").split("-")[0].lower()
    return language if language in LOCALES else "en"


def mark(text: str) -> str:
    """Return `text` as it is: marks a sentence that is kept in a table for a later `say`."""
    return text


def say(locale: str, text: str, /, **values: object) -> str:
    """`text` in that language, with `{name}` filled from `values`.

    Values are data: braces and percent signs in them mean nothing. Floats are written as the
    language does (7,5), whole numbers stay as they are, since a seed is there to be copied.
    A sentence that has no translation yet is said in English. Raises KeyError when `values`
    lacks a placeholder.
    """
    return _fill(locale, _catalog(locale).gettext(text) if text else "", values)


def say_n(locale: str, singular: str, plural: str, n: int, /, **values: object) -> str:
    """The same for a number of things: `{n}` is `n`, in the form that the language has for it."""
    return _fill(locale, _catalog(locale).ngettext(singular, plural, n), {**values, "n": n})


def format_number(locale: str, x: float) -> str:
    """At most three decimals, with the language's separators."""
    return format_decimal(x, locale=locale)


def format_duration(locale: str, seconds: float) -> str:
    """In words and rounded to one unit, for example "2 minutes"; at least one second."""
    whole = timedelta(seconds=max(1, math.ceil(seconds)))
    return format_timedelta(whole, threshold=1.5, locale=locale)


def format_day(locale: str, at: datetime) -> str:
    """In words, in UTC, for example "December 27, 2026"."""
    return format_date(at.astimezone(UTC).date(), format="long", locale=locale)


def _fill(locale: str, template: str, values: Mapping[str, object]) -> str:
    shown = {
        name: format_number(locale, value) if isinstance(value, float) else value
        for name, value in values.items()
    }
    return template.format_map(shown)


def po_path(locale: str) -> Path:
    return Path(__file__).with_name(f"{locale}.po")


@cache
def _catalog(locale: str) -> gettext.NullTranslations:
    if locale not in LOCALES[1:]:
        return gettext.NullTranslations()
    with po_path(locale).open("rb") as source:
        catalog = read_po(source, locale=locale, abort_invalid=True)
    compiled = io.BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
