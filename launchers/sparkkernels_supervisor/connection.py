"""One TLS connection as frames: PROTOCOL.md, section 2. Used by both sides, each on its own event loop."""

from __future__ import annotations

import asyncio
from typing import Callable, Optional, cast

from .frames import Decoder, Frame, WireError

#: Bytes handed to a transport ahead of the network: what an urgent frame may have to wait for.
AHEAD = 131072


class Connection(asyncio.Protocol):
    """One TLS connection: frames in to :attr:`on_frame`, frames out with :meth:`write`.

    Parameters
    ----------
    on_frame : callable
        Called with each frame; whoever conducts the handshake replaces it as it goes on.
    on_lost : callable
        Called once when the connection is gone, with the reason or None.
    limit : int
        Bytes of payload accepted at first.
    """

    def __init__(
        self,
        on_frame: Callable[[Frame], None],
        on_lost: Callable[[Optional[Exception]], None],
        limit: int,
    ) -> None:
        self.on_frame = on_frame
        self.on_lost = on_lost
        self.on_room: Callable[[], None] = lambda: None
        self.decoder = Decoder(limit)
        self.paused = False
        self.transport: Optional[asyncio.Transport] = None
        self.last_heard = 0.0
        self._error: Optional[Exception] = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=AHEAD)
        self.last_heard = asyncio.get_running_loop().time()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self.last_heard = asyncio.get_running_loop().time()
        try:
            for frame in self.decoder.feed(data):
                if self.transport is None or self.transport.is_closing():
                    return
                self.on_frame(frame)
        except WireError as error:
            self.abort(error)

    def pause_writing(self) -> None:
        """Called by asyncio."""
        self.paused = True

    def resume_writing(self) -> None:
        """Called by asyncio."""
        self.paused = False
        self.on_room()

    def connection_lost(self, error: Optional[Exception]) -> None:
        """Called by asyncio."""
        self.transport = None
        self.on_lost(self._error or error)

    def write(self, data: bytes) -> None:
        """Send bytes of whole frames."""
        if self.transport is not None:
            self.transport.write(data)

    def close(self) -> None:
        """Close after what was written is out."""
        if self.transport is not None:
            self.transport.close()

    def abort(self, error: Optional[Exception] = None) -> None:
        """Close at once."""
        self._error = self._error or error
        if self.transport is not None:
            self.transport.abort()
