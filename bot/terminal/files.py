"""Pictures as files: what a name asks for, whether it can be had, and writing just that."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from shlex import quote

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from storage.domain import Complaint

STANDARD_OUTPUT = Path("-")
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_JPEG_QUALITY = 95


def unnamed(output: Path) -> Complaint | None:
    """Why no picture can be written under this name, however many there are."""
    if output == STANDARD_OUTPUT:
        if sys.stdout is not None and sys.stdout.isatty():
            return Complaint(
                text="A terminal shows no picture. Send it on, for example: -o - > easel.png"
            )
        return None
    if os.path.isdir(output):
        return Complaint(
            text="{name} is a folder. Name a file in it, for example: -o {example}",
            values={"name": str(output), "example": quote(str(output / "easel.png"))},
        )
    if output.suffix.lower() not in _FORMATS:
        return Complaint(
            text="The end of the name says what is written: .png, .jpg, .jpeg or .webp. "
            "“{name}” has none of them; write for example: -o {example}",
            values={"name": output.name, "example": quote(f"{output}.png")},
        )
    if _is_missing(output.parent):
        folder = str(output.absolute().parent)
        return Complaint(
            text="There is no folder {folder}. Make it first: {line}",
            values={"folder": folder, "line": f"mkdir -p {quote(folder)}"},
        )
    return None


def _is_missing(folder: Path) -> bool:
    """Surely; not where we may not even look."""
    try:
        folder.stat()
    except FileNotFoundError:
        return True
    except OSError:
        pass
    return False


def names(output: Path, count: int) -> list[Path]:
    """`out.png`, or `out-1.png` to `out-4.png`."""
    if count == 1:
        return [output]
    return [output.with_stem(f"{output.stem}-{number}") for number in range(1, count + 1)]


def unwritable(output: Path, count: int, *, force: bool) -> Complaint | None:
    """Why `count` pictures cannot be written there now. Tries it, and leaves no trace."""
    if output == STANDARD_OUTPUT:
        if count == 1:
            return None
        return Complaint(
            text="Standard output takes one picture, and this would be {count}. "
            "Name a file, for example: -o easel.png",
            values={"count": count},
        )
    for file in names(output, count):
        if os.path.lexists(file) and not force:
            free = quote(str(_free(output, count)))
            return Complaint(
                text="{name} is there already. Write over it with --force, or take another name, "
                "for example: -o {example}",
                values={"name": str(file), "example": free},
            )
        if why := _tried(file):
            return Complaint(
                text="{name} cannot be written ({why}). Take another place, for example: "
                "-o {example}",
                values={"name": str(file), "why": why, "example": f"~/{quote(output.name)}"},
            )
    return None


def _free(output: Path, count: int) -> Path:
    number = 2
    while any(map(os.path.lexists, names(free := _numbered(output, number), count))):
        number += 1
    return free


def _numbered(output: Path, number: int) -> Path:
    return output.with_stem(f"{output.stem}_{number}")


def _tried(file: Path) -> str:
    """What the system says against writing there; empty if nothing."""
    is_there = os.path.lexists(file)
    try:
        os.close(os.open(file, os.O_WRONLY | (0 if is_there else os.O_CREAT | os.O_EXCL)))
        if not is_there:
            file.unlink()
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def write(file: Path, data: bytes, media_type: str, *, force: bool) -> None:
    """One picture, in the format that its name asks for, with its seal.

    Raises OSError; FileExistsError for what came there meanwhile. Half a file is never left where
    there was none.
    """
    wanted = "PNG" if file == STANDARD_OUTPUT else _FORMATS[file.suffix.lower()]
    encoded = data if media_type == f"image/{wanted.lower()}" else _encoded(data, wanted)
    if file == STANDARD_OUTPUT:
        sys.stdout.buffer.write(encoded)
        sys.stdout.buffer.flush()
        return
    with open(file, "wb" if force else "xb") as output:
        try:
            output.write(encoded)
            output.flush()
        except OSError:
            if not force:
                with suppress(OSError):
                    file.unlink()
            raise


def _encoded(data: bytes, wanted: str) -> bytes:
    """With the XMP packet of the original, which each format keeps elsewhere."""
    buffer = BytesIO()
    with Image.open(BytesIO(data)) as picture:
        packet: bytes = picture.info.get("xmp", b"")
        is_lossless = picture.format == "PNG"
        match wanted:
            case "PNG":
                info = PngInfo()
                info.add_itxt("XML:com.adobe.xmp", packet.decode())
                picture.save(buffer, "PNG", pnginfo=info)
            case "WEBP":
                picture.save(
                    buffer, "WEBP", lossless=is_lossless, quality=_JPEG_QUALITY, xmp=packet
                )
            case _:
                picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0, xmp=packet)
    return buffer.getvalue()
