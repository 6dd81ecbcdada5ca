"""The relay's port under strangers, forged and late claims and cuts, while another kernel works on."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
import zmq
from jupyter_client.manager import AsyncKernelManager

from sparkkernels.relay.hub import Hub, shared_hub
from sparkkernels.relay.link import Link
from sparkkernels.relay.tls import make_certificate
from sparkkernels_supervisor.frames import (
    CONFIRM,
    HELLO,
    PING,
    WELCOME,
    encode,
    encode_json,
)
from tests.free_ports import free_port

from .impostor import KERNEL_ID, Dialled, claim, hello, port_of, refusal, register
from .kernels import ECHO, HANG_S, becomes, run, running, write_kernelspec


@pytest_asyncio.fixture
async def hub() -> AsyncIterator[Hub]:
    """The process's hub."""
    yield shared_hub()


@pytest_asyncio.fixture
async def link(hub: Hub) -> AsyncIterator[Link]:
    """A link whose first launch has begun and whose supervisor never comes: the test is that supervisor."""
    link = await hub.open_link(KERNEL_ID)
    await hub.next_generation(link)
    yield link
    await hub.close_link(link)


# -- strangers ---------------------------------------------------------------------------------------------


def strange_bytes() -> dict[str, bytes]:
    """What comes to an open port, before TLS."""
    return {
        "garbage": os.urandom(4096),
        "half a line": b"hel",
        "a million lines": b"hello\n" * 1_000_000,
        "a million bytes": b"\x16\x03\x01" + bytes(1_000_000),
        "http": b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n",
        "nothing": b"",
    }


def strange_frames() -> dict[str, bytes]:
    """What a stranger may say instead of HELLO, within TLS."""
    return {
        "garbage": os.urandom(4096),
        "half a frame": encode_json(HELLO, {"protocol": 1})[:-3],
        "a million bytes": bytes(1_000_000),
        "a huge frame": (2**32 - 1).to_bytes(4, "big") + bytes(1_000_000),
        "a long hello": encode(HELLO, 0, b"{" + b" " * 60000 + b"}"),
        "no json": encode(HELLO, 0, b"\xff\xfe{"),
        "deep json": encode(HELLO, 0, b"[" * 4000),
        "a list": encode(HELLO, 0, b"[]"),
        "another frame": encode(PING),
        "a confirm": encode_json(CONFIRM, {"resume": None}),
        "odd types": encode_json(HELLO, {"protocol": 1, "kernel_id": {"a": []}, "generation": "1"}),
        "surrogates": encode_json(
            HELLO, {"protocol": 1, "kernel_id": KERNEL_ID, "generation": 1, "token": "\ud800"}
        ),
        "two hellos": encode_json(HELLO, {}) * 1000,
        "silence": b"",
    }


async def send_and_leave(port: int, data: bytes, *, tls: bool, slow: bool = False) -> None:
    """Be a stranger."""
    with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
        if tls:
            dialled = await Dialled.to(port)
            writer = dialled._writer
        else:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        for begin in range(0, len(data), 100 if slow else len(data) or 1):
            writer.write(data[begin : begin + (100 if slow else len(data))])
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(writer.drain(), 2)
        await asyncio.sleep(0.05)
        writer.transport.abort()


