"""Which security mechanism a ZeroMQ port speaks, from its greeting (ZMTP 3.0, RFC 23), without ZeroMQ."""

from __future__ import annotations

import asyncio
from typing import Iterable, Set

#: Seconds that a port has for its greeting; its I/O thread answers at once, whatever its kernel does.
GREETING_TIMEOUT_S = 10.0
#: A client's signature and major version. It says no more: libzmq would hang up on another mechanism than its
#: own before it has named that.
OPENING = b"\xff" + bytes(8) + b"\x7f" + b"\x03"
#: The whole greeting, and where in it the mechanism's name is, padded with zeros.
SIZE, BEGIN, END = 64, 12, 32
CURVE = "CURVE"


async def mechanism_of(port: int) -> str:
    """What the socket on this port of loopback speaks: ``NULL``, ``CURVE``, ...; "" without an answer."""
    try:
        return await asyncio.wait_for(_ask(port), GREETING_TIMEOUT_S)
    except (OSError, EOFError, asyncio.TimeoutError):
        return ""


async def _ask(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(OPENING)
        answer = await reader.readexactly(SIZE)
        return answer[BEGIN:END].rstrip(b"\0").decode("ascii", "replace")
    finally:
        writer.transport.abort()


async def mechanisms_of(ports: Iterable[int]) -> Set[str]:
    """What the sockets on these ports speak."""
    return set(await asyncio.gather(*(mechanism_of(port) for port in ports)))
