"""Finding and ending processes by what they are, not by a number that was written down.

A process of a cluster is recognised by its own command line, environment and working directory, read from
``/proc`` at the moment it is needed. There are no pid files that could be stale, lost or point to a stranger,
so cleaning up works from any process and after any crash.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.harness.errors import HarnessError

#: Environment variable that marks everything the harness starts; its value is the cluster's directory.
MARK = "SPARKKERNELS_TEST_CLUSTER"

#: Nothing the harness starts lives longer than this, whatever happens to the harness.
LIFETIME_S = 4 * 60 * 60


@dataclass(frozen=True)
class Process:
    """A running process, as it was when ``/proc`` was read.

    Parameters
    ----------
    pid : int
        Its id, in the harness's pid namespace.
    start_time : int
        Clock ticks between boot and its start: with the pid, unique for the life of the machine.
    argv : tuple of str
        Its command line.
    environ : bytes
        Its initial environment, NUL-separated; empty when it belongs to somebody else.
    cwd : str
        Its working directory; empty when it belongs to somebody else.
    """

    pid: int
    start_time: int
    argv: tuple[str, ...]
    environ: bytes
    cwd: str

    def has_environment(self, name: str, value: str) -> bool:
        """Tell whether the process was started with this environment variable."""
        return os.fsencode(f"{name}={value}") in self.environ.split(b"\0")

    def has_variable(self, name: str) -> bool:
        """Tell whether the process was started with this environment variable, whatever its value."""
        return any(entry.startswith(os.fsencode(f"{name}=")) for entry in self.environ.split(b"\0"))

    def mentions(self, text: str) -> bool:
        """Tell whether command line, environment or working directory contain a text."""
        return (
            any(text in argument for argument in self.argv)
            or os.fsencode(text) in self.environ
            or text in f"{self.cwd}/"
        )

    def is_running(self) -> bool:
        """Tell whether this very process, not a successor with its pid, still runs."""
        return start_time(self.pid) == self.start_time

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a process that is gone, or whose pid belongs to another by now, gets none."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # The descriptor holds on to one process: once the start time agrees it cannot be another.
            if self.is_running():
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)


def start(command: list[str], *, cwd: Path, env: dict[str, str], log: Path) -> None:
    """Start a process that outlives this one, but not `LIFETIME_S`.

    It gets a session of its own, so that no terminal reaches it, and no parent that would have to reap it.

    Parameters
    ----------
    command : list of str
        What to run.
    cwd : Path
        Where.
    env : dict of str to str
        Its whole environment, the mark included.
    log : Path
        The file its output is appended to.
    """
    with log.open("a") as output:
        subprocess.run(
            ["setsid", "--fork", "timeout", "--signal=KILL", str(LIFETIME_S), *command],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=True,
        )


def start_time(pid: int) -> int | None:
    """Give the start time of a running process in clock ticks since boot.

    Parameters
    ----------
    pid : int
        Its id.

    Returns
    -------
    int or None
        None when there is no such process, or only the zombie of one. Field 22 of proc(5)'s stat; the name
        in field 2 may itself contain spaces and brackets.
    """
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    if not fields or fields[0] in (b"Z", b"X"):
        return None
    return int(fields[19])


def find(wanted: Callable[[Process], bool]) -> list[Process]:
    """List the running processes that a predicate accepts, this one and its ancestors never.

    Parameters
    ----------
    wanted : callable
        Says whether a process is meant.

    Returns
    -------
    list of Process
        In order of their ids.
    """
    excluded = _own_lineage()
    processes = (_observe(int(name)) for name in os.listdir("/proc") if name.isdigit())
    found = [p for p in processes if p is not None and p.pid not in excluded and wanted(p)]
    return sorted(found, key=lambda process: process.pid)


def end(wanted: Callable[[Process], bool], *, timeout_s: float = 15.0) -> None:
    """Kill every process that a predicate accepts, and those they start meanwhile, until none is left.

    Parameters
    ----------
    wanted : callable
        Says whether a process is meant.
    timeout_s : float
        How long to insist.

    Raises
    ------
    HarnessError
        When some are still there after that.
    """
    deadline = time.monotonic() + timeout_s
    while processes := find(wanted):
        for process in processes:
            process.send(signal.SIGKILL)
        if not wait_gone(processes, timeout_s=max(0.0, deadline - time.monotonic())):
            survivors = ", ".join(f"{p.pid} ({' '.join(p.argv)[:80]})" for p in find(wanted))
            raise HarnessError(f"These processes survived SIGKILL for {timeout_s:g} s: {survivors}.")


def wait_gone(processes: Iterable[Process], *, timeout_s: float) -> bool:
    """Wait until none of these processes runs any more.

    Parameters
    ----------
    processes : iterable of Process
        Those to wait for.
    timeout_s : float
        How long.

    Returns
    -------
    bool
        False when the time was not enough.
    """
    deadline = time.monotonic() + timeout_s
    left = list(processes)
    while left := [process for process in left if process.is_running()]:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def _observe(pid: int) -> Process | None:
    """Read one process; None when it is gone, a zombie or a kernel thread."""
    started = start_time(pid)
    command = _read(f"/proc/{pid}/cmdline")
    if started is None or not command:
        return None
    try:
        cwd = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        cwd = ""
    argv = tuple(os.fsdecode(argument) for argument in command.rstrip(b"\0").split(b"\0"))
    return Process(pid, started, argv, _read(f"/proc/{pid}/environ"), cwd)


def _own_lineage() -> set[int]:
    """Give the ids of this process and its ancestors: a shell may stand in the cluster's directory."""
    lineage: set[int] = set()
    pid = os.getpid()
    while pid and pid not in lineage:
        lineage.add(pid)
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        pid = int(fields[1]) if fields else 0
    return lineage


def _read(path: str) -> bytes:
    """Read a file of ``/proc``; empty when the process is gone or somebody else's."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
