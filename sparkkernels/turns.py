"""Submits wait for their turn: each is two JVMs on this host, and thirty at a time would bring it down."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(eq=False)
class Turn:
    """A place in the queue, and then a submit that runs.

    Attributes
    ----------
    whose : str
    limit : int
        How many may run at the same time for this one to begin.
    """

    whose: str
    limit: int
    _begun: concurrent.futures.Future[None] = field(default_factory=concurrent.futures.Future)


class Turns:
    """The queue of one process, for callers on any loop and thread.

    Next is who has the fewest submits running, and of these who came first: one person's thirty kernels don't
    keep another one's first from starting.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()
        self._waiting: list[Turn] = []

    async def take(self, whose: str, limit: int, tell: Callable[[int], None]) -> Turn:
        """Return when it is this caller's turn, which must be ended with :meth:`end`.

        Parameters
        ----------
        whose : str
            On whose behalf.
        limit : int
            How many may run at the same time.
        tell : callable
            Told the place in the queue, from 1, if there is one to wait in.
        """
        turn = Turn(whose, limit)
        with self._lock:
            self._waiting.append(turn)
            self._begin_next()
            place = self._waiting.index(turn) + 1 if turn in self._waiting else 0
        if place:
            tell(place)
        try:
            await asyncio.wrap_future(turn._begun)
        except BaseException:
            self.end(turn)
            raise
        return turn

    def end(self, turn: Turn) -> None:
        """The submit has ended, or nobody waits for it any more; idempotent."""
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif turn.limit:
                self._running[turn.whose] -= 1
            turn.limit = 0
            self._begin_next()

    def _begin_next(self) -> None:
        while self._waiting:
            turn = min(self._waiting, key=lambda waiting: self._running[waiting.whose])
            if self._running.total() >= turn.limit:
                return
            self._waiting.remove(turn)
            self._running[turn.whose] += 1
            if (
                turn._begun.set_running_or_notify_cancel()
            ):  # else its caller ends it, and that begins the next
                turn._begun.set_result(None)


_turns = Turns()


def shared_turns() -> Turns:
    """The queue of this process."""
    return _turns
