"""TLS by hand, byte by byte (RFC 5246), as only attackers speak it: old hellos, a certificate without key."""

from __future__ import annotations

import asyncio
import os
import ssl
import struct

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HANDSHAKE, ALERT = 22, 21
SERVER_HELLO, CERTIFICATE, SERVER_KEY_EXCHANGE, SERVER_HELLO_DONE = 2, 11, 12, 14
ECDHE_ECDSA_AES128_GCM = 0xC02B
SSL3, TLS10, TLS11, TLS12 = 0x0300, 0x0301, 0x0302, 0x0303

#: The curve secp256r1, uncompressed points, and signatures of ECDSA with SHA-256.
EXTENSIONS = bytes.fromhex("0018 000a 0004 0002 0017 000b 0002 0100 000d 0006 0004 0403 0401")
#: RFC 5746, without which clients leave.
RENEGOTIATION_INFO = bytes.fromhex("0005 ff01 0001 00")


def client_hello(version: int) -> bytes:
    """The first flight of a client that speaks this version and none newer."""
    suites = struct.pack(">5H", 0xC02B, 0xC009, 0xC013, 0x002F, 0x000A)
    body = struct.pack(">H", version) + os.urandom(32) + b"\0" + struct.pack(">H", len(suites)) + suites
    body += b"\x01\x00" + (EXTENSIONS if version > SSL3 else b"")
    return record(min(version, TLS10), message(1, body))


def ssl2_hello() -> bytes:
    """The first message of SSL 2.0, which also old clients of TLS 1.0 sent."""
    body = b"\x01\x00\x02" + struct.pack(">3H", 9, 0, 16) + b"\x01\x00\x80\x07\x00\xc0\x00\x00\x0a"
    return struct.pack(">H", 0x8000 | len(body) + 16) + body + os.urandom(16)


def record(version: int, payload: bytes) -> bytes:
    """A record of handshake messages."""
    return struct.pack(">BHH", HANDSHAKE, version, len(payload)) + payload


def message(kind: int, body: bytes) -> bytes:
    """A handshake message."""
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


class Impostor:
    """A server that shows a certificate whose key it does not have.

    Parameters
    ----------
    certificate_pem : bytes
        The stolen certificate.
    version : int
        The version of TLS that it agrees to.

    Attributes
    ----------
    answers : list of (int, bytes)
        Type and content of each record that came after the server's flight.
    over : asyncio.Event
        The client has gone.
    """

    def __init__(self, certificate_pem: bytes, version: int = TLS12) -> None:
        self._certificate = ssl.PEM_cert_to_DER_cert(certificate_pem.decode())
        self._version = version
        self._server: asyncio.Server | None = None
        self.answers: list[tuple[int, bytes]] = []
        self.over = asyncio.Event()
        self.port = 0

    async def __aenter__(self) -> Impostor:
        """Listen."""
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Stop."""
        assert self._server is not None
        self._server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            _, hello = await self._record(reader)
            writer.write(record(self._version, self._flight(hello[6:38])))
            while True:
                self.answers.append(await self._record(reader))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.transport.abort()
            self.over.set()

    async def _record(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        kind, _, length = struct.unpack(">BHH", await reader.readexactly(5))
        return kind, await reader.readexactly(length)

    def _flight(self, client_random: bytes) -> bytes:
        own_random = os.urandom(32)
        hello = struct.pack(">H", self._version) + own_random + b"\0"
        hello += struct.pack(">HB", ECDHE_ECDSA_AES128_GCM, 0) + RENEGOTIATION_INFO
        chain = len(self._certificate).to_bytes(3, "big") + self._certificate
        own_key = ec.generate_private_key(ec.SECP256R1())
        point = own_key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        parameters = b"\x03\x00\x17" + bytes([len(point)]) + point  # the named curve secp256r1
        signature = own_key.sign(client_random + own_random + parameters, ec.ECDSA(hashes.SHA256()))
        exchange = parameters + b"\x04\x03" + struct.pack(">H", len(signature)) + signature
        return b"".join(
            message(kind, body)
            for kind, body in (
                (SERVER_HELLO, hello),
                (CERTIFICATE, len(chain).to_bytes(3, "big") + chain),
                (SERVER_KEY_EXCHANGE, exchange),
                (SERVER_HELLO_DONE, b""),
            )
        )
