"""CURVE between Jupyter's clients and the kernel: on by default, kept over restarts, never silently off."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from sparkkernels import ConfigurationError, SparkKernelError
from sparkkernels.cli.kernelspec import kernel_json
from sparkkernels.cli.languages import PYTHON
from sparkkernels_supervisor.mechanism import mechanism_of
from tests.leaks import Leaks

from .kernels import HANG_S, becomes, client_of, run, running, write_kernelspec
from .server import Server

IGNORANT = (sys.executable, str(Path(__file__).with_name("curve_ignorant.py")), "-f", "{connection_file}")
SUPPORTED = {"supported_encryption": ["curve"]}
CHANNELS = ("shell", "iopub", "stdin", "control", "hb")


def installed_kernelspec(**config: Any) -> str:
    """What `jupyter sparkkernels install` writes, without a SparkContext."""
    spec = kernel_json(
        PYTHON, master="local[*]", python=sys.executable, display_name="installed", spark_conf={}, env={}
    )
    spec["metadata"]["kernel_provisioner"]["config"].update(spark_context="none", **config)
    directory = Path(os.environ["JUPYTER_DATA_DIR"], "kernels", "installed")
    directory.mkdir(parents=True)
    (directory / "kernel.json").write_text(json.dumps(spec))
    return "installed"


def connection_files() -> list[Path]:
    """Those of Jupyter's own."""
    return list(Path(os.environ["JUPYTER_RUNTIME_DIR"]).glob("kernel-*.json"))


def answers(info: Any, **keys: bytes) -> bool:
    """Whether the kernel answers a client with these CURVE keys instead of its own."""
    client = BlockingKernelClient()
    plain: Any = {name: value for name, value in info.items() if "curve" not in name}
    client.load_connection_info(plain)
    for name, value in keys.items():
        setattr(client, name, value)
    client.start_channels()
    try:
        client.kernel_info()
        return bool(client.shell_channel.socket.poll(500))
    finally:
        client.stop_channels()
        client.context.destroy(linger=0)


async def test_an_installed_kernel_encrypts_and_its_keys_stay_over_restarts() -> None:
    """Though the server's own `transport_encryption` is at its default, disabled."""
    async with running(installed_kernelspec()) as (manager, client):
        info: Any = manager.get_connection_info()
        assert info["curve_publickey"] and info["curve_secretkey"]
        spoken = {await mechanism_of(info[f"{channel}_port"]) for channel in CHANNELS}
        assert spoken == {"CURVE"}
        path = Path(manager.connection_file)
        assert stat.S_IMODE(path.stat().st_mode) & 0o777 == 0o600  # Jupyter adds the sticky bit
        own = {name: info[name].encode() for name in info if "curve" in name}
        stranger = dict(zip(("curve_publickey", "curve_secretkey"), zmq.curve_keypair(), strict=True))
        assert not await asyncio.to_thread(answers, info)
        assert not await asyncio.to_thread(answers, info, **stranger, curve_serverkey=own["curve_publickey"])
        assert await asyncio.to_thread(answers, info, **own)
        assert (await run(client, "x = 6 * 7; print(x)")).text == "42\n"
        heartbeat: Any = manager.connect_hb()
        await heartbeat.send(b"ping")
        assert await asyncio.wait_for(heartbeat.recv(), HANG_S) == b"ping"
        heartbeat.close()
        await manager.restart_kernel()
        await client.wait_for_ready(timeout=HANG_S)
        assert (await run(client, "print('x' in globals())")).text == "False\n"
        assert manager.get_connection_info() == info
        assert json.loads(path.read_text())["curve_publickey"] == info["curve_publickey"]
    assert not path.exists()


def test_the_blocking_manager_of_nbclient_speaks_it() -> None:
    v4: Any = nbformat.v4
    notebook = v4.new_notebook(cells=[v4.new_code_cell("print(6 * 7)")])
    NotebookClient(notebook, kernel_name=installed_kernelspec(curve="required"), timeout=60).execute()
    assert notebook.cells[0].outputs[0].text == "42\n"


async def test_a_console_that_starts_its_kernel_speaks_it() -> None:
    console = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jupyter_console", "--simple-prompt", "--kernel", installed_kernelspec()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert console.stdin is not None and console.stdout is not None
    try:
        console.stdin.write(b"print('answer', 6 * 7)\n")
        await asyncio.wait_for(console.stdout.readuntil(b"answer 42"), HANG_S)
        [path] = connection_files()
        assert "curve_publickey" in path.read_text()
        console.stdin.write(b"exit\n")
        await asyncio.wait_for(console.communicate(), HANG_S)
    finally:
        if console.returncode is None:
            console.kill()
            await console.wait()


