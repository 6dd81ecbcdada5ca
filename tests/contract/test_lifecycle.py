"""jupyter_client's behaviours with real managers and real kernels, from start to exit."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.ioloop.manager import AsyncIOLoopKernelManager
from jupyter_client.manager import AsyncKernelManager, KernelManager, _ShutdownStatus
from jupyter_client.multikernelmanager import AsyncMultiKernelManager
from jupyter_core.paths import jupyter_runtime_dir
from nbclient import NotebookClient

from tests.leaks import Leaks

from .kernels import ECHO, HANG_S, becomes, client_of, run, running, write_kernelspec

BUSY = "import time; print('busy', flush=True); time.sleep(600)"


async def start_of_busy_cell(client: Any) -> None:
    """Run a cell that never ends, and return once it runs."""
    client.execute(BUSY)
    while True:
        message = await client.get_iopub_msg(timeout=HANG_S)
        if message["msg_type"] == "stream":
            return


def provisioner_of(manager: AsyncKernelManager) -> Any:
    """The provisioner of a kernel that was started."""
    return manager.provisioner


async def test_a_kernel_has_a_process_only_when_its_start_is_complete_and_none_after_its_end() -> None:
    manager = AsyncKernelManager(kernel_name=write_kernelspec())
    start = asyncio.ensure_future(manager.start_kernel())
    await becomes(lambda: manager.provisioner is not None)
    provisioner: Any = manager.provisioner
    while not start.done():
        if provisioner.has_process:
            assert provisioner.connection_info["shell_port"] == manager.shell_port
        await asyncio.sleep(0.01)
    await start
    assert provisioner.has_process
    assert await provisioner.poll() is None
    assert await manager.is_alive()
    waiting = asyncio.ensure_future(provisioner.wait())
    await manager.shutdown_kernel()
    assert await asyncio.wait_for(waiting, HANG_S) == 0
    assert not provisioner.has_process
    assert await provisioner.poll() == 0
    assert not await manager.is_alive()
    assert not Path(manager.connection_file).exists()
    await manager.cleanup_resources()
    await provisioner.cleanup(restart=False)


@pytest.mark.parametrize("now", [False, True])
async def test_a_restart_keeps_ip_ports_key_and_connection_file_but_no_variable(now: bool) -> None:
    async with running(write_kernelspec()) as (manager, client):
        before = manager.get_connection_info()
        content = Path(manager.connection_file).read_text()
        first = int((await run(client, "import os; x = 1; print(os.getpid())")).text)
        await manager.restart_kernel(now=now)
        await client.wait_for_ready(timeout=HANG_S)
        answer = await run(client, "import os; print(os.getpid(), 'x' in globals())")
        second, has_variable = answer.text.split()
        assert int(second) != first and has_variable == "False"
        assert not psutil.pid_exists(first)
        assert manager.get_connection_info() == before
        assert Path(manager.connection_file).read_text() == content


async def test_a_kernel_that_was_killed_is_restarted_and_old_clients_hear_the_new_one() -> None:
    async with running(write_kernelspec(), AsyncIOLoopKernelManager) as (manager, client):
        before = manager.get_connection_info()
        restarted = asyncio.Event()
        manager.add_restart_callback(restarted.set)
        pid = int((await run(client, "import os; print(os.getpid())")).text)
        os.kill(pid, signal.SIGKILL)
        await asyncio.wait_for(restarted.wait(), HANG_S)
        await becomes(lambda: not manager.has_kernel)
        await becomes(lambda: manager.has_kernel)
        await client.wait_for_ready(timeout=HANG_S)
        assert (await run(client, "print('alive again')")).text == "alive again\n"
        assert manager.get_connection_info() == before


async def test_the_exit_code_of_a_dead_kernel_arrives_by_push() -> None:
    async with running(write_kernelspec()) as (manager, client):
        client.execute("import os; os._exit(7)")
        assert await asyncio.wait_for(provisioner_of(manager).wait(), HANG_S) == 7
        assert await provisioner_of(manager).poll() == 0
        assert not manager.has_kernel


@pytest.mark.parametrize("mode", ["signal", "message"])
async def test_an_interrupt_ends_a_busy_cell_and_the_kernel_goes_on(mode: str) -> None:
    async with running(write_kernelspec(interrupt_mode=mode)) as (manager, client):
        await run(client, "x = 5")
        await start_of_busy_cell(client)
        await manager.interrupt_kernel()
        while True:
            reply = await client.get_shell_msg(timeout=HANG_S)
            if reply["content"].get("ename"):
                break
        assert reply["content"]["ename"] == "KeyboardInterrupt"
        assert (await run(client, "print(x)")).text == "5\n"


async def test_a_kernel_has_ended_when_the_request_for_it_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparkkernels.provisioner.PROMPT_END_S", HANG_S)
    async with running(write_kernelspec()) as (manager, _):
        await manager.request_shutdown()
        assert not await manager.is_alive()


STUBBORN = """
import signal, subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
async def ignore(*_):
    pass
