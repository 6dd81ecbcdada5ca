"""The streams of one session, whatever connection carries them: PROTOCOL.md, section 4.

Pure bookkeeping, no sockets: bytes to send go in with :meth:`Streams.send` and come out as frames; frames
that arrived go in with :meth:`Streams.receive` and come out as events. It outlives connections: after a cut,
:meth:`Streams.resume` takes up each stream at the unit where the other side stopped hearing.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Deque, Dict, Iterator, NamedTuple, Optional, Union

from .frames import ACK, ACKNOWLEDGEMENT, CLOSE, DATA, MAX_PAYLOAD, OPEN, Frame, WireError, encode

#: Units a sender may have on the way unacknowledged.
WINDOW = 1048576
#: Units consumed after which an acknowledgement is due.
ACK_EVERY = WINDOW // 4
#: Unfinished streams of both sides together. Their table fits into one frame, whatever they have counted, and
#: a hostile side can't make the other one remember more.
MAX_STREAMS = 1500
#: The stream that carries control messages.
CONTROL = 0


class Opened(NamedTuple):
    """The other side opened a stream."""

    stream: int
    channel: str


class Received(NamedTuple):
    """Bytes arrived; call :meth:`Streams.consumed` once they are handed on."""

    stream: int
    data: bytes


class Closed(NamedTuple):
    """The other side has no more to send; its last unit is to be consumed like any other."""

    stream: int


class Room(NamedTuple):
    """A stream that was full takes bytes again."""

    stream: int


Event = Union[Opened, Received, Closed, Room]


def units(chunk: bytes) -> int:
    """Units of a chunk: its bytes, and one for the empty chunk that stands for CLOSE."""
    return len(chunk) or 1


class Stream:
    """Both directions of one stream."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.unsent: Deque[bytes] = deque()
        self.unacknowledged: Deque[bytes] = deque()
        self.acknowledged = 0  # units the other side has consumed
        self.sent = 0
        self.queued = 0  # units in all, sent or not
        self.closing = False  # CLOSE is queued or sent
        self.full = False  # somebody waits for Room
        self.received = 0
        self.consumed = 0
        self.announced = 0  # units consumed that the other side was told of
        self.closed = False  # the other side's CLOSE came

    @property
    def finished(self) -> bool:
        """Whether nothing of this stream is still to come or to be told."""
        return (
            self.closing
            and self.acknowledged == self.queued
            and self.closed
            and self.announced == self.received
        )

    def acknowledge(self, count: int) -> None:
        """Forget what the other side has consumed."""
        if not self.acknowledged <= count <= self.sent:
            raise WireError("an acknowledgement of what was never sent")
        while self.acknowledged < count:
            chunk = self.unacknowledged.popleft()
            left = self.acknowledged + units(chunk) - count
            if left > 0:
                self.unacknowledged.appendleft(chunk[-left:])
                self.acknowledged = count
            else:
                self.acknowledged += units(chunk)

    def rewind(self, heard: int) -> None:
        """Queue again what was sent after the unit that the other side heard last."""
        if not self.acknowledged <= heard <= self.sent:
            raise WireError("a table that can't be")
        while self.sent > heard:
            chunk = self.unacknowledged.pop()
            begin = self.sent - units(chunk)
            cut = max(heard - begin, 0)
            if cut:
                self.unacknowledged.append(chunk[:cut])
            self.unsent.appendleft(chunk[cut:])
            self.sent = max(begin, heard)