async def test_strangers_of_all_kinds_disturb_no_kernel_and_no_start(
    hub: Hub, link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    """In numbers well beyond what the door holds at a time; memory does not grow with them."""
    async with port_of(hub) as port, running(write_kernelspec("echo", ECHO)) as (_, client):
        over = asyncio.Event()
        answers = 0

        async def works_on() -> None:
            nonlocal answers
            while not over.is_set():
                assert (await run(client, "still here")).text == "still here"
                answers += 1

        working = asyncio.ensure_future(works_on())
        before = psutil.Process().memory_info().rss
        for _ in range(4):
            visits = [
                send_and_leave(port, data, tls=tls, slow=slow)
                for tls, strange in ((False, strange_bytes()), (True, strange_frames()))
                for data in strange.values()
                for slow in (False, len(data) < 10000)
            ]
            await asyncio.gather(*visits)
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
        assert await asyncio.wait_for(refusal(port, hello(link, token="0" * 64)), HANG_S) == "unknown"
        async with running("echo") as (_, other):
            assert (await run(other, "a start amid strangers")).text == "a start amid strangers"
        for _, writer in silent:
            writer.transport.abort()
        assert psutil.Process().memory_info().rss - before < 100 * 2**20
        over.set()
        await working
        assert answers
    assert "Fatal error" not in caplog.text and "never retrieved" not in caplog.text


async def test_a_kernel_id_that_a_stranger_made_up_forges_no_line_of_the_log(
    hub: Hub, link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    async with port_of(hub) as port:
        forged = "x\nERROR all is lost \ud800" + "y" * 999
        assert await refusal(port, hello(link, kernel_id=forged)) == "unknown"
    record = next(record for record in caplog.records if "which claims" in record.getMessage())
    assert "\n" not in record.getMessage() and len(record.getMessage()) < 300


async def test_silence_ends_after_its_time(hub: Hub, link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparkkernels.relay.admission.STRANGER_TIMEOUT_S", 0.3)
    async with port_of(hub) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), HANG_S) == b""
        writer.transport.abort()
        silent = await Dialled.to(port)
        assert await silent.read() is None
        silent.close()
        unconfirmed = await Dialled.to(port)
        frame = await unconfirmed.ask(HELLO, **hello(link))
        assert frame is not None and frame.kind == WELCOME
        assert await unconfirmed.read() is None
        unconfirmed.close()
        assert not link.token_spent


async def test_links_that_open_and_close_at_the_same_time_end_the_hub_once() -> None:
    hub = Hub()

    async def brief(number: int) -> None:
        await asyncio.sleep(number % 7 / 1000)
        link = await hub.open_link(f"kernel-{number}")
        await hub.listen("127.0.0.1", 0)
        await asyncio.sleep(number % 5 / 1000)
        await hub.close_link(link)

    for _ in range(5):
        await asyncio.wait_for(asyncio.gather(*(brief(number) for number in range(20))), HANG_S)
        assert not hub.running


# -- claims ------------------------------------------------------------------------------------------------


async def test_wrong_claims_are_refused_without_a_word_too_many(hub: Hub, link: Link) -> None:
    other = await hub.open_link(KERNEL_ID.replace("1", "2"))
    await hub.next_generation(other)
    async with port_of(hub) as port:
        assert await refusal(port, hello(link, token="0" * 64)) == "unknown"
        assert await refusal(port, hello(link, token=None)) == "unknown"
        assert await refusal(port, hello(link, token=None, session="")) == "unknown"
        assert await refusal(port, hello(link, kernel_id=other.kernel_id)) == "unknown"
        assert await refusal(port, hello(link, kernel_id="nobody")) == "unknown"
        assert await refusal(port, hello(link, generation=None)) == "unknown"
        assert await refusal(port, hello(link, protocol=2)) == "protocol"
        assert not link.registered and not link.token_spent and not other.token_spent
    await hub.close_link(other)


async def test_a_spent_token_is_refused_and_that_is_logged(
    hub: Hub, link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    async with port_of(hub) as port:
        supervisor, _ = await register(port, link)
        assert await refusal(port, hello(link)) == "spent"
        assert "This token was used already" in caplog.text
        assert await supervisor.is_open()
        supervisor.close()


async def test_a_drop_between_welcome_and_confirm_spends_no_token(hub: Hub, link: Link) -> None:
    async with port_of(hub) as port:
        dropped, _ = await claim(port, hello(link))
        dropped.close()
        supervisor, _ = await register(port, link)
        supervisor.close()


async def test_a_drop_after_confirm_that_the_relay_never_saw_is_made_good_with_the_secret(
    hub: Hub, link: Link
) -> None:
    async with port_of(hub) as port:
        dropped, welcome = await claim(port, hello(link))
        dropped.close()
        supervisor, again = await claim(port, hello(link, token=None, session=welcome["session"]))
        assert "session" not in again and again["resume"] is None
        supervisor.write(encode_json(CONFIRM, {"resume": None}))
        assert await supervisor.is_open()
        assert await refusal(port, hello(link)) == "spent"
        supervisor.close()


@pytest.mark.usefixtures("link")
async def test_a_supervisor_of_another_process_comes_back_with_its_secret_alone(hub: Hub) -> None:
    secret, kernel_id = "5" * 64, KERNEL_ID.replace("1", "2")
    async with port_of(hub) as port:
        stranger = {"protocol": 1, "kernel_id": kernel_id, "generation": 3}
        with hub.expecting([kernel_id]):
            assert await refusal(port, {**stranger, "session": secret}) == "busy"
            link = await hub.open_link(kernel_id, 3, secret)
        assert link.session_secret == secret
        assert await refusal(port, {**stranger, "session": "6" * 64}) == "unknown"
        assert await refusal(port, {**stranger, "session": secret, "generation": 2}) == "superseded"
        assert await refusal(port, {**stranger, "token": link.token}) == "spent"
        supervisor, welcome = await claim(port, {**stranger, "session": secret})
        assert "session" not in welcome and welcome["resume"] is None
        supervisor.write(encode_json(CONFIRM, {"resume": None}))
        await becomes(lambda: link.connected)
        await hub.leave_link(link)
        assert await refusal(port, {**stranger, "session": secret}) == "busy"
        supervisor.close()


@pytest.mark.usefixtures("link")
async def test_the_port_of_another_process_is_opened_again_and_used_for_new_kernels_too(hub: Hub) -> None:
    own = make_certificate(datetime.datetime.now(datetime.UTC))
    wanted = free_port()
    first = await hub.listen("127.0.0.1", wanted, own)
    assert (first.port, first.fingerprint) == (wanted, own.fingerprint)
    assert await hub.listen("127.0.0.1", wanted) == await hub.listen("127.0.0.1", 0) == first


async def test_of_two_claims_of_one_token_only_the_first_to_confirm_comes_in(
    hub: Hub, link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    async with port_of(hub) as port:
        thief, stolen = await claim(port, hello(link))
        supervisor, _ = await register(port, link)
        thief.write(encode_json(CONFIRM, {"resume": None}))
        assert await thief.read() is None
        assert "second claim" in caplog.text
        assert await refusal(port, hello(link, token=None, session=stolen["session"])) == "unknown"
        assert await supervisor.is_open()
        supervisor.close()
        thief.close()


async def test_an_older_launch_is_superseded_at_every_step(hub: Hub, link: Link) -> None:
    async with port_of(hub) as port:
        old = hello(link)
        supervisor, secret = await register(port, link)
        between, _ = await claim(port, hello(link, token=None, session=secret))
        await hub.next_generation(link)
        between.write(encode_json(CONFIRM, {"resume": None}))
        assert await between.read() is None
        assert not link.registered and not link.token_spent
        assert await refusal(port, old) == "superseded"
        assert await refusal(port, {**old, "token": None, "session": secret}) == "superseded"
        assert await supervisor.read() is None
        newer, _ = await register(port, link)
        for dialled in (supervisor, between, newer):
            dialled.close()


async def test_a_supervisor_that_vanishes_while_it_reconnects_is_not_connected(hub: Hub, link: Link) -> None:
    async with port_of(hub) as port:
        supervisor, secret = await register(port, link)
        again, _ = await claim(port, hello(link, token=None, session=secret))
        assert await supervisor.read() is None
        again.close()
        await becomes(lambda: not link.connected)
        supervisor.close()


@pytest.mark.parametrize(
    "table",
    [{}, {"highest": 1e400, "streams": {"0": 0}}, {"highest": 0, "streams": {"0": 99}}, {"streams": [1]}],
    ids=["empty", "infinite", "ahead", "a list"],
)
async def test_an_impossible_resume_table_cuts_that_connection_only(
    hub: Hub, link: Link, table: dict[str, Any]
) -> None:
    async with port_of(hub) as port:
        supervisor, secret = await register(port, link)
        liar, welcome = await claim(port, hello(link, token=None, session=secret))
        assert welcome["resume"]["streams"] == {"0": 0}
        liar.write(encode(CONFIRM, 0, json.dumps({"resume": table}).encode()))
        assert await liar.read() is None
        honest, _ = await claim(port, hello(link, token=None, session=secret))
        honest.write(encode_json(CONFIRM, {"resume": {"highest": 0, "streams": {"0": 0}}}))
        assert await honest.is_open()
        for dialled in (supervisor, liar, honest):
            dialled.close()


# -- the local ports ---------------------------------------------------------------------------------------

CONNECT = """
import os, socket, sys
os.setuid(int(sys.argv[2]))
family = socket.AF_INET6 if ":" in sys.argv[3] else socket.AF_INET
with socket.socket(family) as s:
    if len(sys.argv) > 4:
        s.bind((sys.argv[4], int(sys.argv[5])))
    s.settimeout(20)
    s.connect((sys.argv[3], int(sys.argv[1])))
    try:
        print(s.recv(100)[:1].hex() or "closed", flush=True)
    except (ConnectionError, TimeoutError) as error:
        print("closed" if isinstance(error, ConnectionError) else "silent", flush=True)
"""


def connect_as(uid: int, port: int, host: str = "127.0.0.1", *bind: str) -> str:
    """The first byte that a local client of this uid hears (ZeroMQ greets with ff), or "closed"."""
    command = [sys.executable, "-c", CONNECT, str(port), str(uid), host, *bind]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=2 * HANG_S, check=True, cwd="/"
    ).stdout.strip()


async def test_local_ports_accept_the_servers_own_uid_only() -> None:
    async with running(write_kernelspec("echo", ECHO)) as (manager, client):
        loop = asyncio.get_running_loop()

        async def greeting(*arguments: Any) -> str:
            return await loop.run_in_executor(None, connect_as, *arguments)

        assert await greeting(0, manager.shell_port) == "ff"
        assert await greeting(0, manager.shell_port, "::ffff:127.0.0.1") == "ff"
        assert await greeting(65534, manager.shell_port) == "closed"
        # the same port number at another loopback address, while a client of ours has it at 127.0.0.1
        ours = socket.create_connection(("127.0.0.1", manager.shell_port))
        mine = str(ours.getsockname()[1])
        assert await greeting(65534, manager.shell_port, "127.0.0.1", "127.0.0.2", mine) == "closed"
        ours.close()
        assert (await run(client, "still here")).text == "still here"


# -- cuts --------------------------------------------------------------------------------------------------


class Proxy:
    """A TCP proxy before the relay whose connections can be cut or frozen."""

    def __init__(self) -> None:
        self.port = 0
        self.target = 0
        self.carried = 0
        self.connections = 0
        self.budget: int | None = None
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._open = asyncio.Event()
        self._open.set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Abort all connections."""
        for writer in self._writers:
            writer.transport.abort()

    def cut_next_after(self, carried: int) -> None:
        """Let the next connection carry about this many bytes and no more."""
        self.budget = carried

    def freeze(self) -> None:
        """Carry nothing more and say nothing: what a dead network looks like."""
        self._open.clear()

    def thaw(self) -> None:
        """Carry again; what was frozen is lost."""
        self.cut()
        self._open.set()

    async def stop(self) -> None:
        """Leave nothing."""
        assert self._server is not None
        self.thaw()
        self._server.close()
        await becomes(lambda: not self._writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            await self._open.wait()
            budget, self.budget = [self.budget], None
            onward = await asyncio.open_connection("127.0.0.1", self.target)
            await asyncio.gather(
                self._carry(reader, onward[1], budget), self._carry(onward[0], writer, budget)
            )
        except OSError:
            writer.transport.abort()  # nobody is there any more
        finally:
            self._writers.discard(writer)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: list[int | None]
    ) -> None:
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._open.wait()
                if budget[0] is not None:
                    data = data[: budget[0]]
                    budget[0] -= len(data)
                self.carried += len(data)
                writer.write(data)
                await writer.drain()
                if budget[0] == 0:
                    self.cut()
        self._writers.discard(writer)
        writer.transport.abort()


@pytest_asyncio.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """Every supervisor started in the test goes through it."""
    proxy = Proxy()
    await proxy.start()

    def through(port: int, *_: Any) -> list[tuple[str, int]]:
        proxy.target = port
        return [("127.0.0.1", proxy.port)]

    monkeypatch.setattr("sparkkernels.application.relay_addresses", through)
    yield proxy
    await proxy.stop()


COUNT = """
import hashlib
digest = hashlib.sha256()
for number in range(4000):
    line = f"{number:08d} " + "x" * 2000 + "\\n"
    digest.update(line.encode())
    print(line, end="")
print(digest.hexdigest())
"""


def assert_complete(text: str) -> None:
    """Whether the output of COUNT is whole and in order."""
    *lines, digest = text.rstrip("\n").split("\n")
    assert [int(line[:8]) for line in lines] == list(range(4000))
    assert hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest() == digest


async def test_large_output_is_complete_and_in_order_over_many_cuts(proxy: Proxy) -> None:
    async with running(write_kernelspec()) as (_, client):

        async def cut_again_and_again() -> None:
            while True:
                mark = proxy.carried
                await becomes(lambda mark=mark: proxy.carried > mark + 300_000)  # type: ignore[misc]
                proxy.cut()

        cutting = asyncio.ensure_future(cut_again_and_again())
        try:
            for _ in range(8):
                assert_complete((await run(client, COUNT, timeout_s=60)).text)
        finally:
            cutting.cancel()
        assert proxy.connections > 10


async def test_a_network_that_is_silent_for_longer_than_the_limit_is_a_cut_and_nothing_is_lost(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparkkernels_supervisor.session.PING_EVERY_S", 0.2)
    monkeypatch.setattr("sparkkernels_supervisor.session.SILENCE_S", 1.0)
    async with running(write_kernelspec()) as (manager, client):
        link = link_of(manager)
        mark = proxy.carried
        output = asyncio.ensure_future(run(client, COUNT, timeout_s=60))
        await becomes(lambda: proxy.carried > mark + 500_000)
        proxy.freeze()
        await becomes(lambda: not link.connected)
        assert "silent" in link.cut_reason
        assert await manager.is_alive()
        proxy.thaw()
        assert_complete((await output).text)


async def test_a_reconnect_can_be_cut_at_each_of_its_steps(proxy: Proxy) -> None:
    """From the first byte of TLS to the first frames: the number of bytes sweeps the handshake."""
    async with running(write_kernelspec("echo", ECHO)) as (manager, client):
        link = link_of(manager)
        for carried in (1, 500, 1500, 1800, 2000, 2200, 2400, 2600, 3000):
            proxy.cut_next_after(carried)
            proxy.cut()
            await becomes(lambda: proxy.budget is None)
            await becomes(lambda: link.connected)
            assert (await run(client, "still here")).text == "still here"


async def test_a_supervisor_that_cannot_come_back_ends_after_its_time(proxy: Proxy) -> None:
    async with running(write_kernelspec("echo", ECHO, orphan_timeout_s=1)) as (manager, _):
        supervisor = link_of(manager).container.pid
        proxy.freeze()
        proxy.cut()
        await becomes(lambda: not psutil.pid_exists(supervisor))
        ended = await asyncio.wait_for(manager.provisioner.wait(), HANG_S)  # type: ignore[union-attr]
        assert ended is not None
        assert not await manager.is_alive()


async def test_a_relay_that_has_forgotten_the_streams_goes_on_with_new_ones(proxy: Proxy) -> None:
    """As after another server process adopted the kernel: clients connect anew, nothing hangs."""
    async with running(write_kernelspec()) as (manager, client):
        await run(client, "x = 5")
        link = link_of(manager)
        forgotten = asyncio.Event()
        loop = asyncio.get_running_loop()

        def forget() -> None:
            link._session.shut()
            link._session.known = False
            loop.call_soon_threadsafe(forgotten.set)

        link._loop.call_soon_threadsafe(forget)
        await forgotten.wait()
        await becomes(lambda: proxy.connections > 1 and link._session.connection is not None)
        await client.wait_for_ready(timeout=HANG_S)
        assert (await run(client, "print(x)")).text == "5\n"
        assert link.kernel.state == "running"


async def test_a_reader_that_stands_still_holds_nobody_else_up(proxy: Proxy) -> None:
    async with running(write_kernelspec("echo", ECHO)) as (manager, client):
        with stand_still(manager):
            for _ in range(6):
                assert len((await run(client, "big 4000000")).text) == 4_000_000


#: More than ZeroMQ keeps by itself, TCP's buffers and a window of ours together.
MUCH = """
from IPython.display import display
for number in range(2500):
    display(f"{number:04d}" + "x" * 20000)
"""


async def test_output_beyond_all_buffers_waits_for_the_network_and_for_no_reader_that_stands_still(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sparkkernels.relay.local_ports.STILL_S", 2.0)
    argv = (sys.executable, "-m", "sparkkernels_python", "-f", "{connection_file}")
    async with running(write_kernelspec(argv=argv, curve="disabled")) as (manager, client):
        await run(client, "1")
        with stand_still(manager):
            mark = proxy.carried
            cell = asyncio.ensure_future(run(client, MUCH, timeout_s=90))
            await becomes(lambda: proxy.carried > mark + 100_000)
            proxy.freeze()
            await asyncio.sleep(4)
            assert not cell.done()
            proxy.thaw()
            shown = [m["content"]["data"] for m in (await cell).messages if m["msg_type"] == "display_data"]
            assert [int(data["text/plain"][1:5]) for data in shown] == list(range(2500))
            await becomes(lambda: "took none of a kernel's output" in caplog.text)


@contextlib.contextmanager
def stand_still(manager: AsyncKernelManager) -> Iterator[None]:
    """A client that asks for all output and takes hardly anything."""
    with zmq.Context() as context, context.socket(zmq.SUB) as still:
        still.linger, still.rcvhwm, still.rcvbuf = 0, 1, 65536
        still.subscribe(b"")
        still.connect(f"tcp://127.0.0.1:{manager.iopub_port}")
        yield


def link_of(manager: AsyncKernelManager) -> Link:
    """The link of a running kernel."""
    link: Link = manager.provisioner._link  # type: ignore[union-attr]
    return link


# -- the supervisor's side ---------------------------------------------------------------------------------


async def test_a_supervisor_says_no_word_to_a_relay_with_another_certificate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heard = bytearray()
    other = make_certificate(datetime.datetime.now(datetime.UTC))
    (tmp_path / "impostor.pem").write_bytes(other.key + other.certificate)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "impostor.pem")

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(4096):
                heard.extend(data)
        writer.transport.abort()

    impostor = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=tls)
    port = impostor.sockets[0].getsockname()[1]
    monkeypatch.setattr("sparkkernels.application.relay_addresses", lambda *_: [("127.0.0.1", port)])
    manager = AsyncKernelManager(kernel_name=write_kernelspec(registration_timeout_s=2))
    with pytest.raises(Exception, match="another certificate"):
        await manager.start_kernel()
    assert not heard
    impostor.close()
