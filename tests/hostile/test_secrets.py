"""Chat tokens stay in chat processes, and no secret is ever shown."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import ValidationError

from bot.supervise import WorkerProcess
from storage import chat_secrets
from storage.settings import CHAT_SECRETS, Settings
from tests.conftest import make_settings

SECRET = "hunter2canary5309"
ROOT = Path(__file__).parents[2]
PROC = Path("/proc/self/environ")
PATIENCE_SECONDS = 400.0
pytestmark = pytest.mark.timeout(600)
needs_proc = pytest.mark.skipif(not PROC.exists(), reason="the system does not show environments")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A place where a `.env` has all secrets of all chats."""
    lines = [f"EASEL_{name.upper()}={SECRET}" for name in sorted(CHAT_SECRETS)]
    (tmp_path / ".env").write_text("\n".join(lines))
    return tmp_path


def test_the_tokens_of_both_chats_are_meant() -> None:
    assert {"discord_token", "slack_bot_token", "slack_signing_secret"} <= CHAT_SECRETS


def test_a_worker_does_not_read_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("EASEL_DISCORD_TOKEN", SECRET)
    chat, worker = Settings(), Settings.for_worker()
    assert all(getattr(chat, name).get_secret_value() == SECRET for name in CHAT_SECRETS)
    assert all(getattr(worker, name) is None for name in CHAT_SECRETS)


def test_repr_and_errors_hide_what_is_secret(tmp_path: Path) -> None:
    urls = {
        "database_url": f"postgresql://easel:{SECRET}@localhost/easel",
        "broker_url": f"amqp://easel:{SECRET}@localhost//",
        "blob_url": f"s3://bucket?secret_access_key={SECRET}",
    }
    settings = make_settings(tmp_path, **dict.fromkeys(CHAT_SECRETS, SECRET), **urls)
    assert SECRET not in repr(settings) + str(settings)
    with pytest.raises(ValidationError) as caught:
        make_settings(tmp_path, discord_token=SECRET, lease_seconds=1.0, **urls)
    assert SECRET not in str(caught.value)


def test_the_environment_of_a_worker() -> None:
    given = {"EASEL_DISCORD_TOKEN": "x", "easel_slack_bot_token": "x", "EASEL_DEVICE": "cpu"}
    assert chat_secrets.without(given) == {"EASEL_DEVICE": "cpu"}


def environment_of(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text()


@needs_proc
async def test_the_worker_beside_a_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_DISCORD_TOKEN", SECRET)
    monkeypatch.setenv("Easel_Slack_App_Token", SECRET)
    async with WorkerProcess(make_settings(tmp_path)) as worker:
        assert worker.pid is not None
        assert SECRET not in environment_of(worker.pid)


@contextmanager
def easel(folder: Path, *command: str, **variables: str) -> Iterator[tuple[int, Path]]:
    """A process and the file with all that it says."""
    given = {f"EASEL_{name.upper()}": value for name, value in variables.items()}
    environment = os.environ | {"PYTHONPATH": str(ROOT), "EASEL_DATA_FOLDER": str(folder)} | given
    said = folder / "said.txt"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=environment, stdout=output, stderr=output
        )
        try:
            yield process.pid, said
        finally:
            process.kill()
            process.wait(30)


def until(said: Path, words: str) -> str:
    end = time.monotonic() + PATIENCE_SECONDS
    while words not in (text := said.read_text()):
        assert time.monotonic() < end, text
        time.sleep(0.1)
    return text


@needs_proc
@pytest.mark.parametrize(
    "command",
    [
        ("-m", "bot.cli", "worker"),
        ("-m", "celery", "-A", "storage.doorbell", "worker", "--pool=threads", "--concurrency=1"),
    ],
    ids=["easel worker", "celery worker"],
)
def test_a_worker_that_was_given_them_goes_on_without(
    folder: Path, command: tuple[str, ...]
) -> None:
    """In its environment and in the `.env` of the folder that it starts in."""
    tokens = {"discord_token": SECRET, "slack_signing_secret": SECRET}
    make_settings(folder)  # the folder is there
    subprocess.run(
        [sys.executable, "-m", "bot.cli", "migrate"],
        env=os.environ | {"EASEL_DATA_FOLDER": str(folder)},
        cwd=ROOT,
        check=True,
    )
    with easel(folder, *command, log_level="DEBUG", **tokens) as (pid, said):
        text = until(said, "ready")
        assert SECRET not in environment_of(pid)
    assert "go on without EASEL_DISCORD_TOKEN, EASEL_SLACK_SIGNING_SECRET" in text
    assert SECRET not in text


def test_nothing_that_answers_wrongly_shows_a_password(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every server refuses: what is said names settings, not what they hold."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "easel")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    variables = {
        "blob_url": "s3://bucket",
        "database_url": f"postgresql://easel:{SECRET}@127.0.0.1:1/easel",
        "broker_url": f"redis://:{SECRET}@127.0.0.1:1/0",
        "discord_api_url": f"http://easel:{SECRET}@127.0.0.1:1",
        "log_level": "DEBUG",
    }
    for command in ("doctor", "migrate", "worker", "discord", "log"):
        with easel(folder, "-m", "bot.cli", command, **variables) as (pid, said):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            text = said.read_text()
        assert "EASEL_DATABASE_URL" in text
        assert SECRET not in text, command


def test_a_broker_that_refuses_a_worker(folder: Path) -> None:
    variables = {"broker_url": f"amqp://easel:{SECRET}@127.0.0.1:1//", "log_level": "DEBUG"}
    with easel(folder, "-m", "bot.cli", "worker", **variables) as (_, said):
        text = until(said, "Cannot connect")
    assert SECRET not in text
