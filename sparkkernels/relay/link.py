"""A link: what one kernel's supervisor has told us, and the stable local ports in front of it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import hmac
import logging
import secrets
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeVar

from sparkkernels_supervisor.connection import Connection
from sparkkernels_supervisor.ends import End
from sparkkernels_supervisor.frames import PROTOCOL, WireError
from sparkkernels_supervisor.session import Session

from .local_ports import bind_ports, serve_ports

log = logging.getLogger("sparkkernels.relay")
#: Bytes of the container's output kept for error messages.
LOG_TAIL = 65536
#: Claims of a token that may wait for their CONFIRM.
MAX_CLAIMS = 8


@dataclass(frozen=True)
class KernelStatus:
    """The kernel process as last reported (PROTOCOL.md, section 5)."""

    number: int = 0
    state: str = ""
    pid: int | None = None
    returncode: int | None = None
    text: str = ""
    cause: str = ""
    busy: bool | None = None


@dataclass(frozen=True)
class ContextStatus:
    """The SparkContext as last reported."""

    state: str = ""
    text: str = ""
    application_id: str = ""
    ui: str = ""


@dataclass(frozen=True)
class Container:
    """Where the supervisor runs, as it says."""

    host: str = ""
    pid: int | None = None
    container_id: str = ""
    python: str = ""


@dataclass(frozen=True)
class TokensAnswer:
    """What became of fresh tokens: those that run out at that second, and why they could not be applied."""

    expires_at: int | None = None
    text: str = ""


#: Of the fields of statuses.
KINDS: dict[str, type] = {"int": int, "str": str, "bool": bool}
Status = TypeVar("Status", KernelStatus, ContextStatus, Container, TokensAnswer)


class Claim(NamedTuple):
    """What a supervisor holds between WELCOME and CONFIRM: which launch it is of, and its session secret."""

    generation: int
    secret: str


def same(offered: object, secret: str) -> bool:
    """Whether a stranger offers this secret; takes as long for a wrong one."""
    return isinstance(offered, str) and hmac.compare_digest(offered.encode(errors="replace"), secret.encode())


def read_status(kind: type[Status], message: dict[str, Any]) -> Status:
    """A status from a message; what is missing or of a wrong type keeps its default."""
    values: dict[str, Any] = {}
    for field in fields(kind):
        value = message.get(field.name)
        if isinstance(value, KINDS[str(field.type).partition(" ")[0]]):
            values[field.name] = value
    return kind(**values)


class Link:
    """One kernel's link to its supervisor.

    Made by :meth:`sparkkernels.relay.hub.Hub.open_link`. Methods whose docstring says "on the hub's loop" are
    the hub's; all others may be called from any thread.

    Attributes
    ----------
    kernel_id : str
    ports : dict of str to int
        ``shell``, ``iopub``, ``stdin``, ``control``, ``hb``; stable for the link's life.
    generation : int
        Current launch; older supervisors are superseded.
    registered, connected : bool
        Whether the current generation's supervisor ever confirmed, and whether it is there now.
    kernel, context, container : KernelStatus, ContextStatus, Container
        As last reported.
    ending : str
        Why the supervisor has ended the application by itself, in a sentence; "" when it has not.
    on_log, on_cut, on_status, on_tokens, on_restart : callable or None
        Called on the hub's loop with the container's output, when the connection was cut, when kernel or
        context were reported, with an answer to fresh tokens, and with the ``restart`` message of a user.
    """

    def __init__(self, kernel_id: str, loop: asyncio.AbstractEventLoop) -> None:
        self.kernel_id = kernel_id
        self._loop = loop
        self._sockets: dict[str, socket.socket] = bind_ports()
        self.ports = {channel: bound.getsockname()[1] for channel, bound in self._sockets.items()}
        self._servers: list[asyncio.Server] = []
        self._lock = threading.Lock()
        self._waiters: list[concurrent.futures.Future[None]] = []
        self._log: deque[bytes] = deque()
        self._log_size = 0
        self.on_log: Callable[[bytes], None] | None = None
        self.on_cut: Callable[[], None] | None = None
        self.on_status: Callable[[], None] | None = None
        self.on_tokens: Callable[[TokensAnswer], None] | None = None
        self.on_restart: Callable[[dict[str, Any]], None] | None = None
        self.generation = 0
        self._reset(0)

    def _reset(self, generation: int) -> None:
        self.generation = generation
        self.token = secrets.token_hex(32)
        self.token_spent = False
        self._secrets: list[str] = []  # those offered with the token, then the one that was confirmed
        self.registered = False
        self.connected = False
        self.cut_reason = ""
        self.kernel = KernelStatus()
        self.context = ContextStatus()
        self.container = Container()
        self.ending = ""
        self._session = Session(1, self._on_message, self._on_opened, self._on_cut)

    def take_over(self, generation: int, secret: str) -> None:
        """Go on with a launch of another process, by the session secret that its supervisor has."""
        self._reset(generation)
        self._secrets = [secret]
        self.token_spent = self.registered = True

    # -- any thread ----------------------------------------------------------------------------------------

    @property
    def session_secret(self) -> str:
        """What the registered supervisor proves itself with; secret."""
        return self._secrets[-1] if self.registered else ""

    async def changed(self, timeout_s: float) -> None:
        """Return at the next change of anything above, or after this many seconds."""
        waiter: concurrent.futures.Future[None] = concurrent.futures.Future()
        with self._lock:
            self._waiters.append(waiter)
        change = asyncio.wrap_future(waiter)
        try:
            # Before Python 3.12 wait_for swallows a cancellation that comes together with the change.
            await asyncio.wait([change], timeout=timeout_s)
        finally:
            change.cancel()
            with self._lock:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    def notify(self) -> None:
        """Wake all that wait for a change."""
        with self._lock:
            waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if waiter.set_running_or_notify_cancel():
                waiter.set_result(None)

    def send(self, message: dict[str, Any]) -> None:
        """Queue a control message to the supervisor."""
        self._loop.call_soon_threadsafe(lambda: self._session.send_message(message))

    def registration(self, addresses: list[tuple[str, int]], pin: str, timeout_s: float) -> dict[str, Any]:
        """Content of the registration file for the current generation."""
        return {
            "protocol": PROTOCOL,
            "kernel_id": self.kernel_id,
            "generation": self.generation,
            "addresses": [list(address) for address in addresses],
            "fingerprint": pin,
            "token": self.token,
            "registration_timeout_s": timeout_s,
        }

    def log_tail(self) -> str:
        """The last output of the container that came over the wire."""
        return b"".join(list(self._log)).decode(errors="replace")

    # -- on the hub's loop ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Accept local clients; on the hub's loop."""
        self._servers = await serve_ports(self._sockets, lambda: self._session)

    def next_generation(self) -> None:
        """Begin a new launch: new secrets, no streams, older supervisors superseded; on the hub's loop."""
        self._session.shut()
        self._reset(self.generation + 1)
        self.notify()

    def close(self) -> None:
        """Close everything; on the hub's loop."""
        for server in self._servers:
            server.close()
        self._session.shut()
        for bound in self._sockets.values():
            bound.close()
        self.connected = False
        self.notify()

    def authenticate(self, hello: dict[str, Any]) -> str:
        """Judge a HELLO for this kernel: "" or the reason to refuse it; on the hub's loop."""
        generation = hello.get("generation")
        if not isinstance(generation, int):
            return "unknown"
        if any(same(hello.get("session"), secret) for secret in self._secrets):
            return "" if generation == self.generation else "superseded"
        if same(hello.get("token"), self.token):
            return "spent" if self.token_spent else ""
        return "superseded" if 0 < generation < self.generation else "unknown"

    def welcome(self, hello: dict[str, Any]) -> dict[str, Any]:
        """Content of WELCOME for an authenticated HELLO; on the hub's loop."""
        content: dict[str, Any] = {"protocol": PROTOCOL, "resume": None}
        if "session" not in hello:
            content["session"] = secrets.token_hex(32)
            self._secrets = [*self._secrets[1 - MAX_CLAIMS :], content["session"]]
        elif self._session.known:
            self._session.detach()
            self.connected = False
            content["resume"] = self._session.streams.table()
        return content

    def confirm(self, connection: Connection, claim: Claim, table: dict[str, Any] | None) -> None:
        """Take over a connection after its CONFIRM; on the hub's loop.

        Raises
        ------
        WireError
            A newer launch has begun, or another claim of the same token came first.
        """
        if claim.generation != self.generation:
            raise WireError("a newer launch has begun")
        if claim.secret not in self._secrets:
            log.warning("Refused a second claim of the token of kernel %s.", self.kernel_id)
            raise WireError("another claim of the same token came first")
        self._session.attach(connection, table)
        self._secrets = [claim.secret]
        self.token_spent = True
        self.registered = self.connected = True
        self.notify()

    def _on_message(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "state":
            self.container = read_status(Container, message)
            for key in ("kernel", "context"):
                if isinstance(message.get(key), dict):
                    self._update(key, message[key])
        elif kind in ("kernel", "context"):
            self._update(kind, message)
        elif kind == "tokens_applied" and self.on_tokens is not None:
            self.on_tokens(read_status(TokensAnswer, message))
        elif kind == "ending":
            self.ending = str(message.get("text", ""))
        elif kind == "restart" and self.on_restart is not None:
            self.on_restart(message)
        if kind in ("state", "kernel", "context") and self.on_status is not None:
            self.on_status()
        self.notify()

    def _update(self, kind: str, message: dict[str, Any]) -> None:
        if kind == "kernel":
            self.kernel = read_status(KernelStatus, message)
        else:
            self.context = read_status(ContextStatus, message)

    def _on_opened(self, stream: int, channel: str) -> End | None:
        return LogEnd(self._session, stream, self._keep_log) if channel == "log" else None

    def _on_cut(self, reason: str) -> None:
        self.connected = False
        self.cut_reason = reason
        log.info("The connection of kernel %s was cut: %s.", self.kernel_id, reason)
        if self.on_cut is not None:
            self.on_cut()
        self.notify()

    def _keep_log(self, data: bytes) -> None:
        self._log.append(data)
        self._log_size += len(data)
        while self._log_size - len(self._log[0]) >= LOG_TAIL:
            self._log_size -= len(self._log.popleft())
        if self.on_log is not None:
            self.on_log(data)


class LogEnd(End):
    """Where the container's output ends up."""

    def __init__(self, session: Session, stream: int, keep: Callable[[bytes], None]) -> None:
        self._session = session
        self._stream = stream
        self._keep = keep

    def deliver(self, data: bytes) -> bool:
        """Keep it."""
        self._keep(data)
        return True

    def finish(self) -> None:
        """The supervisor has no more."""
        self._session.ended(self._stream, 1)

    def drop(self) -> None:
        """Nothing is held here."""
