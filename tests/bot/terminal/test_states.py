"""Each state of an installation that is not as it should be: the cause in words, the line to type,
and the status, as `easel doctor` has them and a command that needs it."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner

from bot.cli import app
from tests.bot.terminal.shell import easel
from tests.servers import needs_postgres

NOWHERE = "127.0.0.1:1"
Given = Callable[[Path], dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class State:
    given: Given
    """Makes it in a folder; the environment then."""
    says: tuple[str, ...]
    """All in one line of the doctor's that begins with "no", the line to type among them."""
    command: tuple[str, ...] = ()
    """One that needs it, and says so too, with status 2."""
    marks: tuple[pytest.MarkDecorator, ...] = field(default=())


def of(**environment: str) -> Given:
    return lambda folder: environment


def catalog(text: str, encoding: str = "utf-8", **more: str) -> Given:
    def given(folder: Path) -> dict[str, str]:
        (folder / "cat.toml").write_text(text.format(folder=folder), encoding)
        return {"EASEL_CATALOG": str(folder / "cat.toml")} | more

    return given


def without(module: str, **environment: str) -> Given:
    """As where the package was never installed."""

    def given(folder: Path) -> dict[str, str]:
        (folder / "stubs" / module).mkdir(parents=True)
        words = f"raise ModuleNotFoundError(\"No module named '{module}'\", name='{module}')\n"
        (folder / "stubs" / module / "__init__.py").write_text(words)
        path = f"{folder / 'stubs'}:{Path(__file__).parents[3]}"
        return {"PYTHONPATH": path} | environment

    return given


