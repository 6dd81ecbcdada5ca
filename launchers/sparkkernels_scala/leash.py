"""The connection that the host holds: its end here means the kernel's end there, and the other way round."""

from __future__ import annotations

import hmac
import secrets
import socket
from typing import Callable


class Leash:
    """This side of it: a port on loopback until the host has come, then that connection.

    Attributes
    ----------
    port : int
    token : str
        The host's first line, by which it is known.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.token = secrets.token_hex(16)

    def listen(self, hear: Callable[[str], object]) -> None:
        """Pass on what the host says, line by line; returns when it lets go."""
        while True:
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rb") as lines:
                # Others of this machine can connect too; they get no second try to keep the host waiting.
                connection.settimeout(5.0)
                try:
                    known = hmac.compare_digest(lines.readline(256).strip(), self.token.encode())
                except OSError:
                    known = False
                if not known:
                    continue
                connection.settimeout(None)
                self._listener.close()
                for line in lines:
                    hear(line.decode().strip())
                return
