"""`docker/hashes/`: each library of the images by the hash of its file, all of them pinned."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.docker.reading import CONSTRAINTS, ROOT, script

requirements, hashes = script("requirements").requirements, script("hashes")
LINE = re.compile(r"([a-z0-9-]+)==(\S+) --hash=sha256:([0-9a-f]{64})")


def hashed(name: str) -> dict[str, str]:
    """Versions by name."""
    lines = (ROOT / "docker" / "hashes" / name).read_text().splitlines()[1:]
    found = {m[1]: m[2] for line in lines if (m := LINE.fullmatch(line))}
    assert len(found) == len(lines), "one line for each, and nothing else"
    return found


def pinned() -> dict[str, str]:
    pairs = [line.partition("==") for line in CONSTRAINTS.read_text().split()]
    return {canonicalize_name(name): version for name, _, version in pairs}


@pytest.mark.parametrize("name", ["chat.txt", "worker.txt"])
def test_they_are_those_of_the_constraints(name: str) -> None:
    for library, version in hashed(name).items():
        assert pinned()[library] == version


def test_the_build_of_torch_for_cards_stands_apart() -> None:
    torch = hashed("torch.txt")
    assert torch["torch"] == pinned()["torch"]
    assert all(hashes.OF_TORCH.fullmatch(library) for library in torch)
    assert not [library for library in hashed("worker.txt") if hashes.OF_TORCH.fullmatch(library)]


def test_nothing_is_missing() -> None:
    of_role = {"chat": hashed("chat.txt"), "worker": hashed("worker.txt") | hashed("torch.txt")}
    for role, found in of_role.items():
        needed = {canonicalize_name(Requirement(line).name) for line in requirements(role)}
        assert needed - found.keys() == set()
    assert of_role["chat"].items() <= of_role["worker"].items()


def test_a_line_is_what_pip_has_seen() -> None:
    seen = {
        "metadata": {"name": "Discord.Py", "version": "2.7.1"},
        "download_info": {"archive_info": {"hashes": {"sha256": "a" * 64}}},
    }
    assert hashes.line_of(seen) == ("discord-py", f"discord-py==2.7.1 --hash=sha256:{'a' * 64}")


def test_no_address_of_an_index_is_written_down() -> None:
    for file in Path(ROOT / "docker" / "hashes").iterdir():
        assert "://" not in file.read_text()