get_ipython().kernel.control_handlers["shutdown_request"] = ignore
child = subprocess.Popen(["sleep", "600"])
print(child.pid)
"""


async def test_a_kernel_that_ignores_shutdown_requests_and_sigterm_is_killed_with_its_children() -> None:
    manager = AsyncKernelManager(kernel_name=write_kernelspec(), shutdown_wait_time=1.0)
    await manager.start_kernel()
    async with client_of(manager) as client:
        child = int((await run(client, STUBBORN)).text)
        await run(client, "")
        await manager.shutdown_kernel()
    assert manager._shutdown_status is _ShutdownStatus.SigkillRequest
    assert not psutil.pid_exists(child)


async def test_what_a_kernel_left_running_ends_with_it_and_dead_ones_are_reaped_before() -> None:
    async with running(write_kernelspec()) as (_, client):
        code = """
            import subprocess
            keep = {"shell": True, "capture_output": True, "text": True}
            orphan = subprocess.run("sleep 600 >/dev/null 2>&1 & echo $!", **keep)
            short = subprocess.run("sleep 0.1 >/dev/null 2>&1 & echo $!", **keep)
            print(orphan.stdout.strip(), short.stdout.strip())
        """
        orphan, short = map(int, (await run(client, textwrap.dedent(code))).text.split())
        assert psutil.pid_exists(orphan)
        await becomes(lambda: not psutil.pid_exists(short))
        client.execute("import os; os._exit(0)")
        await becomes(lambda: not psutil.pid_exists(orphan))


async def test_kernels_start_and_end_in_parallel() -> None:
    name = write_kernelspec()

    async def one(number: int) -> str:
        async with running(name) as (_, client):
            return (await run(client, f"print({number})")).text

    assert await asyncio.gather(*(one(number) for number in range(3))) == ["0\n", "1\n", "2\n"]


async def test_a_start_can_be_cancelled_at_any_moment() -> None:
    name = write_kernelspec()
    for delay_ms in (0, 5, 20, 50, 80, 120, 200, 300, 450, 600):
        manager = AsyncKernelManager(kernel_name=name)
        start = asyncio.ensure_future(manager.start_kernel())
        await asyncio.sleep(delay_ms / 1000)
        start.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await start
        if manager.has_kernel:  # it was up: jupyter_client itself sleeps a moment after a complete start
            await manager.shutdown_kernel(now=True)
            continue
        assert start.cancelled()
        assert not manager.connection_file or not Path(manager.connection_file).exists()


async def test_any_kernel_runs_by_its_own_argv() -> None:
    async with running(write_kernelspec("echo", ECHO)) as (_, client):
        assert (await run(client, "anything at all")).text == "anything at all"
        assert (await run(client, "big 5000000")).text == "x" * 5_000_000


async def test_the_kernelspecs_environment_travels_and_the_servers_own_and_its_directory_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = {
        "JPY_SESSION_NAME": "notebook.ipynb",
        "JPY_PARENT_PID": "1",
        "JUPYTER_TOKEN": "secret-1",
        "JUPYTERHUB_API_TOKEN": "secret-2",
        "AWS_SECRET_ACCESS_KEY": "secret-3",
        "SPARK_SOME_SECRET": "secret-4",
        "PYTHONSTARTUP": "/nowhere",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    spec = write_kernelspec(env={"GREETING": "good ${WORD}", "DATA": "a=b c"})
    monkeypatch.setenv("WORD", "day")
    async with running(spec, cwd=str(tmp_path)) as (_, client):
        answer = await run(client, "import os, json; print(json.dumps([os.getcwd(), dict(os.environ)]))")
        cwd, env = json.loads(answer.text)
    assert not {*secrets} & {*env}
    assert not [value for value in env.values() if "secret-" in value]
    assert env["GREETING"] == "good day" and env["DATA"] == "a=b c"
    assert cwd not in (str(tmp_path), os.getcwd())


async def test_a_python_of_another_version_finds_its_own_library() -> None:
    other = Path("/usr/bin/python3")
    code = "import json, ssl, sys; print(sys.version_info[:2], json.__file__); sys.exit(3)"
    manager = AsyncKernelManager(kernel_name=write_kernelspec(argv=(str(other), "-c", code)))
    with pytest.raises(Exception, match="exit code 3") as caught:
        await manager.start_kernel()
    found = subprocess.run([other, "-c", code], capture_output=True, text=True, timeout=HANG_S, cwd="/")
    assert found.stdout.strip() in str(caught.value)


async def test_the_connection_file_serves_other_clients() -> None:
    write_kernelspec()
    kernels = AsyncMultiKernelManager(connection_dir=jupyter_runtime_dir())
    manager: Any = kernels.get_kernel(await kernels.start_kernel(kernel_name="spark"))
    async with client_of(manager) as client:
        await run(client, "x = 6 * 7")
        path = Path(manager.connection_file)
        assert path.parent == Path(jupyter_runtime_dir())
        assert path.stat().st_mode & 0o777 == 0o600
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, ask_existing, path) == "42\n"
        console = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "jupyter_console", "--simple-prompt", "--existing", path.name),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert console.stdin is not None and console.stdout is not None
        console.stdin.write(b"print('from the console', x)\n")
        await asyncio.wait_for(console.stdout.readuntil(b"from the console 42"), HANG_S)
        console.kill()  # its own `exit` would shut the kernel down
        await console.wait()
        assert (await run(client, "print(x)")).text == "42\n"
    await kernels.shutdown_all()


def ask_existing(path: Path) -> str:
    """Print x by a blocking client that knows only the connection file."""
    client = BlockingKernelClient()
    client.load_connection_file(str(path))
    client.start_channels()
    try:
        client.wait_for_ready(timeout=HANG_S)
        text = []
        client.execute_interactive(
            "print(x)",
            timeout=HANG_S,
            output_hook=lambda message: text.append(message["content"].get("text", "")),
        )
        return "".join(text)
    finally:
        client.stop_channels()
        client.context.destroy(linger=0)


@pytest.mark.parametrize("policy", ["auto", "required"])
async def test_channels_are_encrypted_when_the_server_says_so(policy: str) -> None:
    spec = write_kernelspec(metadata={"supported_encryption": ["curve"]})
    manager = AsyncKernelManager(kernel_name=spec, transport_encryption=policy)
    await manager.start_kernel()
    try:
        info: Any = manager.get_connection_info()
        assert info["curve_publickey"] and info["curve_secretkey"]
        async with client_of(manager) as client:
            assert (await run(client, "print(1)")).text == "1\n"
            await manager.restart_kernel()
            await client.wait_for_ready(timeout=HANG_S)
            assert (await run(client, "print(2)")).text == "2\n"
        assert manager.get_connection_info() == info
        plain = BlockingKernelClient()
        without: Any = {k: v for k, v in info.items() if not k.startswith("curve")}
        plain.load_connection_info(without)
        plain.start_channels()
        try:
            plain.kernel_info()
            assert not plain.shell_channel.socket.poll(500)
        finally:
            plain.stop_channels()
            plain.context.destroy(linger=0)
    finally:
        await manager.shutdown_kernel(now=True)


async def test_a_server_that_requires_encryption_refuses_a_kernel_without_it() -> None:
    manager = AsyncKernelManager(kernel_name=write_kernelspec(), transport_encryption="required")
    with pytest.raises(RuntimeError, match="supported_encryption"):
        await manager.start_kernel()


async def test_a_transport_other_than_tcp_is_refused() -> None:
    manager = AsyncKernelManager(kernel_name=write_kernelspec(), transport="ipc")
    with pytest.raises(ValueError, match=r"^Spark kernels need the transport tcp, "):
        await manager.start_kernel()


def test_the_blocking_manager_and_nbclient_run_a_notebook() -> None:
    v4: Any = nbformat.v4
    cells = [v4.new_code_cell("print(6 * 7)"), v4.new_code_cell("import os; os.getpid()")]
    notebook = v4.new_notebook(cells=cells)
    NotebookClient(notebook, kernel_name=write_kernelspec(), timeout=60).execute()
    assert notebook.cells[0].outputs[0].text == "42\n"
    manager = KernelManager(kernel_name="spark")
    manager.start_kernel()
    assert manager.is_alive()
    manager.restart_kernel()
    manager.interrupt_kernel()
    manager.shutdown_kernel()
    assert not manager.is_alive()


SCRIPTS = {
    "nbclient": """
        import nbformat, sys
        from nbclient import NotebookClient
        client = NotebookClient(nbformat.v4.new_notebook(), kernel_name="spark")
        stack = client.setup_kernel()
        stack.__enter__()
        print("started", flush=True)
    """,
    "nbclient inside": """
        import nbformat, sys
        from nbclient import NotebookClient
        client = NotebookClient(nbformat.v4.new_notebook(), kernel_name="spark")
        with client.setup_kernel():
            print("started", flush=True)
            END
    """,
    "async nbclient": """
        import asyncio, nbformat, sys
        from nbclient import NotebookClient
        async def main():
            client = NotebookClient(nbformat.v4.new_notebook(), kernel_name="spark")
            async with client.async_setup_kernel():
                print("started", flush=True)
                END
        asyncio.run(main())
    """,
    "no manners": """
        import sys
        from jupyter_client.manager import KernelManager
        manager = KernelManager(kernel_name="spark")
        manager.start_kernel()
        print("started", flush=True)
    """,
}
#: Ways to end, and the exit codes that they have.
ENDS = {"pass": 0, "sys.exit(3)": 3, "raise KeyError(1)": 1}


@pytest.mark.parametrize("script", SCRIPTS)
async def test_a_script_that_ends_leaves_nothing_however_it_ends(script: str) -> None:
    write_kernelspec()
    text = textwrap.dedent(SCRIPTS[script])

    async def end(how: str, code: int) -> None:
        whole = text.replace("END", how) if "END" in text else text + how
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", whole), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await asyncio.wait_for(process.communicate(), 2 * HANG_S)
        assert (out, process.returncode) == (b"started\n", code), err.decode()
        assert err.count(b"Traceback") == ("raise" in how), err.decode()

    await asyncio.gather(*(end(how, code) for how, code in ENDS.items()))


async def test_a_supervisor_that_was_killed_counts_as_a_dead_kernel(leaks: Leaks) -> None:
    async with running(write_kernelspec()) as (manager, client):
        answer = await run(client, "import os; print(os.getpid(), os.getppid())")
        kernel, supervisor = map(int, answer.text.split())
        os.kill(supervisor, signal.SIGKILL)
        assert await asyncio.wait_for(provisioner_of(manager).wait(), HANG_S) not in (None, 0)
        await becomes(lambda: not psutil.pid_exists(kernel))
        await manager.restart_kernel()
        await client.wait_for_ready(timeout=HANG_S)
        assert (await run(client, "print('a new application')")).text == "a new application\n"
