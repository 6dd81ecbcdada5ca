"""Hostile peers at the relay's port, strangers and supervisors alike, while a live kernel answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import pytest_asyncio

from sparkkernels.relay import admission
from sparkkernels.relay.hub import Hub, shared_hub
from sparkkernels.relay.link import Link
from sparkkernels_supervisor.connection import AHEAD
from sparkkernels_supervisor.frames import (
    CLOSE,
    CONFIRM,
    DATA,
    HELLO,
    MAX_HELLO,
    OPEN,
    PING,
    encode,
    encode_json,
)
from sparkkernels_supervisor.session import MAX_LINE
from sparkkernels_supervisor.streams import MAX_STREAMS

from .impostor import Dialled, claim, hello, refusal, register
from .kernels import ECHO, HANG_S, becomes, run, running, write_kernelspec
from .tls_by_hand import (
    ALERT,
    HANDSHAKE,
    SSL3,
    TLS10,
    TLS11,
    TLS12,
    client_hello,
    ssl2_hello,
)

FLOOD = str(Path(__file__).with_name("flood.py"))
KERNEL_ID = "00000000-0000-4000-8000-00000000000b"


class Scene(NamedTuple):
    """A relay with a live kernel, and a second kernel whose supervisor the test plays."""

    hub: Hub
    port: int
    live: Link
    link: Link


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    """The kernel is asked all the time, and must answer all the time."""
    async with running(write_kernelspec("echo", ECHO)) as (manager, client):
        hub = shared_hub()
        link = await hub.open_link(KERNEL_ID)
        await hub.next_generation(link)
        port = (await hub.listen("127.0.0.1", 0)).port
        over = asyncio.Event()

        async def works_on() -> int:
            answers = 0
            while not over.is_set():
                assert (await run(client, "still here")).text == "still here"
                answers += 1
                await asyncio.sleep(0.02)
            return answers

        working = asyncio.ensure_future(works_on())
        live: Link = manager.provisioner._link  # type: ignore[union-attr]
        try:
            yield Scene(hub, port, live, link)
        finally:
            over.set()
            answers = await working
            await hub.close_link(link)
        assert answers and live.connected
        assert (await run(client, "still here")).text == "still here"


def rss() -> int:
    """Resident memory of this process: relay, clients and the test itself."""
    return int(psutil.Process().memory_info().rss)


def descriptors() -> int:
    """Open files of this process."""
    return len(os.listdir("/proc/self/fd"))


async def hear(port: int, data: bytes, half: bool = False) -> bytes:
    """What the relay says to these bytes before it hangs up, or only the first of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    with contextlib.suppress(ConnectionError):
        writer.write(data)
        heard = await asyncio.wait_for(reader.read(100 if half else -1), HANG_S)
    writer.transport.abort()
    return heard


# -- TLS ---------------------------------------------------------------------------------------------------


