"""The fixture that puts `discord_api` between the adapter and the Discord in memory."""

from collections.abc import Iterator
from typing import Any

import pytest
from simcord.http import router

from tests.wire.discord_api import Api, Violation, check_limits, spec_path


@pytest.fixture
def wire_checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every request is one that Discord describes and takes; yields what was checked."""
    dispatch, path = router.dispatch, spec_path()
    checked: list[str] = []
    wrong: list[Violation] = []

    def checking(backend: Any, method: str, path_: str, **kwargs: Any) -> Any:
        files = [len(f.fp.getbuffer()) for f in kwargs.get("files") or ()]
        body = kwargs.get("json")
        try:
            check_limits(method, path_, body, files)
            if path is not None:
                Api.load(path).check(method, path_, body, files=bool(files))
        except Violation as violation:
            wrong.append(violation)  # Kept too, for whoever swallows what a request raises.
            raise
        checked.append(f"{method} {path_}")
        return dispatch(backend, method, path_, **kwargs)

    monkeypatch.setattr(router, "dispatch", checking)
    yield checked
    assert not wrong
