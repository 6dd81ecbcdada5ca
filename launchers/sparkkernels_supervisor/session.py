"""A session: streams, the connection that carries them now, and the local ends they are spliced to.

Both the relay and the supervisor use it, each on its own event loop; everything here runs on that loop.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Callable, Dict, List, Optional, cast

from .frames import PING, PONG, Decoder, Frame, WireError, encode
from .streams import CONTROL, Closed, Opened, Received, Room, Streams

#: Seconds between two PINGs, and of silence after which a peer counts as cut.
PING_EVERY_S = 10.0
SILENCE_S = 30.0
#: Bytes of one control line at most.
MAX_LINE = 1048576
#: Bytes handed to the transport ahead of the network: what an urgent frame may have to wait for.
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


class Session:
    """The streams between one supervisor and the relay, from one side.

    Parameters
    ----------
    first_id : int
        As in :class:`Streams`.
    on_message : callable
        Called with each control message.
    on_opened : callable
        Called with stream id and channel when the other side opens a stream; returns its local end.
    on_cut : callable
        Called when the connection is gone, with a reason in words; the streams wait for :meth:`attach`.
    """

    def __init__(
        self,
        first_id: int,
        on_message: Callable[[Dict[str, Any]], None],
        on_opened: Callable[[int, str], Optional[End]],
        on_cut: Callable[[str], None],
    ) -> None:
        self._first_id = first_id
        self._on_message = on_message
        self._on_opened = on_opened
        self._on_cut = on_cut
        self.streams = Streams(first_id)
        self.known = False  # whether these streams were ever shared with the other side
        self.connection: Optional[Connection] = None
        self._ends: Dict[int, End] = {}
        self._line = bytearray()
        self._keepalive: Optional[asyncio.TimerHandle] = None
        self._last_ping = 0.0

    # -- the connection ------------------------------------------------------------------------------------

    def attach(self, connection: Connection, table: Optional[Dict[str, Any]]) -> None:
        """Go on over this connection, from the other side's table; None forgets all streams first.

        Raises
        ------
        WireError
            The table can't belong to this session.
        """
        self.detach()
        if table is not None:
            self.streams.resume(table)
        elif self.known:
            self.forget()
        for stream in [stream for stream in self._ends if stream not in self.streams]:
            self._ends.pop(stream).drop()
        self.known = True
        self.connection = connection
        connection.on_frame = self._receive
        connection.on_lost = self._lost
        connection.on_room = self._pump
        self._last_ping = asyncio.get_running_loop().time()
        self._tick()
        self._pump()

    def detach(self) -> None:
        """Let go of the connection without a word, so that no count changes any more."""
        if self.connection is not None:
            old, self.connection = self.connection, None
            old.on_lost = lambda error: None
            old.abort()

    def forget(self) -> None:
        """Drop all streams and their ends; the counts begin anew."""
        ends, self._ends = self._ends, {}
        self.streams = Streams(self._first_id)
        self._line.clear()
        for end in ends.values():
            end.drop()

    def shut(self) -> None:
        """Close the connection after what can be sent is out, and all ends."""
        if self._keepalive is not None:
            self._keepalive.cancel()
            self._keepalive = None
        if self.connection is not None:
            connection, self.connection = self.connection, None
            connection.on_lost = lambda error: None
            connection.close()
        self.forget()

    def _lost(self, error: Optional[Exception]) -> None:
        self.connection = None
        if self._keepalive is not None:
            self._keepalive.cancel()
            self._keepalive = None
        self._on_cut(str(error) if error else "closed by the other side")

    def _tick(self) -> None:
        if self._keepalive is not None:
            self._keepalive.cancel()
        connection = self.connection
        if connection is None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() - connection.last_heard > SILENCE_S:
            connection.abort(WireError("silent for %d s" % SILENCE_S))
            return
        if loop.time() - self._last_ping >= PING_EVERY_S:
            self._last_ping = loop.time()
            connection.write(encode(PING))
            self.streams.announce_all()
            self._pump()
        self._keepalive = loop.call_later(PING_EVERY_S / 2, self._tick)

    # -- frames --------------------------------------------------------------------------------------------

    def _receive(self, frame: Frame) -> None:
        if frame.kind == PING:
            if self.connection is not None:
                self.connection.write(encode(PONG))
            return
        if frame.kind == PONG:
            return
        event = self.streams.receive(frame)
        if isinstance(event, Received):
            self._received(event)
        elif isinstance(event, Opened):
            end = self._on_opened(event.stream, event.channel)
            if end is None:
                self.streams.close(event.stream)
            else:
                self._ends[event.stream] = end
        elif isinstance(event, Closed):
            closing = self._ends.get(event.stream)
            if closing is not None:
                closing.finish()
            else:
                self.delivered(event.stream, 1)
        elif isinstance(event, Room):
            room = self._ends.get(event.stream)
            if room is not None:
                room.resume()
        self._pump()

    def _received(self, event: Received) -> None:
        if event.stream == CONTROL:
            self.streams.consumed(CONTROL, len(event.data))
            for message in self._lines(event.data):
                self._on_message(message)
            return
        end = self._ends.get(event.stream)
        if end is None or end.deliver(event.data):
            self.streams.consumed(event.stream, len(event.data))

    def _lines(self, data: bytes) -> List[Dict[str, Any]]:
        self._line += data
        *lines, rest = self._line.split(b"\n")
        if len(rest) > MAX_LINE or any(len(line) > MAX_LINE for line in lines):
            raise WireError("a control line of more than %d bytes" % MAX_LINE)
        self._line = bytearray(rest)
        messages = []
        for line in lines:
            try:
                message = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise WireError("a control line that is no JSON") from error
            if not isinstance(message, dict) or not isinstance(message.get("type"), str):
                raise WireError("a control message without a type")
            messages.append(message)
        return messages

    def _pump(self) -> None:
        connection = self.connection
        if connection is None:
            return
        while not connection.paused:
            frame = self.streams.next_frame()
            if frame is None:
                return
            batch = [frame]
            size = len(frame)
            while size < AHEAD // 2:
                frame = self.streams.next_frame()
                if frame is None:
                    break
                batch.append(frame)
                size += len(frame)
            connection.write(b"".join(batch))

    # -- what local ends and owners do -----------------------------------------------------------------------

    def send_message(self, message: Dict[str, Any]) -> None:
        """Queue a control message."""
        self.streams.send(CONTROL, json.dumps(message, separators=(",", ":")).encode() + b"\n")
        self._pump()

    def open(self, channel: str, end: End) -> int:
        """Open a stream whose local end is this one."""
        stream = self.streams.open(channel)
        self._ends[stream] = end
        self._pump()
        return stream

    def send(self, stream: int, data: bytes) -> bool:
        """Send what a local end read; False when it must pause."""
        if stream not in self.streams:
            return True
        room = self.streams.send(stream, data)
        self._pump()
        return room

    def delivered(self, stream: int, count: int) -> None:
        """A local end handed these units on."""
        if stream in self.streams:
            self.streams.consumed(stream, count)
            self._pump()

    def ended(self, stream: int, undelivered: int = 0) -> None:
        """A local end is gone: tell the other side, and swallow what still comes."""
        self._ends.pop(stream, None)
        if stream in self.streams:
            self.streams.close(stream)
            self.streams.consumed(stream, undelivered)
            self._pump()


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
