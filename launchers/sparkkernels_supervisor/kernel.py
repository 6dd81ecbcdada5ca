"""The kernel process: started in the container, watched, signalled, and told from its output when it dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
from typing import Any, Callable, Dict, List, Optional, Set

from .mechanism import CURVE, mechanisms_of
from .processes import (
    descendants,
    die_with_parent,
    end_orphans,
    listening_ports,
    of_group,
    oom_kills,
    reap_orphans,
    reserve_ports,
    signal_all,
)

#: The second has the ports of JVMs, which bind IPv4 addresses with IPv6 sockets.
TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
#: Bytes of the kernel's own output kept for the message about its end.
TAIL = 4096
#: Seconds between two looks whether a starting kernel has bound its ports.
LOOK_EVERY_S = 0.02
#: Seconds within which a process ends that Linux has killed for want of memory.
OOM_S = 5.0
OUT_OF_MEMORY = "Linux killed the kernel process because memory ran out on its worker."
#: Of a kernel that does not know the keys (ipykernel before 7.3): anybody on its host could talk to it.
UNENCRYPTED = "The kernel ignores the CURVE keys that it was given, and would not encrypt what it says."


class KernelProcess:
    """One kernel process.

    Parameters
    ----------
    number : int
        The launch's number.
    directory : str
        Where its connection file goes.
    on_change : callable
        Called when :attr:`state` changes.
    on_output : callable
        Called with what the process writes to stdout and stderr.

    Attributes
    ----------
    cause : str
        Why it ended, in one sentence; "" when only its exit code and output tell.
    """

    def __init__(
        self,
        number: int,
        directory: str,
        on_change: Callable[["KernelProcess"], None],
        on_output: Callable[[bytes], None],
    ) -> None:
        self.number = number
        self.state = "starting"
        self.text = ""
        self.cause = ""
        self.ports: Dict[str, int] = {}
        self.launcher: Optional[socket.socket] = None
        self._reserved: List[socket.socket] = []
        self._path = os.path.join(directory, "kernel-%d.json" % number)
        self._on_change = on_change
        self._on_output = on_output
        self._process: Optional["subprocess.Popen[bytes]"] = None
        self._tail = b""
        self._encrypted = False
        self._fault = ""
        self._oom_kills = (0, 0)  # how many there were OOM_S ago or earlier, and later
        self._counted_at = 0.0

    @property
    def pid(self) -> Optional[int]:
        """Process id once it was started."""
        return self._process.pid if self._process else None

    @property
    def returncode(self) -> Optional[int]:
        """Exit code, negative for a signal, None while it runs."""
        return self._process.returncode if self._process else None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    def start(self, argv: List[str], env: Dict[str, str], connection: Dict[str, Any]) -> None:
        """Start the process; its state is ``failed`` at once when the command can't be run."""
        self._reserved = reserve_ports(len(CHANNELS))
        self.ports = {channel: held.getsockname()[1] for channel, held in zip(CHANNELS, self._reserved)}
        self._oom_kills = (oom_kills(),) * 2
        self._counted_at = time.monotonic()
        content = dict(connection, ip="127.0.0.1", transport="tcp")
        content.update({"%s_port" % channel: port for channel, port in self.ports.items()})
        self._encrypted = "curve_publickey" in connection
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file)
        command = [argument.replace("{connection_file}", self._path) for argument in argv]
        self.launcher, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                command,
                env=dict(env, SPARKKERNELS_FD=str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                preexec_fn=die_with_parent,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self.launcher.close()
            self.launcher = None
            os.unlink(self._path)
            why = getattr(error, "strerror", None) or error
            self._change("failed", "The kernel's command %r could not be started: %s." % (command[0], why))
            return
        finally:
            theirs.close()
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._process.stdout.fileno(), self._read)
        loop.call_later(LOOK_EVERY_S, self._look)
        self._on_change(self)

    def signal(self, signum: int) -> None:
        """Signal the process and what runs below it; a group of its own down there is only killed.

        So do Jupyter's local kernels: who starts a terminal or a daemon passes on what is for it.
        """
        if self._process is not None and self.check():
            pid = self._process.pid
            below = descendants(pid)
            if signum != signal.SIGKILL:
                below = of_group(os.getpgid(pid), below)
            signal_all([pid] + below, signum)

    def check(self) -> bool:
        """Whether it lives; notices its end. Called at SIGCHLD."""
        if not self.alive or self._process is None:
            return False
        if self._process.poll() is None:
            self._count_oom_kills()
            reap_orphans(self._process.pid)
            return True
        if self._process.returncode == -signal.SIGKILL and oom_kills() > self._oom_kills[0]:
            self.cause = OUT_OF_MEMORY
        self._read()
        end_orphans()
        self._close()
        if self._fault:
            self._change("failed", self._fault)
        else:
            self._change("exited", self._tail.decode(errors="replace").strip())
        return False

    def _count_oom_kills(self) -> None:
        """Others may have been killed in earlier weeks, and whoever is killed lives on for a moment."""
        now = time.monotonic()
        if now - self._counted_at > OOM_S:
            self._oom_kills = (self._oom_kills[1], oom_kills())
            self._counted_at = now

    async def kill(self) -> None:
        """SIGKILL it and wait for its end."""
        while self.check():
            self.signal(signal.SIGKILL)
            await asyncio.sleep(0.01)

    def _look(self) -> None:
        if self.state != "starting" or not self.check():
            return
        if not set(self.ports.values()) <= _bound():
            asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)
        elif self._encrypted:
            asyncio.get_running_loop().create_task(self._look_closer())
        else:
            self._change("running", "")

    async def _look_closer(self) -> None:
        spoken = await mechanisms_of(self.ports.values())
        if self.state != "starting" or not self.check():
            return
        if spoken == {CURVE}:
            self._change("running", "")
        elif "" in spoken:
            self._look()
        else:
            self._fault = UNENCRYPTED
            await self.kill()

    def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        if self._process.stdout.closed:
            return
        descriptor = self._process.stdout.fileno()
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(descriptor)
            return
        self._tail = (self._tail + data)[-TAIL:]
        self._on_output(data)

    def _close(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        if not self._process.stdout.closed:
            asyncio.get_running_loop().remove_reader(self._process.stdout.fileno())
            self._process.stdout.close()
        if os.path.exists(self._path):
            os.unlink(self._path)

    def _change(self, state: str, text: str) -> None:
        while self._reserved:
            self._reserved.pop().close()  # the kernel has them now, or will never have them
        self.state = state
        self.text = text
        self._on_change(self)


def _bound() -> Set[int]:
    ports: Set[int] = set()
    for table in filter(os.path.exists, TABLES):
        with open(table) as file:
            ports |= listening_ports(file.read())
    return ports
