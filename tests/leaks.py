"""What a test must not leave behind: processes, files, threads of ours and sockets."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
import time
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path

import psutil

from sparkkernels.blocking import SPARE

#: In the environment of all that a test starts; Spark's prefix lets it pass the backends' whitelist.
MARK = "SPARK_TEST_MARK"


class Leaks:
    """Looks for what was not there when it was made.

    Parameters
    ----------
    directory : Path
        The test's own; everything of it lives below.

    Attributes
    ----------
    environment : dict of str to str
        To be set for all that the test starts: nothing of the person's own Jupyter is read or written.
    runtime, temporary : Path
        Jupyter's runtime directory and the one for temporary files; both must be empty in the end.
    excused : list of str
        Patterns of file names that may stay in these (``Path.match``).
    services : set of int
        Ports of services to which connections may be kept for the next question.
    """

    def __init__(self, directory: Path) -> None:
        self.runtime = directory / "runtime"
        self.temporary = directory / "temporary"
        for path in (self.runtime, self.temporary, directory / "data", directory / "config"):
            path.mkdir(mode=0o700, parents=True)
        self.excused: list[str] = []
        self.services: set[int] = set()
        self._mark = uuid.uuid4().hex
        self.environment = {
            MARK: self._mark,
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "JUPYTER_DATA_DIR": str(directory / "data"),
            "JUPYTER_PATH": str(directory / "data"),
            "JUPYTER_CONFIG_DIR": str(directory / "config"),
            "IPYTHONDIR": str(directory / "ipython"),
            "TMPDIR": str(self.temporary),
        }
        self._threads = set(threading.enumerate())
        self._sockets = inet_sockets()

    def processes(self) -> list[int]:
        """Living processes that carry this test's mark in their environment."""
        wanted = f"{MARK}={self._mark}".encode()
        found = []
        for pid in psutil.pids():
            with contextlib.suppress(OSError):
                if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    found.append(pid)
        return found

    def found(self) -> list[str]:
        """Everything that is left now, in words."""
        left = [f"process {pid}: {command_line(pid)}" for pid in self.processes()]
        for root in (self.runtime, self.temporary):
            left += [
                f"file {path}"
                for path in sorted(root.rglob("*"))
                if path != self.runtime / "sparkkernels" and not any(map(path.match, self.excused))
            ]
        left += [
            f"thread {thread.name}"
            for thread in threading.enumerate()
            if thread not in self._threads
            and thread.name.startswith("sparkkernels")
            and thread.name != SPARE  # it goes by itself when it has had nothing to do for a while
        ]
        left += [f"socket {text}" for text in inet_sockets(self.services) - self._sockets]
        return left

    def end(self, timeout_s: float = 10.0) -> list[str]:
        """What is still left after this many seconds; processes among it are killed."""
        deadline = time.monotonic() + timeout_s
        while left := self.found():
            if time.monotonic() > deadline:
                break
            gc.collect()
            time.sleep(0.05)
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left


def inet_sockets(services: Collection[int] = ()) -> set[str]:
    """TCP sockets that this process has open, in words; those to services on these ports left out."""
    return {
        f"{found.laddr} {found.raddr or ''}"  # not its status, which the other end may change
        for found in psutil.Process().net_connections("tcp")
        if found.laddr and not (found.raddr and found.raddr.port in services)
    }


def command_line(pid: int) -> str:
    """A process's command line, "" when it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


@contextlib.contextmanager
def nothing_left(directory: Path) -> Iterator[Leaks]:
    """Fail when something is left at the end; what failed before is not hidden by it."""
    leaks = Leaks(directory)
    try:
        yield leaks
    except BaseException:
        leaks.end(timeout_s=0)
        raise
    left = leaks.end()
    assert not left, "left behind:\n" + "\n".join(left)
