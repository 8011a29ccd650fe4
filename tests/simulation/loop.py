"""An event loop whose time passes only when nobody has anything to do, and processes in it that
can be stopped between any two steps: for ever (kill -9) or for a while (SIGSTOP)."""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from sqlalchemy.util import greenlet_spawn

PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


def this_process() -> Process:
    process = PROCESS.get()
    assert process is not None
    return process


class Process:
    """Tasks that live and die together. Whatever a stopped one would do next is kept."""

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self.loop, self.name = loop, name
        self.stopped = self.dead = False
        self._kept: list[tuple[Callable[..., object], tuple[Any, ...], contextvars.Context]] = []
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[Any]:
        context = contextvars.copy_context()
        context.run(PROCESS.set, self)
        task = self.loop.create_task(work, context=context)
        self._tasks.append(task)
        return task

    def thread(self, target: Callable[[], object]) -> asyncio.Task[Any]:
        """Blocking code as a task: it may wait with `sqlalchemy.util.await_only`."""
        return self.start(greenlet_spawn(target))

    def stop(self) -> None:
        self.stopped = True

    def pause(self, seconds: float) -> None:
        self.stop()
        # In no process's name: what a stopped one is about to do is kept, this too.
        self.loop.call_later(seconds, self.go_on, context=contextvars.Context())

    def kill(self) -> None:
        self.stop()
        self.dead = True

    def go_on(self) -> None:
        if self.dead:
            return
        self.stopped, kept, self._kept = False, self._kept, []
        for callback, args, context in kept:
            self.loop.call_soon(callback, *args, context=context)

    def step(self, callback: Callable[..., object], *args: Any) -> None:
        if self.stopped:
            self._kept.append((callback, args, contextvars.copy_context()))
        else:
            callback(*args)

    def errors(self) -> list[BaseException]:
        """What its tasks ended with."""
        ended = [task for task in self._tasks if task.done() and not task.cancelled()]
        return [error for task in ended if (error := task.exception())]

    async def bury(self) -> None:
        """Let what is left of it unwind, when nothing that it does matters any more."""
        self.dead = False
        self.go_on()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _NoWaiting(selectors.SelectSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits for somebody else")
        self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, random: Random) -> None:
        self.now = 0.0
        selector = _NoWaiting()
        selector.loop = self
        super().__init__(selector)
        self.random = random

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        context = context or contextvars.copy_context()
        process = context.get(PROCESS)
        if process is not None:
            callback, args = process.step, (callback, *args)
        return super().call_soon(callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        context = context or contextvars.copy_context()
        process = context.get(PROCESS)
        if process is not None:
            callback, args = process.step, (callback, *args)
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(self, _executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """The call is one step, some time from now, and its answer comes some time later."""
        future: asyncio.Future[Any] = self.create_future()

        def call() -> None:
            try:
                answer, error = func(*args), None
            except Exception as raised:
                answer, error = None, raised
            self.call_later(self.latency(), settle, answer, error)

        def settle(answer: object, error: Exception | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)

        self.call_later(self.latency(), call)
        return future

    def latency(self) -> float:
        """Seconds; mostly short, at times so long that much happens meanwhile."""
        return self.random.choice((0.001, 0.01, 0.05, 0.3)) * self.random.random()
