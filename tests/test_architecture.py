"""Who may import whom, and what a chat process must never load."""

import subprocess
import sys

import pytest
from importlinter.application.use_cases import lint_imports
from importlinter.configuration import configure


def test_import_contracts() -> None:
    configure()
    assert lint_imports(config_filename="pyproject.toml")


@pytest.mark.parametrize(
    "module", ["bot.discord.app", "bot.discord.run", "bot.demo", "bot.terminal.draw", "bot.cli"]
)
def test_chat_processes_load_no_torch(module: str) -> None:
    heavy = ("torch", "diffusers", "transformers", "onnxruntime")
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
