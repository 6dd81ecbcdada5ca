"""How the supervisor reaches the relay: dial, check the certificate, shake hands (PROTOCOL.md, section 3)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import ssl
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from .connection import Connection
from .frames import (
    CONFIRM,
    HELLO,
    MAX_PAYLOAD,
    PROTOCOL,
    REFUSED,
    WELCOME,
    Frame,
    WireError,
    decode_json,
    encode_json,
)
from .session import Session

#: Seconds for one attempt at one address, and after which the next address is tried beside it.
ATTEMPT_TIMEOUT_S = 10.0
STAGGER_S = 0.5


class Refused(Exception):
    """The relay does not want this supervisor; only ``busy`` is worth another try."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Registration(NamedTuple):
    """The registration file's content (PROTOCOL.md, section 1)."""

    kernel_id: str
    generation: int
    addresses: List[Tuple[str, int]]
    fingerprint: str
    token: str
    registration_timeout_s: float

    @classmethod
    def read(cls, content: Any) -> "Registration":
        """Check and take the file's content.

        Raises
        ------
        ValueError
            It is of another protocol version, or malformed.
        """
        if not isinstance(content, dict):
            raise ValueError("the registration file holds no JSON object")
        if content.get("protocol") != PROTOCOL:
            raise ValueError(
                "the registration file is of protocol %r, not %d" % (content.get("protocol"), PROTOCOL)
            )
        try:
            return cls(
                str(content["kernel_id"]),
                int(content["generation"]),
                [(str(host), int(port)) for host, port in content["addresses"]],
                str(content["fingerprint"]),
                str(content["token"]),
                float(content["registration_timeout_s"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("the registration file is malformed: %s" % error) from error


def describe(error: Exception) -> str:
    """Why an address could not be reached, in words."""
    if isinstance(error, asyncio.TimeoutError):
        return "no answer"
    if isinstance(error, ssl.SSLError):  # whose errno is no errno
        return "TLS failed: %s" % str(error.reason or error).replace("_", " ").lower()
    if isinstance(error, OSError) and (error.errno or 0) > 0:
        return os.strerror(error.errno or 0)  # asyncio's own text says "Connect call failed" for all
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class Dialer:
    """Connects a session to the relay, the first time and again.

    Parameters
    ----------
    registration : Registration
    session : Session
        Is attached to each connection that the relay welcomed.

    Attributes
    ----------
    failures : dict
        Why each address failed last, by address.
    """

    def __init__(self, registration: Registration, session: Session) -> None:
        self._registration = registration
        self._session = session
        self._addresses = list(registration.addresses)
        self._secret = ""
        self.failures: Dict[Tuple[str, int], str] = {}
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE  # the pin is compared instead, before a byte is sent
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2

    async def connect(self) -> bool:
        """Try all addresses once, each a moment after the one before; the first that welcomes us wins.

        Returns
        -------
        bool
            Whether the streams were resumed; False when they are new.

        Raises
        ------
        Refused
            A relay answered and does not want us.
        ConnectionError
            No address answered; :attr:`failures` says why.
        """
        waiting: Set["asyncio.Task[Tuple[Connection, Dict[str, Any]]]"] = set()
        addresses = {}
        refused: Optional[Refused] = None
        remaining = list(self._addresses)
        try:
            while remaining or waiting:
                if remaining:
                    address = remaining.pop(0)
                    task = asyncio.get_running_loop().create_task(self._greet(address))
                    addresses[task] = address
                    waiting.add(task)
                done, waiting = await asyncio.wait(
                    waiting,
                    timeout=STAGGER_S if remaining else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done:
                    address = addresses[task]
                    try:
                        connection, welcome = task.result()
                    except Refused as error:
                        refused = error
                        self.failures[address] = str(error)
                    except (OSError, WireError, asyncio.TimeoutError) as error:
                        self.failures[address] = describe(error)
                    else:
                        self._addresses.remove(address)
                        self._addresses.insert(0, address)
                        try:
                            return self._confirm(connection, welcome)
                        except WireError as error:
                            connection.abort()
                            self.failures[address] = describe(error)
        finally:
            for task in waiting:
                task.cancel()
        if refused is not None:
            raise refused
        raise ConnectionError("no address of the relay answered")

    def _confirm(self, connection: Connection, welcome: Dict[str, Any]) -> bool:
        self._secret = str(welcome.get("session") or self._secret)
        resumed = welcome.get("resume") is not None and self._session.known
        table = self._session.streams.table() if resumed else None
        if welcome.get("resume") is not None and table is None:
            raise WireError("the relay resumes what never was")
        connection.write(encode_json(CONFIRM, {"resume": table}))
        self._session.attach(connection, welcome["resume"] if resumed else None)
        return resumed

    async def _greet(self, address: Tuple[str, int]) -> Tuple[Connection, Dict[str, Any]]:
        loop = asyncio.get_running_loop()
        answer: "asyncio.Future[Frame]" = loop.create_future()

        def on_frame(frame: Frame) -> None:
            if answer.done():
                raise WireError("the relay talks out of turn")
            answer.set_result(frame)

        def on_lost(error: Optional[Exception]) -> None:
            if not answer.done():
                answer.set_exception(
                    ConnectionError("closed before a word%s" % (": %s" % error if error else ""))
                )

        connection = Connection(on_frame, on_lost, MAX_PAYLOAD)
        try:
            await asyncio.wait_for(self._hello(address, connection), ATTEMPT_TIMEOUT_S)
            frame = await asyncio.wait_for(answer, ATTEMPT_TIMEOUT_S)
            if frame.kind not in (WELCOME, REFUSED):
                raise WireError("something else than WELCOME")
            content = decode_json(frame.payload)
            if frame.kind == REFUSED:
                raise Refused(str(content.get("reason")), str(content.get("text")))
        except BaseException:
            connection.on_lost = lambda error: None
            connection.abort()
            raise
        return connection, content

    async def _hello(self, address: Tuple[str, int], connection: Connection) -> None:
        host, port = address
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: connection, host, port, ssl=self._tls, server_hostname=host
        )
        certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
        if not hmac.compare_digest(hashlib.sha256(certificate).hexdigest(), self._registration.fingerprint):
            raise WireError("whoever answers there has another certificate than our relay")
        hello: Dict[str, Any] = {
            "protocol": PROTOCOL,
            "kernel_id": self._registration.kernel_id,
            "generation": self._registration.generation,
        }
        if self._secret:
            hello["session"] = self._secret
        else:
            hello["token"] = self._registration.token
        connection.write(encode_json(HELLO, hello))
