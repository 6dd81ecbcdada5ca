"""The names ``spark`` and ``sc`` of a notebook, before there is anything they could stand for.

CPython looks a name up in the builtins at last, and asks a dict that is not a plain one through
``__missing__``. While a cell runs, the notebook's ``__builtins__`` are such a dict; once Spark is there they
never are again, and the names are ordinary variables of the notebook.
"""

from __future__ import annotations

import builtins
import contextlib
import re
import sys
import threading
from typing import Any, Callable, Dict, Iterator

NAMES = ("spark", "sc")
#: A function keeps the builtins it was made with (Python >= 3.10) and is slower with these for good. So they
#: are used only for code that says one of the names, or may run other code that does.
TELLS = re.compile(r"\b(spark|sc|exec|eval|compile|get_ipython|runpy)\b|^\s*[%!/,;]|=\s*%", re.MULTILINE)
KEPT_BY_FUNCTIONS = sys.version_info >= (3, 10)
#: Builtins that ipykernel, IPython and people replace while code runs: looked up each time.
CHANGING = ("display", "exit", "get_ipython", "input", "open", "print", "quit")


class LateBuiltins(Dict[str, Any]):
    """The builtins, and names that are there as soon as somebody asks for them.

    Parameters
    ----------
    resolve : callable
        Gives the value of one of :data:`NAMES`, or raises KeyError.
    """

    def __init__(self, resolve: Callable[[str], Any]) -> None:
        super().__init__()
        self._resolve = resolve

    def refresh(self) -> None:
        """Have those of Python that are there now; the changing ones are looked up when they are wanted."""
        self.update((name, value) for name, value in vars(builtins).items() if name not in CHANGING)

    def __missing__(self, name: str) -> Any:
        __tracebackhide__ = True
        if name in NAMES:
            return self._resolve(name)
        return vars(builtins)[name]

    def __getattr__(self, name: str) -> Any:
        # ``__builtins__.open``: in a notebook it is the module, elsewhere its dict, and this is both.
        return getattr(builtins, name)


class NotebookNames:
    """Puts ``spark`` and ``sc`` into a notebook's namespace: late, and real.

    Parameters
    ----------
    namespace : dict
        The notebook's globals.
    session : callable
        Gives the session; waits for it. Raises KeyError when the name shall not be known.
    """

    def __init__(self, namespace: Dict[str, Any], session: Callable[[], Any]) -> None:
        self._namespace = namespace
        self._session = session
        self._plain = namespace.get("__builtins__", builtins)
        self._late = LateBuiltins(self._resolve)
        self._lock = threading.Lock()
        self._running = 0
        self._pending = True

    def bind(self, session: Any) -> None:
        """Make them variables, unless the notebook has variables of these names."""
        self._namespace.setdefault("spark", session)
        self._namespace.setdefault("sc", session.sparkContext)
        self._pending = False

    @contextlib.contextmanager
    def during(self, code: str) -> Iterator[None]:
        """Have the names known to this code while it runs."""
        if not self._pending or (KEPT_BY_FUNCTIONS and not TELLS.search(code)):
            yield
            return
        with self._lock:  # subshells run code at the same time
            self._running += 1
            self._late.refresh()
            self._namespace["__builtins__"] = self._late
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                if self._running == 0:
                    self._namespace["__builtins__"] = self._plain

    def _resolve(self, name: str) -> Any:
        __tracebackhide__ = True
        session = self._session()
        return session if name == "spark" else session.sparkContext
