"""Odd environments: Easel works in them, or says what is wrong."""

import codecs
import csv
import io
import os
import shutil
from pathlib import Path

import pytest

from storage.catalog import load_catalog
from storage.database import connect
from storage.settings import Settings
from tests.bot.terminal.shell import easel
from tests.conftest import make_settings
from tests.fakes.nouns import a_request, recorded

WRITTEN = "EASEL_DATA_FOLDER=~/my data\nEASEL_DAILY_PICTURES=7\n"
CATALOG = '[models.x]\nsource = "/nopé"\n'
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]
NOBODY = ("setpriv", "--reuid=23456", "--clear-groups", "--inh-caps=+dac_override")
NOBODY += ("--ambient-caps=+dac_override", "env", "-u", "HOME", "-u", "USER", "-u", "LOGNAME")
needs_root = pytest.mark.skipif(
    os.name != "posix"
    or os.getuid() != 0
    or shutil.which("setpriv") is None
    or not all(folder.stat().st_mode & 0o001 for folder in Path(__file__).resolve().parents),
    reason="only root becomes somebody whom the system does not know, where all may come here",
)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_settings_in_any_unicode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("EASEL_DATA_FOLDER", raising=False)
    Path(".env").write_text(WRITTEN, encoding)
    settings = Settings()
    assert settings.data_folder == tmp_path / "my data"
    assert settings.daily_pictures == 7


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_catalog_in_any_unicode(tmp_path: Path, encoding: str) -> None:
    (file := tmp_path / "catalog.toml").write_text(CATALOG, encoding)
    catalog = load_catalog(make_settings(tmp_path, catalog=file))
    assert catalog.models["x"].source == "/nopé"


@pytest.mark.parametrize("name", ["EASEL_CATALOG", "EASEL_TEXT_RULES", ".env"])
def test_another_encoding_is_said(tmp_path: Path, name: str) -> None:
    file = tmp_path / (".env" if name == ".env" else "café.toml")
    file.write_text("# café\n", "latin-1")
    more = {} if name == ".env" else {name: str(file)}
    result = easel(tmp_path, "draw", "a cat", **more)
    assert result.returncode == 2
    assert "is neither UTF-8 nor UTF-16: save it as UTF-8" in result.stderr
    assert file.name in result.stderr


def test_a_secret_in_a_file_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "easel_discord_token").write_bytes(codecs.BOM_UTF8 + b"t0ken\n")
    token = Settings(_env_file=None, _secrets_dir=tmp_path).discord_token  # type: ignore[call-arg]
    assert token is not None
    assert token.get_secret_value() == "t0ken"


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
def test_what_cannot_be_shown_is_replaced(tmp_path: Path, encoding: str) -> None:
    result = easel(tmp_path, "migrate", PYTHONIOENCODING=encoding)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("nothing ")
    database = connect(make_settings(tmp_path / "data"))
    with database.write() as session:
        recorded(session, request=a_request(prompt="an 🍎 → été"))
    database.close()
    listed = easel(tmp_path, "log", PYTHONIOENCODING=encoding, COLUMNS="200")
    assert listed.returncode == 0, listed.stderr
    assert "an ? ? " in listed.stdout
    assert easel(tmp_path, "doctor", PYTHONIOENCODING=encoding).returncode == 0
    table = easel(tmp_path, "log", "export", "--format", "csv", PYTHONIOENCODING=encoding)
    [row] = csv.DictReader(io.StringIO(table.stdout))
    assert row["prompt"] == "an 🍎 → été", "a file that is kept loses nothing"


def test_words_that_are_no_unicode(tmp_path: Path) -> None:
    """As an old shell hands them on."""
    result = easel(tmp_path, "draw", "a caf\udce9 --sede 4", "-o", "x.png")
    assert result.returncode == 1
    assert "--sede" in result.stdout
    result = easel(tmp_path, "draw", "a cat", "-o", "caf\udce9")
    assert result.returncode == 2
    assert "-o" in result.stderr


@needs_root
def test_somebody_whom_the_system_does_not_know(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    (tmp_path / "data").mkdir(mode=0o777)
    (tmp_path / "data").chmod(0o777)
    result = easel(tmp_path, "draw", "a cat", "-o", "cat.png", before=NOBODY)
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "cat.png").stat().st_uid == 23456
    job = result.stdout.split("easel log show ")[1][:8]
    assert '"user_id": "uid-23456"' in easel(tmp_path, "log", "show", job, before=NOBODY).stdout
    assert easel(tmp_path, "review", "remove", job, before=NOBODY).returncode == 0
    assert easel(tmp_path, "doctor", before=NOBODY).returncode == 1, "the folder is open to others"


@needs_root
def test_without_a_home_it_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    lost = (*NOBODY, "-u", "EASEL_DATA_FOLDER")
    for command in (["log"], ["draw", "a cat"], ["doctor"], ["slack"], ["worker"]):
        result = easel(tmp_path, *command, before=lost)
        assert result.returncode == 2
        assert "EASEL_DATA_FOLDER: there is no home folder to begin at" in result.stderr
    assert os.listdir(tmp_path) == [], "no folder named ~"


def test_no_home_in_the_environment(tmp_path: Path) -> None:
    result = easel(tmp_path, "log", before=("env", "-u", "HOME"))
    assert result.returncode == 0, result.stderr
