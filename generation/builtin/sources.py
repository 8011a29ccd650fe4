"""Where the training data comes from: pinned npm packages of openly licensed emoji and names.

| package | licence | what is taken |
|---|---|---|
| @iconify-json/noto | Apache-2.0 | the drawings that are taught |
| @iconify-json/twemoji | CC-BY-4.0 | drawings in another style, for the evaluation alone |
| emojibase-data | MIT, on Unicode CLDR (Unicode-3.0) | names, keywords, groups |
"""

import io
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

TRAINED_STYLE: Final = "noto"
UNSEEN_STYLE: Final = "twemoji"
_STYLES: Final = {
    TRAINED_STYLE: "@iconify-json/noto@1.2.9",
    UNSEEN_STYLE: "@iconify-json/twemoji@1.2.5",
}
NAMES_PACKAGE: Final = "emojibase-data@17.0.0"
LANGUAGES: Final = ("en", "fr", "es")

Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Style:
    """One set of drawings."""

    name: str  # a key of _STYLES
    size: float  # side of the drawings' view box in their own units
    bodies: dict[str, str]  # icon name -> inside of its <svg> element
    by_code: dict[str, str]  # code points as lower-case hex joined by "-" -> icon name

    def svg(self, code: str) -> str | None:
        """The drawing for an emojibase hexcode as a whole SVG document; None if it has none."""
        key = code.lower()
        body = self.bodies.get(self.by_code.get(key) or self.by_code.get(_bare(key), ""))
        if body is None:
            return None
        side = f"{self.size:g}"
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" '
            'xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="0 0 {side} {side}">{body}</svg>'
        )


def _bare(code: str) -> str:
    return "-".join(part for part in code.split("-") if part != "fe0f")


def fetch(package: str, folder: Path) -> Path:
    """Download `name@version` with npm's own client, once; return its unpacked folder.

    Raises subprocess.CalledProcessError when npm cannot get it.
    """
    target = folder / package.replace("/", "-").replace("@", "_")
    if target.exists():
        return target / "package"
    folder.mkdir(parents=True, exist_ok=True)
    packed = subprocess.run(  # noqa: S603
        ["npm", "pack", "--silent", package],  # noqa: S607
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    unpacking = target.with_suffix(".part")
    with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
        archive.extractall(unpacking, filter="data")
    unpacking.rename(target)
    return target / "package"


def load_style(name: str, folder: Path) -> Style:
    """Fetch and read one set of drawings."""
    package = fetch(_STYLES[name], folder)
    icons = json.loads((package / "icons.json").read_text(encoding="utf-8"))
    codes = json.loads((package / "chars.json").read_text(encoding="utf-8"))
    return Style(
        name=name,
        size=float(icons.get("width", icons.get("height", 16))),
        bodies={icon: entry["body"] for icon, entry in icons["icons"].items()},
        by_code={_bare(code): icon for code, icon in codes.items()},
    )


def load_records(folder: Path) -> dict[str, list[Record]]:
    """Emojibase's records (label, tags, hexcode, subgroup, version, order) by language."""
    package = fetch(NAMES_PACKAGE, folder)
    return {
        language: json.loads((package / language / "data.json").read_text(encoding="utf-8"))
        for language in LANGUAGES
    }


def render(svg: str, size: int) -> Image.Image:
    """Draw an SVG document as RGBA of `size` x `size` pixels."""
    import resvg_py  # only the extra `train` installs it

    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size))
    return Image.open(io.BytesIO(png)).convert("RGBA")
