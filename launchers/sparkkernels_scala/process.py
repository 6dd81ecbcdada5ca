"""The launcher process: waits for Spark, has the host start Toree, and ends with it."""

from __future__ import annotations

import json
import queue
import signal
import socket
import sys
import threading
from typing import Any, Callable, Dict, Mapping, Optional

from .host import Host, NoHost
from .leash import Leash

NO_SPARK = (
    "This kernel was started without Spark, and Scala kernels run in Spark's JVM."
    ' Set "spark_context": "eager" in the kernelspec.'
)
INTERRUPT: Dict[str, Any] = {"type": "interrupt"}


def run(connection_file: str, environ: Mapping[str, str]) -> int:
    """Run one Scala kernel to its end.

    Parameters
    ----------
    connection_file : str
        Jupyter's; Toree binds its ports.
    environ : mapping of str to str
        The kernel's environment; ``SPARKKERNELS_FD`` is the supervisor's socket (PROTOCOL.md, section 6).

    Returns
    -------
    int
        The process's exit code.
    """
    if "SPARKKERNELS_FD" not in environ:
        sys.stderr.write(NO_SPARK + "\n")
        return 1
    events: "queue.SimpleQueue[Dict[str, Any]]" = queue.SimpleQueue()
    signal.signal(signal.SIGINT, lambda signum, frame: events.put(INTERRUPT))
    supervisor = socket.socket(fileno=int(environ["SPARKKERNELS_FD"]))
    kernel = ScalaKernel(connection_file, supervisor, events.put)
    in_background(lambda: listen(supervisor, events.put))
    while True:
        code = kernel.hear(events.get())
        if code is not None:
            return code


class ScalaKernel:
    """What the process does at each event; an event comes from the supervisor, the host or a signal.

    Parameters
    ----------
    connection_file : str
    supervisor : socket.socket
    on_event : callable
        Called from other threads with what they have to say.
    """

    def __init__(
        self, connection_file: str, supervisor: socket.socket, on_event: Callable[[Dict[str, Any]], object]
    ) -> None:
        self._connection_file = connection_file
        self._supervisor = supervisor
        self._on_event = on_event
        self._host: Optional[Host] = None

    def hear(self, event: Dict[str, Any]) -> Optional[int]:
        """Act on an event; the exit code when it is the end."""
        kind = event["type"]
        if kind == "context" and event["state"] in ("none", "failed", "stopped") and self._host is None:
            return fail(NO_SPARK if event["state"] == "none" else event["text"])
        if kind == "gateway" and self._host is None:
            try:
                self._host = Host(event["port"], event["secret"])
            except NoHost as error:
                return fail(str(error))
            in_background(self._start)
        elif kind == "interrupt" and self._host is not None:
            in_background(self._host.interrupt)
        elif kind == "busy":
            self._supervisor.sendall(json.dumps(event).encode() + b"\n")
        elif kind == "failed":
            return fail(event["text"])
        elif kind == "end":
            return 0
        return None

    def _start(self) -> None:
        assert self._host is not None
        leash = Leash()
        in_background(lambda: self._hold(leash))
        try:
            self._host.start(self._connection_file, leash.port, leash.token)
        except NoHost as error:
            self._on_event({"type": "failed", "text": str(error)})

    def _hold(self, leash: Leash) -> None:
        leash.listen(self._hear_host)
        self._on_event({"type": "failed", "text": "Toree has ended in the application's JVM."})

    def _hear_host(self, line: str) -> None:
        if line == "end":
            self._on_event({"type": "end"})
        else:
            self._on_event({"type": "busy", "busy": line == "busy"})


def listen(supervisor: socket.socket, hear: Callable[[Dict[str, Any]], object]) -> None:
    """Pass on what the supervisor says."""
    with supervisor.makefile("rb") as lines:
        for line in lines:
            hear(json.loads(line))


def fail(text: str) -> int:
    """Say on stderr why the kernel ends, whence the supervisor takes its last words."""
    sys.stderr.write(text + "\n")
    return 1


def in_background(task: Callable[[], object]) -> None:
    """Do it on a thread that keeps nobody waiting."""
    threading.Thread(target=task, daemon=True).start()
