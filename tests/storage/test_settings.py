"""Settings and catalog: right ones are read, wrong ones are named."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from bot.core.names import hint
from storage.catalog import BUILTIN, load_catalog
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
