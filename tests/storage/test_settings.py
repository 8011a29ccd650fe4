"""Settings and catalog: right ones are read, wrong ones are named."""

import os
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import ValidationError

from bot.core.names import hint
from storage import doorbell, migrate
from storage.blobs import Blobs, open_blobs
from storage.catalog import BUILTIN, load_catalog
from storage.database import Database, connect
from storage.settings import Settings
from tests.conftest import make_settings
from tests.fakes.nouns import a_request

CATALOG = """
[models.dreams]
source = "someone/dreams"
licence = "openrail"
width = 768
height = 768

[loras.ink]
source = "ink.safetensors"
models = ["dreams"]
weight = 0.8

[styles.inked]
suffix = ", ink drawing"
negative = "colour"
lora = "ink"
"""


def test_lists_are_read_from_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_REFERENCE_HOSTS", "a.example, b.example,")
    monkeypatch.setenv("EASEL_THRESHOLDS", '{"nsfw": {"block": 0.7}}')
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    assert settings.reference_hosts == ("a.example", "b.example")
    [threshold] = settings.thresholds_for(age_restricted=False)
    assert (threshold.label, threshold.block) == ("nsfw", 0.7)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lease_seconds": 1.0, "heartbeat_seconds": 0.5},
        {"safety_checkers": ""},
        {"device": "abacus"},
        {"thresholds": {"nsfw": {"hodl": 0.5}}},
        {"thresholds": {"nsfw": {"hold": float("nan")}}},
        {"thresholds": {"nsfw": {"hold": -1}}},
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        make_settings(tmp_path, **wrong)


def test_the_catalog_adds_to_the_embedded_model(tmp_path: Path) -> None:
    (tmp_path / "catalog.toml").write_text(CATALOG)
    catalog = load_catalog(make_settings(tmp_path, catalog=tmp_path / "catalog.toml"))
    assert set(catalog.models) == {BUILTIN, "dreams"}
    assert catalog.models["dreams"].size((3, 2)) == (944, 624)
    styled = catalog.styled(a_request(model="dreams", style="inked"))
    assert styled.prompt == "a red apple, ink drawing"
    assert styled.negative_prompt == "leaf, colour"
    assert styled.loras == (("ink", 0.8),)
    assert catalog.styled(a_request(style="inked")).loras == (), "not a LoRA of that model"


@pytest.mark.parametrize(
    "wrong",
    [
        '[models.x]\nsource = ""',
        '[models.x]\nsource = "a"\nspeed = 9',
        '[loras.x]\nsource = "a"\nmodels = ["nobody"]',
        '[styles.x]\nlora = "nobody"',
    ],
)
def test_a_wrong_catalog_is_refused(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "catalog.toml").write_text(wrong)
    with pytest.raises(ValueError, match=r"nobody|source|speed"):
        load_catalog(make_settings(tmp_path, catalog=tmp_path / "catalog.toml"))


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    assert "s3cret" not in repr(make_settings(tmp_path, discord_token="s3cret"))


@pytest.mark.parametrize("words", ["a cat in the snow", "deux chiens", "un gato", "a red apple"])
def test_the_embedded_model_knows_short_words(tmp_path: Path, words: str) -> None:
    catalog = load_catalog(make_settings(tmp_path))
    assert hint(a_request(prompt=words), catalog) is None
    assert hint(a_request(prompt="a zeppelin"), catalog) is not None


@pytest.mark.parametrize("name", ["data_folder", "catalog", "text_rules"])
@pytest.mark.parametrize("where", ["environment", ".env"])
def test_a_path_may_begin_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, where: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    if where == ".env":
        Path(".env").write_text(f"EASEL_{name.upper()}=~/easel\n")
    else:
        monkeypatch.setenv(f"EASEL_{name.upper()}", "~/easel")
    assert getattr(Settings(), name) == tmp_path / "home" / "easel"


@pytest.mark.parametrize("name", ["data_folder", "catalog", "text_rules"])
def test_an_empty_path_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """And not the folder in which somebody happens to be."""
    default = getattr(Settings(_env_file=None), name)  # type: ignore[call-arg]
    for value in ("", " "):
        monkeypatch.setenv(f"EASEL_{name.upper()}", value)
        assert getattr(Settings(_env_file=None), name) == default  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["slack_client_id", "database_url", "blob_url", "health_address"])
def test_space_alone_is_nothing(tmp_path: Path, name: str) -> None:
    assert getattr(make_settings(tmp_path, **{name: " "}), name) == ""


def test_the_home_of_nobody(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="home"):
        make_settings(tmp_path, catalog="~nobody-of-that-name/catalog.toml")


def test_addresses_of_files_may_begin_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    given = {"database_url": "sqlite:///~/data/easel.db", "blob_url": "file://~/pictures"}
    settings = make_settings(tmp_path, **given)
    database = connect(settings)
    migrate.upgrade(database)
    database.close()
    sha256 = open_blobs(settings).put(b"pixels")
    assert (tmp_path / "home" / "data" / "easel.db").is_file()
    assert (tmp_path / "home" / "pictures" / "shown" / sha256[:2] / sha256).is_file()


@pytest.mark.parametrize(
    "name", ["what?now", "c#", "100%", "%2e%2e", "a b&c=d", "é☃", "x;y,z", "@"]
)
def test_any_folder_will_do(tmp_path: Path, name: str) -> None:
    """What means something in an address means nothing in a folder's name."""
    settings = make_settings(tmp_path / name)
    database = connect(settings)
    migrate.upgrade(database)
    database.close()
    blobs = open_blobs(settings)
    sha256 = blobs.put(b"pixels")
    assert blobs.get(sha256) == b"pixels"
    assert [blob.sha256 for blob in blobs.all()] == [sha256]
    app = doorbell.create_app(settings, ["m"])
    doorbell.ring(app, "m", UUID(int=1))
    app.close()
    assert sorted(os.listdir(tmp_path)) == [name]
    assert {"easel.db", "blobs", "broker"} <= set(os.listdir(tmp_path / name))
    assert list((tmp_path / name / "broker" / "messages").glob("*.msg"))


@pytest.mark.parametrize(
    "url",
    [
        "file:///{0}/what?now",
        "file:///{0}/what%3Fnow",
        "file://localhost/{0}/what?now",
        "/{0}/what?now",
    ],
)
def test_a_folder_of_pictures_by_its_address(tmp_path: Path, url: str) -> None:
    Blobs(url.format(str(tmp_path)[1:])).put(b"pixels")
    assert os.listdir(tmp_path) == ["what?now"]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "POSTGRES"])
def test_postgresql_by_all_its_names(scheme: str) -> None:
    database = Database(f"{scheme}://nobody@127.0.0.1:1/none")
    assert database.engine.url.drivername == "postgresql+psycopg"
    assert not database.is_sqlite
    database.close()
