"""Starts wait for their turn.

Submits, since each is two JVMs on this host, and thirty at a time would bring it down; and the first steps of
a start, since those of thirty at a time would hold the server's event loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import heapq
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
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

    Next is who has the fewest submits running, of these who was served longest ago, and of these who came
    first: one person's thirty kernels don't keep another one's first from starting.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()
        self._waiting: list[Turn] = []
        self._served: dict[str, int] = {}  # when those were served last who run or wait
        self._count = 0

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
            order = in_order(self._waiting, self._running, self._served)
            place = order.index(turn) + 1 if turn in order else 0
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
            self._running = +self._running
            here = {waiting.whose for waiting in self._waiting} | self._running.keys()
            self._served = {whose: count for whose, count in self._served.items() if whose in here}

    def _begin_next(self) -> None:
        while self._waiting:
            turn = in_order(self._waiting, self._running, self._served)[0]
            if self._running.total() >= turn.limit:
                return
            self._waiting.remove(turn)
            self._running[turn.whose] += 1
            self._count += 1
            self._served[turn.whose] = self._count
            if (
                turn._begun.set_running_or_notify_cancel()
            ):  # else its caller ends it, and that begins the next
                turn._begun.set_result(None)


def in_order(waiting: Iterable[Turn], running: Mapping[str, int], served: Mapping[str, int]) -> list[Turn]:
    """Those who wait, in the order in which their turns come if nobody else comes or gives up.

    Parameters
    ----------
    waiting : iterable of Turn
        In the order in which they came.
    running : mapping of str to int
        How many of each person's have begun.
    served : mapping of str to int
        When each person's last one has begun: the higher, the later.
    """
    left: dict[str, deque[Turn]] = {}
    for turn in waiting:
        left.setdefault(turn.whose, deque()).append(turn)
    people = [(running.get(whose, 0), served.get(whose, 0), came, whose) for came, whose in enumerate(left)]
    heapq.heapify(people)
    order: list[Turn] = []
    latest = max(served.values(), default=0)
    while people:
        begun, _, came, whose = heapq.heappop(people)
        order.append(left[whose].popleft())
        if left[whose]:
            heapq.heappush(people, (begun + 1, latest + len(order), came, whose))
    return order


_submits, _first_steps = Turns(), Turns()


def shared_turns() -> Turns:
    """The queue of this process's submits."""
    return _submits


@contextlib.asynccontextmanager
async def first_steps() -> AsyncIterator[None]:
    """Those of one start at a time; others of the same loop wait for its next round at least."""
    turn = await _first_steps.take("", 1, lambda place: None)
    try:
        yield
    finally:
        _first_steps.end(turn)
