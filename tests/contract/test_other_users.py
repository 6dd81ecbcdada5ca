"""What other users of the Jupyter host get of our kernels: no word, no secret, no key."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import re
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import AsyncKernelManager

from sparkkernels import ConfigurationError
from sparkkernels.relay.hub import shared_hub
from sparkkernels.relay.tls import Certificate, make_certificate, read_certificate
from tests.leaks import Leaks

from .kernels import ECHO, HANG_S, run, running, write_kernelspec
from .server import Server

SUBSCRIBER = str(Path(__file__).with_name("subscriber.py"))
SUPPORTED = {"supported_encryption": ["curve"]}


@pytest.fixture
def bob() -> Iterator[int]:
    """The uid of a real second user of this host."""
    name = f"sk-bob-{os.getpid()}"
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    subprocess.run([*command, name], check=True, timeout=60)
    try:
        yield pwd.getpwnam(name).pw_uid
    finally:
        subprocess.run(["userdel", name], check=True, timeout=60)


async def subscribe(uid: int, port: int, keys: dict[str, str]) -> asyncio.subprocess.Process:
    """A subscriber of this uid that has begun to connect."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, SUBSCRIBER, str(uid), str(port)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd="/",
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(keys).encode())
    process.stdin.close()
    assert await asyncio.wait_for(process.stdout.readline(), HANG_S) == b"connecting\n"
    return process


async def hears(process: asyncio.subprocess.Process, count: int) -> None:
    """Return when it has heard so many messages."""
    assert process.stdout is not None
    for _ in range(count):
        assert await process.stdout.readline() == b"heard\n"


async def end(process: asyncio.subprocess.Process) -> bytes:
    """End it; what it printed and nobody has read."""
    process.kill()
    output, _ = await asyncio.wait_for(process.communicate(), HANG_S)
    return output


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "with stolen keys"])
async def test_a_second_user_subscribes_to_nothing(bob: int, encrypted: bool) -> None:
    name = write_kernelspec("echo", ECHO, metadata=SUPPORTED if encrypted else None)
    async with running(name) as (manager, client):
        keys = {name: value for name, value in manager.get_connection_info().items() if "curve" in name}
        assert bool(keys) is encrypted
        stolen: Any = {**keys, "curve_serverkey": keys["curve_publickey"]} if keys else {}
        subscribers = [await subscribe(uid, manager.iopub_port, stolen) for uid in (os.getuid(), bob)]
        hearing = asyncio.ensure_future(hears(subscribers[0], 30))
        async with asyncio.timeout(HANG_S):
            while not hearing.done():
                assert (await run(client, "a secret")).text == "a secret"
                await asyncio.sleep(0.05)
            await hearing
        _, bobs = [await end(process) for process in subscribers]
        assert bobs == b""


async def test_nothing_that_others_may_read_holds_a_secret_whatever_the_umask(leaks: Leaks) -> None:
    old = os.umask(0)
    try:
        async with running(write_kernelspec("echo", ECHO, metadata=SUPPORTED)) as (manager, client):
            await run(client, "hello")
            link: Any = manager.provisioner._link  # type: ignore[union-attr]
            info: Any = manager.get_connection_info()
            secrets = [info["key"].decode(), info["curve_secretkey"], link.token, *link._secrets]
            files = [path for root in (leaks.runtime, leaks.temporary) for path in root.rglob("*")]
            files = [path for path in files if path.is_file()]
            holding = [path for path in files if any(secret in text_of(path) for secret in secrets)]
            assert len(holding) >= 2  # the connection file here, and the one beside the kernel
            for path in holding:
                assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
            record = [path for path in files if leaks.runtime / "sparkkernels" in path.parents]
            assert record and not [path for path in record if path.stat().st_mode & 0o077]
    finally:
        os.umask(old)


def test_a_servers_log_at_debug_holds_no_secret(tmp_path: Path, leaks: Leaks) -> None:
    leaks.excused.append("jupyter_cookie_secret")
    write_kernelspec("echo", ECHO, metadata=SUPPORTED)
    server = Server(tmp_path, "--log-level=DEBUG")
    try:
        kernel_id = server.post("kernels", name="echo")["id"]
        tab = server.connect(kernel_id)
        tab.settle()
        assert tab.run("hello") == "hello"
        info = json.loads((leaks.runtime / f"kernel-{kernel_id}.json").read_text())
        server.post(f"kernels/{kernel_id}/restart")
        tab.settle()
        tab.close()
    finally:
        server.stop()
    log = server.log.read_text()
    assert "DEBUG" in log or "[D " in log
    assert not [name for name in ("key", "curve_secretkey") if info[name] in log]
    assert not re.findall(r"\b[0-9a-f]{64}\b", log)  # what tokens and session secrets look like


def text_of(path: Path) -> str:
    """A file's content as far as it is text."""
    try:
        return path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return ""


# -- the relay's certificate -------------------------------------------------------------------------------


def written(path: Path, certificate: Certificate, mode: int = 0o600) -> str:
    """Write a certificate with its key."""
    path.write_bytes(certificate.key + certificate.certificate)
    path.chmod(mode)
    return str(path)


async def test_an_administrators_certificate_is_shown_and_pinned_until_the_last_kernel_has_ended(
    tmp_path: Path,
) -> None:
    first, renewed = (make_certificate(datetime.now(UTC)) for _ in range(2))
    path = written(tmp_path / "relay.pem", first)
    name = write_kernelspec("echo", ECHO, relay_certificate=path)

    async def shown() -> str:
        address = await shared_hub().listen("127.0.0.1", 0, read_certificate(path))
        pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", address.port))
        assert address.fingerprint == Certificate(pem.encode(), b"").fingerprint
        return address.fingerprint

    async with running(name):
        assert await shown() == first.fingerprint
        written(tmp_path / "relay.pem", renewed)
        async with running(name) as (_, client):
            assert (await run(client, "one more")).text == "one more"
            assert await shown() == first.fingerprint
    async with running(name) as (_, client):
        assert (await run(client, "renewed")).text == "renewed"
        assert await shown() == renewed.fingerprint


async def test_a_certificate_that_others_may_read_starts_no_kernel(tmp_path: Path, leaks: Leaks) -> None:
    path = written(tmp_path / "relay.pem", make_certificate(datetime.now(UTC)), 0o644)
    manager = AsyncKernelManager(kernel_name=write_kernelspec("echo", ECHO, relay_certificate=path))
    with pytest.raises(ConfigurationError, match=r"^The relay's certificate .* by others"):
        await manager.start_kernel()
    assert not leaks.processes()
