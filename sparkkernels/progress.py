"""How far an application has come, and each step of it told once, in words."""

from __future__ import annotations

import logging
from typing import Any

from .cluster.base import ApplicationReport
from .states import TRANSITIONS, ApplicationState, Phase


class Progress:
    """The phase of one kernel's application, and what the server's log says of it.

    Parameters
    ----------
    kernel_id : str
    log : logging.Logger or LoggerAdapter

    Attributes
    ----------
    phase : Phase
        Set directly where there is nothing to tell.
    """

    def __init__(self, kernel_id: str, log: logging.Logger | logging.LoggerAdapter[Any]) -> None:
        self._kernel_id = kernel_id
        self._log = log
        self._told = ""
        self.phase = Phase.NEW

    def move(self, phase: Phase, words: str) -> None:
        """Enter a phase, if it is another one that follows on this."""
        if phase is not self.phase and phase in TRANSITIONS[self.phase]:
            self.phase = phase
            self._log.info("Kernel %s: %s", self._kernel_id, words)

    def place(self, place: int) -> None:
        """Tell the place in the queue of submits, from 1."""
        self._log.info(
            "Kernel %s waits for other submits of this server: it is number %d in the queue.",
            self._kernel_id,
            place,
        )

    def reported(self, report: ApplicationReport) -> None:
        """Tell what the cluster says of a start, unless it says the same as before."""
        if report.state in (ApplicationState.ACCEPTED, ApplicationState.RUNNING) and report.host:
            words = (
                f"{report.application_id} has a container on {report.host}; the kernel's supervisor starts."
            )
        else:
            waits = f": {report.diagnostics.strip()}" if report.diagnostics.strip() else "."
            words = f"{report.application_id} is {report.state.value} in queue {report.queue}{waits}"
        if words != self._told:
            self._told = words
            self._log.info("Kernel %s: %s", self._kernel_id, words)
