"""A stock jupyter server over REST and WebSockets, with kernels of ours."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.leaks import Leaks

from .kernels import HANG_S, write_kernelspec
from .server import Server, wait_until

StartServer = Callable[..., Server]
#: A kernel that takes its time: it is still starting when something happens to its server.
SLOW = (sys.executable, "-c", "import time; print('slow', flush=True); time.sleep(600)", "{connection_file}")


@pytest.fixture
def start(tmp_path: Path, leaks: Leaks) -> Iterator[StartServer]:
    """Starts servers that are ended with the test."""
    servers: list[Server] = []
    leaks.excused.append("jupyter_cookie_secret")

    def start_server(*options: str) -> Server:
        servers.append(Server(tmp_path, *options))
        return servers[-1]

    yield start_server
    for server in servers:
        server.stop()


def begin_start(server: Server, name: str) -> threading.Thread:
    """Ask for a kernel and don't wait for it."""

    def ask() -> None:
        try:
            server.request("POST", "kernels", timeout=2 * HANG_S, name=name)
        except requests.ConnectionError:
            return  # the server has ended first, which is what the test is about

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    return thread


def test_kernels_and_sessions_start_and_two_tabs_live_through_restarts(start: StartServer) -> None:
    write_kernelspec()
    server = start("--MappingKernelManager.default_kernel_name=spark")
    session = server.post("sessions", path="a.ipynb", name="a", type="notebook", kernel={"name": "spark"})
    kernel_id = session["kernel"]["id"]
    other = server.post("kernels", name="spark")
    assert {kernel["id"] for kernel in server.kernels()} == {kernel_id, other["id"]}
    one, two = server.connect(kernel_id), server.connect(kernel_id)
    pid = int(one.run("import os; print(os.getpid())"))
    two.settle()
    one.run("print('before')")
    two.hear("before")

    server.post(f"kernels/{kernel_id}/restart")
    one.settle()
    two.settle()
    again = int(one.run("import os; print(os.getpid())"))
    assert again != pid and not psutil.pid_exists(pid)
    two.run("print('to the other tab')")
    one.hear("to the other tab")

    os.kill(again, signal.SIGKILL)
    for tab in (one, two):
        tab.receive(lambda message: message["content"].get("execution_state") == "restarting")
        tab.settle()
    assert int(two.run("import os; print(os.getpid())")) not in (pid, again)
    one.execute("import time; print('busy'); time.sleep(600)")
    one.hear("busy")
    server.post(f"kernels/{kernel_id}/interrupt")
    assert two.receive(lambda message: message["msg_type"] == "error")["content"]["ename"] == (
        "KeyboardInterrupt"
    )
    one.close()
    two.close()
    assert server.request("DELETE", f"kernels/{other['id']}").status_code == 204
    assert [kernel["id"] for kernel in server.kernels()] == [kernel_id]


def test_an_idle_kernel_is_culled_and_one_that_is_busy_or_connected_is_not(start: StartServer) -> None:
    write_kernelspec()
    server = start("--MappingKernelManager.cull_idle_timeout=4", "--MappingKernelManager.cull_interval=1")
    connected = server.post("kernels", name="spark")["id"]
    tab = server.connect(connected)
    busy = server.post("kernels", name="spark")["id"]
    other = server.connect(busy)
    other.execute("import time; print('busy'); time.sleep(600)")
    other.hear("busy")
    other.close()
    idle = server.post("kernels", name="spark")["id"]
    wait_until(lambda: idle not in [kernel["id"] for kernel in server.kernels()])
    assert {kernel["id"] for kernel in server.kernels()} == {connected, busy}
    server.post(f"kernels/{busy}/interrupt")
    tab.close()
    wait_until(lambda: not server.kernels())


def test_a_kernel_that_nobody_uses_ends_for_good_with_and_without_its_server(
    start: StartServer, leaks: Leaks
) -> None:
    leaks.excused += ["*"]  # as below
    write_kernelspec(idle_timeout_s=3, orphan_timeout_s=300)
    server = start()
    tab = server.connect(server.post("kernels", name="spark")["id"])
    tab.settle()
    assert tab.run("import time; end = time.time() + 5\nwhile time.time() < end: pass\nprint('still here')")
    ended = tab.receive(lambda message: message["content"].get("execution_state") in ("dead", "restarting"))
    assert ended["content"]["execution_state"] == "dead"
    wait_until(lambda: not server.kernels())
    tab.close()
    log = server.log.read_text()
    assert "Nobody has talked to the kernel, and it has run nothing, for 3 s." in log
    assert log.count("Submitting to") == 1
    server.post("kernels", name="spark")
    server.signal(signal.SIGKILL)
    server.wait()
    wait_until(lambda: not leaks.processes())


