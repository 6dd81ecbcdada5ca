"""What a kernel prints while no server listens is kept, within bounds, and said again to the next one."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient

from sparkkernels.provisioner import SparkProvisioner
from tests.contract.kernels import HANG_S, becomes, running, write_kernelspec

from .test_relay import Proxy, link_of
from .test_relay import proxy as proxy

pytestmark = [pytest.mark.usefixtures("leaks"), pytest.mark.timeout(120)]

ARGV = (sys.executable, "-m", "sparkkernels_python", "-f", "{connection_file}")
COUNT = """
import time
for number in range(40):
    print("line", number, flush=True)
    time.sleep(0.1)
"""
#: A port that nobody listens at.
NOBODY = 9
FLOOD = """
import time
time.sleep(1)
for number in range(400):
    print("line", number, "x" * 10000, flush=True)
"""


async def forget(manager: Any) -> None:
    """Be as a new server process to the supervisor: its streams are unknown."""
    link = link_of(manager)

    async def shut() -> None:
        link._session.shut()
        link._session.known = False

    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(shut(), link._loop))


async def heard(client: AsyncKernelClient, request: str) -> tuple[list[int], str]:
    """The numbers of the lines of a cell until it is over, and what was said on stderr."""
    text = errors = ""
    while True:
        message = await client.get_iopub_msg(timeout=HANG_S)
        content = message["content"]
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["msg_type"] == "stream" and content["name"] == "stdout":
            text += content["text"]
        elif message["msg_type"] == "stream":
            errors += content["text"]
        if content.get("execution_state") == "idle":
            return [int(number) for number in re.findall(r"line (\d+)", text)], errors


async def replied(client: AsyncKernelClient, request: str) -> str:
    """The status of the reply to a cell."""
    while True:
        message = await client.get_shell_msg(timeout=HANG_S)
        if (message["msg_type"], message["parent_header"]["msg_id"]) == ("execute_reply", request):
            return str(message["content"]["status"])


async def test_the_next_servers_client_hears_what_was_printed_meanwhile(proxy: Proxy) -> None:
    async with running(write_kernelspec("spark", ARGV)) as (manager, client):
        link, provisioner = link_of(manager), cast(SparkProvisioner, manager.provisioner)
        relay = proxy.target
        for code, is_whole in ((COUNT, True), (FLOOD, False)):
            request = client.execute(code)
            await asyncio.sleep(0.5)
            proxy.target = NOBODY
            proxy.cut()
            await becomes(lambda: not link.connected)
            await forget(manager)
            await asyncio.sleep(3)
            provisioner.replay()  # heard first, whenever the supervisor is there again
            proxy.target = relay
            await becomes(lambda: link.connected)
            await asyncio.sleep(0.3)  # the client is there again, as a server is that watches its kernels
            tab = manager.client()
            tab.start_channels(shell=False, stdin=False, hb=False, control=False)
            lines, errors = await heard(tab, request)
            tab.stop_channels()
            assert set(lines) == set(range(40)) if is_whole else lines == list(range(lines[0], 400))
            assert is_whole or 100 < len(lines) < 400
            assert ("was not kept" in errors) == (not is_whole)
            client.kernel_info()  # as every client does that is there again
            assert await replied(client, request) == "ok"


IMPATIENT = "; ".join(
    ["from sparkkernels_python import app, backlog", "backlog.PATIENCE_S = 2", "app.main()"],
)
FLOODS = """
for number in range(4000):
    print("line", number, "x" * 5000, flush=True)
"""


async def test_a_cell_goes_on_when_nobody_comes_back_for_long(proxy: Proxy) -> None:
    argv = (sys.executable, "-c", IMPATIENT, "-f", "{connection_file}")
    async with running(write_kernelspec("spark", argv)) as (manager, client):
        link, relay = link_of(manager), proxy.target
        request = client.execute("import time; time.sleep(1)" + FLOODS + "open('over', 'w')")
        await asyncio.sleep(0.5)
        proxy.target = NOBODY
        proxy.cut()
        directory = Path(psutil.Process(link.kernel.pid).cwd())
        await becomes((directory / "over").exists)
        proxy.target = relay
        await becomes(lambda: link.connected)
        lines, errors = await heard(client, request)
        assert lines[0] == 0 and lines[-1] == 3999 and "was not kept" in errors
        assert await replied(client, request) == "ok"
