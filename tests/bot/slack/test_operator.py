"""What who runs Easel for Slack sees: the doctor's words, the manifest, a start that cannot be."""

import asyncio
import io
import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from rich.console import Console
from typer.testing import CliRunner

from bot import cli
from bot.slack.app import create_app
from bot.slack.manifest import SCOPES, manifest
from bot.terminal.doctor import _slack
from storage import logs, migrate
from storage.database import connect
from storage.settings import Settings
from tests.bot.terminal.shell import easel
from tests.conftest import make_settings
from tests.fakes.slack_client import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, FakeSlack


def said(settings: Settings) -> list[tuple[bool | None, str]]:
    return _slack(settings)


def test_nothing_of_slack(tmp_path: Path) -> None:
    [(well, words)] = said(make_settings(tmp_path))
    assert well is None
    assert "No Slack token" in words


def test_all_is_well(settings: Settings) -> None:
    findings = said(settings)
    assert [well for well, _ in findings] == [True, True]
    assert "Socket Mode" in findings[1][1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"slack_bot_token": "xoxb-wrong"}, "refuses EASEL_SLACK_BOT_TOKEN (invalid_auth)"),
        ({"slack_app_token": "xapp-wrong"}, "refuses EASEL_SLACK_APP_TOKEN (invalid_auth)"),
        (
            {"slack_app_token": None, "slack_signing_secret": None},
            "EASEL_SLACK_APP_TOKEN is not set",
        ),
        ({"slack_client_id": "1"}, "EASEL_SLACK_CLIENT_SECRET is not set"),
        (
            {
                "slack_client_id": "1",
                "slack_client_secret": "s",
                "encryption_key": "not a key",
            },
            "no Fernet key",
        ),
    ],
)
def test_what_is_wrong(settings: Settings, changes: dict[str, Any], words: str) -> None:
    given = {
        "slack_bot_token": BOT_TOKEN,
        "slack_app_token": APP_TOKEN,
        "slack_signing_secret": SIGNING_SECRET,
        "slack_api_url": settings.slack_api_url,
    }
    findings = said(make_settings(settings.data_folder, **given | changes))
    assert any(well is False and words in text for well, text in findings), findings
    assert "xoxb-wrong" not in str(findings)


