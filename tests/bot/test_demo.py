"""`easel demo`: the page in a browser, from a typed command to a picture, and back to nothing."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.demo import run_demo
from tests.conftest import make_settings

CHROMIUM = os.environ.get("EASEL_TEST_CHROMIUM", "")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_SECONDS = 60.0
LOADED = """n => [...document.querySelectorAll("img.embed-image")]
    .filter(image => image.complete && image.naturalWidth > 0).length === n"""


def until(found: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_SECONDS
    while not (result := found()):
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)
    return result


@contextmanager
def demo(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`easel demo` in a folder of its own, and the file with what it says."""
    said = folder / "said.txt"
    environment = os.environ | {
        "EASEL_DATA_FOLDER": str(folder / "data"),
        "EASEL_DISCORD_TOKEN": "",
    }
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "bot.cli", "demo", "--port", "0"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    family = psutil.Process(process.pid)
    try:
        yield process, said
    finally:
        if process.poll() is None:
            for member in [*family.children(recursive=True), family]:
                member.kill()
            process.wait()


def imagine(page: Any, prompt: str) -> None:
    from playwright.sync_api import TimeoutError as TooLong

    page.get_by_role("textbox").last.click()
    page.keyboard.type("/imagine")
    page.get_by_text("Draw a picture from words").first.wait_for()
    page.keyboard.press("Enter")
    page.get_by_text("What to draw").first.wait_for()
    page.keyboard.type(prompt)
    # The page hears no Enter while it asks for words to suggest; who types sees that, and repeats.
    field = page.locator(".command-option-input")
    for _ in range(10):
        page.keyboard.press("Enter")
        with suppress(TooLong):
            return field.wait_for(state="detached", timeout=2000)
    raise AssertionError(page.inner_text("body"))


@pytest.mark.skipif(not CHROMIUM, reason="EASEL_TEST_CHROMIUM is not set")
def test_from_a_typed_command_to_a_picture(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    with demo(tmp_path) as (process, said):
        url = until(lambda: re.search(r"^Open (http://127\.0\.0\.1:\S+)", said.read_text(), re.M))[
            1
        ]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            page = browser.new_page()
            page.set_default_timeout(PATIENCE_SECONDS * 1000)
            page.goto(url)
            imagine(page, "a red apple")
            page.wait_for_function(LOADED, arg=1)
            page.get_by_role("button", name="Again").click()
            page.wait_for_function(LOADED, arg=2)
            page.screenshot(path=tmp_path / "page.png")
            browser.close()
        workers = psutil.Process(process.pid).children(recursive=True)
        assert workers, "a worker process of its own"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 130
        _, alive = psutil.wait_procs(workers, timeout=0)
        assert not alive
        assert "Traceback" not in said.read_text()


async def test_it_stays_away_from_a_real_discord(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run_demo(make_settings(tmp_path, discord_token="s3cret"), 0) == 2
    said = capsys.readouterr().out
    assert "EASEL_DISCORD_TOKEN is set" in said
    assert "s3cret" not in said
    assert os.listdir(tmp_path) == []


async def test_a_port_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert await run_demo(make_settings(tmp_path), port) == 2
    assert f"Port {port} is taken" in capsys.readouterr().out


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "bot.demo")
    monkeypatch.setitem(sys.modules, "simcord", None)
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 2
    assert "pip install 'easel-bot[demo]'" in result.stderr
