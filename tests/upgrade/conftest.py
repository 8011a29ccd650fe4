"""What 8030ad7 left behind, made by its own code out of the repository's history."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text

from storage.blobs import Blobs
from tests.servers import POSTGRES, needs_postgres

ROOT = Path(__file__).parents[2]
COMMIT = "8030ad7d57418ab6a4c861fd83157e0b0309539a"
ROWS = 100_000
KINDS = ("sqlite", pytest.param("postgres", marks=needs_postgres))


@dataclass(frozen=True)
class OldRelease:
    """A folder with the code of that commit."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """In which its code is found before any other. Without the settings of who runs tests."""
        kept = {name: value for name, value in os.environ.items() if name[:6] != "EASEL_"}
        return kept | {"PYTHONPATH": str(self.folder)}

    def fill(self, url: str, pictures: Path, rows: int, *flags: str) -> None:
        """See `tests/upgrade/fill.py`."""
        script = str(ROOT / "tests" / "upgrade" / "fill.py")
        self._run(script, url, str(pictures), str(rows), *flags)

    def easel(self, *arguments: str, **settings: str) -> str:
        """`easel …`, run to its end; what it printed."""
        return self._run("-m", "bot.cli", *arguments, **settings)

    def _run(self, *arguments: str, **settings: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment | settings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def settings_of(folder: Path, url: str) -> dict[str, str]:
    return {
        "EASEL_DATA_FOLDER": str(folder),
        "EASEL_DATABASE_URL": url,
        "EASEL_BLOB_URL": f"file://{folder}/blobs",
    }


@dataclass(frozen=True)
class Left:
    """An installation of the old release: a database, its pictures and a backup of both. Nobody
    writes to it; a test takes a copy."""

    url: str
    pictures: Path
    backup: Path

    @property
    def blobs(self) -> Blobs:
        return Blobs(f"file://{self.pictures}")


@pytest.fixture(scope="session")
def old_release(tmp_path_factory: pytest.TempPathFactory) -> OldRelease:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("the history is not here, from which the old release is taken")
    # Whoever owns the folder: nothing of it is run.
    archive = ["git", "-c", "safe.directory=*", "archive", COMMIT]
    packed = subprocess.run(archive, cwd=ROOT, capture_output=True, check=False)
    if b"not a valid object name" in packed.stderr:
        pytest.skip(f"the history that is here does not reach to {COMMIT[:7]}")
    assert packed.returncode == 0, packed.stderr
    folder = tmp_path_factory.mktemp("old_release")
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return OldRelease(folder)


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Makes databases: empty, or copies of one that nobody is connected to. Their URLs."""
    made: list[str] = []
    server = make_url(os.environ.get(POSTGRES, "")) if os.environ.get(POSTGRES) else None

    def order(*statements: str) -> None:
        assert server is not None
        admin = create_engine(
            server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
        )
        with admin.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
        admin.dispose()

    def make(kind: str, template: str = "") -> str:
        if kind == "sqlite":
            file = tmp_path_factory.mktemp("database") / "easel.db"
            if template:
                shutil.copy(str(make_url(template).database), file)
            return f"sqlite:///{file}"
        made.append(name := f"easel_upgrade_{uuid4().hex[:12]}")
        order(
            f"create database {name} template {make_url(template).database or 'template0'}"
            if template
            else f"create database {name}"
        )
        assert server is not None
        return server.set(database=name).render_as_string(hide_password=False)

    yield make
    if made:
        order(*(f"drop database {name} with (force)" for name in made))


@pytest.fixture(scope="session")
def left(
    old_release: OldRelease,
    new_database: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Left]:
    """What the old release left on a kind of database, made once."""
    made: dict[str, Left] = {}

    def leave(kind: str) -> Left:
        if kind not in made:
            folder, url = tmp_path_factory.mktemp("left"), new_database(kind)
            old_release.fill(url, folder / "blobs", ROWS, "--open")
            old_release.easel("backup", str(folder / "easel.tar"), **settings_of(folder, url))
            made[kind] = Left(url, folder / "blobs", folder / "easel.tar")
        return made[kind]

    return leave
