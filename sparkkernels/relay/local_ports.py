"""The stable local ends: one port for each kernel channel on 127.0.0.1, for peers of our own uid only."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

from sparkkernels_supervisor.session import Session, SocketEnd

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
log = logging.getLogger("sparkkernels.relay")


def bind_ports() -> dict[str, socket.socket]:
    """Bind a free port of 127.0.0.1 for every channel; they are kept for the kernel's whole life."""
    sockets: dict[str, socket.socket] = {}
    try:
        for channel in CHANNELS:
            sockets[channel] = socket.create_server(("127.0.0.1", 0), backlog=128)
    except BaseException:
        for bound in sockets.values():
            bound.close()
        raise
    return sockets


def peer_uid(table: str, local_port: int, peer_port: int) -> int | None:
    """The uid that owns the other end of a loopback connection.

    Parameters
    ----------
    table : str
        Text of ``/proc/net/tcp``.
    local_port, peer_port : int
        Our end and theirs.

    Returns
    -------
    int or None
        None when the table does not hold it (the peer has gone already).
    """
    theirs, ours = f":{peer_port:04X}", f":{local_port:04X}"
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(theirs) and fields[2].endswith(ours):
            return int(fields[7])
    return None


class ClientEnd(SocketEnd):
    """One local client's connection to one channel."""

    def __init__(self, session: Session, channel: str) -> None:
        super().__init__(session)
        self._channel = channel
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open a stream for a client of our own uid, refuse any other."""
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        uid = peer_uid(Path("/proc/net/tcp").read_text(), own[1], peer[1]) if peer else None
        if uid != os.getuid():
            if uid is not None:
                log.warning(
                    "Refused a connection of uid %s to the %s channel of a kernel.", uid, self._channel
                )
            self._refused = True
            transport.abort()  # type: ignore[attr-defined]
            return
        self.stream = self.session.open(self._channel, self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio."""
        if not self._refused:
            super().connection_lost(error)


async def serve_ports(
    sockets: dict[str, socket.socket], session: Callable[[], Session]
) -> list[asyncio.Server]:
    """Accept local clients on these sockets; each is spliced to the session of that moment."""
    loop = asyncio.get_running_loop()
    return [
        await loop.create_server(lambda channel=channel: ClientEnd(session(), channel), sock=bound)  # type: ignore[misc]
        for channel, bound in sockets.items()
    ]