async def test_older_versions_than_tls_1_2_are_refused_at_the_first_message(scene: Scene) -> None:
    for version in (SSL3, TLS10, TLS11):
        heard = await hear(scene.port, client_hello(version))
        assert not heard or heard[0] == ALERT
    for plain in (ssl2_hello(), b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n", b"SSH-2.0-x\r\n"):
        heard = await hear(scene.port, plain)
        assert not heard or heard[0] == ALERT
    assert (await hear(scene.port, client_hello(TLS12), half=True))[0] == HANDSHAKE  # it is well-formed
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        _, writer = await asyncio.open_connection("127.0.0.1", scene.port, ssl=context)
        writer.transport.abort()


async def test_a_handshake_of_any_size_is_not_kept(scene: Scene) -> None:
    """A ClientHello that says it has 16 MB: the relay hangs up long before they have come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.port)
    first = b"\x01\xff\xff\xff\x03\x03"
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < 16_000_000 and not reader.at_eof():
            part = (first if not sent else b"") + bytes(16000)
            writer.write(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part)
            sent += len(part)
            await writer.drain()
            await asyncio.sleep(0.001)
    assert sent < 1_000_000
    writer.transport.abort()


# -- the limits of strangers: count, bytes, seconds --------------------------------------------------------


async def test_two_thousand_connections_at_once_take_neither_memory_nor_the_place_of_a_supervisor(
    scene: Scene,
) -> None:
    before, files = rss(), descriptors()
    flood = await asyncio.create_subprocess_exec(
        *(sys.executable, FLOOD, str(scene.port), "2000", "1"), stdout=asyncio.subprocess.PIPE
    )
    most = 0

    async def watch() -> None:
        nonlocal most
        while flood.returncode is None:
            most = max(most, descriptors())
            await asyncio.sleep(0.01)

    watching = asyncio.ensure_future(watch())
    assert flood.stdout is not None
    supervisor, _ = await register(scene.port, scene.link)
    made = int(await asyncio.wait_for(flood.stdout.readline(), HANG_S))
    assert await refusal(scene.port, hello(scene.link, token="0" * 64)) == "unknown"
    await asyncio.wait_for(flood.wait(), HANG_S)
    await watching
    assert made == 2000
    assert most - files < admission.MAX_STRANGERS + 40  # clients that ask the kernel meanwhile have some
    assert rss() - before < 30 * 2**20
    assert await supervisor.is_open()
    supervisor.close()


async def test_strangers_beyond_the_limit_push_out_the_longest_waiting(scene: Scene) -> None:
    readers, writers = [], []
    for _ in range(admission.MAX_STRANGERS + 6):
        reader, writer = await asyncio.open_connection("127.0.0.1", scene.port)
        readers.append(reader)
        writers.append(writer)
    for reader in readers[:6]:
        assert await asyncio.wait_for(reader.read(), HANG_S) == b""
    assert not any(reader.at_eof() for reader in readers[6:])
    for writer in writers:
        writer.transport.abort()


async def test_a_stranger_who_drips_bytes_is_gone_at_its_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "STRANGER_TIMEOUT_S", 0.5)

    async def drip(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        for number in range(len(data)):
            with contextlib.suppress(ConnectionError):
                writer.write(data[number : number + 1])
            await asyncio.sleep(0.05)
            if reader.at_eof() or writer.is_closing():
                break
        writer.transport.abort()
        return number

    dialled = await Dialled.to(scene.port)
    before_tls = await asyncio.open_connection("127.0.0.1", scene.port)
    dripped = await asyncio.gather(
        drip(client_hello(TLS12), *before_tls),
        drip(encode_json(HELLO, hello(scene.link)), dialled._reader, dialled._writer),
    )
    assert max(dripped) < 50  # of much more
    assert not scene.link.registered


async def test_a_hello_is_refused_by_its_header_before_its_bytes_have_come(scene: Scene) -> None:
    for size in (MAX_HELLO + 1, 2**31, 2**32 - 6):
        dialled = await Dialled.to(scene.port)
        dialled.write((size + 5).to_bytes(4, "big") + bytes([HELLO]) + bytes(4))
        assert await dialled.read() is None
        dialled.close()


async def test_strangers_do_not_fill_the_log(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(admission.MAX_WARNINGS + 10):
        assert await refusal(scene.port, hello(scene.link, token="0" * 64)) == "unknown"
    told = [record for record in caplog.records if record.name == "sparkkernels.relay"]
    warnings = [record for record in told if record.levelname == "WARNING"]
    assert len(warnings) == admission.MAX_WARNINGS + 1
    assert "level DEBUG" in warnings[-1].getMessage()


# -- secrets that are not theirs ---------------------------------------------------------------------------


async def test_a_live_kernels_token_and_ids_open_nothing(scene: Scene) -> None:
    live, fresh = scene.live, scene.link
    assert await refusal(scene.port, hello(live)) == "spent"
    assert await refusal(scene.port, hello(live, kernel_id=fresh.kernel_id)) == "unknown"
    assert await refusal(scene.port, hello(fresh, kernel_id=live.kernel_id)) == "unknown"
    [secret] = live._secrets
    stolen = {"token": None, "session": secret}
    assert await refusal(scene.port, hello(fresh, **stolen)) == "unknown"
    assert await refusal(scene.port, hello(live, **stolen, generation=live.generation + 1)) == "superseded"
    assert not fresh.token_spent and live.connected


async def test_what_a_recorded_connection_said_is_worth_nothing_again(scene: Scene) -> None:
    """The bytes of a whole registration as they went over the wire, sent once more."""
    recorded = bytearray()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keep: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                recorded.extend(data if keep else b"")
                writer.write(data)
        writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward = await asyncio.open_connection("127.0.0.1", scene.port)
        await asyncio.gather(carry(reader, onward[1], True), carry(onward[0], writer, False))

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    supervisor, _ = await register(proxy.sockets[0].getsockname()[1], scene.link)
    supervisor.close()
    await becomes(lambda: not scene.link.connected)
    proxy.close()
    secrets = (scene.link.token, *scene.link._secrets)
    assert recorded and not any(secret.encode() in recorded for secret in secrets)
    await hear(scene.port, bytes(recorded))
    assert not scene.link.connected


# -- supervisors that are let in and turn hostile: theirs is one kernel, and no other suffers ---------------


def hostile_frames() -> dict[str, bytes]:
    """What may come after WELCOME instead of CONFIRM, or after CONFIRM."""
    deep = b'{"type":' + b"[" * 60000
    return {
        "a huge frame": (2**32 - 1).to_bytes(4, "big") + bytes([DATA]) + bytes(4),
        "deep json": encode(DATA, 0, deep) + encode(DATA, 0, b"\n"),
        "no text": encode(DATA, 0, b'{"type": "\xff\xfe"}\n'),
        "a long line": encode(DATA, 0, b"x" * 65536) * (MAX_LINE // 65536 + 1),
        "no type": encode(DATA, 0, b"{}\n"),
        "a list": encode(DATA, 0, b"[1]\n"),
        "another hello": encode_json(HELLO, {}),
        "an unknown stream": encode(DATA, 7, b"x"),
        "streams of the other side": encode(OPEN, 3, b"log"),
        "streams without end": b"".join(encode(OPEN, 2 * n, b"x") for n in range(1, MAX_STREAMS + 2)),
        "a channel that is no text": encode(OPEN, 2, b"\xff"),
        "more than the window": encode(OPEN, 2, b"log") + encode(CLOSE, 2) + encode(DATA, 2, b"x"),
        "deep json in a confirm": encode(CONFIRM, 0, b'{"resume":' + b"[" * 60000),
        "numbers without end": encode(DATA, 0, b'{"type": ' + b"9" * 60000 + b"}\n"),
    }


async def test_what_a_hostile_supervisor_says_ends_its_own_connection_alone(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor, secret = await register(scene.port, scene.link)
    before = rss()
    for name, data in hostile_frames().items():
        assert await supervisor.is_open(), name
        supervisor.write(data)
        while await supervisor.read() is not None:
            continue  # answers to what was right, then the end
        supervisor.close()
        await becomes(lambda: not scene.link.connected)
        unconfirmed, _ = await claim(scene.port, hello(scene.link, token=None, session=secret))
        unconfirmed.write(data)
        assert await unconfirmed.read() is None, name
        unconfirmed.close()
        await hub_forgets(scene)
        supervisor, welcome = await claim(scene.port, hello(scene.link, token=None, session=secret))
        assert welcome["resume"] is None
        supervisor.write(encode_json(CONFIRM, {"resume": None}))
    assert await supervisor.is_open()
    supervisor.close()
    assert rss() - before < 30 * 2**20
    assert "Fatal error" not in caplog.text and "never retrieved" not in caplog.text


async def hub_forgets(scene: Scene) -> None:
    """Begin the streams anew, as after another server process adopted the kernel."""
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def forget() -> None:
        scene.link._session.forget()
        scene.link._session.known = False
        loop.call_soon_threadsafe(done.set)

    scene.link._loop.call_soon_threadsafe(forget)
    await done.wait()


async def test_statuses_of_wrong_types_are_not_believed_and_break_nothing(scene: Scene) -> None:
    supervisor, _ = await register(scene.port, scene.link)
    odd: list[Any] = [None, True, -1, 1e400, "x" * 50000, [], {}, {"number": []}, "\ud800"]
    for value in odd:
        for kind in ("state", "kernel", "context", "tokens_applied", "unheard of", ""):
            names = ("host", "pid", "kernel", "context", "number", "state", "returncode", "text")
            line = {"type": kind, **dict.fromkeys(names, value)}
            supervisor.write(encode(DATA, 0, json.dumps(line).encode()[:65000] + b"\n"))
    if not await supervisor.is_open():
        await becomes(lambda: scene.link.cut_reason == "a control line that is no JSON")
    supervisor.close()


async def test_questions_whose_answers_nobody_reads_are_not_answered_without_end(scene: Scene) -> None:
    """PINGs from a peer that never reads: its own receive buffer and ours fill, and then no more is kept."""
    supervisor, _ = await register(scene.port, scene.link)
    supervisor._writer.transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(10):
        supervisor.write(encode(PING) * 100_000)
        await asyncio.wait_for(supervisor._writer.drain(), HANG_S)
    await becomes(lambda: supervisor._writer.transport.get_write_buffer_size() == 0)
    connection = scene.link._session.connection
    assert connection is not None and connection.transport is not None
    assert connection.transport.get_write_buffer_size() < 2 * AHEAD
    supervisor.close()
