"""What is fuzzed: a whole side of the protocol, from the bytes of a connection to its local ends.

Nothing but :class:`WireError` may come out of it, and that ends the connection; whatever it says is
well-formed; and it keeps no more than the windows allow.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from sparkkernels.relay.link import Container, ContextStatus, KernelStatus, read_status
from sparkkernels_supervisor.connection import Connection
from sparkkernels_supervisor.ends import End
from sparkkernels_supervisor.frames import HEADER, MAX_HELLO, MAX_PAYLOAD, Decoder, WireError, decode_json
from sparkkernels_supervisor.session import MAX_LINE, Session
from sparkkernels_supervisor.streams import MAX_STREAMS, WINDOW, Streams


class Sink(End):
    """A local end that reads, or stands still when its stream's id says so."""

    def __init__(self, reads: bool) -> None:
        self._reads = reads

    def deliver(self, data: bytes) -> bool:
        """Take it."""
        return self._reads

    def finish(self) -> None:
        """No more comes."""

    def drop(self) -> None:
        """Nothing is held here."""


class Wire(asyncio.Transport):
    """A transport that checks what is written."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._decoder = Decoder()
        self._closing = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def write(self, data: Any) -> None:
        """Every byte belongs to a frame that the other side would take."""
        for _ in self._decoder.feed(bytes(data)):
            pass

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._closing

    def close(self) -> None:
        """Close."""
        self.abort()

    def abort(self) -> None:
        """Close at once."""
        if not self._closing:
            self._closing = True
            self._connection.connection_lost(None)


class Fuzzed:
    """The target; made once, called with each input.

    The first byte chooses the side, the second how the rest is cut into pieces. One of eight inputs is a
    handshake's JSON instead.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def __call__(self, data: bytes) -> None:
        """Try one input."""
        if len(data) < 2:
            return
        side, cut, rest = data[0], data[1], data[2:]
        if side % 8 == 7:
            handshake(rest)
        else:
            self._loop.run_until_complete(frames(1 + side % 2, 1 + cut * cut, rest))

    def close(self) -> None:
        """Leave nothing."""
        self._loop.close()


async def frames(first_id: int, piece: int, data: bytes) -> None:
    """The bytes of a connection after its handshake, in pieces."""
    session = Session(
        first_id,
        believe,
        lambda stream, channel: Sink(stream % 4 < 2) if channel else None,
        lambda reason: None,
    )
    session.open("shell", Sink(True))
    session.send_message({"type": "launch"})
    connection = Connection(lambda frame: None, lambda error: None, MAX_PAYLOAD)
    connection.connection_made(Wire(connection))
    session.attach(connection, None)
    for begin in range(0, len(data), piece):
        connection.data_received(data[begin : begin + piece])
        if connection.transport is None:
            break
        assert len(connection.decoder._buffer) <= HEADER.size + MAX_PAYLOAD
        assert len(session._line) <= MAX_LINE
    check(session.streams)
    session.shut()


def believe(message: dict[str, Any]) -> None:
    """What the relay makes of a status."""
    read_status(KernelStatus, message)
    read_status(ContextStatus, message)
    read_status(Container, message)


def check(streams: Streams) -> None:
    """The promises of section 4, and that the table is one that the other side can read."""
    assert len(list(streams)) <= MAX_STREAMS
    for stream in streams:
        state = streams._streams[stream]
        assert 0 <= state.announced <= state.consumed <= state.received
        assert state.acknowledged <= state.sent <= state.queued
        assert state.received - state.consumed <= WINDOW + 1
    table = json.loads(json.dumps(streams.table()))
    assert len(json.dumps(table)) < MAX_PAYLOAD


def handshake(data: bytes) -> None:
    """A HELLO or a resume table."""
    try:
        content = decode_json(data[:MAX_HELLO])
    except WireError:
        return
    streams = Streams(1)
    stream = streams.open("shell")
    streams.send(stream, b"x" * 100)
    while streams.next_frame():
        continue
    try:
        streams.resume(content)
    except WireError:
        return
    check(streams)
