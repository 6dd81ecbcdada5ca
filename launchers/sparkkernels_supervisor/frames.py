"""Frames on the wire: PROTOCOL.md, section 2."""

from __future__ import annotations

import json
import struct
from typing import Any, Dict, Iterator, NamedTuple

PROTOCOL = 1
HEADER = struct.Struct(">IBI")
ACKNOWLEDGEMENT = struct.Struct(">Q")
#: Bytes of payload in one frame at most.
MAX_PAYLOAD = 65536
#: Bytes of the JSON in a HELLO at most: all that a stranger may send.
MAX_HELLO = 4096

HELLO, WELCOME, CONFIRM, REFUSED, PING, PONG, OPEN, DATA, CLOSE, ACK = range(1, 11)
#: Exact size of the payload of the kinds that have one.
FIXED_SIZES = {PING: 0, PONG: 0, CLOSE: 0, ACK: ACKNOWLEDGEMENT.size}
#: Kinds that belong to the connection, not to a stream.
CONNECTION_KINDS = frozenset({HELLO, WELCOME, CONFIRM, REFUSED, PING, PONG})


class WireError(Exception):
    """The other side did not keep to the protocol; the connection is of no more use."""


class Frame(NamedTuple):
    """One frame as it came."""

    kind: int
    stream: int
    payload: bytes


def encode(kind: int, stream: int = 0, payload: bytes = b"") -> bytes:
    """One frame's bytes."""
    return HEADER.pack(len(payload) + 5, kind, stream) + payload


def encode_json(kind: int, content: Dict[str, Any]) -> bytes:
    """A handshake frame's bytes."""
    return encode(kind, 0, json.dumps(content, separators=(",", ":")).encode())


def decode_json(payload: bytes) -> Dict[str, Any]:
    """A handshake frame's content.

    Raises
    ------
    WireError
        It is no JSON object.
    """
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise WireError("a handshake frame holds no JSON") from error
    if not isinstance(content, dict):
        raise WireError("a handshake frame holds no JSON object")
    return content


class Decoder:
    """Cuts a stream of bytes into frames.

    Parameters
    ----------
    limit : int
        Bytes of payload at most; small until the peer is known.
    """

    def __init__(self, limit: int = MAX_PAYLOAD) -> None:
        self.limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete with these bytes.

        Raises
        ------
        WireError
            A frame of unknown kind or wrong size; raised before its payload is kept.
        """
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= HEADER.size:
                size, kind, stream = HEADER.unpack_from(self._buffer, start)
                length = size - 5
                check_header(kind, stream, length, self.limit)
                if len(self._buffer) - start < HEADER.size + length:
                    return
                begin = start + HEADER.size
                payload = bytes(memoryview(self._buffer)[begin : begin + length])
                start = begin + length
                yield Frame(kind, stream, payload)
        finally:
            del self._buffer[:start]


def check_header(kind: int, stream: int, length: int, limit: int) -> None:
    """Refuse a frame by its header alone.

    Raises
    ------
    WireError
        The kind is unknown or the size does not fit it.
    """
    if not HELLO <= kind <= ACK:
        raise WireError("a frame of unknown kind %d" % kind)
    if not 0 <= length <= limit or (kind == HELLO and length > MAX_HELLO):
        raise WireError("a frame of impossible size")
    if kind in FIXED_SIZES and length != FIXED_SIZES[kind]:
        raise WireError("a frame of kind %d with %d bytes" % (kind, length))
    if kind in CONNECTION_KINDS and stream:
        raise WireError("a connection's frame on stream %d" % stream)
    if kind == DATA and not length:
        raise WireError("a DATA frame without data")
