"""Why a kernel is dead: one sentence, told to the server's log as soon as anybody knows it."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from .cluster.base import ApplicationReport
from .relay.link import KernelStatus, Link
from .states import POLL
from .words import LINES, describe_exit, last_lines

#: Seconds within which the end of a container shows that took the kernel process along.
CONTAINER_S = 1.0
#: The same after a SIGTERM, with which YARN begins the end of every container and people seldom end a kernel.
TERMINATED_S = 5.0
#: Seconds that a connection was cut before its application ended, for the cut to be the reason.
CUT_S = 5.0
KILLED = (
    "The kernel process was killed (signal 9): by somebody on its worker, or because memory ran out there."
)


def why_kernel_ended(kernel: KernelStatus) -> str:
    """One sentence on why a kernel process is gone."""
    if kernel.cause or kernel.state == "failed":
        return kernel.cause or kernel.text
    if kernel.returncode == -signal.SIGKILL:
        return KILLED
    return f"The kernel process is gone: {describe_exit(kernel.returncode)}."


class Deaths:
    """Watches the kernel processes of one application.

    Parameters
    ----------
    link : Link
    cause : callable
        Says why the application of a report ended, "" when nobody knows.
    log : logging.Logger or LoggerAdapter
    """

    def __init__(
        self,
        link: Link,
        cause: Callable[[ApplicationReport], str],
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._link = link
        self._cause = cause
        self._log = log
        self._lock = threading.Lock()
        self._number = 0
        self._orphan_timeout_s = 0.0
        self._awaited = True
        self._told = ""
        self._context_told = False
        self._cut_at: float | None = None
        self._signalled_at: float | None = None
        self._report: ApplicationReport | None = None

    def began(self, number: int, orphan_timeout_s: float) -> None:
        """Kernel process ``number`` is up: its end will be news."""
        self._number = number
        self._orphan_timeout_s = orphan_timeout_s
        self._awaited = False
        self._told = ""
        self._signalled_at = None

    def expect(self) -> None:
        """Its end is wanted, and nothing to tell."""
        self._awaited = True

    @property
    def certain(self) -> bool:
        """Whether a kernel that is gone is gone by itself, or its whole application is known to be.

        The end of a container takes the kernel along a moment before the cluster tells of it, and whoever
        decides on a restart should know.
        """
        if self._awaited or (self._report is not None and POLL[self._report.state] is not None):
            return True
        since = time.monotonic() - self._signalled_at if self._signalled_at is not None else float("inf")
        return since > (self._container_s if self._link.connected else CUT_S)

    @property
    def _container_s(self) -> float:
        return TERMINATED_S if self._link.kernel.returncode == -signal.SIGTERM else CONTAINER_S

    def why(self) -> str:
        """One sentence on why the kernel is dead; "" when it is not, or when that is not certain yet."""
        report, kernel = self._report, self._link.kernel
        if self._link.ending:
            return self._link.ending
        if report is not None and POLL[report.state] is not None:
            return self._cause(report) or self._orphaned() or "Its application has ended."
        ended = kernel.number == self._number and kernel.state in ("exited", "failed")
        return why_kernel_ended(kernel) if ended and self._link.connected else ""

    def unwanted(self) -> str:
        """One sentence on why the kernel process died, if nobody wanted that; the log has it by then."""
        self._tell()
        return self._told

    def reported(self, report: ApplicationReport) -> None:
        """The cluster has said something; called from the poller's thread."""
        self._report = report
        if POLL[report.state] is not None:
            self._tell()

    def cut(self) -> None:
        """The connection was cut; called on the hub's loop."""
        self._cut_at = time.monotonic()

    def changed(self) -> None:
        """The supervisor has said something; called on the hub's loop."""
        kernel = self._link.kernel
        if kernel.state in ("exited", "failed"):
            if kernel.number == self._number and (kernel.returncode or 0) < 0:
                self._signalled_at = self._signalled_at or time.monotonic()
            asyncio.get_running_loop().call_later(self._container_s, self._tell)
        context = self._link.context
        if context.state in ("failed", "stopped") and not self._context_told and not self._awaited:
            self._context_told = True
            self._log.error(
                "Kernel %s has lost its Spark; a restart begins a new application. %s",
                self._link.kernel_id,
                context.text,
            )

    def _orphaned(self) -> str:
        cut_s = time.monotonic() - self._cut_at if self._cut_at is not None else 0.0
        if self._link.connected or cut_s < CUT_S:
            return ""
        by_itself = cut_s + CUT_S >= self._orphan_timeout_s  # the other side may have noticed the cut before
        alone = f"ended itself after {self._orphan_timeout_s:g} s without it"
        return (
            f"The connection between this server and the worker {self._link.container.host} was lost"
            f" ({self._link.cut_reason}), and the application {alone if by_itself else 'has ended since'}."
        )

    def _tell(self) -> None:
        with self._lock:
            why = "" if self._awaited else self.why()
            if not why:
                return
            self._awaited = True
            self._told = why
        kernel = self._link.kernel
        output = last_lines(kernel.text, LINES) if kernel.number == self._number else ""
        self._log.error(
            "Kernel %s died. %s", self._link.kernel_id, "\n".join(part for part in (why, output) if part)
        )
