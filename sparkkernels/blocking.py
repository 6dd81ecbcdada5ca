"""The one place where blocking calls leave the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


def begin(function: Callable[..., T], *args: Any) -> Future[T]:
    """Run a blocking function in a thread of its own.

    The thread is a daemon: the interpreter's exit does not wait for it, so that what is registered with
    ``atexit`` can end what it waits for. (``concurrent.futures`` joins its threads before that.)

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

    if sys.is_finalizing():
        work()
        return future
    try:
        threading.Thread(target=work, name="sparkkernels-blocking", daemon=True).start()
    except RuntimeError:  # "can't create new thread at interpreter shutdown"
        work()
    return future


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Run a blocking function in a thread and wait for it; a cancelled wait leaves the thread to itself.

    Returns
    -------
    T
        What the function returns; what it raises is raised.
    """
    return await asyncio.wrap_future(begin(function, *args))
