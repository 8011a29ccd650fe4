"""Hostile image files: a clear answer or a clean picture, in little time and little memory."""

import pytest

from tests.hostile.conftest import MEASURED, is_clear
from tests.hostile.files import FILES
from tests.hostile.measuring import MAX_MIB, Result

pytestmark = MEASURED


@pytest.mark.parametrize("name", FILES)
def test_a_file(results: dict[str, Result], name: str) -> None:
    file, result = FILES[name], results[name]
    answer = result.answer
    if file.says:
        is_clear(answer["says"], file.says)
    else:
        assert (answer["form"], answer["mode"]) == ("PNG", "RGB"), answer
        assert max(answer["size"]) <= 2048
        assert (answer["info"], answer["exif"], answer["canary"]) == ([], 0, False)
        if file.pixel is not None:
            differences = [abs(a - b) for a, b in zip(answer["pixel"], file.pixel, strict=True)]
            assert max(differences) < 3
    assert result.peak_mib < MAX_MIB
    assert result.cpu_seconds < file.cpu_seconds


def test_so_many_and_no_fewer(results: dict[str, Result]) -> None:
    assert len(results) >= 40
