"""Pictures and references by their SHA-256, in a folder or in S3 and alike, through obstore.

What may be shown and what is kept apart for moderators lie under different prefixes, so that
access rules and retention can tell them from each other.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import LocalStore, ObjectStore, from_url

from storage.settings import Settings

SHOWN, APART = "shown", "apart"


class Blobs:
    """`get`, `move` and `delete` raise FileNotFoundError for what is not there."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._store: ObjectStore
        if parts.scheme == "file":
            folder = Path(unquote(parts.path))
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._store = LocalStore(folder, mkdir=True, automatic_cleanup=True)
        else:
            self._store = from_url(url)

    def put(self, data: bytes, *, kept_apart: bool = False) -> str:
        """Store and return the hash. The same bytes twice are one blob."""
        sha256 = hashlib.sha256(data).hexdigest()
        obstore.put(self._store, _key(sha256, kept_apart), data)
        return sha256

    def get(self, sha256: str, *, kept_apart: bool = False) -> bytes:
        return bytes(obstore.get(self._store, _key(sha256, kept_apart)).bytes())

    def move(self, sha256: str, *, to_kept_apart: bool) -> None:
        """Between what may be shown and what is kept apart. Safe to repeat."""
        source, target = _key(sha256, not to_kept_apart), _key(sha256, to_kept_apart)
        try:
            obstore.rename(self._store, source, target)
        except FileNotFoundError:
            obstore.head(self._store, target)

    def delete(self, sha256: str) -> None:
        """From both places; what is not there is no error."""
        for kept_apart in (False, True):
            try:
                obstore.delete(self._store, _key(sha256, kept_apart))
            except FileNotFoundError:
                continue

    def all(self) -> Iterator[tuple[str, datetime]]:
        """Every hash with its last change, for the orphan sweep."""
        for batch in obstore.list(self._store):
            for meta in batch:
                yield meta["path"].rsplit("/", 1)[-1], meta["last_modified"]


def _key(sha256: str, kept_apart: bool) -> str:
    return f"{APART if kept_apart else SHOWN}/{sha256[:2]}/{sha256}"


def open_blobs(settings: Settings) -> Blobs:
    return Blobs(settings.resolved_blob_url)
