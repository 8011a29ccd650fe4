"""What who runs Easel for Slack sees: the doctor's words, the manifest, a start that cannot be."""

import asyncio
import io
import json
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
        ({"slack_bot_token": "xoxb-wrong"}, "refuses the bot token"),
        ({"slack_app_token": "xapp-wrong"}, "refuses (invalid_auth) the app-level token"),
        ({"slack_app_token": None, "slack_signing_secret": None}, "no way in"),
        ({"slack_client_id": "1"}, "EASEL_SLACK_CLIENT_SECRET, EASEL_ENCRYPTION_KEY"),
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


SOCKET = {"EASEL_SLACK_APP_TOKEN": "xapp", "EASEL_SLACK_BOT_TOKEN": "xoxb"}
OAUTH = {
    "EASEL_SLACK_CLIENT_ID": "1",
    "EASEL_SLACK_CLIENT_SECRET": "s",
    "EASEL_ENCRYPTION_KEY": "a" * 42 + "Y=",
}
EMPTY, BLANK = {"EASEL_SLACK_SIGNING_SECRET": ""}, {"EASEL_SLACK_SIGNING_SECRET": " \t"}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "EASEL_SLACK_APP_TOKEN or EASEL_SLACK_SIGNING_SECRET"),
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
        (SOCKET | OAUTH, "EASEL_SLACK_SIGNING_SECRET is not set: without it nothing is taken"),
        (SOCKET | OAUTH | EMPTY, "EASEL_SLACK_SIGNING_SECRET is not set"),
        (SOCKET | OAUTH | BLANK, "EASEL_SLACK_SIGNING_SECRET is not set"),
        (SOCKET | OAUTH | {"EASEL_SLACK_CLIENT_SECRET": " "}, "EASEL_SLACK_CLIENT_SECRET is not"),
        (SOCKET | {"EASEL_SLACK_BOT_TOKEN": ""}, "EASEL_SLACK_BOT_TOKEN is not set"),
        ({"EASEL_SLACK_APP_TOKEN": " ", "EASEL_SLACK_BOT_TOKEN": "x"}, "EASEL_SLACK_APP_TOKEN or"),
    ],
)
def test_a_start_that_cannot_be_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "configure", lambda _: None)
    given = {"EASEL_DATA_FOLDER": str(tmp_path), "EASEL_BROKER_URL": "memory://"} | environment
    result = CliRunner().invoke(cli.app, ["slack"], env=given)
    assert result.exit_code == 2
    assert words in result.output


def test_a_refused_token_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slack: FakeSlack
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "configure", lambda _: None)
    given = slack.environment | {
        "EASEL_DATA_FOLDER": str(tmp_path),
        "EASEL_BROKER_URL": "memory://",
        "EASEL_SLACK_BOT_TOKEN": "xoxb-wrong",
    }
    result = CliRunner().invoke(cli.app, ["slack"], env=given)
    assert result.exit_code == 2
    assert "refuses a token (invalid_auth)" in result.output


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
