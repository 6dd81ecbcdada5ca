"""What the supervisor asks of Linux: children that die with it, their descendants, their ports."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from typing import Dict, Iterable, List, Set

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LISTEN = "0A"
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Ask the kernel to SIGKILL this process when the thread that forked it ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of whatever outlives its parent below this process, so that it can be ended."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_orphans(spared: int) -> None:
    """Reap the adopted that have ended, so that they don't pile up as zombies; not this child of our own."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == spared:
            return
        os.waitpid(ended.si_pid, 0)


def end_orphans() -> None:
    """SIGKILL and reap all that runs below this process; for when the one child that matters has ended."""
    below = descendants(os.getpid())
    signal_all(below, signal.SIGKILL)
    for pid in below:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            continue  # a grandchild: reaped by its parent, or ours in the next round


def descendants(pid: int) -> List[int]:
    """The processes below this one, children before grandchildren."""
    children: Dict[int, List[int]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % entry, "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # it ended meanwhile
        children.setdefault(parent, []).append(int(entry))
    found: List[int] = []
    queue = [pid]
    while queue:
        below = children.get(queue.pop(0), [])
        found += below
        queue += below
    return found


def of_group(group: int, pids: Iterable[int]) -> List[int]:
    """Those of these processes that are in this process group."""
    found = []
    for pid in pids:
        try:
            if os.getpgid(pid) == group:
                found.append(pid)
        except ProcessLookupError:
            continue  # it ended meanwhile
    return found


def signal_all(pids: Iterable[int], signum: int) -> None:
    """Signal each of these that still lives."""
    for pid in pids:
        try:
            os.kill(pid, signum)
        except (ProcessLookupError, PermissionError):
            continue  # it ended meanwhile, or is somebody else's by now


def reserve_ports(count: int) -> List[socket.socket]:
    """Sockets that hold free ports of 127.0.0.1 until they are closed.

    They never listen. Linux lets another socket bind and listen on the port of such a one if both set
    SO_REUSEADDR, as ZeroMQ does, but gives it to no outgoing connection and no bind to port 0; on a busy
    worker one of these would take a port that nobody holds before a kernel has come so far.
    """
    reserved: List[socket.socket] = []
    for _ in range(count):
        bound = socket.socket()
        reserved.append(bound)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
    return reserved


def listening_ports(table: str) -> Set[int]:
    """Ports that somebody listens on, from the text of ``/proc/net/tcp`` or ``tcp6``."""
    rows = (line.split(None, 4) for line in table.splitlines()[1:])
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == LISTEN}


def oom_kills() -> int:
    """How many processes Linux has killed on this host because memory ran out; 0 where it does not say."""
    try:
        with open("/proc/vmstat") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)
    except (OSError, ValueError):
        return 0


def processor_s(pid: int) -> float:
    """Processor time that a process has used, in seconds; 0 when it has ended."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


def resident_kib(pid: int) -> int:
    """Resident memory of a process in KiB, 0 when it has ended."""
    try:
        with open("/proc/%d/statm" % pid, "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    except (OSError, ValueError):
        return 0
