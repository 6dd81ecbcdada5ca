"""What the supervisor has to say to whoever uses the notebook."""

from __future__ import annotations

import sys
import threading

from .cells import Cells


class Notices:
    """Shows a notice in the cell that runs, or in the next one: nobody looks at a notebook that does nothing.

    Parameters
    ----------
    cells : Cells
        What runs.
    """

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._lock = threading.Lock()
        self._text = ""

    def hear(self, text: str) -> None:
        """Take a notice; "" takes back one that was not shown yet."""
        with self._lock:
            self._text = text
        if self._cells.busy:
            self.show()

    def show(self) -> None:
        """Show what was not shown yet."""
        with self._lock:
            text, self._text = self._text, ""
        if text:
            print(text, file=sys.stderr, flush=True)
