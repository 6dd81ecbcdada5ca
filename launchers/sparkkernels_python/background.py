"""Imports pyspark on a background thread, where that disturbs no other import.

Python gives each module a lock, a submodule's before its package's. Where one thread imports a package whose
``__init__`` imports a submodule, and another thread that submodule, each holds what the other needs; Python
sees it and lets one of them have a half-made module. So the two are kept apart: the background thread waits
until nobody imports, and whoever wants to import then waits for the background thread.
"""

from __future__ import annotations

import builtins
import importlib
import threading
from typing import Any, Callable, Optional

#: Seconds after which an import goes on although the background's has not ended: that may wait for this one.
PATIENCE_S = 10.0


class BackgroundImport:
    """One import that may happen on any thread, and what keeps it from the others.

    Parameters
    ----------
    name : str
        The module's.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._turn = threading.Lock()
        self._others = 0
        self._alone: Optional[int] = None
        self._done = False
        self._plain: Callable[..., Any] = builtins.__import__
        self._watched: Callable[..., Any] = self._import

    def watch(self) -> None:
        """Begin to know of everybody's imports; before the first of them."""
        builtins.__import__ = self._watched

    def end(self) -> None:
        """Leave imports to Python: the module is there, or nobody wants it."""
        with self._changed:
            self._done = True
            self._changed.notify_all()
        if builtins.__import__ is self._watched:
            builtins.__import__ = self._plain

    def now(self) -> None:
        """Import on the calling thread, which needs the module and may be in the middle of other imports.

        Raises
        ------
        ImportError
            There is no such module.
        """
        __tracebackhide__ = True
        if not self._done:
            builtins.__import__(self._name)
            self.end()

    def in_background(self) -> None:
        """Import on the calling thread, which has all the time in the world.

        Raises
        ------
        ImportError
            There is no such module.
        """
        with self._turn:
            with self._changed:
                while self._others and not self._done:
                    self._changed.wait()
                if self._done:
                    return
                self._alone = threading.get_ident()
            try:
                importlib.import_module(self._name)
            finally:
                with self._changed:
                    self._alone = None
                self.end()

    def _import(self, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if self._done or self._alone == threading.get_ident():
            return self._plain(*args, **kwargs)
        with self._changed:
            self._changed.wait_for(lambda: self._alone is None, PATIENCE_S)
            self._others += 1
        try:
            return self._plain(*args, **kwargs)
        finally:
            with self._changed:
                self._others -= 1
                self._changed.notify_all()
