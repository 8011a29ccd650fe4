"""A backup taken apart, changed and put together again, with hashes that are right."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Archive:
    """`rows` and `manifest` as in JSON; `packed` are tables as they stand in the file, in place of
    their rows; `last` changes the manifest when all hashes are in it; `extra` are headers and data
    of more members."""

    def __init__(self, file: Path) -> None:
        with tarfile.open(file) as tar:
            self.parts = {m.name: opened.read() for m in tar if (opened := tar.extractfile(m))}
        self.manifest: dict[str, Any] = json.loads(self.parts.pop("manifest.json"))
        self.rows: dict[str, list[Any]] = {}
        for table in self.manifest["tables"]:
            lines = gzip.decompress(self.parts[_member(table)]).splitlines()
            self.rows[table] = [json.loads(line) for line in lines]
        self.packed: dict[str, bytes] = {}
        self.extra: list[tuple[tarfile.TarInfo, bytes]] = []
        self.raw_manifest: bytes | None = None
        self.last: list[Callable[[dict[str, Any]], None]] = []

    def put(self, name: str, data: bytes) -> None:
        """With its hash in the manifest where it belongs."""
        self.parts[name] = data
        if name == "forgotten.json":
            self.manifest["forgotten"] = hashlib.sha256(data).hexdigest()

    def leave_out(self, table: str) -> None:
        del self.manifest["tables"][table], self.rows[table], self.parts[_member(table)]

    def save(self, file: Path) -> Path:
        for table, rows in self.rows.items():
            lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
            packed = self.packed.get(table, gzip.compress(lines))
            self.parts[_member(table)] = packed
            if table in self.manifest["tables"]:
                of_table = self.manifest["tables"][table]
                of_table["sha256"] = hashlib.sha256(packed).hexdigest()
                if table not in self.packed:
                    of_table["rows"] = len(rows)
        with tarfile.open(file, "w") as tar:
            for name, data in self.parts.items():
                _add(tar, tarfile.TarInfo(name), data)
            for header, data in self.extra:
                _add(tar, header, data)
            for change in self.last:
                change(self.manifest)
            said = self.raw_manifest
            if said is None:
                said = json.dumps(self.manifest).encode()
            _add(tar, tarfile.TarInfo("manifest.json"), said)
        return file


def _add(tar: tarfile.TarFile, header: tarfile.TarInfo, data: bytes) -> None:
    header.size = len(data)
    tar.addfile(header, io.BytesIO(data))


def _member(table: str) -> str:
    return f"tables/{table}.jsonl.gz"
