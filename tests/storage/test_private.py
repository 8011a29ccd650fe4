"""What Easel writes is for its own user alone, whatever the umask and the folder around allow."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from bot.supervise import WorkerProcess
from storage import doorbell, forgotten, migrate
from storage.blobs import Blobs, open_blobs
from storage.database import connect
from storage.domain import Account, Platform
from storage.settings import Settings
from tests.conftest import make_settings
from tests.fakes.nouns import NOON

pytestmark = pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")


@pytest.fixture(params=[0o755, 0o777], ids=oct)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A data folder that somebody has made, in which the system would let others read."""
    before = os.umask(0)
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(request.param)
    yield tmp_path / "data"
    os.umask(before)


def used(settings: Settings) -> None:
    """Everything that is embedded has been at work."""
    database = connect(settings)
    migrate.upgrade(database)
    with database.write() as session:
        session.execute(text("select 1"))
    blobs = open_blobs(settings)
    blobs.move(blobs.put(b"shown and taken down"), to_kept_apart=True)
    blobs.put(b"held", kept_apart=True)
    blobs.put(b"shown")
    forgotten.add(blobs, Account(platform=Platform.DISCORD, user_id="alice"), NOON)
    app = doorbell.create_app(settings, ["m"])
    doorbell.ring(app, "m", UUID(int=1))
    app.close()
    assert open_to_others(settings.data_folder) == []
    database.close()


def open_to_others(folder: Path) -> list[str]:
    """Files and folders inside, with what others may do there."""
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in sorted(folder.rglob("*"))}
    assert found
    wanted = {path: 0o700 if path.is_dir() else 0o600 for path in found}
    return [f"{path} {mode:o}" for path, mode in found.items() if mode != wanted[path]]


def test_what_is_embedded(folder: Path) -> None:
    used(make_settings(folder))
    assert (folder / "easel.db").is_file()
    assert list(folder.glob("blobs/apart/*/*"))
    assert list(folder.glob("blobs/forgotten/*"))
    assert list(folder.glob("broker/messages/*.msg"))


def test_what_an_older_release_left_open_is_closed(folder: Path) -> None:
    settings = make_settings(folder)
    used(settings)
    for name in ("easel.db", "blobs", "broker", "broker/messages"):
        (folder / name).chmod(0o755)
    used(settings)


def test_a_database_elsewhere(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "a" / "b" / "easel.db"
    database = connect(make_settings(folder, database_url=f"sqlite:///{elsewhere}"))
    migrate.upgrade(database)
    database.close()
    assert open_to_others(tmp_path / "a") == []
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700


def test_a_new_data_folder(tmp_path: Path) -> None:
    before = os.umask(0)
    used(make_settings(tmp_path / "new" / "data"))
    os.umask(before)
    assert open_to_others(tmp_path) == []


def test_pictures_in_a_folder_of_their_own(folder: Path, tmp_path: Path) -> None:
    Blobs((tmp_path / "pictures").as_uri()).put(b"pixels")
    assert open_to_others(tmp_path / "pictures") == []
    assert stat.S_IMODE((tmp_path / "pictures").stat().st_mode) == 0o700


async def test_the_log_of_a_worker(folder: Path) -> None:
    async with WorkerProcess(make_settings(folder)):
        assert open_to_others(folder) == []
