"""`easel doctor` finds what others on the machine may read."""

import os
from pathlib import Path

import pytest

from bot.terminal.doctor import Finding, _env_file, _folder
from tests.conftest import make_settings

pytestmark = pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")


def wrong(findings: list[Finding]) -> list[str]:
    return [words for well, words in findings if well is False]


@pytest.mark.parametrize(
    ("mode", "is_open"), [(0o700, False), (0o755, True), (0o750, True), (0o711, True)]
)
def test_the_data_folder(tmp_path: Path, mode: int, is_open: bool) -> None:
    folder = tmp_path / "data folder"
    folder.mkdir()
    folder.chmod(mode)
    found = wrong(_folder(make_settings(folder)))
    assert bool(found) is is_open
    if is_open:
        assert f"chmod 700 '{folder}'" in found[0]


@pytest.mark.parametrize(
    ("mode", "is_open"), [(0o600, False), (0o400, False), (0o644, True), (0o640, True)]
)
def test_the_file_with_the_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, is_open: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = make_settings(tmp_path)
    assert _env_file(settings) == []
    Path(".env").write_text("EASEL_DISCORD_TOKEN=t0ken\n")
    Path(".env").chmod(mode)
    found = wrong(_env_file(settings))
    assert bool(found) is is_open
    if is_open:
        assert "chmod 600 .env" in found[0]


def test_it_is_not_committed_by_mistake() -> None:
    ignored = (Path(__file__).parents[3] / ".gitignore").read_text().split()
    assert ".env" in ignored
