"""What the container's environment says, and its output on the way to the relay."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from typing import BinaryIO, Dict, Mapping, Optional

from .ends import End
from .room import make_room
from .session import Session

#: Seconds between two looks at the container's files, and bytes read from one at a time.
LOOK_EVERY_S = 0.5
READ_AT_ONCE = 65536
#: Bytes of the kernel's own output kept in a file before it is begun anew; one older file is kept.
KERNEL_LOG_LIMIT = 8388608


def describe(environ: Mapping[str, str]) -> Dict[str, object]:
    """Where this supervisor runs: the first part of a ``state`` message."""
    return {
        "host": environ.get("NM_HOST") or socket.gethostname(),
        "pid": os.getpid(),
        "container_id": environ.get("CONTAINER_ID", ""),
        "python": "%d.%d.%d" % sys.version_info[:3],
    }


def log_directory(environ: Mapping[str, str]) -> Optional[str]:
    """Where YARN (or the local backend) keeps this container's output."""
    first = environ.get("LOG_DIRS", environ.get("SPARKKERNELS_DIRECTORY", "")).split(",")[0]
    return first if first and os.path.isdir(first) else None


class Output(End):
    """The container's output, sent live on a stream of its own; waits when the relay is behind or away.

    Parameters
    ----------
    directory : str or None
        Where ``stdout`` and ``stderr`` of the container are, and ``kernel.log`` is written.
    """

    def __init__(self, directory: Optional[str]) -> None:
        self._directory = directory
        self._session: Optional[Session] = None
        self._stream = 0
        self._room = False
        self._offsets = dict.fromkeys(("stderr", "stdout", "kernel.log"), 0) if directory else {}
        self._kernel_log: Optional[BinaryIO] = None

    def start(self, session: Session) -> None:
        """Open the stream; called anew whenever the session's streams began anew."""
        self._session = session
        self._room = True
        self._stream = session.open("log", self)

    def write_kernel(self, data: bytes) -> None:
        """Take what the kernel process wrote: into a file of the container, or straight on without one."""
        if self._directory is None:
            self._send(data)
            return
        path = os.path.join(self._directory, "kernel.log")
        try:
            if self._kernel_log is None:
                self._kernel_log = open(path, "ab")
            elif self._kernel_log.tell() > KERNEL_LOG_LIMIT:
                self.look()
                self._kernel_log.close()
                os.replace(path, path + ".1")
                self._kernel_log = open(path, "ab")
                self._offsets["kernel.log"] = 0
            self._kernel_log.write(data)
            self._kernel_log.flush()
        except OSError:
            self._send(data)  # a full disk must not take the kernel's last words away

    def last_words(self, text: str) -> None:
        """Write to the container's stderr, where YARN looks for the reason of an end.

        Nothing is raised: a disk may be full, or the JVM gone that read the pipe, and the end goes on.
        """
        line = ("sparkkernels: %s\n" % text).encode()
        with contextlib.suppress(OSError):
            os.write(2, line)
        if self._directory is not None:
            path = os.path.join(self._directory, "stderr")
            with contextlib.suppress(OSError):
                if not os.path.exists(path) or not os.path.samestat(os.stat(path), os.fstat(2)):
                    with open(path, "ab") as file:
                        file.write(line)

    async def follow(self) -> None:
        """Send what is new in the container's files, for ever, and keep those small that nobody rolls."""
        while True:
            self.look()
            self._make_room()
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Send what is new in the container's files, as far as there is room."""
        for name, offset in list(self._offsets.items()):
            if self._session is None or not self._room or self._directory is None:
                return
            try:
                with open(os.path.join(self._directory, name), "rb") as file:
                    file.seek(offset)
                    data = file.read(READ_AT_ONCE)
            except OSError:
                continue  # not there (yet)
            if data:
                self._offsets[name] = offset + len(data)
                self._send(data)

    def _make_room(self) -> None:
        for name in ("stderr", "stdout") if self._directory is not None else ():
            try:
                first = make_room(os.path.join(self._directory or "", name))
            except OSError:
                continue  # not there (yet), or somebody else's
            self._offsets[name] = max(self._offsets[name], first)

    def _send(self, data: bytes) -> None:
        if self._session is not None and self._room:
            self._room = self._session.send(self._stream, data)

    # the session's side

    def deliver(self, data: bytes) -> bool:
        """The relay has nothing to say on this stream."""
        return True

    def finish(self) -> None:
        """The relay wants no more."""
        self._room = False
        if self._session is not None:
            self._session.ended(self._stream, 1)

    def drop(self) -> None:
        """The stream is gone; :meth:`start` opens another."""
        self._session = None

    def resume(self) -> None:
        """There is room again."""
        self._room = True
