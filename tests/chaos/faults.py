"""The real worker process, which can be made to go wrong at a chosen place; forked from one that
has imported what follows, since that takes longer than most tests."""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPTextModel, CLIPTokenizer  # noqa: F401

import bot.cli
import generation.tasks  # noqa: F401
from generation.pipeline import DiffusionModel
from generation.safety import checkers  # noqa: F401
from generation.worker import Worker
from storage.blobs import Blobs
from tests.chaos.gates import Fault, Gates, fault_of

WASTE_BYTES = 64 * 1024 * 1024
"""What a job holds when it runs out of memory, and again in the error that led to it."""


def run(environment: Mapping[str, str], log: str, concurrency: int) -> None:
    """`easel worker`, with faults."""
    os.environ.update(environment)
    os.environ["EASEL_PARENT_PID"] = str(os.getppid())
    output = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    _install(Gates(Path(environment["EASEL_DATA_FOLDER"])))
    bot.cli.worker(concurrency)


def _install(gates: Gates) -> None:
    draw, seal, put = DiffusionModel.draw, Worker._seal, Blobs.put
    sealing = threading.local()

    def faulty_draw(
        self: Any, drawing: Any, *, on_step: Callable[[int], None], **given: Any
    ) -> Any:
        def step(number: int) -> None:
            on_step(number)
            gates.come("drawing")
            _go_wrong(drawing.seed, gates)

        return draw(self, drawing, on_step=step, **given)

    def faulty_seal(self: Any, job: Any, drawn: Any) -> Any:
        gates.come("drawn")
        sealing.seed = job.request.seed
        return seal(self, job, drawn)

    def faulty_put(self: Any, data: bytes, **given: Any) -> str:
        fault = fault_of(sealing.seed)
        once = fault is Fault.DISK_FULL_ONCE and gates.first(f"full-{sealing.seed}")
        if once or fault is Fault.DISK_FULL:
            with _no_file_beyond(len(data) // 2):
                return put(self, data, **given)
        return put(self, data, **given)

    DiffusionModel.draw = faulty_draw  # type: ignore[method-assign]
    Worker._seal = faulty_seal  # type: ignore[method-assign]
    Blobs.put = faulty_put  # type: ignore[method-assign]
    for station in ("claim", "finish"):
        _hold_before(gates, station)


def _hold_before(gates: Gates, station: str) -> None:
    act = getattr(Worker, f"_{station}")

    def held(*given: Any) -> Any:
        gates.come(station)
        return act(*given)

    setattr(Worker, f"_{station}", held)


def _go_wrong(seed: int, gates: Gates) -> None:
    match fault_of(seed):
        case Fault.CRASHES:
            os.kill(os.getpid(), signal.SIGKILL)
        case Fault.HANGS_ONCE if gates.first(f"hung-{seed}"):
            threading.Event().wait()
        case Fault.OUT_OF_MEMORY:
            _run_out_of_memory()


def _run_out_of_memory() -> None:
    """As on a device: the frames of this error, and of the one before it, hold tensors."""
    held = torch.ones(WASTE_BYTES // 4)
    try:
        also_held = torch.ones(WASTE_BYTES // 4)
        raise RuntimeError(f"{also_held[0]}")
    except RuntimeError:
        raise torch.OutOfMemoryError(f"{held[0]}") from None


@contextmanager
def _no_file_beyond(size_bytes: int) -> Iterator[None]:
    """The file system fails in the middle of what is written, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
