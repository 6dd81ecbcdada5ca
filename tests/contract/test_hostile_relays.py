"""Hostile relays before a supervisor: it says no word to any but its own."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import socket
import ssl
from collections.abc import Callable

import pytest

from sparkkernels.relay.tls import make_certificate, server_context
from sparkkernels_supervisor.dial import Dialer, Registration
from sparkkernels_supervisor.frames import PING, WELCOME, encode, encode_json
from sparkkernels_supervisor.session import Session

from .impostor import KERNEL_ID
from .kernels import HANG_S
from .tls_by_hand import ALERT, SSL3, TLS10, TLS11, Impostor


def registration(port: int, fingerprint: str) -> Registration:
    """A registration file's content that leads to this port."""
    return Registration(KERNEL_ID, 1, [("127.0.0.1", port)], fingerprint, "7" * 64, 5)


async def dial(port: int, fingerprint: str) -> str:
    """Why a supervisor is not connected to what answers there."""
    session = Session(2, lambda message: None, lambda stream, channel: None, lambda reason: None)
    dialer = Dialer(registration(port, fingerprint), session)
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(dialer.connect(), HANG_S)
    assert not session.known
    [failure] = dialer.failures.values()
    return failure


async def test_whoever_shows_our_certificate_without_its_key_hears_nothing() -> None:
    real = make_certificate(datetime.datetime.now(datetime.UTC))
    async with Impostor(real.certificate) as impostor:
        assert await dial(impostor.port, real.fingerprint) == "TLS failed: bad signature"
        await asyncio.wait_for(impostor.over.wait(), HANG_S)
        assert {kind for kind, _ in impostor.answers} <= {ALERT}


async def test_a_relay_that_agrees_to_an_older_tls_hears_nothing() -> None:
    real = make_certificate(datetime.datetime.now(datetime.UTC))
    for version in (SSL3, TLS10, TLS11):
        async with Impostor(real.certificate, version) as impostor:
            assert "protocol" in await dial(impostor.port, real.fingerprint)
            await asyncio.wait_for(impostor.over.wait(), HANG_S)
            assert {kind for kind, _ in impostor.answers} <= {ALERT}


async def test_a_relay_with_another_certificate_hears_nothing_though_it_knows_the_pin() -> None:
    real = make_certificate(datetime.datetime.now(datetime.UTC))
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(4096):
                heard.extend(data)
        writer.transport.abort()

    tls = server_context(make_certificate(datetime.datetime.now(datetime.UTC)))
    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=tls)
    failure = await dial(server.sockets[0].getsockname()[1], real.fingerprint)
    assert "another certificate" in failure and not heard
    server.close()


@pytest.mark.parametrize(
    "answer",
    [
        lambda: b"",
        lambda: os.urandom(4096),
        lambda: encode(PING),
        lambda: encode(WELCOME, 0, b"[" * 60000),
        lambda: encode(WELCOME, 0, b"\xff"),
        lambda: encode(WELCOME, 0, b"[]"),
        lambda: encode_json(WELCOME, {"protocol": 1, "session": "x", "resume": {}}),
        lambda: (2**32 - 1).to_bytes(4, "big") + bytes(60000),
    ],
    ids=["nothing", "garbage", "ping", "deep", "no text", "a list", "resumes what never was", "huge"],
)
async def test_a_relay_with_our_key_that_talks_nonsense_is_left(answer: Callable[[], bytes]) -> None:
    """Not an attacker, who has no key: a relay of another make."""
    real = make_certificate(datetime.datetime.now(datetime.UTC))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await reader.read(100)
            writer.write(answer())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=server_context(real))
    assert await dial(server.sockets[0].getsockname()[1], real.fingerprint)
    server.close()


async def test_an_address_that_takes_connections_and_says_nothing_is_left_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sparkkernels_supervisor.dial.ATTEMPT_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert await dial(silent.getsockname()[1], "0" * 64) == "no answer"
