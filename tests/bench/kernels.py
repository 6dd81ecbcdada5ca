"""What is measured of one kernel, through a real client; all times in seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

#: Hang limit of any one step.
LIMIT_S = 180.0
OUTPUT_BYTES = 100_000_000


@dataclass
class Kernel:
    """A running kernel and a client of it."""

    manager: AsyncKernelManager
    client: AsyncKernelClient

    @property
    def application_id(self) -> str:
        """The application of a kernel of ours."""
        provisioner: Any = self.manager.provisioner
        return str(provisioner.application_id)

    async def run(self, code: str, store_history: bool = True) -> tuple[dict[str, Any], int]:
        """Run a cell; its reply and the bytes it wrote to its streams.

        Raises
        ------
        RuntimeError
            The cell failed.
        """
        written = 0

        def count(message: dict[str, Any]) -> None:
            nonlocal written
            if message["msg_type"] == "stream":
                written += len(message["content"]["text"])

        reply = await self.client.execute_interactive(
            code, store_history=store_history, timeout=LIMIT_S, output_hook=count
        )
        content = reply["content"]
        if content["status"] != "ok":
            raise RuntimeError(f"{code!r}: {content.get('ename')}: {content.get('evalue')}")
        return content, written

    async def timed(self, code: str) -> float:
        """Seconds from sending a cell to its idle status."""
        begun = time.perf_counter()
        await self.run(code)
        return time.perf_counter() - begun

    async def empty_cells(self, count: int) -> list[float]:
        """Round trips of empty cells on the shell channel, request to reply."""
        times = []
        for _ in range(count):
            begun = time.perf_counter()
            asked = self.client.execute("", silent=True)
            while True:
                reply = await self.client.get_shell_msg(timeout=LIMIT_S)
                if reply["parent_header"].get("msg_id") == asked:
                    break
            times.append(time.perf_counter() - begun)
        return times

    async def heartbeats(self, count: int) -> list[float]:
        """Bare round trips on the heartbeat channel: the relay and nothing else."""
        socket: Any = self.manager.connect_hb()
        times = []
        try:
            for _ in range(count):
                begun = time.perf_counter()
                await socket.send(b"ping")
                await socket.recv()
                times.append(time.perf_counter() - begun)
        finally:
            socket.close()
        return times

    async def big_output(self) -> float:
        """Seconds for 100 MB of one cell's output to arrive."""
        begun = time.perf_counter()
        _, written = await self.run(f"print('x' * {OUTPUT_BYTES - 1})")
        if written < OUTPUT_BYTES - 1:
            raise RuntimeError(f"only {written} bytes arrived")
        return time.perf_counter() - begun

    async def interrupt(self, code: str, running: str) -> float:
        """Seconds from the interrupt of a cell to its idle status.

        Parameters
        ----------
        code : str
            The cell; it prints ``running`` once it is where it should be interrupted.
        running : str
        """
        started = asyncio.Event()

        def look(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream" and running in message["content"]["text"]:
                started.set()

        cell = asyncio.ensure_future(self.client.execute_interactive(code, timeout=LIMIT_S, output_hook=look))
        await asyncio.wait_for(started.wait(), LIMIT_S)
        await asyncio.sleep(1.0)
        begun = time.perf_counter()
        await self.manager.interrupt_kernel()
        reply = await cell
        if reply["content"]["status"] != "error":
            raise RuntimeError("the interrupted cell did not notice")
        return time.perf_counter() - begun

    async def restart(self) -> float:
        """Seconds from the request of a restart to the first result of 1+1."""
        begun = time.perf_counter()
        await self.manager.restart_kernel()
        await self.client.wait_for_ready(timeout=LIMIT_S)
        await self.run("1+1")
        return time.perf_counter() - begun


@asynccontextmanager
async def kernel(name: str, encryption: str = "disabled") -> AsyncIterator[tuple[Kernel, float]]:
    """A kernel of this kernelspec, and the seconds from its request to its first result of 1+1.

    Parameters
    ----------
    name : str
    encryption : str
        jupyter_client's ``transport_encryption``, which decides for a local kernel; ours have ``curve``.
    """
    manager = AsyncKernelManager(kernel_name=name, transport_encryption=encryption)
    begun = time.perf_counter()
    await manager.start_kernel()
    client = manager.client()
    try:
        client.start_channels()
        await client.wait_for_ready(timeout=LIMIT_S)
        started = Kernel(manager, client)
        await started.run("1+1")
        yield started, time.perf_counter() - begun
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=False)
