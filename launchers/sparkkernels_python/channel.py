"""The socket between this kernel process and its supervisor (launchers/PROTOCOL.md, section 6)."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any, Dict, Iterator


class Channel:
    """Sends and receives JSON objects, one a line.

    Parameters
    ----------
    connection : socket.socket
        Connected to the supervisor.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    @classmethod
    def inherit(cls, descriptor: int) -> Channel:
        """Take over the socket with this number, which the supervisor left open for us and nobody else."""
        connection = socket.socket(fileno=descriptor)
        connection.set_inheritable(False)
        connection.setblocking(True)
        return cls(connection)

    def send(self, **message: Any) -> None:
        """Send one message; nothing happens when the supervisor is gone, which ends this process anyway."""
        line = json.dumps(message).encode() + b"\n"
        try:
            with self._lock:
                self._connection.sendall(line)
        except OSError:
            return

    def messages(self) -> Iterator[Dict[str, Any]]:
        """Yield messages as they come, until the supervisor is gone."""
        with self._connection.makefile("rb") as lines:
            while True:
                try:
                    line = lines.readline()
                except OSError:
                    return
                if not line.endswith(b"\n"):
                    return
                yield json.loads(line)
