"""Who asked to be forgotten, so that a restored backup forgets them again.

The list lies beside the pictures and outlives the database. It names nobody: an entry is a hash
of the account (platform, tenant and id), which only who knows that can look up.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import obstore

from storage.blobs import Blobs
from storage.domain import Account

FOLDER = "forgotten"


def pseudonym(account: Account) -> str:
    return hashlib.sha256(str(account).encode()).hexdigest()


def names(account: Account) -> frozenset[str]:
    """Under which the list may have somebody: releases before 0004 knew no tenants."""
    return frozenset({pseudonym(account), pseudonym(replace(account, tenant=""))})


def add(blobs: Blobs, account: Account, now: datetime) -> None:
    """Before the rows are emptied: a crash in between forgets too much, never too little."""
    put(blobs, {pseudonym(account): now})


def put(blobs: Blobs, entries: Mapping[str, datetime]) -> None:
    for name, at in entries.items():
        blobs.write(f"{FOLDER}/{name}", at.isoformat().encode())


def read(blobs: Blobs) -> dict[str, datetime]:
    """Each person's hash, with the last time that they asked. A note that is damaged counts as made
    when its file was: too much is forgotten then, never too little."""
    found = {}
    for batch in obstore.list(blobs.store, FOLDER):
        for meta in batch:
            said = bytes(obstore.get(blobs.store, meta["path"]).bytes())
            name = meta["path"].rsplit("/", 1)[-1]
            found[name] = _time(said) or meta["last_modified"]
    return found


def _time(said: bytes) -> datetime | None:
    try:
        at = datetime.fromisoformat(said.decode())
    except ValueError:
        return None
    return at if at.tzinfo else None


def merge(*lists: Mapping[str, datetime]) -> dict[str, datetime]:
    """Each person's latest time."""
    names = {name for entries in lists for name in entries}
    return {name: max(e[name] for e in lists if name in e) for name in names}
