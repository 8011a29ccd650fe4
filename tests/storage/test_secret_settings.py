"""Secrets: an empty one is none, wherever it is written; one key for both chats."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from storage import chat_secrets
from storage.settings import CHAT_SECRETS, Settings
from tests.conftest import make_settings

KEY, OTHER = f"{'a' * 42}Y=", f"{'b' * 42}Y="
BLANK = ["", " ", "\t \n", "\u00a0", "\u200b", "\ufeff"]


def test_every_secret_setting_is_meant() -> None:
    """A worker has use for none of them."""
    fields = Settings.model_fields.items()
    secrets = {name for name, field in fields if "SecretStr" in str(field.annotation)}
    assert secrets == CHAT_SECRETS
    assert {"discord_token", "slack_signing_secret", "encryption_key"} <= CHAT_SECRETS


@pytest.mark.parametrize("value", BLANK)
@pytest.mark.parametrize("name", sorted(CHAT_SECRETS))
def test_a_blank_secret_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert getattr(make_settings(tmp_path, **{name: value}), name) is None
    assert getattr(make_settings(tmp_path, **{name: SecretStr(value)}), name) is None
    monkeypatch.setenv(f"EASEL_{name.upper()}", value)
    assert getattr(make_settings(tmp_path), name) is None


@pytest.mark.parametrize("line", ["", '""', "' '"])
def test_blank_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text(f"EASEL_SLACK_SIGNING_SECRET={line}\n")
    assert Settings().slack_signing_secret is None
    (tmp_path / "easel_slack_signing_secret").write_text("\n")
    found = Settings(_env_file=None, _secrets_dir=tmp_path)  # type: ignore[call-arg]
    assert found.slack_signing_secret is None


def test_space_around_a_secret_is_no_part_of_it(tmp_path: Path) -> None:
    token = make_settings(tmp_path, discord_token=" t0ken\n").discord_token
    assert token is not None
    assert token.get_secret_value() == "t0ken"


def key_of(settings: Settings) -> str | None:
    return settings.encryption_key.get_secret_value() if settings.encryption_key else None


@pytest.mark.parametrize("name", ["EASEL_ENCRYPTION_KEY", "EASEL_SLACK_ENCRYPTION_KEY"])
def test_the_key_is_read_by_either_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name.lower()).write_text(KEY)
    assert key_of(Settings(_secrets_dir=tmp_path)) == KEY  # type: ignore[call-arg]
    (tmp_path / ".env").write_text(f"{name}={OTHER}\n")
    assert key_of(Settings()) == OTHER
    assert key_of(Settings.for_worker()) is None
    monkeypatch.setenv(name, KEY)
    assert key_of(Settings()) == KEY
    assert key_of(Settings.for_worker()) is None
    assert chat_secrets.without({name: KEY, name.lower(): KEY}) == {}


def test_the_new_name_counts(tmp_path: Path) -> None:
    both = make_settings(tmp_path, encryption_key=KEY, slack_encryption_key=OTHER)
    assert key_of(both) == KEY
    assert KEY not in repr(both)
    assert OTHER not in repr(both)
    assert key_of(make_settings(tmp_path, encryption_key=" ", slack_encryption_key=OTHER)) == OTHER


@pytest.mark.parametrize("name", ["encryption_key", "slack_encryption_key"])
@pytest.mark.parametrize("key", ["short", "x" * 44, KEY[:-2], KEY[1:], f"x{KEY}", "clé", "=" * 44])
def test_what_is_no_key_is_refused(tmp_path: Path, name: str, key: str) -> None:
    settings = make_settings(tmp_path, **{name: key})
    with pytest.raises(ValueError, match="Fernet key") as caught:
        settings.fernet()
    assert key not in str(caught.value)


def test_without_a_key_nothing_is_sealed(tmp_path: Path) -> None:
    assert make_settings(tmp_path).fernet() is None
    fernet = make_settings(tmp_path, encryption_key=KEY).fernet()
    assert fernet is not None
    assert fernet.decrypt(Fernet(KEY).encrypt(b"token")) == b"token"
