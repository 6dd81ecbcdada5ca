"""When a kernel that died is started again by itself, and when that only costs one submit after another.

The restarter is jupyter_client's (``jupyter_client.restarter.KernelRestarter``). Left alone it stops without
a word when a start fails, and nobody hears that the kernel is dead.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from .errors import (
    ConfigurationError,
    CredentialsError,
    LaunchTimeout,
    NotAllowed,
    ResourceManagerUnavailable,
)

#: Somebody has to do something before a start can go well; a full queue was waited for long enough.
HOPELESS = (ConfigurationError, CredentialsError, NotAllowed, LaunchTimeout)
#: Starts in a row that may fail, or whose application may end within so many seconds.
MOST_FAILURES, EARLY_S = 3, 60.0
#: Seconds for which a ResourceManager that does not answer is asked again: nothing is submitted meanwhile.
PATIENCE_S = 600.0


class Restarts:
    """Bounds the automatic restarts of one kernel.

    Parameters
    ----------
    manager : jupyter_client.manager.KernelManager
        One without a restarter is left alone.
    log : logging.Logger or LoggerAdapter
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self,
        manager: Any,
        log: logging.Logger | logging.LoggerAdapter[Any],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._manager = manager
        self._log = log
        self._clock = clock
        self._known: Any = None
        self._limit = 0
        self._up_at: float | None = None
        self._failures = 0
        self._failing_since: float | None = None
        self._failing = False

    def started(self) -> None:
        """A start was complete."""
        self._up_at = self._clock()
        self._failing_since = None
        if self._known is not None:
            self._known.restart_limit = self._limit

    def look(self, on_given_up: Callable[[], object]) -> None:
        """Get to know the restarter, which is made after the first start.

        Parameters
        ----------
        on_given_up : callable
            Called on the manager's loop when the restarter has given up: nobody else tells the provisioner.
        """
        restarter = getattr(self._manager, "_restarter", None)
        if restarter is not None and restarter is not self._known:
            self._known = restarter
            self._limit = restarter.restart_limit
            restarter.add_callback(on_given_up, "dead")

    def died(self, application_ended: bool, why: str, is_final: bool = False) -> None:
        """The kernel is dead; heard once for each start.

        Parameters
        ----------
        application_ended : bool
            A restart would need a new application.
        why : str
            For the log.
        is_final : bool
            It has ended in good order, and nobody asked for another one.
        """
        if self._up_at is None:
            return
        early = application_ended and self._clock() - self._up_at < EARLY_S
        self._up_at = None
        self._failures = self._failures + 1 if early else 0
        if is_final:
            self._give_up(f"it was ended on purpose. {why}")
        elif self._failures >= MOST_FAILURES:
            self._give_up(
                f"its application ended within {EARLY_S:g} s of its start"
                f" {self._failures} times in a row. {why}"
            )

    def failed(self, error: BaseException) -> bool:
        """A start failed; whether the restarter shall try again."""
        if self._known is None or not isinstance(error, Exception):
            return False
        self._failing = True
        if isinstance(error, HOPELESS):
            again = self._give_up("another start would end in the same way.")
        elif isinstance(error, ResourceManagerUnavailable):
            since = self._failing_since = self._failing_since or self._clock()
            again = self._clock() - since < PATIENCE_S or self._give_up(
                f"the ResourceManager did not answer for {PATIENCE_S:g} s."
            )
        else:
            self._failures += 1
            again = self._failures < MOST_FAILURES or self._give_up(
                f"it could not be started {self._failures} times in a row."
            )
        return again

    def resume(self) -> None:
        """Nothing is left of a start that failed: the restarter tries again, or tells all of the death."""
        if self._failing:
            self._failing = False
            self._known.start()  # the manager has stopped it for the restart

    def _give_up(self, why: str) -> bool:
        self._log.error("Kernel %s is not started again by itself: %s", self._manager.kernel_id, why)
        if self._known is not None:
            self._known.restart_limit = 0
        self._failures = 0
        return False
