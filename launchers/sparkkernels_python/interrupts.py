"""What a notebook shows of an interrupt: where the notebook was, not what pyspark did there.

Those would be some ten frames down to a socket, out of files of thousands of lines, which IPython parses
first: that alone can take longer than the interrupt.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Optional

LIBRARIES = ("pyspark", "py4j", "sparkkernels_python")


def cut(traceback: Optional[TracebackType]) -> None:
    """End a traceback where the first of these libraries was called.

    Parameters
    ----------
    traceback : traceback or None
        Is changed.
    """
    while traceback is not None and traceback.tb_next is not None:
        module = traceback.tb_next.tb_frame.f_globals.get("__name__", "")
        if module.split(".")[0] in LIBRARIES:
            traceback.tb_next = None
        traceback = traceback.tb_next


def show(shell: Any, kind: Any, error: Any, traceback: Any, tb_offset: Optional[int] = None) -> None:
    """Show an exception in a cell; a handler for IPython's ``set_custom_exc``."""
    cut(traceback)
    shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)
