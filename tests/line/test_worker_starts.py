"""A worker that could not do its work does not start, and says why."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.tiny_models import build_classifier

WORKERS = {
    "easel": ("-m", "bot.cli", "worker"),
    "celery": ("-m", "celery", "-A", "storage.doorbell", "worker", "--pool=threads"),
}


@pytest.mark.parametrize(
    ("by", "checkers", "words"),
    [
        ("easel", "transformers:{0}", "says gore, peace, and EASEL_THRESHOLDS has no bound"),
        ("celery", "opennsfw,nonsense", "no image checker 'nonsense'"),
        ("easel", "falcon", "has SHA-256"),
    ],
)
def test_a_checker_that_will_not_do(tmp_path: Path, by: str, checkers: str, words: str) -> None:
    folder = build_classifier(tmp_path / "deaf", labels=("gore", "peace"))
    (tmp_path / "catalog.toml").write_text(
        f"""[checkers.falcon]\nsource = "transformers:{folder}"\n"""
        f"""sha256 = {{ "model.safetensors" = "{"0" * 64}" }}\n"""
    )
    given = {
        "EASEL_DATA_FOLDER": str(tmp_path / "data"),
        "EASEL_CATALOG": str(tmp_path / "catalog.toml"),
        "EASEL_SAFETY_CHECKERS": checkers.format(folder),
    }
    said = subprocess.run(
        [sys.executable, *WORKERS[by]],
        env=os.environ | given,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert said.returncode > 0
    assert words in said.stderr
    assert "Traceback" not in said.stderr