#: Kernelspecs that can't work: settings, command, and what the error's first line and the rest of it say.
BAD: dict[str, tuple[dict[str, object], tuple[str, ...] | None, str, str]] = {
    "command": (
        {},
        ("/no/such/command", "{connection_file}"),
        "The kernel's command '/no/such/command' could not be started: No such file or directory.",
        "Name a command that exists",
    ),
    "exit": (
        {},
        (sys.executable, "-c", "import sys; print('out of cheese'); sys.exit(3)"),
        "The kernel process could not start: it ended with exit code 3.",
        "out of cheese",
    ),
    "module": (
        {},
        (sys.executable, "-m", "ipykernel_of_nobody", "-f", "{connection_file}"),
        "The kernel process could not start: it ended with exit code 1.",
        "No module named ipykernel_of_nobody",
    ),
    "python": (
        {"python": "/no/such/python"},
        None,
        "/no/such/python",
        "jupyter sparkkernels install --python",
    ),
    "master": ({"master": "mesos://x"}, None, "The Spark master 'mesos://x' is not one of yarn,", "`master`"),
    "value": ({"launch_timeout_s": "soon"}, None, "launch_timeout_s", "soon"),
    "name": ({"lunch_timeout_s": 3}, None, "lunch_timeout_s", "launch_timeout_s"),
    "port": ({"relay_port": 1 << 20}, None, "The relay's port 1048576 can't be opened", "relay_port"),
}


def test_failed_starts_say_why_in_a_whole_sentence_and_leave_the_server_well(start: StartServer) -> None:
    """Beside a live kernel; then SIGTERM to the server."""
    write_kernelspec("good")
    for name, (config, argv, _, _) in BAD.items():
        write_kernelspec(f"bad-{name}", **({"argv": argv} if argv else {}), **config)  # type: ignore[arg-type]
    server = start()
    good = server.post("kernels", name="good")
    for name, (_, _, first, somewhere) in BAD.items():
        kernel = {"name": f"bad-{name}"}
        content: Any = {"path": f"{name}.ipynb", "name": name, "type": "notebook", "kernel": kernel}
        failed = server.request("POST", "sessions", **content)
        assert failed.status_code >= 500, name
        message = failed.json()["message"]
        line = message.partition("\n")[0]
        assert first in line and somewhere in message, message
        assert line.endswith(".") and "Traceback" not in message
        assert [kernel["id"] for kernel in server.kernels()] == [good["id"]], name
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert not server_trouble(server)


def server_trouble(server: Server) -> list[str]:
    """Lines of the server's log that no user should ever see."""
    bad = ("never retrieved", "was destroyed but", "coroutine ignored", "Exception ignored", "Bad file desc")
    return [line for line in server.log.read_text().splitlines() if any(word in line for word in bad)]


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a live kernel"])
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_ended_while_a_kernel_starts_leaves_nothing(
    start: StartServer, leaks: Leaks, signum: signal.Signals, beside: bool
) -> None:
    write_kernelspec("good")
    write_kernelspec("slow", SLOW, launch_timeout_s=4)
    server = start()
    if beside:
        server.post("kernels", name="good")
    asking = begin_start(server, "slow")
    wait_until(lambda: any("time.sleep(600)" in command for command in commands(leaks)))
    server.signal(signum)
    if signum == signal.SIGINT:
        server.signal(signum)  # the first one asks on a terminal that is not there
        leaks.excused += ["jpserver-*"]  # jupyter_server leaves its own files behind then
    asking.join(HANG_S)
    if beside and signum == signal.SIGTERM:
        # jupyter_server's stop raises a 404 about a kernel that is starting and ends nothing; the next works
        server.signal(signum)
    server.wait()


def test_a_server_that_is_ended_at_any_moment_of_a_start_leaves_nothing(start: StartServer) -> None:
    write_kernelspec()
    for delay_ms in (50, 150, 400):
        server = start()
        asking = begin_start(server, "spark")
        time.sleep(delay_ms / 1000)
        server.signal(signal.SIGTERM)
        server.wait()
        asking.join(HANG_S)


def commands(leaks: Leaks) -> list[str]:
    """Command lines of all that the test has started and that still lives."""
    found = []
    for pid in leaks.processes():
        try:
            found.append(" ".join(psutil.Process(pid).cmdline()))
        except psutil.NoSuchProcess:
            continue
    return found


def test_a_server_that_was_killed_takes_its_kernels_with_it(start: StartServer, leaks: Leaks) -> None:
    leaks.excused += ["*"]  # files are swept by the next server's first start, which is tested elsewhere
    write_kernelspec(orphan_timeout_s=2)
    server = start()
    kernel_id = server.post("kernels", name="spark")["id"]
    tab = server.connect(kernel_id)
    tab.settle()
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)"
    sleeping = int(tab.run(code))
    server.signal(signal.SIGKILL)
    server.wait()
    wait_until(lambda: not leaks.processes())
    assert not psutil.pid_exists(sleeping)


def test_the_event_loop_is_never_held_up_by_a_start(start: StartServer) -> None:
    """REST answers while kernels start; the limit is generous, a blocked loop takes the whole start."""
    write_kernelspec("slow", SLOW, launch_timeout_s=4)
    write_kernelspec("good")
    server = start()
    asking = [begin_start(server, "slow"), begin_start(server, "good")]
    longest = 0.0
    asked = 0
    while asking[0].is_alive():
        began = time.monotonic()
        assert server.get("me").ok
        longest = max(longest, time.monotonic() - began)
        asked += 1
    assert asked > 20 and longest < 2
    for thread in asking:
        thread.join(HANG_S)
    assert len(server.kernels()) == 1
