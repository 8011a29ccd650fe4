"""Where things run: what blocks has no business on the thread of the event loop."""

import threading
from typing import Any

import pytest


def threads_of(patch: pytest.MonkeyPatch, module: Any, *names: str) -> dict[str, threading.Thread]:
    """By the name of each of these functions, the thread that ran it last."""
    ran: dict[str, threading.Thread] = {}

    def watched(name: str) -> Any:
        really = getattr(module, name)

        def run(*given: Any, **more: Any) -> Any:
            ran[name] = threading.current_thread()
            return really(*given, **more)

        return run

    for name in names:
        patch.setattr(module, name, watched(name))
    return ran
