"""The relay's door: a TLS port, and the handshake that decides who comes in (PROTOCOL.md, section 3)."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Mapping

from sparkkernels_supervisor.frames import (
    CONFIRM,
    HELLO,
    MAX_HELLO,
    MAX_PAYLOAD,
    PROTOCOL,
    REFUSED,
    WELCOME,
    Frame,
    WireError,
    decode_json,
    encode_json,
)
from sparkkernels_supervisor.session import Connection

from .link import Link

log = logging.getLogger("sparkkernels.relay")
#: Strangers at a time, and seconds each has for TLS and for HELLO.
MAX_STRANGERS = 64
STRANGER_TIMEOUT_S = 10.0

REFUSALS = {
    "protocol": "This relay speaks another version of the protocol.",
    "unknown": "This relay has no such kernel.",
    "spent": "This token was used already.",
    "superseded": "A newer launch of this kernel exists.",
    "busy": "Too many connections are waiting.",
}


class Door:
    """One listening TLS port.

    Parameters
    ----------
    listening : socket.socket
    tls : ssl.SSLContext
    links : mapping of str to Link
        Live view of the links by kernel id.
    """

    def __init__(self, listening: socket.socket, tls: ssl.SSLContext, links: Mapping[str, Link]) -> None:
        self.port: int = listening.getsockname()[1]
        self._listening = listening
        self._tls = tls
        self._links = links
        self._guests: set[asyncio.Task[None]] = set()
        self._strangers: set[Connection] = set()
        self._accepting: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Accept from now on."""
        self._listening.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    def close(self) -> None:
        """Accept no more and drop whoever is not in yet."""
        for task in (self._accepting, *self._guests):
            if task is not None:
                task.cancel()
        for connection in list(self._strangers):
            connection.abort()
        self._listening.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(self._listening)
            except OSError as error:  # out of descriptors, or the peer has gone: the port must live on
                log.warning("The relay could not accept a connection: %s.", error)
                await asyncio.sleep(0.1)
                continue
            if len(self._guests) + len(self._strangers) >= MAX_STRANGERS:
                accepted.close()
                continue
            task = loop.create_task(self._greet(accepted, address))
            self._guests.add(task)
            task.add_done_callback(self._guests.discard)

    async def _greet(self, accepted: socket.socket, address: tuple[str, int]) -> None:
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._stranger(address),
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=STRANGER_TIMEOUT_S,
                ssl_shutdown_timeout=1.0,
            )
        except (TimeoutError, OSError) as error:  # ssl.SSLError is an OSError
            log.debug("No TLS with %s: %s.", address, error)
            accepted.close()

    def _stranger(self, address: tuple[str, int]) -> Connection:
        connection: Connection

        def on_frame(frame: Frame) -> None:
            self._hello(connection, frame, address)

        def on_lost(error: Exception | None) -> None:
            log.debug("%s left before it was let in: %s.", address, error)
            self._strangers.discard(connection)

        connection = Connection(on_frame, on_lost, MAX_HELLO)
        self._strangers.add(connection)
        asyncio.get_running_loop().call_later(STRANGER_TIMEOUT_S, self._expire, connection)
        return connection

    def _expire(self, connection: Connection) -> None:
        if connection in self._strangers:
            connection.abort(WireError(f"no handshake within {STRANGER_TIMEOUT_S:g} s"))

    def _hello(self, connection: Connection, frame: Frame, address: tuple[str, int]) -> None:
        if frame.kind != HELLO:
            raise WireError("something else than HELLO")
        hello = decode_json(frame.payload)
        link = self._links.get(str(hello.get("kernel_id")))
        if hello.get("protocol") != PROTOCOL:
            reason = "protocol"
        elif link is None:
            reason = "unknown"
        else:
            reason = link.authenticate(hello)
        if reason or link is None:
            if reason in ("spent", "unknown"):
                log.warning(
                    "Refused %s, which claims kernel %.40s: %s",
                    address,
                    hello.get("kernel_id"),
                    REFUSALS[reason],
                )
            connection.write(encode_json(REFUSED, {"reason": reason, "text": REFUSALS[reason]}))
            connection.close()
            return
        known = link

        def confirm(frame: Frame) -> None:
            if frame.kind != CONFIRM:
                raise WireError("something else than CONFIRM")
            table = decode_json(frame.payload).get("resume")
            if table is not None and not isinstance(table, dict):
                raise WireError("a malformed resume table")
            if (table is None) != (offered is None):
                raise WireError("one side resumes and the other does not")
            if self._links.get(known.kernel_id) is not known:
                raise WireError("the kernel has gone")
            self._strangers.discard(connection)
            known.confirm(connection, table)

        welcome = known.welcome()
        offered = welcome["resume"]
        connection.decoder.limit = MAX_PAYLOAD
        connection.on_frame = confirm
        connection.write(encode_json(WELCOME, welcome))
