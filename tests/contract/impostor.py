"""The supervisor's side of the door, spoken by hand: as a supervisor or an impostor speaks."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

from sparkkernels.relay.hub import Hub
from sparkkernels.relay.link import Link
from sparkkernels_supervisor.frames import (
    CONFIRM,
    HELLO,
    PING,
    PONG,
    PROTOCOL,
    REFUSED,
    WELCOME,
    Decoder,
    Frame,
    decode_json,
    encode,
    encode_json,
)

from .kernels import HANG_S

KERNEL_ID = "00000000-0000-4000-8000-000000000001"


class Dialled:
    """A TLS connection to the relay with frames in and out, as a supervisor or an impostor has it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._decoder = Decoder()
        self._frames: list[Frame] = []

    @classmethod
    async def to(cls, port: int) -> Dialled:
        """Connect to the relay."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context))

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)

    async def read(self) -> Frame | None:
        """The next frame, None when the relay has closed."""
        while not self._frames:
            try:
                data = await asyncio.wait_for(self._reader.read(65536), HANG_S)
            except (ConnectionError, ssl.SSLError):
                return None
            if not data:
                return None
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    async def ask(self, kind: int, **content: Any) -> Frame | None:
        """Send a handshake frame and return the answer."""
        self.write(encode_json(kind, content))
        return await self.read()

    async def is_open(self) -> bool:
        """Whether the relay answers as to a supervisor that was let in."""
        self.write(encode(PING))
        while (frame := await self.read()) is not None:
            if frame.kind == PONG:
                return True
        return False

    def close(self) -> None:
        """Hang up."""
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def port_of(hub: Hub) -> AsyncIterator[int]:
    """The relay's port."""
    yield (await hub.listen("127.0.0.1", 0)).port


def hello(link: Link, **changes: Any) -> dict[str, Any]:
    """A HELLO with the token."""
    content = {
        "protocol": PROTOCOL,
        "kernel_id": link.kernel_id,
        "generation": link.generation,
        "token": link.token,
    }
    return {key: value for key, value in {**content, **changes}.items() if value is not None}


async def refusal(port: int, content: dict[str, Any]) -> str:
    """The reason for which the relay refuses this HELLO."""
    dialled = await Dialled.to(port)
    frame = await dialled.ask(HELLO, **content)
    assert frame is not None and frame.kind == REFUSED
    assert await dialled.read() is None
    dialled.close()
    return str(decode_json(frame.payload)["reason"])


async def claim(port: int, content: dict[str, Any]) -> tuple[Dialled, dict[str, Any]]:
    """Come as far as WELCOME."""
    dialled = await Dialled.to(port)
    frame = await dialled.ask(HELLO, **content)
    assert frame is not None and frame.kind == WELCOME
    return dialled, decode_json(frame.payload)


async def register(port: int, link: Link) -> tuple[Dialled, str]:
    """Register as the supervisor; returns the connection and the session secret."""
    dialled, welcome = await claim(port, hello(link))
    dialled.write(encode_json(CONFIRM, {"resume": None}))
    assert await dialled.is_open()
    assert link.registered and link.connected and link.token_spent
    return dialled, str(welcome["session"])
