"""From a catalog entry to a folder of weights that may be loaded: found, safe and unchanged."""

import generation.quiet  # noqa: F401 - before the libraries that it quiets  # isort: skip

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from diffusers import DiffusionPipeline
from huggingface_hub import snapshot_download

from storage.catalog import ModelEntry


class ModelUnavailable(Exception):
    """The model or LoRA cannot be loaded; the message says why, in words for the operator."""


class LoraUnavailable(ModelUnavailable):
    """As above, of a LoRA alone: the model draws without it."""


def fetch(entry: ModelEntry) -> tuple[Path, str | None]:
    """The folder of the model, and its hub commit if it is from a hub (downloaded if need be).

    Raises ModelUnavailable.
    """
    folder = Path(entry.source).expanduser()
    if folder.is_dir():
        return folder, None
    try:
        snapshot = DiffusionPipeline.download(
            entry.source, revision=entry.revision, variant=entry.variant, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"{entry.source!r} is no folder here, and as a hub model it cannot be had: {error}"
        ) from error
    # The cache keeps each snapshot in a folder that bears the commit's name.
    return Path(snapshot), Path(snapshot).name


def fetch_files(source: str, revision: str | None) -> Path:
    """The file or folder of a LoRA or checker, from a hub (without pickles) if it is not here.

    Raises ModelUnavailable.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=_HARMLESS))
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"{source!r} is not here, and from a hub it cannot be had: {error}"
        ) from error


_HARMLESS = ["*.safetensors", "*.json", "*.txt"]


def inspect(folder: Path, *, optional: frozenset[str]) -> str:
    """The name of the pipeline class that the folder is for.

    `optional` components are never loaded and so not looked at. Raises ModelUnavailable for what
    must not be loaded: code of the folder's own (a component of another library than diffusers
    and transformers) and pickles (a component without safetensors).
    """
    index_file = folder / "model_index.json"
    if not index_file.is_file():
        raise ModelUnavailable(f"{folder} is no diffusers folder: it has no model_index.json")
    index = json.loads(index_file.read_text(encoding="utf-8"))
    components = {
        name: value
        for name, value in index.items()
        if isinstance(value, list) and name not in optional
    }
    for name, (library, class_name) in components.items():
        if library not in ("diffusers", "transformers"):
            raise ModelUnavailable(
                f"{folder}: {name} is {library}.{class_name}, code that Easel does not run"
            )
        has_weights = name not in ("scheduler", "tokenizer", "tokenizer_2")
        if has_weights and not any((folder / name).glob("*.safetensors")):
            raise ModelUnavailable(
                f"{folder}: {name} has no .safetensors file; Easel loads no pickles (.bin, .ckpt)"
            )
    return str(index["_class_name"])


def verify(folder: Path, sha256: Mapping[str, str]) -> None:
    """Raises ModelUnavailable unless each file named has the SHA-256 given. In place of a folder a
    file of its own will do, which goes by its name, and has to be among those named."""
    alone = folder if folder.is_file() else None
    folder = folder.parent if alone else folder
    for name, expected in sha256.items():
        file = folder / name
        if not file.is_file():
            raise ModelUnavailable(f"{folder} has no {name}, for which the catalog has a SHA-256")
        with file.open("rb") as stream:
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
        if actual != expected.lower():
            raise ModelUnavailable(f"{file} has SHA-256 {actual}, the catalog says {expected}")
    if alone and sha256 and alone.name not in sha256:
        raise ModelUnavailable(f"the catalog has SHA-256 of other files, and none of {alone}")


def digest(folder: Path) -> str:
    """16 hex digits that change with any weight, configuration or vocabulary of the folder."""
    total = hashlib.sha256()
    files = [folder / "model_index.json", *folder.glob("*/*")]
    for file in sorted(files):
        if file.suffix not in (".safetensors", ".json", ".txt"):
            continue
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{file.relative_to(folder).as_posix()}\0{content}\n".encode())
    return total.hexdigest()[:16]
