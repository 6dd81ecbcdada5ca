"""The poller: one thread for each backend asks about all of its applications in one call."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable

from ..errors import ResourceManagerUnavailable, SparkKernelError
from .base import ApplicationReport, Backend

log = logging.getLogger(__name__)
#: Seconds between two calls: at least, and while nothing is starting. Some ends are told by nobody else, as
#: that of a worker which only the ResourceManager has lost.
SHORTEST_S = 1.0
SETTLED_S = 1.5
#: Seconds after a kick during which the news that it announces may still be on its way.
EXPECTING_S = 10.0

Callback = Callable[[ApplicationReport | None], None]


class Watch:
    """Has a callback told what the cluster says about one application, until it is closed.

    Parameters
    ----------
    backend : Backend
    application_id : str
    callback : callable
        Called from the poller's thread with each report, None when the cluster does not know the application.
    """

    def __init__(self, backend: Backend, application_id: str, callback: Callback) -> None:
        self.application_id = application_id
        self.callback = callback
        self.settled = False
        self._poller = _poller_of(backend)
        self._poller.add(self)

    def settle(self) -> None:
        """The start is over: most news come by push from now on, a look now and then is enough."""
        self.settled = True

    def kick(self) -> None:
        """Look as soon as it may be, and often for a while."""
        self._poller.kick()

    def close(self) -> None:
        """No more calls; one that is under way may still come."""
        self._poller.remove(self)


class Poller:
    """The thread; it lives while there is something to watch."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._condition = threading.Condition()
        self._watches: set[Watch] = set()
        self._thread: threading.Thread | None = None
        self._kicked = False
        self._expecting_until = float("-inf")
        self._unavailable = False

    def add(self, watch: Watch) -> None:
        """Watch one more."""
        with self._condition:
            self._watches.add(watch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sparkkernels-poller", daemon=True)
                self._thread.start()
            self._kicked = True
            self._condition.notify()

    def remove(self, watch: Watch) -> None:
        """Watch one less."""
        with self._condition:
            self._watches.discard(watch)
            self._condition.notify()

    def kick(self) -> None:
        """Look as soon as it may be, and often for a while."""
        with self._condition:
            self._expecting_until = time.monotonic() + EXPECTING_S
            self._kicked = True
            self._condition.notify()

    def _run(self) -> None:
        asked = float("-inf")
        while True:
            with self._condition:
                while self._watches and (pause := self._pause(asked)) > 0:
                    self._condition.wait(pause)
                if not self._watches:
                    self._thread = None
                    return
                self._kicked = False
                watches = list(self._watches)
            asked = time.monotonic()
            self._ask(watches)

    def _pause(self, asked: float) -> float:
        """Seconds until the next look."""
        now = time.monotonic()
        expecting = self._kicked or now < self._expecting_until
        urgent = expecting or not all(watch.settled for watch in self._watches)
        return asked + (SHORTEST_S if urgent else SETTLED_S) - now

    def _ask(self, watches: list[Watch]) -> None:
        try:
            reports = self._backend.report([watch.application_id for watch in watches])
        except Exception as error:  # whatever it is: without this thread no kernel's end would be known
            if not self._unavailable:
                level = logging.WARNING if isinstance(error, ResourceManagerUnavailable) else logging.ERROR
                log.log(
                    level,
                    "The cluster can't be asked about kernels; none counts as dead for it. %s",
                    error,
                    exc_info=not isinstance(error, SparkKernelError),
                )
            self._unavailable = True
            return
        if self._unavailable:
            self._unavailable = False
            log.info("The cluster answers again.")
        for watch in watches:
            try:
                watch.callback(reports.get(watch.application_id))
            except Exception:  # one kernel's trouble must not blind the others
                log.exception("The report about %s could not be delivered.", watch.application_id)


_lock = threading.Lock()
_pollers: weakref.WeakKeyDictionary[Backend, Poller] = weakref.WeakKeyDictionary()


def _poller_of(backend: Backend) -> Poller:
    with _lock:
        poller = _pollers.get(backend)
        if poller is None:
            poller = _pollers[backend] = Poller(backend)
        return poller
