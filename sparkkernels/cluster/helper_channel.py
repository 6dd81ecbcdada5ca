"""Requests to the privileged helper: one process while there is something to ask, another when it is gone."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ConfigurationError, SparkKernelError
from ..submit_helper.messages import LONGEST_REQUEST
from .helper_process import Call, HelperProcess

#: Seconds during which the reason why no helper could be started is given again instead of trying.
PAUSE_S = 10.0


class HelperChannel:
    """Keeps one helper process while there is something to ask; thread-safe.

    Parameters
    ----------
    command : sequence of str
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._helper: HelperProcess | None = None
        self._refusal: tuple[float, SparkKernelError] | None = None

    def begin(
        self,
        operation: str,
        arguments: dict[str, Any],
        on_application_id: Callable[[str], None] | None = None,
    ) -> Call:
        """Send a request.

        Raises
        ------
        SparkKernelError
            There is no helper to be had, or the request is too long.
        """
        with self._lock:
            call = Call(next(self._numbers), on_application_id)
            content = {"id": call.number, "operation": operation, "arguments": arguments}
            line = json.dumps(content).encode() + b"\n"
            if len(line) > LONGEST_REQUEST:
                raise ConfigurationError("The kernel's settings are longer than 1 MiB.")
            if self._helper is None or not self._helper.open:
                self._helper = self._start()
            self._helper.send(call, line)
            return call

    def ask(self, operation: str, arguments: dict[str, Any], timeout_s: float) -> Any:
        """Send a request and wait for its answer.

        Raises
        ------
        SparkKernelError
        """
        return self.begin(operation, arguments).wait(timeout_s)

    def close(self) -> None:
        """Let the helper go; the next request starts another."""
        with self._lock:
            if self._helper is not None:
                self._helper.close()
                self._helper = None

    def _start(self) -> HelperProcess:
        if self._refusal is not None and time.monotonic() < self._refusal[0]:
            raise self._refusal[1]
        return HelperProcess(self._command, self._lock, self._refused)

    def _refused(self, error: SparkKernelError) -> None:
        self._refusal = (time.monotonic() + PAUSE_S, error)
