"""The one place where blocking calls leave the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

_executor = ThreadPoolExecutor(max_workers=8, thread_name_prefix="sparkkernels-blocking")


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Run a blocking function in a thread; at interpreter exit, where threads are refused, right here.

    Returns
    -------
    T
        What the function returns; what it raises is raised.
    """
    context = contextvars.copy_context()
    call = functools.partial(context.run, function, *args)
    try:
        future = _executor.submit(call)
    except RuntimeError:  # "cannot schedule new futures after (interpreter) shutdown"
        return function(*args)
    return await asyncio.wrap_future(future)