class Streams:
    """All streams of one session, seen from one side.

    Parameters
    ----------
    first_id : int
        1 at the relay, 2 at the supervisor: the first id of a stream opened here.
    """

    def __init__(self, first_id: int) -> None:
        self._next_id = first_id
        self._highest = 0
        self._streams: Dict[int, Stream] = {CONTROL: Stream("")}
        self._urgent: Deque[bytes] = deque()
        self._turns: Deque[int] = deque()

    def __contains__(self, stream: int) -> bool:
        return stream in self._streams

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._streams))

    @property
    def crowded(self) -> bool:
        """Whether no stream may be opened until one has finished."""
        return len(self._streams) >= MAX_STREAMS

    # -- sending -------------------------------------------------------------------------------------------

    def open(self, channel: str) -> int:
        """Open a stream and return its id."""
        stream, self._next_id = self._next_id, self._next_id + 2
        self._streams[stream] = Stream(channel)
        self._urgent.append(encode(OPEN, stream, channel.encode()))
        return stream

    def send(self, stream: int, data: bytes) -> bool:
        """Queue bytes; False when the stream is full now and :class:`Room` will tell when it is not."""
        out = self._streams[stream]
        if out.closing:
            return True
        for begin in range(0, len(data), MAX_PAYLOAD):
            piece = data[begin : begin + MAX_PAYLOAD]
            if out.unsent and len(out.unsent[-1]) + len(piece) <= MAX_PAYLOAD:
                out.unsent[-1] += piece
            else:
                out.unsent.append(piece)
        out.queued += len(data)
        self._take_turn(stream)
        out.full = out.queued - out.acknowledged >= WINDOW
        return not out.full

    def close(self, stream: int) -> None:
        """Queue the end of what this side sends; later bytes are dropped."""
        out = self._streams.get(stream)
        if out is None or out.closing:
            return
        out.closing = True
        out.unsent.append(b"")
        out.queued += 1
        self._take_turn(stream)

    def next_frame(self) -> Optional[bytes]:
        """The frame to send next, None when there is nothing to send now."""
        if self._urgent:
            return self._urgent.popleft()
        frame = self._frame_of(CONTROL)
        if frame is not None:
            return frame
        for _ in range(len(self._turns)):
            stream = self._turns.popleft()
            frame = self._frame_of(stream)
            if frame is not None:
                if self._streams[stream].unsent:
                    self._turns.append(stream)
                return frame
        return None

    def _frame_of(self, stream: int) -> Optional[bytes]:
        out = self._streams.get(stream)
        if out is None or not out.unsent:
            return None
        chunk = out.unsent[0]
        if out.sent + len(chunk) - out.acknowledged > WINDOW:
            return None  # an ACK brings its turn back
        out.unsent.popleft()
        out.unacknowledged.append(chunk)
        out.sent += units(chunk)
        return encode(DATA, stream, chunk) if chunk else encode(CLOSE, stream)

    def _take_turn(self, stream: int) -> None:
        if stream != CONTROL and stream not in self._turns:
            self._turns.append(stream)

    # -- receiving -----------------------------------------------------------------------------------------

    def receive(self, frame: Frame) -> Optional[Event]:
        """Take a frame that arrived and say what it means.

        Raises
        ------
        WireError
            The frame is out of place.
        """
        if frame.kind == OPEN:
            return self._opened(frame)
        incoming = self._streams.get(frame.stream)
        if incoming is None:
            if frame.kind == ACK and (frame.stream < self._next_id or frame.stream <= self._highest):
                return None  # of a stream that finished meanwhile
            raise WireError("a frame of an unknown stream")
        if frame.kind == ACK:
            incoming.acknowledge(ACKNOWLEDGEMENT.unpack(frame.payload)[0])
            self._forget_if_finished(frame.stream)
            if incoming.unsent:
                self._take_turn(frame.stream)
            if incoming.full and incoming.queued - incoming.acknowledged < WINDOW:
                incoming.full = False
                return Room(frame.stream)
            return None
        if incoming.closed:
            raise WireError("a frame after CLOSE")
        if frame.kind == DATA:
            incoming.received += len(frame.payload)
            if incoming.received - incoming.consumed > WINDOW:
                raise WireError("more than the window allows")
            return Received(frame.stream, frame.payload)
        if frame.kind == CLOSE and frame.stream != CONTROL:
            incoming.received += 1
            incoming.closed = True
            return Closed(frame.stream)
        raise WireError("a frame of kind %d out of place" % frame.kind)

    def _opened(self, frame: Frame) -> Event:
        if frame.stream <= self._highest or frame.stream % 2 == self._next_id % 2:
            raise WireError("a stream opened with a wrong id")
        if self.crowded:
            raise WireError("more than %d streams" % MAX_STREAMS)
        try:
            channel = frame.payload.decode()
        except UnicodeDecodeError as error:
            raise WireError("a channel's name that is no text") from error
        self._highest = frame.stream
        self._streams[frame.stream] = Stream(channel)
        return Opened(frame.stream, channel)

    def consumed(self, stream: int, count: int) -> None:
        """Say that this many received units were handed on."""
        incoming = self._streams.get(stream)
        if incoming is None:
            return
        incoming.consumed += count
        done = incoming.closed and incoming.consumed == incoming.received
        if done or incoming.consumed - incoming.announced >= ACK_EVERY:
            self._announce(stream, incoming)
        self._forget_if_finished(stream)

    def announce_all(self) -> None:
        """Acknowledge whatever was consumed and not yet acknowledged."""
        for stream, incoming in list(self._streams.items()):
            if incoming.consumed > incoming.announced:
                self._announce(stream, incoming)

    def _announce(self, stream: int, incoming: Stream) -> None:
        incoming.announced = incoming.consumed
        self._urgent.append(encode(ACK, stream, ACKNOWLEDGEMENT.pack(incoming.consumed)))

    def _forget_if_finished(self, stream: int) -> None:
        if self._streams[stream].finished:
            del self._streams[stream]

    # -- after a cut ---------------------------------------------------------------------------------------

    def table(self) -> Dict[str, Any]:
        """What this side has received: its part of the handshake."""
        return {
            "highest": self._highest,
            "streams": {str(stream): state.received for stream, state in self._streams.items()},
        }

    def resume(self, table: Dict[str, Any]) -> None:
        """Go on after a cut, from what the other side says that it received.

        Raises
        ------
        WireError
            The table can't belong to this session.
        """
        highest, heard = read_table(table)
        self._urgent.clear()
        self._turns.clear()
        for stream, state in list(self._streams.items()):
            ours = stream != CONTROL and stream % 2 == self._next_id % 2
            if stream in heard:
                state.rewind(heard[stream])
            elif ours and stream > highest:
                state.rewind(0)
                self._urgent.append(encode(OPEN, stream, state.channel.encode()))
            elif stream != CONTROL:
                del self._streams[stream]
                continue
            if state.consumed:
                self._announce(stream, state)
            if state.unsent:
                self._take_turn(stream)


def read_table(table: Dict[str, Any]) -> "tuple[int, Dict[int, int]]":
    """A resume table's highest id and its counts.

    Raises
    ------
    WireError
        It is malformed.
    """
    try:
        highest = int(table["highest"])
        heard = {int(stream): int(count) for stream, count in table["streams"].items()}
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise WireError("a malformed resume table") from error
    if CONTROL not in heard:
        raise WireError("a resume table without the control stream")
    return highest, heard
