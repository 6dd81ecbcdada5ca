"""The one error of the harness."""

from __future__ import annotations


class HarnessError(RuntimeError):
    """The test cluster cannot do what was asked; the message is for the person who reads it.

    The first line is a full sentence; what may follow are the last lines of a daemon's log.
    """
