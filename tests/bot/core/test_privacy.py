"""Export and forgetting: one at a time for each person."""

import asyncio
import threading

import pytest

from bot.core.line import Line
from bot.core.privacy import UNDER_WAY, Privacy
from storage import export
from tests.fakes.fresh import empty_database, line
from tests.fakes.nouns import account

__all__ = ["empty_database", "line"]


async def test_only_who_is_busy_is_told_so(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, really = threading.Event(), threading.Event(), export.files

    def slow(stored: export.Stored, limit_bytes: int) -> list[bytes]:
        begun.set()
        assert go_on.wait(30)
        return really(stored, limit_bytes)

    monkeypatch.setattr(export, "files", slow)
    privacy, alice, bob = Privacy(line), account("alice"), account("bob")
    first = asyncio.create_task(privacy.export(alice, 1000))
    await asyncio.to_thread(begun.wait, 30)
    assert await privacy.export(alice, 1000) is UNDER_WAY
    assert await privacy.forget(alice) is UNDER_WAY
    another = asyncio.create_task(privacy.export(bob, 1000))
    go_on.set()
    assert isinstance(await first, list)
    assert isinstance(await another, list)
    assert isinstance(await privacy.export(alice, 1000), list)


async def test_who_could_not_be_served_may_ask_again(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    privacy = Privacy(line)
    with monkeypatch.context() as patch:
        patch.delattr(export, "files")
        with pytest.raises(AttributeError):
            await privacy.export(account("alice"), 1000)
    assert isinstance(await privacy.export(account("alice"), 1000), list)
