"""An opened backup, read as if somebody who wishes us ill had written it.

Everything is compared with what a backup can hold before it is used, and read in pieces of bounded
size: a small file that unpacks to a large one must not fill the memory.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import UnionType
from typing import IO, Annotated, Any, Literal, Self, get_args, get_type_hints

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    create_model,
)
from sqlalchemy import BigInteger, Integer, String, Table

from storage import migrate
from storage.backup import FORMAT, TABLES, Unfit, member_of, sha256_of
from storage.domain import Decision, JobState, Platform, ReferenceUse, Subject
from storage.domain.job import FailureReason
from storage.tables import Base

MANIFEST_BYTES = 2**28
"""Some three million pictures are named in it."""
PICTURE_BYTES = 2**28
LINE_BYTES = 2**22
"""The longest text that a chat sends has 40,000 characters."""
RATIO, ALWAYS_BYTES = 200, 2**26
"""Rows of real people shrink to a fifth or a tenth. What is small may shrink further."""
HEADER_BYTES = 2**20

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_MEMBER = re.compile(
    r"manifest\.json|forgotten\.json|tables/\w{1,64}\.jsonl\.gz|(?:shown|apart)/[0-9a-f]{64}",
    re.ASCII,
)


class _Rows(BaseModel):
    rows: int = Field(ge=0)
    sha256: Sha256


class _Stamp(BaseModel):
    """What a manifest of any release says."""

    format: int
    schema_: str = Field(alias="schema")


class Manifest(_Stamp):
    created_at: AwareDatetime
    tables: dict[str, _Rows]
    blobs: list[Annotated[str, StringConstraints(pattern=r"^(shown|apart)/[0-9a-f]{64}$")]]
    forgotten: Sha256


class _Header(tarfile.TarInfo):
    """Python's own reader goes back for a negative size, for ever (CVE-2025-8194), and reads names
    of any length at once."""

    @classmethod
    def frombuf(cls, *given: Any, **more: Any) -> Self:
        header = super().frombuf(*given, **more)
        extends = header.type in b"LKxgX"
        if header.size < 0 or (extends and header.size > HEADER_BYTES):
            raise tarfile.ReadError("absurd header")
        return header


def opened(file: Path) -> tarfile.TarFile:
    """Raises tarfile.TarError or ValueError for what is no tar file."""
    return tarfile.open(file, "r:", tarinfo=_Header)


class Saved:
    """Raises Unfit for what is not in it, or not as it should be."""

    def __init__(self, tar: tarfile.TarFile, size_bytes: int) -> None:
        self._tar = tar
        self._members: dict[str, tarfile.TarInfo] = {}
        for member in tar:
            if not 0 <= member.size <= size_bytes - member.offset_data:
                raise Unfit("It ends too early: this is not a whole backup.")
            plain = member.isreg() and not member.issparse()
            if not plain or not _MEMBER.fullmatch(member.name) or member.name in self._members:
                raise Unfit(f"It holds {member.name[:80]!r}, which is in no backup.")
            self._members[member.name] = member
        self.manifest = self._manifest()
        self.names = frozenset(self.manifest.blobs)

    def _manifest(self) -> Manifest:
        said = self.read("manifest.json", MANIFEST_BYTES)
        try:
            stamp = _Stamp.model_validate_json(said)
            if stamp.format != FORMAT or not migrate.is_known(stamp.schema_):
                raise Unfit("The backup was made by a newer Easel: upgrade Easel first.")
            manifest = Manifest.model_validate_json(said, strict=True)
        except ValidationError as error:
            raise Unfit(f"manifest.json is not as it should be: {_where(error)}.") from None
        wanted = {"manifest.json", "forgotten.json", *manifest.blobs}
        wanted |= {member_of(name) for name in manifest.tables}
        if unknown := manifest.tables.keys() - {table.name for table in TABLES}:
            raise Unfit(f"manifest.json names a table {min(unknown)[:80]!r}, which there is not.")
        if more := self._members.keys() - wanted:
            raise Unfit(f"It holds {min(more)}, which its manifest does not name.")
        return manifest

    def open(self, name: str) -> IO[bytes]:
        member = self._members.get(name)
        file = self._tar.extractfile(member) if member else None
        if file is None:
            raise Unfit(f"{name} is missing: this is not a whole backup.")
        return file

    def read(self, name: str, limit_bytes: int = PICTURE_BYTES) -> bytes:
        """All of it at once."""
        file = self.open(name)
        if self._members[name].size > limit_bytes:
            raise Unfit(f"{name} is larger than it can be.")
        return file.read()

    def forgotten(self) -> dict[str, AwareDatetime]:
        """Who had asked to be forgotten, and when."""
        said = self.read("forgotten.json", MANIFEST_BYTES)
        try:
            return TypeAdapter(dict[Sha256, AwareDatetime]).validate_json(said, strict=True)
        except ValidationError as error:
            raise Unfit(f"forgotten.json is not as it should be: {_where(error)}.") from None

    def verify(self) -> None:
        """Compare every hash."""
        manifest = self.manifest
        hashes = {member_of(name): table.sha256 for name, table in manifest.tables.items()}
        hashes |= {name: name.split("/")[1] for name in manifest.blobs}
        hashes["forgotten.json"] = manifest.forgotten
        for name, sha256 in hashes.items():
            if sha256_of(self.open(name)) != sha256:
                raise Unfit(f"{name} is damaged: its hash is not the one of the manifest.")

    def rows(self, table: Table) -> Iterator[tuple[dict[str, Any], int]]:
        """Each row of a table, with the columns that it had when it was saved, as Python has them;
        and how many bytes it took."""
        row_of, count = _row_of(table), 0
        for line in self._lines(table.name):
            count += 1
            try:
                row = row_of.model_validate_json(line, strict=True)
            except ValidationError as error:
                where = f"row {count} of {table.name}"
                raise Unfit(f"{where} is not as it should be: {_where(error)}.") from None
            yield {name[1:]: getattr(row, name) for name in row.model_fields_set}, len(line)
        if count != self.manifest.tables[table.name].rows:
            raise Unfit(f"{table.name} has {count} rows, and its manifest says otherwise.")

    def _lines(self, table: str) -> Iterator[bytes]:
        name = member_of(table)
        most = max(ALWAYS_BYTES, RATIO * self._members[name].size)
        try:
            with gzip.open(self.open(name)) as unpacked:
                while line := unpacked.readline(LINE_BYTES + 1):
                    most -= len(line)
                    if len(line) > LINE_BYTES or most < 0:
                        raise Unfit(f"{name} unpacks to more than it can be.")
                    yield line
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise Unfit(f"{name} cannot be unpacked ({type(error).__name__}).") from None


def _where(error: ValidationError) -> str:
    """Which field and what of it, without what stands there."""
    [first, *_] = error.errors(include_input=False, include_url=False, include_context=False)
    place = ".".join(str(part)[:80] for part in first["loc"])
    return f"{place}: {first['type']}" if place else str(first["type"])


def _no_nul(value: str) -> str:
    """PostgreSQL keeps none."""
    if "\0" in value:
        raise ValueError("NUL")
    return value


_CHOICES = {
    "platform": Platform,
    "requests.use": ReferenceUse,
    "jobs.state": JobState,
    "jobs.failure": FailureReason,
    "verdicts.subject": Subject,
    "pictures.decision": Decision,
    "verdicts.decision": Decision,
}
"""Text that is read as one of these, by column, of all tables or of one."""


@cache
def _row_of(table: Table) -> type[BaseModel]:
    """A model of a table's rows, made of how its columns are declared. A letter keeps names of
    columns apart from those of pydantic."""
    [row] = [m.class_ for m in Base.registry.mappers if m.local_table is table]
    hints = get_type_hints(row)
    fields: dict[str, Any] = {}
    for column in table.columns:
        [kind] = get_args(hints[column.name])
        inner, *nothing = get_args(kind) if isinstance(kind, UnionType) else (kind,)
        wanted = _bounded(table.name, column.name, column.type, inner)
        field = wanted | None if nothing else wanted
        fields[f"r{column.name}"] = (field, Field(None, alias=column.name))
    return create_model(table.name, __config__=ConfigDict(extra="forbid"), **fields)


def _bounded(table: str, name: str, type_: Any, kind: Any) -> Any:
    if choices := _CHOICES.get(name) or _CHOICES.get(f"{table}.{name}"):
        return Literal[tuple(str(choice.value) for choice in choices)]
    if kind is str:
        length = type_.length if isinstance(type_, String) else None
        pattern = "^[0-9A-Za-z]*$" if name.endswith("sha256") else None
        constraints = StringConstraints(max_length=length, pattern=pattern)
        return Annotated[str, constraints, AfterValidator(_no_nul)]
    if kind is int:
        most = 2**63 if isinstance(type_, BigInteger) else 2**31
        assert isinstance(type_, Integer)  # noqa: S101 (BigInteger is one too)
        return Annotated[int, Field(ge=-most, lt=most)]
    if kind is float:
        return Annotated[float, Field(allow_inf_nan=False)]
    return AwareDatetime if kind.__name__ == "datetime" else kind
