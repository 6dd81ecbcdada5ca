"""The one place where blocking calls leave the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import os
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
Work = Callable[[], None]

#: Seconds that a thread waits for more work; the connections that it keeps to the cluster go with it.
SPARE_S = 2.0
#: Names of a thread that works and of one that waits for work.
BLOCKING, SPARE = "sparkkernels-blocking", "sparkkernels-spare"


class Workers:
    """Threads, as many as there is work at a time, and one that waits for more.

    To that one a caller on an event loop hands its work: ``Thread.start`` returns only when the new thread
    runs, which takes tens of milliseconds where many compete for the interpreter's lock. So whoever takes
    work sees to its successor first.

    They are daemons: the interpreter's exit does not wait for them, so that what is registered with
    ``atexit`` can end what they wait for. (``concurrent.futures`` joins its threads before that.)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._works: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._spare = 0  # threads that wait for work, and those that have been promised

    def begin(self, work: Work) -> None:
        """Have a thread do this; at the interpreter's exit, where threads are refused, do it right here."""
        if sys.is_finalizing():
            work()
            return
        self._works.put(work)
        self._see_to_spare()

    def _see_to_spare(self) -> None:
        with self._lock:
            if self._spare:
                return
            self._spare += 1
        try:
            threading.Thread(target=self._run, name=SPARE, daemon=True).start()
        except RuntimeError:  # "can't create new thread at interpreter shutdown"
            with self._lock:
                self._spare -= 1
            while (work := self._next(0)) is not None:
                work()

    def _run(self) -> None:
        thread = threading.current_thread()
        while True:
            work = self._next(SPARE_S)
            with self._lock:
                if work is None and not self._works.empty():
                    continue
                self._spare -= 1
            if work is None:
                return
            self._see_to_spare()
            thread.name = BLOCKING
            work()
            thread.name = SPARE
            del work  # what it holds
            with self._lock:
                self._spare += 1

    def _next(self, timeout_s: float) -> Work | None:
        try:
            return self._works.get(timeout_s > 0, timeout_s)
        except queue.Empty:
            return None


_workers = Workers()
os.register_at_fork(after_in_child=_workers.__init__)  # type: ignore[misc]


def begin(function: Callable[..., T], *args: Any) -> Future[T]:
    """Run a blocking function in a thread.

    Returns
    -------
    Future
        Done with what the function returns or raises; at the interpreter's exit, where threads are refused,
        the function runs right here.
    """
    future: Future[T] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(context.run(function, *args))
        except BaseException as error:  # noqa: BLE001 whoever waits for it gets it
            future.set_exception(error)

    _workers.begin(work)
    return future


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Run a blocking function in a thread and wait for it; a cancelled wait leaves the thread to itself.

    Returns
    -------
    T
        What the function returns; what it raises is raised.
    """
    return await asyncio.wrap_future(begin(function, *args))
