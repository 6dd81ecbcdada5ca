"""When a kernel that nobody has talked to, and that runs nothing, has been so for long enough."""

from __future__ import annotations

from typing import Callable, Optional, Tuple

from .processes import descendants, processor_s

#: Seconds between two looks at what a silent kernel does, at most.
LOOK_EVERY_S = 15.0
#: Share of a processor from which on a kernel that says nothing of its cells is at work.
AT_WORK = 0.05


class Idle:
    """Knows for how long there was nothing.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.

    Attributes
    ----------
    timeout_s : float
        What :meth:`over` compares with; 0 for never.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()
        self._jobs: Optional[int] = None
        self._used: Optional[Tuple[float, float]] = None
        self.timeout_s = 0.0

    def touch(self) -> None:
        """Somebody talks to the kernel, or it works."""
        self._since = self._clock()

    @property
    def over(self) -> bool:
        """Whether it has been idle for the timeout."""
        return 0 < self.timeout_s < self._clock() - self._since

    @property
    def pause_s(self) -> float:
        """Seconds until the next look."""
        return min(self.timeout_s / 5, LOOK_EVERY_S) if self.timeout_s else 1.0

    def looked(self, busy: Optional[bool], work: Optional[Tuple[int, int]], used_s: float) -> None:
        """Take what the kernel does now.

        Parameters
        ----------
        busy : bool or None
            Whether a cell runs; None for a kernel that does not say: it works when it uses a processor.
        work : tuple of (int, int), optional
            Spark jobs and streaming queries that run, and how many jobs there were in all.
        used_s : float
            Processor time of the kernel's processes so far, in seconds.
        """
        now = self._clock()
        before, self._used = self._used, (now, used_s)
        if busy is None and before is not None:
            busy = used_s - before[1] > AT_WORK * (now - before[0])
        running, jobs = work or (0, self._jobs)
        if busy or running or (self._jobs is not None and jobs != self._jobs):
            self.touch()
        self._jobs = jobs


def used_s(pid: Optional[int]) -> float:
    """Processor time of a process and all below it, in seconds; 0 without one."""
    return sum(processor_s(one) for one in [pid, *descendants(pid)]) if pid else 0.0
