"""The stable local ends: one port for each kernel channel on 127.0.0.1, for peers of our own uid only."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable

from sparkkernels_supervisor.ends import SocketEnd
from sparkkernels_supervisor.session import Session

from .peers import uid_of_peer

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
log = logging.getLogger("sparkkernels.relay")
#: Seconds that a reader of output may stand still.
STILL_S = 30.0


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


class ClientEnd(SocketEnd):
    """One local client's connection to one channel.

    One that has asked for output and takes none for ``STILL_S`` is disconnected, as the kernel waits for its
    slowest reader; a client that lives connects anew by itself.
    """

    def __init__(self, session: Session, channel: str) -> None:
        super().__init__(session)
        self._channel = channel
        self._refused = False
        self._still: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open a stream for a client of our own uid, refuse any other."""
        own, peer = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        uid = uid_of_peer(own, peer) if own and peer else None
        if uid != os.getuid():
            if uid is not None:
                log.warning(
                    "Refused a connection of uid %s to the %s channel of a kernel.", uid, self._channel
                )
            self._refused = True
            transport.abort()  # type: ignore[attr-defined]
            return
        if self.session.streams.crowded:
            log.warning("Refused one more client of a kernel: it has as many as one connection carries.")
            self._refused = True
            transport.abort()  # type: ignore[attr-defined]
            return
        self.stream = self.session.open(self._channel, self)
        super().connection_made(transport)

    def pause_writing(self) -> None:
        """Called by asyncio."""
        super().pause_writing()
        if self._channel == "iopub":
            self._still = asyncio.get_running_loop().call_later(STILL_S, self._stands_still)

    def resume_writing(self) -> None:
        """Called by asyncio."""
        super().resume_writing()
        self._moves()

    def _moves(self) -> None:
        if self._still is not None:
            self._still.cancel()
            self._still = None

    def _stands_still(self) -> None:
        log.warning("Disconnected a client that took none of a kernel's output for %g s.", STILL_S)
        self.fail()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio."""
        self._moves()
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
