"""Free TCP ports, kept free until the daemons have them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from types import TracebackType

from tests import free_ports
from tests.cluster.harness.errors import HarnessError


class Reservation:
    """Free ports that nobody else is given while this context manager is open.

    The sockets stay bound but never listen: Linux lets a daemon that sets SO_REUSEADDR, as every Java server
    does, bind and listen on the same port, so that there is no moment in which a port belongs to nobody. They
    are chosen below the kernel's ephemeral range: a port from ``bind(0)`` could become the local end of
    somebody's outgoing connection while its daemon is stopped, and the daemon would not come back.

    Parameters
    ----------
    names : iterable of str
        What the ports are for.

    Attributes
    ----------
    ports : dict of str to int
        A port for each name.

    Raises
    ------
    HarnessError
        When there are not enough free ports.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.ports: dict[str, int] = {}
        self._sockets: list[socket.socket] = []
        candidates = free_ports.candidates()
        for name in names:
            self.ports[name] = self._reserve(candidates)

    def _reserve(self, candidates: list[int]) -> int:
        """Bind the next candidate that is free on every address, this machine's other clusters included."""
        while candidates:
            port = candidates.pop()
            if free_ports.is_taken(port):
                continue
            reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._sockets.append(reserved)
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                reserved.bind(("0.0.0.0", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    self.release()
                    raise
            else:
                return port
        self.release()
        raise HarnessError(
            f"There is no free TCP port between {free_ports.LOWEST} and {free_ports.ephemeral_start()}."
        )

    def release(self) -> None:
        """Give the ports up."""
        for reserved in self._sockets:
            reserved.close()
        self._sockets.clear()

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
