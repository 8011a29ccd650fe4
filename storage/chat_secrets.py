"""Chat tokens stay in chat processes: a worker runs models, and has no use for them."""

import os
import sys
from collections.abc import Mapping

from storage.settings import CHAT_SECRETS

_VARIABLES = frozenset(f"easel_{name}" for name in CHAT_SECRETS)


def without(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker. Case means nothing in the names of settings."""
    return {name: value for name, value in environment.items() if name.lower() not in _VARIABLES}


def drop() -> None:
    """Go on as the same process with an environment that has none; say which it had.

    The system shows to the end what a process was started with (proc(5), /proc/pid/environ), so
    taking them out is not enough: the program starts anew. On Windows, where nothing shows it and
    starting anew would be another process, they are taken out.
    """
    clean = without(os.environ)
    dropped = sorted(os.environ.keys() - clean.keys())
    if not dropped:
        return
    print(
        f"A worker needs no chat token, so I go on without {', '.join(dropped)}. "
        "Set it for the chat process alone.",
        file=sys.stderr,
        flush=True,
    )
    if os.name == "posix":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], clean)  # noqa: S606
    for name in dropped:
        del os.environ[name]
