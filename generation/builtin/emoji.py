"""`python -m generation.builtin.emoji WORK`: write `storage/emoji.json`, what emoji are called.

Names are those of Unicode's CLDR in Easel's languages, short codes those that Slack uses, both from
the package that also names what the embedded model draws (`sources`). Skin tones are left out.
"""

import json
import sys
from pathlib import Path

import storage
from generation.builtin.concepts import clean
from generation.builtin.sources import LANGUAGES, NAMES_PACKAGE, Record, fetch, load_records
from generation.builtin.words import without_accents

TARGET = Path(storage.__file__).with_name("emoji.json")
NOTICE = (
    f"Names and short codes from {NAMES_PACKAGE}, Copyright (c) 2017-2019 Miles Johnson, MIT "
    "License; the names are those of Unicode CLDR, Copyright (c) 2004-2026 Unicode, Inc., Unicode "
    "License V3 (SPDX: Unicode-3.0)."
)
_TEXT = frozenset("©®™")
_COMPONENTS = 2
_PEOPLE_AND_FLAGS = (1, 2, 9)
_MOST = 8


def names(records: dict[str, list[Record]]) -> dict[str, list[str]]:
    """Emoji without variation selectors → its name in each language."""
    by_code = {
        language: {r["hexcode"]: " ".join(clean(r["label"]).split()) for r in records[language]}
        for language in LANGUAGES
    }
    found = {}
    for record in records["en"]:
        sign = str(record["emoji"]).replace("\ufe0f", "")
        if record.get("group") != _COMPONENTS and sign[0] > "\u00ff" and sign not in _TEXT:
            code = record["hexcode"]
            found[sign] = [
                by_code[language].get(code, by_code["en"][code]) for language in LANGUAGES
            ]
    return found


def short_codes(
    records: dict[str, list[Record]], codes: dict[str, str | list[str]]
) -> dict[str, str]:
    """What stands between colons → emoji, as in `names`."""
    signs = {r["hexcode"]: str(r["emoji"]).replace("\ufe0f", "") for r in records["en"]}
    return {
        name: signs[code]
        for code, given in codes.items()
        if code in signs
        for name in ([given] if isinstance(given, str) else given)
    }


def keywords(records: dict[str, list[Record]]) -> dict[str, dict[str, str]]:
    """Language → keyword without accents → the emoji that have it, the most usual first."""
    found: dict[str, dict[str, list[str]]] = {language: {} for language in LANGUAGES}
    for language in LANGUAGES:
        for record in records[language]:
            sign = str(record["emoji"]).replace("\ufe0f", "")
            for tag in map(without_accents, map(clean, record.get("tags", ()))):
                if tag.isalpha() and len(tag) > 2 and record.get("group") not in _PEOPLE_AND_FLAGS:
                    found[language].setdefault(tag, []).append(sign)
    return {
        language: {tag: " ".join(signs[:_MOST]) for tag, signs in sorted(tags.items())}
        for language, tags in found.items()
    }


def main(work: Path) -> None:
    """Raises subprocess.CalledProcessError when npm cannot get the package."""
    records = load_records(work)
    package = fetch(NAMES_PACKAGE, work)
    codes = json.loads((package / "en/shortcodes/iamcal.json").read_text(encoding="utf-8"))
    known = names(records)
    short = {name: sign for name, sign in short_codes(records, codes).items() if sign in known}
    content: dict[str, object] = {
        "notice": NOTICE,
        "languages": LANGUAGES,
        "names": known,
        "short_codes": short,
    }
    content["keywords"] = keywords(records)
    TARGET.write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
