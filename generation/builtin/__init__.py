"""The embedded text-to-image model: its weights, the script that trains them, their measurement.

Importing this package stays cheap (no torch), so that the catalog and the command line can ask
where the model lies and which names it knows.
"""

import json
from pathlib import Path
from typing import Final

MODEL_FOLDER: Final = Path(__file__).parent / "model"
"""A stock diffusers folder, and beside it `README.md`, `NOTICE`, `sheet.png`, `names.json`,
`synonyms.json` (other words for the same things), `words.json` (what captions were made of besides)
and `training.json`."""

DEFAULT_STEPS: Final = 8
DEFAULT_GUIDANCE: Final = 2.0

Names = dict[str, list[str]]
"""Language (`en`, `fr`, `es`) to names; the same index is the same thing in each language."""


def known_names(model: Path = MODEL_FOLDER) -> Names:
    """The names that a model trained by this package knows.

    Raises FileNotFoundError when the folder was not written by `train_builtin`.
    """
    names: Names = json.loads((model / "names.json").read_text(encoding="utf-8"))
    return names