# -- the settings ------------------------------------------------------------------------------------------


async def test_it_is_off_where_the_setting_says_so_and_where_the_kernelspec_does_not_offer_it() -> None:
    for name in (installed_kernelspec(curve="disabled"), write_kernelspec("old")):
        async with running(name) as (manager, client):
            assert "curve_publickey" not in manager.get_connection_info()
            assert await mechanism_of(manager.shell_port) == "NULL"
            assert (await run(client, "print(1)")).text == "1\n"


async def test_a_kernel_that_cannot_is_refused_before_anything_is_started(leaks: Leaks) -> None:
    for name, policy in (
        (write_kernelspec("required", curve="required"), "disabled"),
        (write_kernelspec("contrary", curve="disabled", metadata=SUPPORTED), "required"),
    ):
        manager = AsyncKernelManager(kernel_name=name, transport_encryption=policy)
        with pytest.raises(ConfigurationError, match=r"require"):
            await manager.start_kernel()
        assert not leaks.processes() and not connection_files()


async def test_a_kernel_that_ignores_its_keys_is_ended_before_a_word_is_said_to_it(leaks: Leaks) -> None:
    name = write_kernelspec(argv=IGNORANT, metadata=SUPPORTED)
    manager = AsyncKernelManager(kernel_name=name)
    with pytest.raises(SparkKernelError) as caught:
        await asyncio.wait_for(manager.start_kernel(), HANG_S)
    assert str(caught.value).startswith("The kernel ignores the CURVE keys that it was given")
    assert "ipykernel 7.3" in caught.value.hint and "curve" in caught.value.hint
    await becomes(lambda: not leaks.processes())


# -- the server --------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path, leaks: Leaks) -> Iterator[Server]:
    """A stock server with its defaults, in which an encrypted kernel can be started."""
    leaks.excused.append("jupyter_cookie_secret")
    installed_kernelspec()
    server = Server(tmp_path)
    yield server
    server.stop()


def test_a_stock_server_speaks_it_on_its_websockets_over_restarts_and_deaths(server: Server) -> None:
    kernel_id = server.post("kernels", name="installed")["id"]
    [path] = connection_files()
    keys = path.read_text()
    assert "curve_publickey" in keys
    one, two = server.connect(kernel_id), server.connect(kernel_id)
    two.settle()
    pid = int(one.run("import os; print(os.getpid())"))
    one.run("print('before')")
    two.hear("before")
    server.post(f"kernels/{kernel_id}/restart")
    one.settle()
    two.settle()
    again = int(one.run("import os; print(os.getpid())"))
    assert again != pid and path.read_text() == keys
    os.kill(again, signal.SIGKILL)
    for tab in (one, two):
        tab.receive(lambda message: message["content"].get("execution_state") == "restarting")
        tab.settle()
    assert int(two.run("import os; print(os.getpid())")) not in (pid, again)
    assert path.read_text() == keys
    # the server's own watcher of activity, whose socket is older than all restarts, hears the kernel
    one.execute("import time; print('busy'); time.sleep(600)")
    one.hear("busy")
    assert server.get(f"kernels/{kernel_id}").json()["execution_state"] == "busy"
    server.post(f"kernels/{kernel_id}/interrupt")
    two.receive(lambda message: message["msg_type"] == "error")
    one.close()
    two.close()


async def test_a_client_that_was_there_before_a_new_application_goes_on_with_its_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sparkkernels.starting.RECONNECT_S", 0.1)
    async with running(installed_kernelspec()) as (manager, client):
        info = manager.get_connection_info()
        link: Any = manager.provisioner._link  # type: ignore[union-attr]
        os.kill(link.container.pid, signal.SIGKILL)
        await becomes(lambda: not link.connected)
        await manager.restart_kernel()
        await client.wait_for_ready(timeout=HANG_S)
        first = (await run(client, "print(1)")).text
        assert "in another Spark application" in first and first.endswith("\n1\n")
        assert link.generation == 2 and manager.get_connection_info() == info
        async with client_of(manager) as other:
            assert (await run(other, "print(2)")).text == "2\n"
