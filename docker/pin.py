"""Ask the registry which image each base image of the Dockerfile is today, and print it with its
digest, as lines for a shell or for `docker compose --env-file`.

    python docker/pin.py > docker/images.env

Needs the `docker` command with buildx, and a registry that it reaches. What it prints is what the
registry said; where it says nothing, nothing is printed and the status is 1.
"""

import re
import subprocess
from pathlib import Path

DOCKERFILE = Path(__file__).with_name("Dockerfile")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def base_images(text: str) -> dict[str, str]:
    """Build arguments that name images, with their defaults."""
    return dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", text, re.MULTILINE))


def digest(image: str) -> str:
    """Raises ValueError when the registry does not say it."""
    inspect = ["docker", "buildx", "imagetools", "inspect", image]
    form = ["--format", "{{.Manifest.Digest}}"]
    try:
        said = subprocess.run(  # noqa: S603
            [*inspect, *form], capture_output=True, text=True, check=False
        ).stdout.strip()
    except OSError as error:
        raise ValueError(f"docker cannot be run ({error.strerror})") from None
    if not DIGEST.fullmatch(said):
        raise ValueError(f"the registry does not say which image {image} is")
    return said


def main() -> None:
    images = base_images(DOCKERFILE.read_text(encoding="utf-8"))
    try:
        pinned = {name: f"{image}@{digest(image)}" for name, image in images.items()}
    except ValueError as error:
        raise SystemExit(str(error)) from None
    print("\n".join(f"{name}={image}" for name, image in pinned.items()))


if __name__ == "__main__":
    main()
