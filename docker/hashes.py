"""Write `docker/hashes/`: what the images install, each file of it by its SHA-256.

    python3.12 docker/hashes.py

Run it with the Python of the images on Linux and x86_64, where the package index can be reached,
whenever `docker/constraints.txt` changes. The hashes are those that pip finds there; none is
written by hand. They are read with

    pip install --no-deps --require-hashes -r docker/hashes/worker.txt -r docker/hashes/torch.txt

`torch.txt` is the build for NVIDIA cards with what belongs to it. The build for processors alone
lies on an index of PyTorch's own, so it is installed apart, in place of that file.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from requirements import requirements

FOLDER = Path(__file__).parent / "hashes"
CONSTRAINTS = Path(__file__).with_name("constraints.txt")
OF_TORCH = re.compile(r"torch|triton|cuda-.*|nvidia-.*")


def found(role: str) -> dict[str, str]:
    """A line for each library that pip would install, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, report = Path(folder) / "wanted.txt", Path(folder) / "report.json"
        wanted.write_text("\n".join(requirements(role)))
        arguments = ["install", "--dry-run", "--ignore-installed", "--only-binary=:all:", "--quiet"]
        files = ["--report", str(report), "-c", str(CONSTRAINTS), "-r", str(wanted)]
        subprocess.run([sys.executable, "-m", "pip", *arguments, *files], check=True)  # noqa: S603
        installs = json.loads(report.read_text(encoding="utf-8"))["install"]
    return dict(sorted(map(line_of, installs)))


def line_of(install: dict) -> tuple[str, str]:
    name = re.sub(r"[-_.]+", "-", install["metadata"]["name"]).lower()
    sha256 = install["download_info"]["archive_info"]["hashes"]["sha256"]
    return name, f"{name}=={install['metadata']['version']} --hash=sha256:{sha256}"


def write(name: str, lines: list[str]) -> None:
    head = "# CPython 3.12, Linux, x86_64; written by docker/hashes.py."
    (FOLDER / name).write_text("\n".join([head, *lines, ""]), encoding="utf-8")


def main() -> None:
    chat, worker = found("chat"), found("worker")
    write("chat.txt", list(chat.values()))
    write("worker.txt", [line for name, line in worker.items() if not OF_TORCH.fullmatch(name)])
    write("torch.txt", [line for name, line in worker.items() if OF_TORCH.fullmatch(name)])


if __name__ == "__main__":
    main()
