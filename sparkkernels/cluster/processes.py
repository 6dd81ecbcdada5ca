"""Local applications' processes: found through /proc whatever they did to their group, and ended for sure."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
POLL_S = 0.02


@dataclass(frozen=True)
class ProcessStat:
    """The part of ``/proc/<pid>/stat`` that matters here.

    Attributes
    ----------
    state : str
        One letter; ``Z`` is a zombie.
    parent : int
    session : int
    """

    state: str
    parent: int
    session: int


def parse_stat(text: bytes) -> ProcessStat:
    """Read a line of ``/proc/<pid>/stat``; the command's name in it may hold anything."""
    fields = text.rpartition(b")")[2].split()
    return ProcessStat(fields[0].decode(), int(fields[1]), int(fields[3]))


def members(session: int, marker: str) -> list[int]:
    """Living processes of a session, and those that left it but carry its marker in their environment.

    Parameters
    ----------
    session : int
        Id of the session's leader, which must not have been reaped yet: only then is the number not reused.
    marker : str
        ``NAME=value`` in the environment that all of them inherited.
    """
    wanted = marker.encode()
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = parse_stat((entry / "stat").read_bytes())
            if stat.state == "Z":
                continue
            if stat.session == session or wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except (OSError, ValueError, IndexError):
            continue  # it has ended meanwhile, or is somebody else's
    return [pid for pid in found if pid != os.getpid()]


def signal_all(pids: list[int], signum: int) -> None:
    """Signal each of these that still lives."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)


def end_all(living: Callable[[], list[int]], grace_s: float, limit_s: float = 10.0) -> bool:
    """TERM, then KILL all of these processes.

    Parameters
    ----------
    living : callable
        Looks who is still there.
    grace_s : float
        Seconds between TERM and KILL; 0 kills at once.
    limit_s : float
        Give up after so many seconds of KILL (a process in an uninterruptible system call).

    Returns
    -------
    bool
        Whether nothing is left.
    """
    if grace_s > 0:
        signal_all(living(), signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline:
            if not living():
                return True
            time.sleep(POLL_S)
    deadline = time.monotonic() + limit_s
    while True:
        left = living()
        if not left:
            return True
        if time.monotonic() > deadline:
            return False
        signal_all(left, signal.SIGKILL)
        time.sleep(POLL_S)


def has_exited(pid: int) -> bool:
    """Whether a child of this process has ended; it is not reaped, so its number stays taken."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