class FewScopes(BaseHTTPRequestHandler):
    """Slack names a token's scopes in a header (docs.slack.dev, "Installing with OAuth")."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("X-OAuth-Scopes", "chat:write,commands")
        self.end_headers()
        self.wfile.write(b'{"ok": true, "team": "Atelier"}')

    def log_message(self, *_: object) -> None:
        pass


def test_missing_scopes_are_named(tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), FewScopes) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        given = {"slack_bot_token": BOT_TOKEN, "slack_signing_secret": SIGNING_SECRET}
        found = said(make_settings(tmp_path, **given, slack_api_url=url))
        server.shutdown()
    assert found[0][0] is False
    assert "users:read" in found[0][1]
    assert "chat:write" not in found[0][1]


@pytest.mark.parametrize("url", ["", "https://easel.example.org"])
def test_the_manifest(url: str) -> None:
    """Shape and limits: docs.slack.dev, "App manifest reference"."""
    printed = CliRunner().invoke(cli.app, ["slack", "manifest", *(["--url", url] if url else [])])
    made = json.loads(printed.output)
    assert made == manifest(url)
    assert made["settings"]["socket_mode_enabled"] is not bool(url)
    assert set(made["oauth_config"]["scopes"]["bot"]) == set(SCOPES)
    assert len(made["display_information"]["name"]) <= 35
    assert len(made["display_information"]["description"]) <= 140
    [command] = made["features"]["slash_commands"]
    assert len(command["description"]) <= 2000
    assert len(command["usage_hint"]) <= 1000
    assert all(len(s["name"]) <= 24 for s in made["features"]["shortcuts"])
    assert ("url" in command) is bool(url)


SOCKET = {"EASEL_SLACK_APP_TOKEN": "xapp-1", "EASEL_SLACK_BOT_TOKEN": "xoxb-1"}
OAUTH = {
    "EASEL_SLACK_CLIENT_ID": "1",
    "EASEL_SLACK_CLIENT_SECRET": "s",
    "EASEL_ENCRYPTION_KEY": "a" * 42 + "Y=",
}
EMPTY, BLANK = {"EASEL_SLACK_SIGNING_SECRET": ""}, {"EASEL_SLACK_SIGNING_SECRET": " \t"}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "EASEL_SLACK_APP_TOKEN is not set"),
        ({"EASEL_SLACK_APP_TOKEN": "xapp"}, "EASEL_SLACK_BOT_TOKEN is not set"),
        (
            {"EASEL_SLACK_SIGNING_SECRET": "x", "EASEL_SLACK_CLIENT_ID": "1"},
            "EASEL_ENCRYPTION_KEY is not set",
        ),
        (
            {
                "EASEL_SLACK_SIGNING_SECRET": "x",
                "EASEL_SLACK_CLIENT_ID": "1",
                "EASEL_SLACK_CLIENT_SECRET": "s",
                "EASEL_ENCRYPTION_KEY": "short",
            },
            "EASEL_ENCRYPTION_KEY: this is no Fernet key",
        ),
        (SOCKET | {"EASEL_ENCRYPTION_KEY": "short"}, "EASEL_ENCRYPTION_KEY: this is no"),
        ({"EASEL_SLACK_BOT_TOKEN": "xoxb"} | EMPTY, "EASEL_SLACK_SIGNING_SECRET"),
        ({"EASEL_SLACK_BOT_TOKEN": "xoxb"} | BLANK, "EASEL_SLACK_SIGNING_SECRET"),
        (SOCKET | OAUTH, "EASEL_SLACK_SIGNING_SECRET is not set: to be installed"),
        (SOCKET | OAUTH | EMPTY, "EASEL_SLACK_SIGNING_SECRET is not set"),
        (SOCKET | OAUTH | BLANK, "EASEL_SLACK_SIGNING_SECRET is not set"),
        (SOCKET | OAUTH | {"EASEL_SLACK_CLIENT_SECRET": " "}, "EASEL_SLACK_CLIENT_SECRET is not"),
        (SOCKET | {"EASEL_SLACK_BOT_TOKEN": ""}, "EASEL_SLACK_BOT_TOKEN is not set"),
        (
            {"EASEL_SLACK_APP_TOKEN": " ", "EASEL_SLACK_BOT_TOKEN": "x"},
            "EASEL_SLACK_APP_TOKEN is not",
        ),
    ],
)
def test_a_start_that_cannot_be_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "configure", lambda *_, **__: None)
    given = {"EASEL_DATA_FOLDER": str(tmp_path), "EASEL_BROKER_URL": "memory://"} | environment
    result = CliRunner().invoke(cli.app, ["slack"], env=given)
    assert result.exit_code == 2
    assert words in result.output


ALL_AT_ONCE: dict[str, tuple[dict[str, str], list[str]]] = {
    "nothing": ({}, ["EASEL_SLACK_BOT_TOKEN is not set", "EASEL_SLACK_APP_TOKEN is not set"]),
    "swapped": (
        {"EASEL_SLACK_BOT_TOKEN": "xapp-k3y", "EASEL_SLACK_APP_TOKEN": "xoxb-k3y"},
        ["EASEL_SLACK_BOT_TOKEN and EASEL_SLACK_APP_TOKEN are swapped"],
    ),
    "one of two": (
        {"EASEL_SLACK_BOT_TOKEN": "xoxb-k3y"},
        ["EASEL_SLACK_APP_TOKEN is not set"],
    ),
    "the other of two": (
        {"EASEL_SLACK_APP_TOKEN": "xapp-k3y"},
        ["EASEL_SLACK_BOT_TOKEN is not set"],
    ),
    "one twice": (
        {"EASEL_SLACK_BOT_TOKEN": "xoxb-k3y", "EASEL_SLACK_APP_TOKEN": "xoxb-k3y"},
        ["EASEL_SLACK_APP_TOKEN is a bot token"],
    ),
    "one missing in the other's place": (
        {"EASEL_SLACK_BOT_TOKEN": "xapp-k3y"},
        ["EASEL_SLACK_APP_TOKEN is not set", "EASEL_SLACK_BOT_TOKEN is an app-level token"],
    ),
    "a person's": (
        {"EASEL_SLACK_BOT_TOKEN": "xoxp-k3y", "EASEL_SLACK_APP_TOKEN": "k3y"},
        ["EASEL_SLACK_BOT_TOKEN is a person's", "EASEL_SLACK_APP_TOKEN is no token of Slack's"],
    ),
    "a token for the secret": (
        {"EASEL_SLACK_BOT_TOKEN": "xoxb-k3y", "EASEL_SLACK_SIGNING_SECRET": "xapp-k3y"},
        ["EASEL_SLACK_SIGNING_SECRET is a token"],
    ),
    "many workspaces": (
        {"EASEL_SLACK_CLIENT_ID": "1"},
        [
            "EASEL_SLACK_CLIENT_SECRET is not set",
            "EASEL_SLACK_SIGNING_SECRET is not set",
            "EASEL_ENCRYPTION_KEY is not set",
        ],
    ),
    "no network": (SOCKET, ["Slack does not answer at 127.0.0.1. Start again when it does."]),
}


@pytest.mark.parametrize("case", ALL_AT_ONCE)
def test_all_at_once(tmp_path: Path, case: str) -> None:
    """As it is started, on its own; the doctor says the same."""
    given, words = ALL_AT_ONCE[case]
    given = given | {"EASEL_SLACK_API_URL": "http://127.0.0.1:9/api/"}
    started = easel(tmp_path, "slack", **given)
    assert started.returncode == (1 if case == "no network" else 2)
    assert started.stdout == ""
    lines = started.stderr.splitlines()
    assert len(lines) == len(words), "in words, and nothing else"
    assert all(line.startswith(said) for line, said in zip(lines, words, strict=True)), lines
    assert "k3y" not in started.stderr
    if case in ("no network", "nothing"):
        return
    assert [words for well, words in said(settings_of(tmp_path, given)) if well is False] == lines


def settings_of(folder: Path, environment: dict[str, str]) -> Settings:
    names = {name.removeprefix("EASEL_").lower(): value for name, value in environment.items()}
    return make_settings(folder, **names)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (503, b"busy", "Slack does not answer well at 127.0.0.1 (503)"),
        (403, b"<html>Sign in</html>", "What answers at 127.0.0.1 is not Slack (403)"),
        (200, b"<html>Sign in</html>", "What answers at 127.0.0.1 is not Slack (200)"),
        (200, b'{"ok": false, "error": "token_revoked"}', "EASEL_SLACK_BOT_TOKEN (token_re"),
    ],
)
def test_what_answers_instead(tmp_path: Path, status: int, body: bytes, words: str) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header(
                "Content-Type", "application/json" if body[:1] == b"{" else "text/html"
            )
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        result = easel(tmp_path, "slack", **SOCKET, EASEL_SLACK_API_URL=url)
        server.shutdown()
    assert result.returncode == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_address_that_is_taken(tmp_path: Path, slack: FakeSlack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        given = slack.environment | {
            "EASEL_SLACK_APP_TOKEN": "",
            "EASEL_SLACK_SIGNING_SECRET": SIGNING_SECRET,
            "EASEL_SLACK_ADDRESS": address,
        }
        result = easel(tmp_path, "slack", **given)
    assert result.returncode == 2
    assert f"EASEL_SLACK_ADDRESS: {address} cannot be had (Address already in use)" in result.stderr


def test_a_refused_token_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slack: FakeSlack
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "configure", lambda *_, **__: None)
    given = slack.environment | {
        "EASEL_DATA_FOLDER": str(tmp_path),
        "EASEL_BROKER_URL": "memory://",
        "EASEL_SLACK_BOT_TOKEN": "xoxb-wrong",
    }
    result = CliRunner().invoke(cli.app, ["slack"], env=given)
    assert result.exit_code == 2
    assert "refuses EASEL_SLACK_BOT_TOKEN (invalid_auth)" in result.output


def test_the_app_is_built_without_connecting(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path,
        broker_url="memory://",
        slack_client_id="1",
        slack_client_secret="s",
        slack_signing_secret="s",
        encryption_key=Fernet.generate_key().decode(),
        slack_api_url="http://127.0.0.1:9/",
    )
    database = connect(settings)
    migrate.upgrade(database)
    app = create_app(settings)
    assert app.oauth_flow is not None
    app.line.database.close()
    app.line.doorbell.close()


async def test_the_doctor_prints_it(settings: Settings) -> None:
    from bot.terminal.doctor import examine

    output = io.StringIO()
    await asyncio.wait_for(examine(settings, Console(file=output, width=200)), 30)
    assert "Slack answers and takes the bot token" in output.getvalue()


def test_importing_the_adapter_brings_no_torch() -> None:
    code = "import sys, bot.slack.app; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "False", found.stderr
