"""The supervisor process: what it says when a start fails, when it ends, and what it needs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.manager import AsyncKernelManager

from sparkkernels import ApplicationFailed, SparkKernelError
from sparkkernels_supervisor.processes import resident_kib

from .kernels import ECHO, HANG_S, becomes, run, running, write_kernelspec

LAUNCHERS = Path(__file__).parents[2] / "launchers"
ISOLATED = (sys.executable, "-S", "-m", "ipykernel_launcher", "-f", "{connection_file}")


def link_of(manager: AsyncKernelManager) -> Any:
    """The kernel's link."""
    return manager.provisioner._link  # type: ignore[union-attr]


# -- starts that fail --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "message", "diagnostics", "hint"),
    [
        (
            ("/no/such/command", "{connection_file}"),
            "The kernel's command '/no/such/command' could not be started: No such file or directory.",
            "",
            "Name a command that exists on the workers in the kernelspec's argv.",
        ),
        (
            ("/etc/passwd",),
            "The kernel's command '/etc/passwd' could not be started: Permission denied.",
            "",
            "argv",
        ),
        (
            (sys.executable, "-c", "import sys; sys.exit(3)"),
            "The kernel process could not start: it ended with exit code 3.",
            "",
            "argv",
        ),
        (
            (sys.executable, "-c", "import os; print('last words', flush=True); os.kill(os.getpid(), 11)"),
            "The kernel process could not start: it was ended by signal 11.",
            "last words",
            "argv",
        ),
        (
            (sys.executable, "-c", "import sys; print('x' * 99999); sys.exit('the reason')"),
            "The kernel process could not start: it ended with exit code 1.",
            "the reason",
            "argv",
        ),
        (
            ISOLATED,
            "The kernel process could not start: it ended with exit code 1.",
            "No module named ipykernel",
            "Install ipykernel for the workers' python",
        ),
    ],
    ids=["missing", "not executable", "exit code", "signal", "long output", "no ipykernel"],
)
async def test_a_kernel_that_cannot_start_is_told_with_all_there_is(
    argv: tuple[str, ...], message: str, diagnostics: str, hint: str
) -> None:
    manager = AsyncKernelManager(kernel_name=write_kernelspec(argv=argv))
    with pytest.raises(ApplicationFailed) as caught:
        await asyncio.wait_for(manager.start_kernel(), HANG_S)
    error = caught.value
    assert error.message == message
    assert diagnostics in error.diagnostics and len(error.diagnostics) < 10000
    assert hint in error.hint
    assert error.application_id and error.application_id in str(error)


async def test_a_kernel_that_never_opens_its_ports_is_given_up_with_its_output() -> None:
    argv = (sys.executable, "-c", "import time; print('thinking', flush=True); time.sleep(600)")
    manager = AsyncKernelManager(kernel_name=write_kernelspec(argv=argv, launch_timeout_s=2))
    with pytest.raises(
        SparkKernelError, match=r"^The kernel process did not open its ports in time\."
    ) as caught:
        await manager.start_kernel()
    assert "thinking" in caught.value.diagnostics


async def test_a_python_that_is_none_ends_the_start_at_once() -> None:
    spec = write_kernelspec(python="/bin/false", registration_timeout_s=20)
    manager = AsyncKernelManager(kernel_name=spec)
    with pytest.raises(ApplicationFailed, match="exit code 1") as caught:
        await asyncio.wait_for(manager.start_kernel(), HANG_S)
    assert str(caught.value).partition("\n")[0].endswith(".")


# -- its own end -------------------------------------------------------------------------------------------


async def test_a_supervisor_without_a_kernel_ends_after_its_time() -> None:
    """As after a restarter that gave up."""
    async with running(write_kernelspec("echo", ECHO, childless_timeout_s=1)) as (manager, _):
        link = link_of(manager)
        os.kill(link.kernel.pid, signal.SIGKILL)
        await becomes(lambda: not psutil.pid_exists(link.container.pid))
        assert not await manager.is_alive()


async def test_a_supervisor_ends_with_the_process_that_started_it_even_when_that_is_the_first() -> None:
    """In a container the Jupyter server often is process 1, which is no orphan's parent then."""
    write_kernelspec("echo", ECHO)
    script = """
        import os, time
        from jupyter_client.manager import KernelManager
        assert os.getpid() == 1
        manager = KernelManager(kernel_name="echo")
        manager.start_kernel()
        client = manager.blocking_client()
        client.start_channels()
        client.wait_for_ready(timeout=30)
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            client.execute_interactive("still here", timeout=10, output_hook=lambda message: None)
            assert manager.is_alive()
        client.stop_channels()
        manager.shutdown_kernel()
        print("well")
    """
    unshare = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    command = [*unshare, sys.executable, "-c", textwrap.dedent(script)]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=2 * HANG_S, check=False
    )
    assert done.stdout == "well\n", done.stderr


