"""Writes the lists beside this file: `python -m bot.core.text.names.gather FOLDER…`.

Each folder is an unpacked package named in NOTICE: Faker's (with `faker/` in it), or one of
@stdlib's (with `data/names.json` in it).
"""

import importlib
import json
import pkgutil
import re
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
LANGUAGES = ("en", "fr", "es", "de", "it", "pt", "nl")
OTHERS = ("en_KE", "en_NG", "en_IN", "en_PK", "en_TH", "fr_DZ", "es_CA")
"""Locales of these languages that have names of other languages too."""
SPELT_OUT = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "æ": "ae", "œ": "oe", "'": "", "’": ""})


def bare(word: str) -> str:
    """Lower case without accents."""
    apart = unicodedata.normalize("NFD", word.casefold().translate(SPELT_OUT))
    return "".join(c for c in apart if unicodedata.category(c) != "Mn")


def words(listed: object) -> set[str]:
    """Those of a provider's list or of its weights by name."""
    if not isinstance(listed, list | tuple | dict):
        return set()
    parts = (part for entry in listed if isinstance(entry, str) for part in re.split("[ -]", entry))
    return {word for word in map(bare, parts) if re.fullmatch("[a-z]{2,}", word)}


def providers(kind: str) -> Iterator[object]:
    package = importlib.import_module(f"faker.providers.{kind}")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.split("_")[0] in LANGUAGES and module.name not in OTHERS:
            yield importlib.import_module(f"{package.__name__}.{module.name}").Provider


def gather(folders: list[str]) -> dict[str, set[str]]:
    given, surnames, ordinary = set[str](), set[str](), set[str]()
    for folder in map(Path, folders):
        if (folder / "data" / "names.json").exists():
            given |= words(json.loads((folder / "data" / "names.json").read_text("utf-8")))
            continue
        sys.path.insert(0, str(folder))
        for provider in providers("person"):
            for name, listed in vars(provider).items():
                if name.startswith("first_name"):
                    given |= words(listed)
                elif name.startswith("last_name"):
                    surnames |= words(listed)
        for provider in providers("lorem"):
            ordinary |= words(vars(provider).get("word_list"))
    return {"given": given, "surnames": surnames, "ordinary": ordinary}


if __name__ == "__main__":
    for name, found in gather(sys.argv[1:]).items():
        (HERE / f"{name}.txt").write_text("\n".join(sorted(found)) + "\n", "utf-8")
        print(name, len(found))
