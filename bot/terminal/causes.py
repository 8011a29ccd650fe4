"""Why a part of Easel's cannot be had: the cause in words, and what to type.

A library's message may hold a password, so that it is looked at and never shown.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from difflib import SequenceMatcher
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from storage import private
from storage.embedded import SCHEME

if TYPE_CHECKING:
    from kombu.utils.url import urlparts
    from sqlalchemy import URL

    from storage.settings import Settings

PATIENCE_SECONDS = 3.0
NEAR_0_1 = 0.7
"""From here on a name is meant for another (difflib's ratio)."""
_INSIDE = frozenset({"parent_pid"})
"""What Easel's processes tell each other by."""


def of_folder(settings: Settings) -> str:
    """Of the data folder; empty where it can be written. It is made if it is not there."""
    folder = settings.data_folder.absolute()
    try:
        private.make(folder)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return (
            f"The data folder {folder} cannot be written ({error.strerror}): set EASEL_DATA_FOLDER "
            "to a folder that you may write, for example EASEL_DATA_FOLDER=~/easel"
        )
    return ""


def of_database(url: str, error: Exception) -> str:
    """Of a database that could not be asked."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return (
            "EASEL_DATABASE_URL is no address: write it as in "
            "EASEL_DATABASE_URL=postgresql://user:password@host/name"
        )
    name = parsed.drivername.lower()
    if name.startswith("sqlite"):
        return _of_sqlite(parsed, error)
    if name.partition("+")[0] not in ("postgres", "postgresql"):
        return (
            f"EASEL_DATABASE_URL names {name}. Easel keeps its data in SQLite or PostgreSQL: write "
            "postgresql://user:password@host/name, or leave it empty"
        )
    if name.partition("+")[2] not in ("", "psycopg"):
        return (
            f"EASEL_DATABASE_URL names the driver {name}, which Easel does not use: write "
            "postgresql://… without it"
        )
    if isinstance(error, ImportError):
        return "PostgreSQL needs one more package: pip install 'easel-bot[postgres]'"
    return _of_postgres(parsed, str(error))


def _of_sqlite(url: URL, error: Exception) -> str:
    file = Path(url.database or "").absolute()
    if isinstance(error, OSError):
        why = error.strerror or type(error).__name__
    elif file.is_dir():
        why = "it is a folder"
    elif "not a database" in str(error):
        return (
            f"{file} is no SQLite database: move it away (mv {quote(str(file))} "
            f"{quote(f'{file}.old')}), or name another with EASEL_DATABASE_URL"
        )
    elif "locked" in str(error):
        return f"The database {file} is in use by somebody else: wait, then start this again"
    else:
        why = _unwritable(file) or "SQLite cannot open it"
    return (
        f"The database {file} cannot be opened ({why}): set EASEL_DATABASE_URL, or "
        "EASEL_DATA_FOLDER, to a place that you may write"
    )


def _unwritable(file: Path) -> str:
    try:
        with file.open("ab"):
            return ""
    except OSError as error:
        return error.strerror or ""


def _of_postgres(url: URL, message: str) -> str:
    host, port = url.host or "", url.port or 5432
    if host and (words := _unreached("PostgreSQL", host, port, "EASEL_DATABASE_URL")):
        return words
    # In the server's language, but for the names of things.
    if f'"{url.database}"' in message and "pg_hba" not in message and 'role "' not in message:
        return (
            f"PostgreSQL answers, and has no database {url.database}: "
            f"createdb {_options(url)} {quote(url.database or '')}"
        )
    at = f" at {host}:{port}" if host else ""
    return (
        f"PostgreSQL{at} refuses the connection: look at user and password in EASEL_DATABASE_URL, "
        f"and try psql {_options(url)} {quote(url.database or '')}"
    )


def _options(url: URL) -> str:
    """As PostgreSQL's own programs take them."""
    given = {"-h": url.host, "-p": url.port, "-U": url.username}
    return " ".join(f"{name} {quote(str(value))}" for name, value in given.items() if value)


def of_broker_address(url: str) -> str:
    """Why nothing could ever be asked there; empty if something can."""
    from kombu.transport import TRANSPORT_ALIASES

    from storage import doorbell  # noqa: F401 (adds Easel's own)

    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme.partition("+")[0] not in TRANSPORT_ALIASES:
        named = f"names {scheme}, which Easel does not know" if scheme else "is no address"
        return (
            f"EASEL_BROKER_URL {named}: write redis://host:6379/0 or "
            "amqp://user:password@host//, or leave it empty"
        )
    if scheme.startswith("redis") and _is_missing("redis"):
        return "Redis as a broker needs one more package: pip install 'easel-bot[redis]'"
    return ""


def of_broker(url: str, error: Exception) -> str:
    """Of a broker that could not be asked."""
    from kombu.utils.url import url_to_parts

    if words := of_broker_address(url):
        return words
    parts: urlparts = url_to_parts(url)
    kinds = {"redis": ("Redis", 6379), "rediss": ("Redis", 6379), "amqps": ("RabbitMQ", 5671)}
    scheme = str(parts.scheme).partition("+")[0]
    kind, port = kinds.get(scheme, ("RabbitMQ", 5672))
    if isinstance(error, OSError) and scheme == SCHEME:
        return (
            f"The broker's folder cannot be written ({error.strerror}): look at EASEL_DATA_FOLDER"
        )
    host, port = parts.hostname or "localhost", parts.port or port
    if words := _unreached(kind, host, port, "EASEL_BROKER_URL"):
        return words
    return (
        f"{kind} at {host}:{port} refuses the connection: look at user, password and the name "
        "after the last slash in EASEL_BROKER_URL"
    )


def _is_missing(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return True
    return False


def _unreached(kind: str, host: str, port: int, setting: str) -> str:
    """Why nobody answers at a place of the net; empty if somebody does."""
    try:
        socket.create_connection((host, port), PATIENCE_SECONDS).close()
    except socket.gaierror:
        return f"There is no host {host}: look at {setting}, and try getent hosts {quote(host)}"
    except TimeoutError:
        return (
            f"Nothing answers at {host}:{port} within {PATIENCE_SECONDS:.0f} s: look at {setting}, "
            "and for a firewall on the way"
        )
    except OSError as error:
        return (
            f"Nothing answers at {host}:{port} ({error.strerror}): start {kind} there, or look at "
            f"{setting}"
        )
    return ""


def of_blobs(url: str, error: Exception) -> str:
    """Of a store that takes no pictures."""
    scheme = url.partition(":")[0] if ":" in url else ""
    if isinstance(error, OSError):
        where = getattr(error, "filename", None) or url
        return (
            f"Pictures cannot be stored in {where} ({error.strerror}): set EASEL_BLOB_URL to a "
            "folder that you may write"
        )
    if scheme not in ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "http", "https", "file"):
        named = f"names {scheme}, which Easel does not know" if scheme else "is no address"
        return f"EASEL_BLOB_URL {named}: write s3://bucket or a folder, or leave it empty"
    return (
        f"The store at {scheme}://… takes no pictures: look at EASEL_BLOB_URL, at the bucket's "
        "name and rights, and at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and "
        "AWS_ENDPOINT_URL in the environment"
    )


def of_device(device: str) -> str:
    """Why the worker could not draw there; empty if it could, or where PyTorch is not installed, as
    beside a chat client. PyTorch is asked in a process of its own."""
    if device not in ("cuda", "mps") or importlib.util.find_spec("torch") is None:
        return ""
    program = (
        "import torch; print(torch.version.cuda or torch.version.hip, "
        "torch.cuda.is_available(), torch.backends.mps.is_available())"
    )
    asked = subprocess.run(  # noqa: S603 (our own words)
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    build, cuda, mps = (asked.stdout.split() + ["None"] * 3)[-3:] if asked.stdout else ("", "", "")
    if (cuda if device == "cuda" else mps) == "True":
        return ""
    if device == "mps":
        why = "this machine has no GPU of Apple's that PyTorch can use"
    elif build == "None":
        why = "PyTorch is installed in its build without CUDA: install the one for your card, from "
        why += "pytorch.org, Get started"
    else:
        why = "PyTorch sees no card (nvidia-smi says what the driver sees)"
    return f"EASEL_DEVICE is {device}, and {why}; or set EASEL_DEVICE=auto"


def of_names(names: Mapping[str, object]) -> list[tuple[bool, str]]:
    """Of each variable that is Easel's by its name and no setting: whether it is likely meant for
    one, and words. `names` are those of the environment or of a file."""
    from storage.settings import Settings

    known = Settings.model_fields
    found = []
    for name in sorted(names):
        field = name.lower().removeprefix("easel_").partition("__")[0]
        if not name.lower().startswith("easel_") or field in known or field in _INSIDE:
            continue
        ratios = {other: SequenceMatcher(None, field, other).ratio() for other in known}
        nearest = max(ratios, key=ratios.__getitem__)
        is_near = ratios[nearest] >= NEAR_0_1
        asked = "did you mean" if is_near else "the nearest is"
        end = "?" * is_near
        words = f"{name} is no setting of Easel's: {asked} EASEL_{nearest.upper()}{end}"
        found.append((is_near, words))
    return found


def written_names() -> dict[str, object]:
    """The names in the environment and in the file of the settings."""
    from dotenv import dotenv_values

    from storage.settings import Settings
    from storage.written import encoding_of

    file = Path(str(Settings.model_config["env_file"]))
    written = dotenv_values(file, encoding=encoding_of(file)) if file.is_file() else {}
    return {**os.environ, **written}
