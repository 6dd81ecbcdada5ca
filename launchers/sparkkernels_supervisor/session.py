"""A session: streams, the connection that carries them now, and the local ends they are spliced to.

Both the relay and the supervisor use it, each on its own event loop; everything here runs on that loop.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Callable, Dict, List, Optional

from .connection import AHEAD, Connection
from .ends import End
from .frames import PING, PONG, Frame, WireError, encode
from .streams import CONTROL, Closed, Opened, Received, Room, Streams

#: Seconds between two PINGs, and of silence after which a peer counts as cut.
PING_EVERY_S = 10.0
SILENCE_S = 30.0
#: Bytes of one control line at most.
MAX_LINE = 1048576


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
        self.silent_s = 0.0  # for how long before its end nothing was heard on the last lost connection
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
        if self.connection is not None:
            self.silent_s = asyncio.get_running_loop().time() - self.connection.last_heard
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
            # whoever does not read what we say has no use for more of it
            if self.connection is not None and not self.connection.paused:
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
