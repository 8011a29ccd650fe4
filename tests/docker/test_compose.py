"""compose.yaml: right by the Compose Specification, and safe by our own measure."""

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from storage.settings import CHAT_SECRETS, Settings
from tests.conftest import make_settings
from tests.docker.reading import ROOT, compose, instructions

CHATS = {"discord", "slack"}
OURS = {"migrate", "worker", *CHATS}
COMMON = {"postgres_password", "easel_database_url"}


def check(document: dict[str, Any]) -> None:
    """Raises ValueError for what the Compose Specification does not know."""
    PyCompose.from_yaml(yaml.safe_dump(document)).validate()


def test_it_follows_the_specification() -> None:
    check(compose())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s["worker"].update(imagee="x"), "imagee"),
        (lambda s: s["worker"].update(secrets=["nothing"]), "not defined"),
        (lambda s: s["worker"].update(networks=["nowhere"]), "not defined"),
        (lambda s: s["worker"]["depends_on"]["redis"].update(condition="well"), "unknown variant"),
        (lambda s: s["redis"]["healthcheck"].update(interval="often"), "duration"),
    ],
)
def test_the_check_sees_mistakes(change: Callable[[dict[str, Any]], object], words: str) -> None:
    broken = copy.deepcopy(compose())
    change(broken["services"])
    with pytest.raises(ValueError, match=words):
        check(broken)


def test_chat_tokens_go_to_chat_processes_alone() -> None:
    secrets = compose()["secrets"].keys() - COMMON
    assert secrets <= {f"easel_{name}" for name in CHAT_SECRETS}
    for name, service in compose()["services"].items():
        given = secrets & set(service.get("secrets", ()))
        assert given == {secret for secret in secrets if secret.startswith(f"easel_{name}_")}
        assert bool(given) == (name in CHATS), name
        said = str(service.get("environment", "")).upper()
        assert "TOKEN" not in said, f"{name}: a secret is a file"


def test_our_services_have_few_rights() -> None:
    for name in OURS:
        service = compose()["services"][name]
        assert service["read_only"] is True
        assert service["tmpfs"] == ["/tmp"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "ports" not in service
        assert "privileged" not in service
        assert service["build"]["target"] in ("chat", "worker")


def test_everything_is_watched_and_waits_for_the_schema() -> None:
    services = compose()["services"]
    for name in CHATS | {"worker"}:
        needs = services[name]["depends_on"]
        assert needs["migrate"]["condition"] == "service_completed_successfully"
        assert needs["redis"]["condition"] == "service_healthy"
        assert "healthcheck" not in services[name], "that of the image"
    assert all(services[name]["profiles"] == [name] for name in CHATS)
    for name in ("postgres", "redis"):
        assert services[name]["healthcheck"]["test"][0] == "CMD"
    assert services["migrate"]["restart"] == "no"
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_the_worker_has_a_card_and_no_way_out() -> None:
    document = compose()
    worker = document["services"]["worker"]
    assert worker["networks"] == ["inside"]
    assert document["networks"]["inside"] == {"internal": True}
    [device] = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_what_must_last_is_on_volumes() -> None:
    document = compose()
    kept = [v.split(":") for s in document["services"].values() for v in s.get("volumes", ())]
    assert {name for name, _ in kept} == set(document["volumes"])
    made = " ".join(instructions("base")["RUN"])
    for name in OURS:
        for volume in document["services"][name].get("volumes", ()):
            assert volume.split(":")[1] in made.split(), "else it belongs to root"


def test_images_of_others_are_pinned() -> None:
    for name, service in compose()["services"].items():
        if "build" not in service:
            image, _, tag = service["image"].partition(":")
            assert tag.split("-")[0].isdigit(), f"{name}: {image}"


def test_settings_are_real_ones() -> None:
    document = compose()
    names = {f"EASEL_{field.upper()}" for field in Settings.model_fields}
    given = {key for s in document["services"].values() for key in s.get("environment", ())}
    assert {key for key in given if key.startswith("EASEL_")} <= names
    secrets = {name.upper() for name in document["secrets"] if name.startswith("easel_")}
    assert secrets <= names


@pytest.mark.parametrize("service", sorted(OURS))
def test_every_command_is_one(service: str) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "bot.cli", *compose()["services"][service]["command"], "--help"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert said.returncode == 0


def test_settings_are_read_from_the_files_of_secrets(tmp_path: Path) -> None:
    (tmp_path / "easel_discord_token").write_text("s3cret\n")
    (tmp_path / "easel_database_url").write_text("postgresql://easel@postgres/easel\n")
    settings = Settings(_env_file=None, _secrets_dir=tmp_path)  # type: ignore[call-arg]
    assert settings.discord_token is not None
    assert settings.discord_token.get_secret_value() == "s3cret"
    assert settings.database_url == "postgresql://easel@postgres/easel"
    assert make_settings(tmp_path).discord_token is None


def test_secrets_stay_out_of_the_repository() -> None:
    assert "docker/secrets/" in (ROOT / ".gitignore").read_text().split()
    for secret in compose()["secrets"].values():
        assert secret["file"].startswith("./secrets/")
