"""One daemon of a cluster: a process that can be started, stopped, killed and restarted by itself."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.harness import processes
from tests.cluster.harness.errors import HarnessError
from tests.cluster.harness.layout import Layout
from tests.cluster.harness.processes import Process

STOP_TIMEOUT_S = 10.0
READY_TIMEOUT_S = 90.0

#: What Java and MIT's KDC say when a port is not free.
_TAKEN = ("java.net.BindException", "Address already in use")

_START_LINE = "======== started by the harness"


class PortTaken(HarnessError):
    """Somebody else has a port of this daemon: other ports may help."""


@dataclass(frozen=True)
class Program:
    """What a daemon runs.

    Parameters
    ----------
    command : list of str
        Its command line.
    environment : dict of str to str
        Its whole environment.
    mark : str
        The argument that this daemon has and no other process.
    """

    command: list[str]
    environment: dict[str, str]
    mark: str


class Daemon:
    """A daemon of a cluster, running or not.

    It is found in ``/proc`` by the mark on its command line, so every process that knows the cluster
    can handle it, and the containers of a killed NodeManager live on.

    Parameters
    ----------
    layout : Layout
        The cluster.
    kind : str
        What it is: ``kdc``, ``namenode``, ``datanode``, ``resourcemanager`` or ``nodemanager``.
    place : str
        ``host`` or a worker's name.
    name : str
        What people call it: the kind, with the worker's name or an id where there are several.
    program : Program
        What it runs.
    enter : callable
        Gives the command that runs its arguments in the daemon's place.
    ready : callable
        Says whether the daemon, given to it, serves.
    """

    def __init__(
        self,
        layout: Layout,
        kind: str,
        place: str,
        name: str,
        program: Program,
        enter: Callable[[], list[str]],
        ready: Callable[[Daemon], bool],
    ) -> None:
        self.kind = kind
        self.place = place
        self.name = name
        self._layout = layout
        self._program = program
        self._enter = enter
        self._ready = ready

    @property
    def pid(self) -> int | None:
        """Its process id in this process's pid namespace; None when it does not run."""
        program = self._program.command[0]
        return next((process.pid for process in self._processes() if process.argv[0] == program), None)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return bool(self._processes())

    @property
    def log(self) -> Path:
        """The file with all it ever printed."""
        return self._layout.logs / f"{self.name}.log"

    @property
    def ports(self) -> dict[str, int]:
        """Where it listens, by interface."""
        nodes = {node.name: node.ports for node in self._layout.nodes}
        # A worker's ports are its own; on the host it is the name that tells two of a kind apart.
        on_worker = self.place in nodes
        ports = nodes[self.place] if on_worker else self._layout.ports
        own = self.kind if on_worker else self.name
        return {key: port for key, port in ports.items() if key == own or key.startswith(f"{own}-")}

    def output(self) -> str:
        """Give what it printed since it was last started."""
        try:
            return self.log.read_text(errors="replace").rpartition(_START_LINE)[2]
        except FileNotFoundError:
            return ""

    def launch(self) -> None:
        """Start its process without waiting for anything; nothing happens when it runs already."""
        if self.alive:
            return
        with self.log.open("a") as log:
            log.write(f"{_START_LINE}\n")
        processes.start(
            [*self._enter(), *self._program.command],
            cwd=self._layout.directory,
            env=self._program.environment,
            log=self.log,
        )

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until it serves.

        Parameters
        ----------
        timeout_s : float
            How long.

        Raises
        ------
        PortTaken
            When it ended for want of a port.
        HarnessError
            When it ended otherwise, or takes longer; with the last lines of its log.
        """
        deadline = time.monotonic() + timeout_s
        while not self._ready(self):
            if not self.alive:
                output = self.output()
                kind = PortTaken if any(words in output for words in _TAKEN) else HarnessError
                raise kind(f"The {self.name} ended while it started.\n{tail(output)}")
            if time.monotonic() >= deadline:
                raise HarnessError(
                    f"The {self.name} runs but does not serve after {timeout_s:g} s.\n{tail(self.output())}"
                )
            time.sleep(0.1)

    def start(self) -> None:
        """Start it, and return when it serves: when its peers that run know it again.

        Raises
        ------
        HarnessError
            When it does not come up.
        """
        self.launch()
        self.wait_ready()

    def stop(self) -> None:
        """End it with SIGTERM, and after 10 s with SIGKILL; its ports are free when this returns."""
        running = self._processes()
        pid = self.pid
        for process in running:
            if process.pid == pid:
                process.send(signal.SIGTERM)
        if not processes.wait_gone(running, timeout_s=STOP_TIMEOUT_S):
            self.kill()

    def kill(self) -> None:
        """End it with SIGKILL; its ports are free when this returns."""
        processes.end(self._is_mine)

    def restart(self) -> None:
        """Stop it, start it, and return when it serves."""
        self.stop()
        self.start()

    def _is_mine(self, process: Process) -> bool:
        return self._program.mark in process.argv

    def _processes(self) -> list[Process]:
        """List its process and the commands that started it and wait for it."""
        return processes.find(self._is_mine)


def tail(output: str, lines: int = 20) -> str:
    """Give the last lines of a log that say something: a stack trace's frames would push them out.

    Parameters
    ----------
    output : str
        The log.
    lines : int
        How many to give at most.

    Returns
    -------
    str
        The lines.
    """
    telling = [line for line in output.splitlines() if line.strip() and not line.startswith("\t")]
    return "\n".join(telling[-lines:])
