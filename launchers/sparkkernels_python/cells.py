"""Which cell runs on which thread, and the Spark job tag it has."""

from __future__ import annotations

import contextlib
import itertools
import threading
from typing import Dict, Iterator, Optional

from .channel import Channel


class Cell:
    """One execution of code; it gets a tag when it first calls Spark.

    Parameters
    ----------
    number : int or None
        Counts the executions of this process; None for work that is not to be cancelled with a cell.
    """

    def __init__(self, number: Optional[int]) -> None:
        self._number = number
        self._issued = 0
        self.tag = ""

    def next_tag(self) -> str:
        """Issue a tag never used before; a cell has a second one when its first call was abandoned."""
        if self._number is not None:
            self._issued += 1
            suffix = ".%d" % self._issued if self._issued > 1 else ""
            self.tag = "sparkkernels-cell-%d%s" % (self._number, suffix)
        return self.tag


class Cells:
    """The executions that go on now.

    Parameters
    ----------
    channel : Channel
        Is told whether any goes on, and the tag of the cell that runs, once that cell has called Spark.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._numbers = itertools.count(1)
        self._running: Dict[int, Cell] = {}

    def current(self) -> Optional[Cell]:
        """The cell that runs on the calling thread."""
        return self._running.get(threading.get_ident())

    @property
    def busy(self) -> bool:
        """Whether any execution goes on."""
        return bool(self._running)

    def tell(self) -> None:
        """Tell the supervisor whether any execution goes on."""
        self._channel.send(type="busy", busy=self.busy)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Count what happens on this thread as one cell."""
        try:
            with self._as(Cell(next(self._numbers))) as cell:
                self.tell()
                try:
                    yield
                finally:
                    if cell.tag:
                        self._channel.send(type="cell", tag="")
        finally:
            self.tell()

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        """Count what happens on this thread as no cell's, such as the start of a streaming query."""
        if self.current() is None:
            yield
        else:
            with self._as(Cell(None)):
                yield

    def tag(self, cell: Cell) -> str:
        """Issue a tag for this cell's jobs, known to the supervisor; "" when they are to have none."""
        tag = cell.next_tag()
        if tag:
            self._channel.send(type="cell", tag=tag)
        return tag

    @contextlib.contextmanager
    def _as(self, cell: Cell) -> Iterator[Cell]:
        ident = threading.get_ident()
        before = self._running.get(ident)
        self._running[ident] = cell
        try:
            yield cell
        finally:
            if before is None:
                del self._running[ident]
            else:
                self._running[ident] = before
