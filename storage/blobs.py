"""Pictures and references by their SHA-256, in a folder or in S3 and alike, through obstore.

What may be shown and what is kept apart for moderators lie under different prefixes, so that
access rules and retention can tell them from each other.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from storage import private
from storage.settings import Settings, at_home

SHOWN, APART = "shown", "apart"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A blob that lies in the store. The same pixels may lie in both places."""

    sha256: str
    kept_apart: bool
    changed_at: datetime


class NotStored(Exception):
    """The store did not take it: the disk is full, or the service does not answer."""


class Blobs:
    """`put` raises NotStored; `get`, `move` and `copy` FileNotFoundError for what is not there."""

    def __init__(self, url: str) -> None:
        self.store: ObjectStore
        self._folder: Path | None = None
        if url.startswith(("file:", "/", "~")):
            self._folder = _folder(url)
            private.make(self._folder)
            self.store = LocalStore(self._folder, mkdir=True, automatic_cleanup=True)
        else:
            self.store = from_url(url)

    def put(self, data: bytes, *, kept_apart: bool = False) -> str:
        """Store and return the hash. The same bytes twice are one blob."""
        sha256 = hashlib.sha256(data).hexdigest()
        try:
            self.write(_key(sha256, kept_apart), data)
        except (BaseError, OSError) as error:
            raise NotStored(str(error).partition("\n")[0]) from None
        return sha256

    def write(self, key: str, data: bytes) -> None:
        """Raises what obstore raises."""
        obstore.put(self.store, key, data)
        self._close(key)

    def _close(self, key: str) -> None:
        """obstore makes files and folders as the umask has it."""
        if self._folder is not None:
            file = self._folder / key
            inside = len(Path(key).parents) - 1
            private.close(file, *list(file.parents)[:inside])

    def get(self, sha256: str, *, kept_apart: bool = False) -> bytes:
        return bytes(obstore.get(self.store, _key(sha256, kept_apart)).bytes())

    def move(self, sha256: str, *, to_kept_apart: bool) -> None:
        """Between what may be shown and what is kept apart. Safe to repeat."""
        source, target = _key(sha256, not to_kept_apart), _key(sha256, to_kept_apart)
        try:
            obstore.rename(self.store, source, target)
            self._close(target)
        except FileNotFoundError:
            obstore.head(self.store, target)

    def copy(self, sha256: str) -> None:
        """Into whichever of the two places it is missing from."""
        for kept_apart in (False, True):
            source, target = _key(sha256, not kept_apart), _key(sha256, kept_apart)
            try:
                obstore.head(self.store, target)
            except FileNotFoundError:
                obstore.copy(self.store, source, target)

    def delete(self, sha256: str) -> None:
        """From both places; what is not there is no error."""
        for kept_apart in (False, True):
            self.delete_from(sha256, kept_apart=kept_apart)

    def delete_from(self, sha256: str, *, kept_apart: bool) -> None:
        """From one place only; what is not there is no error."""
        with contextlib.suppress(FileNotFoundError):
            obstore.delete(self.store, _key(sha256, kept_apart))

    def find(self, sha256: str, *, kept_apart: bool = False) -> Stored | None:
        """What lies in that place; None if nothing does."""
        try:
            meta = obstore.head(self.store, _key(sha256, kept_apart))
        except FileNotFoundError:
            return None
        return Stored(sha256=sha256, kept_apart=kept_apart, changed_at=meta["last_modified"])

    def all(self) -> Iterator[Stored]:
        """Everything that lies in both places."""
        for place in (SHOWN, APART):
            for batch in obstore.list(self.store, place):
                for meta in batch:
                    yield Stored(
                        sha256=meta["path"].rsplit("/", 1)[-1],
                        kept_apart=place == APART,
                        changed_at=meta["last_modified"],
                    )


def _folder(url: str) -> Path:
    """Of a path, or of a `file:` address, in which `?` and `#` are letters like others."""
    if not url.startswith("file:"):
        return at_home(Path(url))
    path = url.removeprefix("file:")
    if path.startswith("//"):
        path = path[2:].removeprefix("localhost")
    return at_home(Path(unquote(path)))


def _key(sha256: str, kept_apart: bool) -> str:
    return f"{APART if kept_apart else SHOWN}/{sha256[:2]}/{sha256}"


def open_blobs(settings: Settings) -> Blobs:
    blobs = Blobs(settings.resolved_blob_url)
    if not settings.blob_url:
        private.close(settings.data_folder / "blobs")
    return blobs
