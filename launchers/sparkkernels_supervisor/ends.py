"""The local ends of streams, and the one that is a TCP connection on loopback."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, List, Optional, cast

from .connection import AHEAD

if TYPE_CHECKING:
    from .session import Session


class End:
    """A local end of a stream."""

    def deliver(self, data: bytes) -> bool:
        """Hand bytes on; False when they are only taken into a buffer (the end then reports by itself)."""
        raise NotImplementedError

    def finish(self) -> None:
        """The other side closed: hand on what is left, then close."""
        raise NotImplementedError

    def drop(self) -> None:
        """Close at once; nothing matters any more."""
        raise NotImplementedError

    def pause(self) -> None:
        """Stop reading the source."""

    def resume(self) -> None:
        """Read the source again."""


class SocketEnd(asyncio.Protocol, End):
    """A local TCP connection spliced to a stream; bytes wait here until it is connected.

    Parameters
    ----------
    session : Session
    stream : int
        Set before the first byte; 0 while the stream is not open.
    """

    def __init__(self, session: Session, stream: int = 0) -> None:
        self.session = session
        self.stream = stream
        self._transport: Optional[asyncio.Transport] = None
        self._waiting: List[bytes] = []
        self._finishing = False
        self._dropped = False
        self._stuck = 0  # units taken into the transport's buffer while it is over its limit
        self._paused = False

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=AHEAD)
        if self._dropped:
            self._transport.abort()
            return
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            if self.deliver(data):
                self.session.delivered(self.stream, len(data))
        if self._finishing:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if not self.session.send(self.stream, data):
            self.pause()

    def pause_writing(self) -> None:
        """Called by asyncio."""
        self._paused = True

    def resume_writing(self) -> None:
        """Called by asyncio."""
        self._paused = False
        stuck, self._stuck = self._stuck, 0
        if stuck:
            self.session.delivered(self.stream, stuck)

    def connection_lost(self, error: Optional[Exception]) -> None:
        """Called by asyncio."""
        self._transport = None
        if not self._dropped:
            self._end()

    # the session's side

    def deliver(self, data: bytes) -> bool:
        """Hand bytes on."""
        if self._transport is None:
            self._waiting.append(data)
            return False
        self._transport.write(data)
        if self._paused:
            self._stuck += len(data)
            return False
        return True

    def finish(self) -> None:
        """The other side closed."""
        self._finishing = True
        if self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        """Close at once, without a word to the session."""
        self._dropped = True
        self._waiting.clear()
        if self._transport is not None:
            self._transport.abort()

    @property
    def gone(self) -> bool:
        """Whether this end has ended."""
        return self._dropped

    def fail(self) -> None:
        """There is nobody to connect to: end the stream from here."""
        if self._transport is not None:
            self._transport.abort()
        elif not self._dropped:
            self._end()

    def pause(self) -> None:
        """Stop reading."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _end(self) -> None:
        self._dropped = True
        waiting = sum(len(data) for data in self._waiting)
        self._waiting.clear()
        self.session.ended(self.stream, self._stuck + waiting + (1 if self._finishing else 0))
