"""A person at a notebook, as the cluster tests need one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

LIMIT_S = 120.0
#: Seconds within which an interrupted cell ends, however busy the machine is.
INTERRUPT_S = 20.0


@dataclass
class Result:
    """What a cell gave."""

    status: str
    stdout: str = ""
    stderr: str = ""
    value: str = ""
    ename: str = ""
    evalue: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)


class Notebook:
    """Cells run one after another in a kernel.

    Parameters
    ----------
    manager : AsyncKernelManager
        Of a kernel that was started.
    """

    def __init__(self, manager: AsyncKernelManager) -> None:
        self.manager = manager
        self.client: AsyncKernelClient = manager.client()
        self._application_id = ""

    @property
    def provisioner(self) -> Any:
        """The kernel's provisioner."""
        return self.manager.provisioner

    @property
    def application_id(self) -> str:
        """The kernel's application, after its end too."""
        self._application_id = self.provisioner.application_id or self._application_id
        return self._application_id

    async def open(self) -> None:
        """Connect."""
        self.client.start_channels()
        await self.client.wait_for_ready(timeout=LIMIT_S)

    def close(self) -> None:
        """Disconnect."""
        self._application_id = self.application_id
        self.client.stop_channels()

    async def run(
        self, code: str, limit_s: float = LIMIT_S, on_output: Callable[[str], None] | None = None
    ) -> Result:
        """Run a cell to its end, whatever end that is."""
        result = Result("")

        def take(message: dict[str, Any]) -> None:
            content = message["content"]
            result.messages.append(message)
            if message["msg_type"] == "stream":
                if content["name"] == "stdout":
                    result.stdout += content["text"]
                else:
                    result.stderr += content["text"]
                if on_output is not None:
                    on_output(content["text"])
            elif message["msg_type"] in ("execute_result", "display_data"):
                result.value = content["data"].get("text/plain", "")

        reply = await self.client.execute_interactive(code, timeout=limit_s, output_hook=take)
        content = reply["content"]
        result.status = content["status"]
        result.ename, result.evalue = content.get("ename", ""), content.get("evalue", "")
        return result

    async def ok(self, code: str) -> Result:
        """Run a cell that must succeed."""
        result = await self.run(code)
        assert result.status == "ok", f"{result.ename}: {result.evalue}\n{result.stderr}"
        return result

    async def interrupted(self, code: str, mark: str, after_s: float = 0.0) -> Result:
        """Run a cell, interrupt it some seconds after it has printed the mark, and return how it ended."""
        at_work = asyncio.Event()
        cell = asyncio.ensure_future(
            self.run(code, on_output=lambda text: at_work.set() if mark in text else None)
        )
        waiting = asyncio.ensure_future(at_work.wait())
        await asyncio.wait([cell, waiting], timeout=LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert at_work.is_set(), f"the cell {'has ended' if cell.done() else 'does not print'}: {code}"
        await asyncio.sleep(after_s)
        await self.manager.interrupt_kernel()
        return await asyncio.wait_for(cell, INTERRUPT_S)

    async def restart(self) -> None:
        """Restart the kernel and wait until it answers."""
        await self.manager.restart_kernel()
        await self.client.wait_for_ready(timeout=LIMIT_S)
