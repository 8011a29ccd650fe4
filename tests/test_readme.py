"""The README's tables, commands and links are true.

`python -m tests.test_readme` prints the tables as they should be.
"""

import json
import re
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from discord import AppCommandType, app_commands

from bot.cli import app
from bot.core.present import BUTTON_LABELS
from bot.core.written import FLAGS
from bot.discord.app import Easel, create_bot
from storage.catalog import Catalog, LoraEntry, ModelEntry, StyleEntry
from storage.settings import Settings
from tests.conftest import SERVERS, make_settings

ROOT = Path(__file__).parents[1]
TRY = (
    "python3 -m venv .venv && "
    ".venv/bin/pip install -c docker/constraints.txt -e '.[demo]' && .venv/bin/easel demo"
)
TEST = ".venv/bin/pip install -c docker/constraints.txt -e '.[test]' && .venv/bin/python -m pytest"
DATA_FOLDER = "`~/.local/share/easel` on Linux"


def settings_table() -> list[str]:
    rows = ["| variable | default | what it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = DATA_FOLDER if field.default_factory else _plain(field.default)
        rows.append(f"| `EASEL_{name.upper()}` | {default} | {field.description} |")
    return rows


def _plain(value: object) -> str:
    """A default as somebody would write it in the environment."""
    if isinstance(value, tuple):
        value = ", ".join(value)
    if isinstance(value, dict):
        value = json.dumps({k: v.model_dump(exclude_defaults=True) for k, v in value.items()})
    return "" if value in (None, "") else f"`{value}`"


def command_table() -> list[str]:
    found = _commands(typer.main.get_command(app), "easel")
    return ["| command | options | what it does |", "|---|---|---|", *found]


def _commands(command: Any, path: str) -> Iterator[str]:
    """A row for each command that does something by itself."""
    children = getattr(command, "commands", {})
    if not children or (command.invoke_without_command):
        arguments = [p.name for p in command.params if p.param_type_name == "argument"]
        options = [max(p.opts, key=len) for p in command.params if p.param_type_name == "option"]
        name = " ".join([path, *(a.upper() for a in arguments)])
        what = " ".join(command.callback.__doc__.split())
        yield f"| `{name}` | {_codes(options)} | {what} |"
    for name, child in children.items():
        yield from _commands(child, f"{path} {name}")


def chat_table(bot: Easel) -> list[str]:
    rows = ["| command | options | what it does |", "|---|---|---|"]
    for command in bot.tree.walk_commands():
        if isinstance(command, app_commands.Command):
            options = _codes([option.name for option in command.parameters])
            rows.append(f"| `/{command.qualified_name}` | {options} | {command.description} |")
    return rows


def _codes(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def a_bot(folder: Path) -> Easel:
    return create_bot(make_settings(folder, broker_url="memory://"))


@pytest.fixture
def bot(tmp_path: Path) -> Iterator[Easel]:
    bot = a_bot(tmp_path)
    yield bot
    bot.line.database.close()
    bot.line.doorbell.close()


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def table_with(readme: str, header: str) -> list[list[str]]:
    """The cells of the rows below a header, as the README has them."""
    below = readme.partition(f"\n| {header} |")[2].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in below]


def test_settings(readme: str) -> None:
    assert "\n".join(settings_table()) in readme


def test_shell_commands(readme: str) -> None:
    assert "\n".join(command_table()) in readme


def test_chat_commands(readme: str, bot: Easel) -> None:
    assert "\n".join(chat_table(bot)) in readme
    for menu in bot.tree.get_commands(type=AppCommandType.message):
        assert f"**{menu.name}**" in readme


def test_buttons(readme: str) -> None:
    rows = table_with(readme, "button | what it does")
    assert [name for name, _ in rows] == list(BUTTON_LABELS.values())


def test_flags(readme: str) -> None:
    rows = table_with(readme, "flag | example | what it is")
    assert set(re.findall(r"--(\w+)", " ".join(flags for flags, *_ in rows))) == FLAGS.keys()


def test_catalog(readme: str) -> None:
    """The example is a whole catalog, and every field is explained."""
    example = readme.partition("```toml\n")[2].partition("```")[0]
    Catalog.model_validate(tomllib.loads(example))
    for entry in (ModelEntry, LoraEntry, StyleEntry):
        for field in entry.model_fields:
            shown = re.search(rf"^(?:{field} =|\[.+\.{field}\])", example, re.MULTILINE)
            assert shown or f"`{field}`" in readme, field


def test_the_two_commands(readme: str) -> None:
    for command in (TRY, TEST):
        assert f"\n{command}\n" in readme
    check = (ROOT / ".ci" / "run").read_text()
    assert TEST in [line.strip() for line in check.splitlines()]


def test_extras(readme: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {
        extra
        for extras in re.findall(r"(?:\.|easel-bot)\[([\w,]+)\]", readme)
        for extra in extras.split(",")
    }
    assert {"demo", "test", "postgres", "redis"} <= named <= project["optional-dependencies"].keys()


def test_test_environment(readme: str) -> None:
    assert [name.strip("`") for name, _ in table_with(readme, "variable | what it brings")] == list(
        SERVERS
    )


def test_links(readme: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", readme)
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert links
    assert not missing


def test_picture_of_the_page_is_small() -> None:
    assert (ROOT / "tests" / "golden" / "chat.png").stat().st_size < 300_000


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        tables = (settings_table(), command_table(), chat_table(a_bot(Path(folder))))
    print("\n\n".join("\n".join(table) for table in tables))