async def test_grandchildren_that_hide_end_with_a_killed_kernel_and_with_a_restart() -> None:
    hide = """
        import subprocess
        script = "setsid sh -c 'sleep 600 >/dev/null 2>&1 & echo $!'"
        print(subprocess.run(script, shell=True, capture_output=True, text=True).stdout)
    """
    hide = textwrap.dedent(hide)
    async with running(write_kernelspec()) as (manager, client):
        first = int((await run(client, hide)).text)
        assert psutil.pid_exists(first)
        await manager.restart_kernel(now=True)
        await becomes(lambda: not psutil.pid_exists(first))
        await client.wait_for_ready(timeout=HANG_S)
        second = int((await run(client, hide)).text)
        assert psutil.pid_exists(second)
    await becomes(lambda: not psutil.pid_exists(second))


async def test_an_interrupt_is_for_the_kernels_children_and_not_for_a_group_of_their_own() -> None:
    """A terminal or a daemon that a cell has started gets what the kernel passes on to it."""
    spawn = """
        import subprocess
        beside, apart = (subprocess.Popen(["sleep", "600"], start_new_session=new) for new in (False, True))
    """
    async with running(write_kernelspec()) as (manager, client):
        await run(client, textwrap.dedent(spawn))
        await manager.interrupt_kernel()
        answer = await run(client, "print(beside.wait(), apart.poll())")
        assert answer.text == f"{-signal.SIGINT} None\n"


async def test_a_supervisor_needs_little_memory(record_property: Callable[[str, object], None]) -> None:
    async with running(write_kernelspec("echo", ECHO)) as (manager, client):
        for _ in range(5):
            await run(client, "big 5000000")
        resident = resident_kib(link_of(manager).container.pid)
    record_property("supervisor_resident_kib", resident)
    assert 1000 < resident < 40 * 1024


# -- by itself ---------------------------------------------------------------------------------------------


def supervise(
    directory: Path, content: str, stderr: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """Run a supervisor with this registration file, as the container does."""
    path = directory / "registration.json"
    path.write_text(content)
    code = "import sys; from sparkkernels_supervisor.__main__ import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, str(path)],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=HANG_S,
        check=False,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(LAUNCHERS)},
    )


def registration(addresses: list[tuple[str, int]], timeout_s: float = 2) -> str:
    """A registration file's text."""
    content = {
        "protocol": 1,
        "kernel_id": str(uuid.uuid4()),
        "generation": 1,
        "addresses": addresses,
        "fingerprint": "00" * 32,
        "token": "11" * 32,
        "registration_timeout_s": timeout_s,
    }
    return json.dumps(content)


def test_a_relay_out_of_reach_ends_the_supervisor_with_every_address_and_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        addresses = [
            ("127.0.0.1", int(closed.getsockname()[1])),
            ("127.0.0.1", int(mute.getsockname()[1])),
            ("no-such-host.invalid", 7000),
        ]
        began = time.monotonic()
        done = supervise(tmp_path, registration(addresses))
        assert time.monotonic() - began < HANG_S / 2
    assert done.returncode == 1 and done.stdout == ""
    first, *tried = done.stderr.strip().splitlines()
    assert re.fullmatch(
        r"sparkkernels: The worker \S+ could not reach the Jupyter server's relay within 2 s\.", first
    )
    assert len(tried) == 3
    for line, (host, port) in zip(tried, addresses, strict=True):
        assert f"{host}:{port}" in line
    assert "refused" in tried[0] and "no answer" in tried[1] and "not known" in tried[2].lower()


def test_a_supervisor_ends_though_nobody_can_read_why(tmp_path: Path) -> None:
    """As when the JVM was killed, which its stderr is a pipe to."""
    read, write = os.pipe()
    os.close(read)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        done = supervise(tmp_path, registration([("127.0.0.1", int(closed.getsockname()[1]))]), write)
    os.close(write)
    assert done.returncode == 1


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"protocol": 2}', '{"protocol": 1}', "null"])
def test_a_registration_file_that_is_none_is_one_clear_line(tmp_path: Path, content: str) -> None:
    done = supervise(tmp_path, content)
    assert done.returncode == 2
    assert done.stderr.startswith("sparkkernels: the registration file can't be used: ")
    assert len(done.stderr.splitlines()) == 1
