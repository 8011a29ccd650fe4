"""`easel draw -o`: what the name says is written, and nothing else."""

import os
import pty
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from bot.i18n import say
from bot.terminal.files import names, unnamed, unwritable, write
from generation.provenance import encode_and_seal, read_seal
from tests.bot.terminal.shell import easel, easel_bytes

DRAWING = Image.linear_gradient("L").convert("RGB")
PARAMETERS = {"prompt": "un café", "seed": 7}
ENDINGS = [".png", ".jpg", ".jpeg", ".webp", ".PNG", ".Jpg"]


def sealed(limit_bytes: int) -> tuple[bytes, str]:
    found = encode_and_seal(DRAWING, parameters=PARAMETERS, limit_bytes=limit_bytes)
    return found.data, found.media_type


@pytest.mark.parametrize("limit_bytes", [2**20, 5_000], ids=["from png", "from jpeg"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_format_is_the_name_s(tmp_path: Path, ending: str, limit_bytes: int) -> None:
    data, media_type = sealed(limit_bytes)
    write(file := tmp_path / f"fox{ending}", data, media_type, force=False)
    with Image.open(file) as image:
        wanted = ending[1:].upper().replace("JPG", "JPEG")
        assert (image.format, image.size) == (wanted, DRAWING.size)
        if media_type == "image/png" and wanted != "JPEG":
            assert image.convert("RGB").tobytes() == DRAWING.tobytes(), "nothing is lost"
    assert read_seal(file.read_bytes()).items() >= {("prompt", "un café"), ("seed", "7")}
    if media_type == f"image/{wanted.lower()}":
        assert file.read_bytes() == data


def test_nothing_is_written_over_that_came_meanwhile(tmp_path: Path) -> None:
    (file := tmp_path / "fox.png").write_text("mine")
    data, media_type = sealed(2**20)
    with pytest.raises(FileExistsError):
        write(file, data, media_type, force=False)
    assert file.read_text() == "mine"
    write(file, data, media_type, force=True)
    assert file.read_bytes() == data


def test_several_pictures_have_names_of_their_own() -> None:
    assert names(Path("a/fox.v2.png"), 1) == [Path("a/fox.v2.png")]
    assert names(Path("a/fox.v2.png"), 2) == [Path("a/fox.v2-1.png"), Path("a/fox.v2-2.png")]


WRONG: dict[str, tuple[str, int, str]] = {
    "a folder by its slash": ("here/", 1, "-o here/easel.png"),
    "nothing": ("", 1, "-o easel.png"),
    "no ending": ("fox", 1, "-o fox.png"),
    "another ending": ("fox.v2", 1, "-o fox.v2.png"),
    "a format of others": ("my fox.gif", 1, "-o 'my fox.gif.png'"),
    "an ending alone": (".png", 1, "-o .png.png"),
    "no folder": ("no where/fox.png", 1, "mkdir -p '"),
    "a file for a folder": ("mine.png/fox.png", 1, "cannot be written (Not a directory)"),
    "its free name": ("mine.png", 1, "-o mine_3.png"),
    "one of two": ("two.png", 2, "two-2.png is there already"),
    "a free name for two": ("two.png", 2, "-o two_2.png"),
    "a name too long": (f"{'x' * 300}.png", 1, "File name too long"),
    "where nobody may write": ("/proc/fox.png", 1, "/proc/fox.png cannot be written ("),
    "a device": ("/dev/null", 1, ".png, .jpg"),
    "several at once": ("-", 2, "Standard output takes one picture"),
}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for name in ("mine.png", "mine_2.png", "two-2.png"):
        (tmp_path / name).write_text(name)
    (tmp_path / "here").mkdir()
    return tmp_path


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_written_is_said(
    here: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    name, count, words = WRONG[case]
    monkeypatch.chdir(here)
    before = sorted(os.listdir())
    wrong = unnamed(Path(name)) or unwritable(Path(name), count, force=False)
    assert wrong is not None
    assert words in say("en", wrong.text, **wrong.values)
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a cat", "-o", "."], "-o easel.png"),
        (["a cat", "-o", "mine.png"], "Write over it with --force"),
        (["a cat --count 2", "-o", "two.png"], "two-2.png is there already"),
        (["a cat", "-o", "/proc/fox.png"], "/proc/fox.png cannot be written ("),
    ],
)
def test_it_is_said_before_anything_is_drawn(here: Path, words: list[str], said: str) -> None:
    before = sorted(os.listdir(here))
    result = easel(here, "draw", *words)
    assert result.returncode == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert sorted({*os.listdir(here)} - {"data"}) == before
    assert (here / "mine.png").read_text() == "mine.png"
    assert not (here / "data" / "worker.log").exists()


def test_it_speaks_the_person_s_language(tmp_path: Path) -> None:
    said = easel(tmp_path, "draw", "un chat", "-o", "chat.gif", LC_ALL="fr_FR.UTF-8").stderr
    assert "La fin du nom dit" in said


def test_no_picture_into_a_terminal(tmp_path: Path) -> None:
    leader, terminal = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EASEL_")}
    result = subprocess.run(
        [sys.executable, "-m", "bot.cli", "draw", "a cat", "-o", "-"],
        env=environment | {"EASEL_DATA_FOLDER": str(tmp_path)},
        stdout=terminal,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(terminal)
    os.close(leader)
    assert result.returncode == 2
    assert "-o - > easel.png" in result.stderr


def test_a_drawing_beside_another_file_and_into_a_pipe(tmp_path: Path) -> None:
    """One after the other, since each begins a worker of its own."""
    (tmp_path / "holiday.png").write_text("mine")
    result = easel(tmp_path, "draw", "a red apple", "-o", "holiday.jpg")
    assert (result.returncode, result.stderr) == (0, "")
    assert "holiday.jpg" in result.stdout.splitlines()
    assert (tmp_path / "holiday.png").read_text() == "mine"
    with Image.open(tmp_path / "holiday.jpg") as image:
        assert image.format == "JPEG"

    piped = easel_bytes(tmp_path, "draw", "a red apple", "-o", "-")
    assert piped.returncode == 0
    with Image.open(BytesIO(piped.stdout)) as image:
        assert image.format == "PNG"
    assert b"easel log show" in piped.stderr
    assert not (tmp_path / "-.png").exists()

    shown = piped.stderr.split(b"easel log show ")[1][:8].decode()
    look = easel(tmp_path, "log", "show", shown, "-o", "look.webp")
    assert look.returncode == 0
    with Image.open(tmp_path / "look.webp") as image:
        assert image.format == "WEBP"
    again = easel(tmp_path, "log", "show", shown, "-o", "look.webp")
    assert again.returncode == 2
    assert "look.webp is there already" in again.stderr
    assert easel(tmp_path, "log", "show", shown, "-o", "look.webp", "--force").returncode == 0
    piped = easel_bytes(tmp_path, "log", "show", shown, "-o", "-")
    with Image.open(BytesIO(piped.stdout)) as image:
        assert image.format == "PNG"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_ends_it(tmp_path: Path) -> None:
    """It would hang for ever: what is not written is kept, and said."""
    (tmp_path / "full.png").symlink_to("/dev/full")
    result = easel(tmp_path, "draw", "a red apple", "-o", "full.png", "--force")
    assert result.returncode == 1
    assert "full.png could not be written (No space left on device)" in result.stdout
    assert "easel log show" in result.stdout
    assert not (tmp_path / "data" / "-").exists()
