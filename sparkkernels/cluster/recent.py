"""A question that many ask at the same moment is asked once, and all of them get the answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The last answer to a question, asked again when it is too old; thread-safe.

    Parameters
    ----------
    ask : callable
        Blocks; what it raises, all get who wait for it.
    clock : callable
        Monotonic, in seconds.
    """

    def __init__(self, ask: Callable[[], T], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_at = self._failed_at = float("-inf")
        self._answer: list[T] = []
        self._error: Exception | None = None

    def get(self, oldest_s: float) -> T:
        """The answer to the question, not asked longer ago than this.

        Parameters
        ----------
        oldest_s : float
            Seconds; 0 for an answer from now on.
        """
        came_at = self._clock()
        with self._lock:
            if self._answer and self._asked_at >= came_at - oldest_s:
                return self._answer[0]
            if self._error is not None and self._failed_at >= came_at:
                raise self._error
            asked_at = self._clock()
            self._error = None
            try:
                answer = self._ask()
            except Exception as error:
                self._error, self._failed_at = error, self._clock()
                raise
            self._answer, self._asked_at = [answer], asked_at
            return answer
