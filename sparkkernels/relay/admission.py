"""The relay's door: a TLS port, and the handshake that decides who comes in (PROTOCOL.md, section 3)."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Container, Mapping

from sparkkernels_supervisor.connection import Connection
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

from .link import Claim, Link

log = logging.getLogger("sparkkernels.relay")
#: Strangers at a time, and seconds that each has until it must be known.
MAX_STRANGERS = 64
STRANGER_TIMEOUT_S = 10.0
#: Refusals told as warnings in this many seconds; strangers must not fill a disk with words about them.
MAX_WARNINGS, WARNINGS_PER_S = 20, 60.0

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
    expected : container of str
        Ids of kernels whose links will be there in a moment.
    """

    def __init__(
        self,
        listening: socket.socket,
        tls: ssl.SSLContext,
        links: Mapping[str, Link],
        expected: Container[str] = (),
    ) -> None:
        self.port: int = listening.getsockname()[1]
        self._listening = listening
        self._tls = tls
        self._links = links
        self._expected = expected
        self._strangers: dict[asyncio.Task[None], None] = {}  # in the order of their arrival
        self._accepting: asyncio.Task[None] | None = None
        self._warnings = Quota(MAX_WARNINGS, WARNINGS_PER_S)

    def open(self) -> None:
        """Accept from now on."""
        self._listening.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    def close(self) -> None:
        """Accept no more and drop whoever is not in yet."""
        for task in (self._accepting, *self._strangers):
            if task is not None:
                task.cancel()
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
            if len(self._strangers) >= MAX_STRANGERS:
                # a supervisor is in within milliseconds; who has been here longest is none
                longest = next(iter(self._strangers))
                del self._strangers[longest]
                longest.cancel()
            stranger = Stranger(accepted, address, self._links, self._expected, self._warnings)
            task = loop.create_task(self._greet(stranger))
            self._strangers[task] = None
            task.add_done_callback(lambda task: self._strangers.pop(task, None))
            await asyncio.sleep(0)  # their turn, however many wait to be accepted

    async def _greet(self, stranger: Stranger) -> None:
        try:
            async with asyncio.timeout(STRANGER_TIMEOUT_S):
                await stranger.welcome(self._tls)
        except (TimeoutError, OSError, WireError) as error:  # ssl.SSLError is an OSError
            log.debug("%s was not let in: %s.", stranger.address, error or "too slow")
        finally:
            stranger.leave()


class Quota:
    """So many in a period, and no more.

    Parameters
    ----------
    most : int
    period_s : float
    """

    def __init__(self, most: int, period_s: float) -> None:
        self._most = most
        self._period_s = period_s
        self._begun = float("-inf")
        self._taken = 0

    def take(self, now: float) -> int:
        """How many are left of this period's, this one included; 0 when it is used up.

        Parameters
        ----------
        now : float
            On the loop's clock, in seconds.
        """
        if now - self._begun > self._period_s:
            self._begun, self._taken = now, 0
        self._taken += 1
        return max(self._most - self._taken + 1, 0)


class Stranger:
    """A connection that has not proved itself yet.

    Parameters
    ----------
    accepted : socket.socket
    address : tuple of (str, int)
        The peer's.
    links : mapping of str to Link
    expected : container of str
    warnings : Quota
    """

    def __init__(
        self,
        accepted: socket.socket,
        address: tuple[str, int],
        links: Mapping[str, Link],
        expected: Container[str],
        warnings: Quota,
    ) -> None:
        self.address = address
        self._warnings = warnings
        self._accepted = accepted
        self._links = links
        self._expected = expected
        self._connection = Connection(self._hello, self._lost, MAX_HELLO)
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._admitted = False

    async def welcome(self, tls: ssl.SSLContext) -> None:
        """Return when it was let in or has left."""
        self._accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: self._connection,
            self._accepted,
            ssl=tls,
            ssl_handshake_timeout=STRANGER_TIMEOUT_S,
            ssl_shutdown_timeout=1.0,
        )
        await self._over

    def leave(self) -> None:
        """Close the connection unless it was let in."""
        if not self._admitted:
            self._connection.abort()
            if self._connection.transport is None:
                self._accepted.close()

    def _lost(self, error: Exception | None) -> None:
        if not self._over.done():
            self._over.set_exception(ConnectionError(f"it left: {error or 'without a word'}"))

    def _hello(self, frame: Frame) -> None:
        if frame.kind != HELLO:
            raise WireError("something else than HELLO")
        hello = decode_json(frame.payload)
        link = self._links.get(str(hello.get("kernel_id")))
        if hello.get("protocol") != PROTOCOL:
            self._refuse("protocol", hello)
        elif link is None:
            self._refuse("busy" if str(hello.get("kernel_id")) in self._expected else "unknown", hello)
        elif reason := link.authenticate(hello):
            self._refuse(reason, hello)
        else:
            welcome = link.welcome(hello)
            claim = Claim(link.generation, str(welcome.get("session") or hello["session"]))
            self._connection.decoder.limit = MAX_PAYLOAD
            self._connection.on_frame = lambda answer: self._confirm(answer, link, claim, welcome["resume"])
            self._connection.write(encode_json(WELCOME, welcome))

    def _confirm(self, frame: Frame, link: Link, claim: Claim, offered: object) -> None:
        if frame.kind != CONFIRM:
            raise WireError("something else than CONFIRM")
        table = decode_json(frame.payload).get("resume")
        if table is not None and not isinstance(table, dict):
            raise WireError("a malformed resume table")
        if (table is None) != (offered is None):
            raise WireError("one side resumes and the other does not")
        if self._links.get(link.kernel_id) is not link:
            raise WireError("the kernel has gone")
        link.confirm(self._connection, claim, table)
        self._admitted = True
        if not self._over.done():
            self._over.set_result(None)

    def _refuse(self, reason: str, hello: dict[str, object]) -> None:
        if reason in ("spent", "unknown"):
            claimed = repr(hello.get("kernel_id"))[:60]
            left = self._warnings.take(asyncio.get_running_loop().time())
            level = logging.WARNING if left else logging.DEBUG
            log.log(level, "Refused %s, which claims kernel %s: %s", self.address, claimed, REFUSALS[reason])
            if left == 1:
                log.warning("Further refusals of this minute are told at the level DEBUG only.")
        self._connection.write(encode_json(REFUSED, {"reason": reason, "text": REFUSALS[reason]}))
        self._connection.close()
