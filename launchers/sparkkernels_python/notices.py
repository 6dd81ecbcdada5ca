"""What the supervisor has to say to whoever uses the notebook."""

from __future__ import annotations

import sys
import threading
from typing import Dict

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
        self._texts: Dict[str, str] = {}

    def hear(self, text: str, about: str = "") -> None:
        """Take a notice; "" takes back one about the same that was not shown yet."""
        with self._lock:
            self._texts[about] = text
        if self._cells.busy:
            self.show()

    def show(self) -> None:
        """Show what was not shown yet."""
        with self._lock:
            text = "\n".join(filter(None, self._texts.values()))
            self._texts.clear()
        if text:
            print(text, file=sys.stderr, flush=True)
