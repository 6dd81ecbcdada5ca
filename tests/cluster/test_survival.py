"""Kernels outlive their Jupyter server: the next one has them, with sessions, variables and running cells."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.multikernelmanager import AsyncMultiKernelManager

from sparkkernels.adoption import adopt
from sparkkernels.handover import take_all
from sparkkernels.provisioner import SparkProvisioner
from tests.contract.server import Server, WebSocketClient, wait_until
from tests.leaks import Leaks

from .conftest import FINAL, LIMIT_S, act_for, install
from .harness import Cluster
from .notebook import Notebook

pytestmark = pytest.mark.timeout(600)

SURVIVING = "--ServerApp.kernel_manager_class=sparkkernels.surviving.SurvivingKernels"
TICKS = 80
TICKING = f"""
import time
for tick in range({TICKS}):
    print("tick", tick, flush=True)
    time.sleep(0.1)
result = spark.range(1000).count()
"""


class Listener:
    """What a browser tab hears of one cell."""

    def __init__(self) -> None:
        self.ticks: list[int] = []
        self.replied = self.idle = False

    def hear(self, tab: WebSocketClient, request: str, ticks: int | None = None) -> None:
        """Listen until the cell is over, or has ticked so often."""

        def over(message: dict[str, Any]) -> bool:
            if message["parent_header"].get("msg_id") == request:
                self._take(message)
            return len(self.ticks) >= ticks if ticks is not None else self.replied and self.idle

        tab.receive(over, LIMIT_S)

    def _take(self, message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            self.ticks += [int(tick) for tick in re.findall(r"tick (\d+)", content["text"])]
        self.replied = self.replied or message["msg_type"] == "execute_reply"
        self.idle = self.idle or content.get("execution_state") == "idle"


def test_the_next_server_goes_on_where_a_killed_one_was(
    staged: Cluster, tmp_path: Path, leaks: Leaks
) -> None:
    leaks.excused += ["jupyter_cookie_secret", "jpserver-*", "kernel-*.json"]  # a killed server's own
    name = install(tmp_path, None, {})
    tab = uuid.uuid4().hex
    server = Server(tmp_path, SURVIVING)
    try:
        content = {"path": "flights.ipynb", "name": "flights.ipynb", "type": "notebook"}
        session = server.post("sessions", timeout=LIMIT_S, **content, kernel={"name": name})
        kernel_id = session["kernel"]["id"]
        first = server.connect(kernel_id, tab)
        first.run("answer = 41; spark.range(1).count()", LIMIT_S)
        application = first.run("print(spark.sparkContext.applicationId)").strip()
        request = first.execute(TICKING)
        before, after = Listener(), Listener()
        before.hear(first, request, 5)

        server.signal(signal.SIGKILL)
        server.wait()
        time.sleep(2)
        server = Server(tmp_path, SURVIVING)
        assert [kernel["id"] for kernel in server.kernels()] == [kernel_id]
        (kept,) = server.get("sessions").json()
        assert (kept["id"], kept["path"], kept["kernel"]["id"]) == (session["id"], "flights.ipynb", kernel_id)
        second = server.connect(kernel_id, tab)
        second.send("kernel_info_request")  # as every tab does that is there again
        after.hear(second, request)
        assert after.ticks == sorted(after.ticks)
        assert set(before.ticks) | set(after.ticks) == set(range(TICKS))
        assert second.run("print(answer + 1, result, spark.sparkContext.applicationId)") == (
            f"42 1000 {application}\n"
        )
        server.post(f"kernels/{kernel_id}/interrupt")
        server.post(f"kernels/{kernel_id}/restart")
        second.settle()
        second.run("spark.version", LIMIT_S)
        assert second.run("print('answer' in dir(), spark.sparkContext.applicationId)") == (
            f"False {application}\n"
        )
        second.run("answer = 6 * 7")

        server.stop()  # in good order, which leaves the kernel as well
        assert [app["state"] for app in staged.applications() if app["id"] == application] == ["RUNNING"]
        adopted_by_hand(kernel_id, tmp_path)
        server = Server(tmp_path, SURVIVING)
        third = server.connect(kernel_id)
        assert third.run("print(answer)") == "42\n"
        server.request("DELETE", f"sessions/{session['id']}")
        wait_until(lambda: all(app["state"] in FINAL for app in staged.applications()))
        assert server.kernels() == []
    finally:
        server.stop()
        print(server.log.read_text())


def adopted_by_hand(kernel_id: str, directory: Path) -> None:
    """A process of the command line has the kernel for a while, for clients with its connection file."""
    command = [sys.executable, "-m", "sparkkernels.cli", "adopt"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert listed.stdout.split()[0] == kernel_id
    with (directory / "adopt.log").open("w+") as output:
        process = subprocess.Popen([*command, kernel_id[:8]], stdout=output, stderr=output)
        try:
            said = (directory / "adopt.log").read_text
            wait_until(lambda: "Ctrl-C" in said() or process.poll() is not None, LIMIT_S)
            found = re.search(r"Connection file: (.*)", said())
            assert found, said()
            client = BlockingKernelClient(connection_file=found[1])
            client.load_connection_file()
            client.start_channels()
            client.wait_for_ready(timeout=LIMIT_S)
            reply = client.execute_interactive("assert answer == 42", timeout=LIMIT_S)
            assert reply["content"]["status"] == "ok"
            client.stop_channels()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(LIMIT_S) == 0, said()
    assert not Path(found[1]).exists()


class Keeping(AsyncMultiKernelManager):
    """A manager whose kernels outlive it."""

    keeps_kernels = True


async def test_who_a_kernel_is_and_who_may_end_it_stays_with_it(
    secured: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    act_for(monkeypatch, secured, "alice")
    name = install(tmp_path, None, {})
    first = AsyncKernelManager(kernel_name=name, parent=Keeping())
    await first.start_kernel()
    assert isinstance(first.provisioner, SparkProvisioner)
    application_id = first.provisioner.application_id
    monkeypatch.delenv("JUPYTERHUB_USER")  # from here on only the record knows for whom it was
    assert await first.provisioner.detach()

    (left,) = take_all(pytest.fail)
    second = AsyncKernelManager(kernel_name=name, parent=Keeping())
    provisioner = await adopt(second, left)
    assert take_all(pytest.fail) == []
    await provisioner.reconnected()
    notebook = Notebook(second)
    await notebook.open()
    assert (await notebook.ok("import getpass, os; os.environ['SPARK_USER']")).value == "'alice'"
    notebook.close()
    assert provisioner.application_id == application_id
    backend = provisioner._backend()
    assert backend.fresh_tokens(application_id) is not None
    await asyncio.to_thread(backend.kill, application_id)  # as alice: nobody else may
    await provisioner.cleanup()
    (ended,) = [app["state"] for app in secured.applications() if app["id"] == application_id]
    assert ended == "KILLED"
    assert take_all(pytest.fail) == []