def file_at(name: str, text: str, **environment: str) -> Given:
    def given(folder: Path) -> dict[str, str]:
        (folder / name).parent.mkdir(mode=0o700, exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
        return {key: value.format(folder=folder) for key, value in environment.items()}

    return given


def other_database(name: str, user: str = "") -> Given:
    def given(folder: Path) -> dict[str, str]:

        url = make_url(os.environ["EASEL_TEST_POSTGRES_URL"]).set(database=name)
        url = url.set(username=user) if user else url
        return {"EASEL_DATABASE_URL": url.render_as_string(hide_password=False)}

    return given


DRAW = ("draw", "a cat", "-o", "cat.png")
STATES: dict[str, State] = {
    "a model's folder is missing": State(
        given=catalog('[models.x]\nsource = "{folder}/none"\n'),
        says=("Model x: there is no folder", "/none", "Mend source under [models.x] in"),
    ),
    "a model's folder has another layout": State(
        given=catalog('[models.x]\nsource = "{folder}"\n'),
        says=("Model x:", "model_index.json is missing", "Mend source under [models.x]"),
    ),
    "a LoRA is missing": State(
        given=catalog('[loras.ink]\nsource = "~/no.safetensors"\nmodels = ["builtin"]\n'),
        says=("LoRA ink: there is no", "no.safetensors", "Mend source under [loras.ink]"),
    ),
    "an unknown scheduler": State(
        given=catalog('[models.x]\nsource = "a/b"\nscheduler = "eulr"\n'),
        says=("models.x.scheduler", "there is no 'eulr'; did you mean 'euler'?"),
        command=DRAW,
    ),
    "a catalog that is missing": State(
        given=of(EASEL_CATALOG="/nowhere/cat.toml"),
        says=("/nowhere/cat.toml: No such file or directory",),
        command=DRAW,
    ),
    "a catalog in another encoding": State(
        given=catalog("# café\n", "latin-1"),
        says=("is neither UTF-8 nor UTF-16: save it as UTF-8",),
        command=DRAW,
    ),
    "a default model that is not there": State(
        given=of(EASEL_DEFAULT_MODEL="dreams"),
        says=("model 'dreams' is not in the catalog; it has builtin",),
        command=DRAW,
    ),
    "no CUDA": State(
        given=of(EASEL_DEVICE="cuda"),
        says=("EASEL_DEVICE is cuda, and PyTorch", "EASEL_DEVICE=auto"),
    ),
    "no Apple": State(
        given=of(EASEL_DEVICE="mps"),
        says=("EASEL_DEVICE is mps, and this machine has no GPU of Apple's", "EASEL_DEVICE=auto"),
    ),
    "a setting misspelt": State(
        given=of(EASEL_DICSORD_TOKEN="s3cret"),
        says=("EASEL_DICSORD_TOKEN is no setting", "did you mean EASEL_DISCORD_TOKEN?"),
    ),
    "a setting misspelt in the file": State(
        given=file_at(".env", "EASEL_SLACK_BOT_TOKN=s3cret\n"),
        says=("EASEL_SLACK_BOT_TOKN is no setting", "did you mean EASEL_SLACK_BOT_TOKEN?"),
    ),
    "no driver for PostgreSQL": State(
        given=without("psycopg", EASEL_DATABASE_URL="postgresql://me:s3cret@localhost/x"),
        says=("PostgreSQL needs one more package: pip install 'easel-bot[postgres]'",),
        command=("log",),
    ),
    "another driver": State(
        given=of(EASEL_DATABASE_URL="postgresql+psycopg2://me:s3cret@localhost/x"),
        says=("the driver postgresql+psycopg2", "write postgresql://"),
        command=("log",),
    ),
    "another kind of database": State(
        given=of(EASEL_DATABASE_URL="mysql://me:s3cret@localhost/x"),
        says=("names mysql. Easel keeps its data in SQLite or PostgreSQL", "postgresql://user"),
        command=("log",),
    ),
    "no address of a database": State(
        given=of(EASEL_DATABASE_URL="s3cret"),
        says=("EASEL_DATABASE_URL is no address", "EASEL_DATABASE_URL=postgresql://user:"),
        command=("log",),
    ),
    "no host of the database": State(
        given=of(EASEL_DATABASE_URL="postgres://me:s3cret@db.invalid/x"),
        says=("There is no host db.invalid", "getent hosts db.invalid"),
        command=("log",),
    ),
    "a closed port of the database": State(
        given=of(EASEL_DATABASE_URL=f"postgres://me:s3cret@{NOWHERE}/x"),
        says=(f"Nothing answers at {NOWHERE} (Connection refused)", "start PostgreSQL there"),
        command=("log",),
    ),
    "no such database": State(
        given=other_database("easel none"),
        says=("PostgreSQL answers, and has no database easel none", "createdb -h ", "'easel none'"),
        command=("log",),
        marks=(needs_postgres,),
    ),
    "no such user of the database": State(
        given=other_database("postgres", "easel_nobody"),
        says=("refuses the connection: look at user and password", "psql -h "),
        command=("log",),
        marks=(needs_postgres,),
    ),
    "a database that is none": State(
        given=file_at("data/easel.db", "words\n" * 500),
        says=("easel.db is no SQLite database: move it away (mv ",),
        command=("log",),
    ),
    "a database that is a folder": State(
        given=of(EASEL_DATABASE_URL="sqlite:////tmp"),
        says=("The database /tmp cannot be opened (it is a folder): set EASEL_DATABASE_URL",),
        command=("log",),
    ),
    "a database where nobody may write": State(
        given=of(EASEL_DATABASE_URL="sqlite:////proc/easel.db"),
        says=("The database /proc/easel.db cannot be opened (", "set EASEL_DATABASE_URL"),
        command=("log",),
    ),
    "a data folder where nobody may write": State(
        given=of(EASEL_DATA_FOLDER="/proc/easel"),
        says=("The data folder /proc/easel cannot be written (", "EASEL_DATA_FOLDER=~/easel"),
        command=DRAW,
    ),
    "a data folder that is a file": State(
        given=file_at("mine", "x", EASEL_DATA_FOLDER="{folder}/mine"),
        says=("mine cannot be written (Not a directory)", "EASEL_DATA_FOLDER=~/easel"),
        command=DRAW,
    ),
    "no package for Redis": State(
        given=without("redis", EASEL_BROKER_URL="redis://:s3cret@localhost/0"),
        says=("Redis as a broker needs one more package: pip install 'easel-bot[redis]'",),
        command=DRAW,
    ),
    "another kind of broker": State(
        given=of(EASEL_BROKER_URL="kafkaesque://:s3cret@localhost"),
        says=("EASEL_BROKER_URL names kafkaesque", "write redis://host:6379/0 or amqp://"),
        command=DRAW,
    ),
    "a closed port of Redis": State(
        given=of(EASEL_BROKER_URL=f"redis://:s3cret@{NOWHERE}/0"),
        says=(f"Nothing answers at {NOWHERE} (Connection refused)", "start Redis there"),
    ),
    "a closed port of RabbitMQ": State(
        given=of(EASEL_BROKER_URL=f"amqp://me:s3cret@{NOWHERE}//"),
        says=(f"Nothing answers at {NOWHERE} (Connection refused)", "start RabbitMQ there"),
    ),
    "another kind of store": State(
        given=of(EASEL_BLOB_URL="ftp://me:s3cret@localhost"),
        says=("EASEL_BLOB_URL names ftp", "write s3://bucket or a folder"),
    ),
    "a store where nobody may write": State(
        given=of(EASEL_BLOB_URL="/proc/easel"),
        says=("Pictures cannot be stored in /proc/easel (", "set EASEL_BLOB_URL to a folder"),
    ),
    "a checker misspelt": State(
        given=of(EASEL_SAFETY_CHECKERS="opensfw"),
        says=("EASEL_SAFETY_CHECKERS names opensfw, which is no checker", "mean opennsfw?"),
    ),
    "a checker that is not here": State(
        given=of(EASEL_SAFETY_CHECKERS="opennsfw,transformers:/nowhere/nsfw"),
        says=("there is no folder /nowhere/nsfw", "Mend EASEL_SAFETY_CHECKERS"),
    ),
    "text rules that are missing": State(
        given=of(EASEL_TEXT_RULES="/nowhere/rules.toml"),
        says=("EASEL_TEXT_RULES: /nowhere/rules.toml: No such file or directory",),
        command=DRAW,
    ),
    "a key that is none": State(
        given=of(EASEL_ENCRYPTION_KEY="s3cret"),
        says=("EASEL_ENCRYPTION_KEY: this is no Fernet key", "README"),
        command=DRAW,
    ),
    "no network to Discord": State(
        given=of(EASEL_DISCORD_TOKEN="s3cret", EASEL_DISCORD_API_URL=f"http://{NOWHERE}/"),
        says=("Discord does not answer at 127.0.0.1",),
    ),
    "no network to Slack": State(
        given=of(
            EASEL_SLACK_BOT_TOKEN="xoxb-s3cret",
            EASEL_SLACK_APP_TOKEN="xapp-s3cret",
            EASEL_SLACK_API_URL=f"http://{NOWHERE}/",
        ),
        says=("Slack does not answer at 127.0.0.1",),
    ),
    "one token of two": State(
        given=of(EASEL_SLACK_BOT_TOKEN="xoxb-s3cret"),
        says=("EASEL_SLACK_APP_TOKEN is not set", "connections:write"),
        command=("slack",),
    ),
}


def cases(*, with_command: bool) -> list[object]:
    return [
        pytest.param(state, id=name, marks=state.marks)
        for name, state in STATES.items()
        if state.command or not with_command
    ]


def doctor(
    folder: Path, given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, list[str]]:
    """Its status and lines; in this process, which is quicker, unless a module is to be gone."""
    if "PYTHONPATH" in given:
        done = easel(folder, "doctor", **given)
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()
    monkeypatch.chdir(folder)
    monkeypatch.setattr("storage.logs.configure", lambda *_, **__: None)
    for name in [name for name in os.environ if name.startswith("EASEL_")]:
        monkeypatch.delenv(name)
    result = CliRunner().invoke(app, ["doctor"], env={"EASEL_DATA_FOLDER": "data"} | given)
    assert result.stderr == ""
    return result.exit_code, result.stdout.splitlines()


@pytest.mark.parametrize("state", cases(with_command=False))
def test_the_doctor_says_what_is_wrong(
    tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, lines = doctor(tmp_path, state.given(tmp_path), monkeypatch)
    [wrong] = [line for line in lines if line.startswith("no ")]
    assert all(words in wrong for words in state.says), wrong
    assert status == 1
    assert "s3cret" not in str(lines)


def test_the_doctor_in_a_process_of_its_own(tmp_path: Path) -> None:
    well = easel(tmp_path, "doctor")
    assert (well.returncode, well.stderr) == (0, "")
    assert not any(line.startswith("no ") for line in well.stdout.splitlines())
    ill = easel(tmp_path, "doctor", EASEL_DEVICE="cuda", EASEL_DICSORD_TOKEN="s3cret")
    assert (ill.returncode, ill.stderr) == (1, "")
    assert sum(line.startswith("no ") for line in ill.stdout.splitlines()) == 2


@pytest.mark.parametrize("state", cases(with_command=True))
def test_so_does_what_needs_it(tmp_path: Path, state: State) -> None:
    result = easel(tmp_path, *state.command, **state.given(tmp_path))
    assert result.returncode == 2
    assert all(words in result.stderr for words in state.says), result.stderr
    assert "s3cret" not in result.stderr
    assert '"event"' not in result.stderr
    assert not (tmp_path / "data" / "worker.log").exists()


def test_a_drawing_without_its_device(tmp_path: Path) -> None:
    """It would wait for ever, for a worker that cannot start."""
    result = easel(tmp_path, *DRAW, EASEL_DEVICE="cuda")
    assert result.returncode == 2
    assert "EASEL_DEVICE is cuda, and PyTorch" in result.stdout
    assert "cancelled" in easel(tmp_path, "log").stdout


def test_a_drawing_whose_worker_cannot_start(tmp_path: Path) -> None:
    """It would wait for ever too."""
    result = easel(tmp_path, *DRAW, EASEL_SAFETY_CHECKERS="opennsfw,diffusers:/nowhere/nsfw")
    assert result.returncode == 1
    assert "The worker ends as soon as it has started, so nothing was drawn" in result.stdout
    assert "This worker cannot start. '/nowhere/nsfw' is not here" in result.stdout
    assert "tail -n 20 " in result.stdout
    assert "cancelled" in easel(tmp_path, "log").stdout


def test_each_command_names_what_is_misspelt(tmp_path: Path) -> None:
    said = easel(tmp_path, "log", EASEL_DICSORD_TOKEN="s3cret", EASEL_WHATEVER="1").stderr
    assert said == (
        "EASEL_DICSORD_TOKEN is no setting of Easel's: did you mean EASEL_DISCORD_TOKEN?\n"
    )
    found = easel(tmp_path, "doctor", EASEL_WHATEVER="1")
    assert found.returncode == 0
    assert "EASEL_WHATEVER is no setting of Easel's: the nearest is EASEL_" in found.stdout


def test_a_port_that_says_nothing(tmp_path: Path) -> None:
    """It listens, and is no PostgreSQL."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        at = f"127.0.0.1:{other.getsockname()[1]}"
        url = f"postgresql://me:s3cret@{at}/x?connect_timeout=2"
        result = easel(tmp_path, "log", EASEL_DATABASE_URL=url)
    assert result.returncode == 2
    assert f"PostgreSQL at {at} refuses the connection" in result.stderr
