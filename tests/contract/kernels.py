"""Kernelspecs for the contract tests, and short words for talking to a kernel."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

IPYKERNEL = (sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}")
ECHO = (sys.executable, str(Path(__file__).with_name("echo_kernel.py")), "-f", "{connection_file}")
#: A limit for things that take a second or two; only a hang reaches it.
HANG_S = 30.0


def write_kernelspec(
    name: str = "spark",
    argv: tuple[str, ...] = IPYKERNEL,
    *,
    env: dict[str, str] | None = None,
    interrupt_mode: str = "signal",
    metadata: dict[str, Any] | None = None,
    **config: Any,
) -> str:
    """Write a kernelspec into the test's own JUPYTER_DATA_DIR and return its name."""
    directory = Path(os.environ["JUPYTER_DATA_DIR"], "kernels", name)
    directory.mkdir(parents=True, exist_ok=True)
    stanza = {
        "provisioner_name": "spark-provisioner",
        "config": {"master": "local[*]", "spark_context": "none", **config},
    }
    content = {
        "argv": list(argv),
        "display_name": f"{name} of the tests",
        "language": "python",
        "interrupt_mode": interrupt_mode,
        "env": env or {},
        "metadata": {"kernel_provisioner": stanza, **(metadata or {})},
    }
    (directory / "kernel.json").write_text(json.dumps(content))
    return name


@dataclass
class Answer:
    """What a cell brought: its printed text, and the error's name ("" for none)."""

    text: str = ""
    error: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)


async def run(client: AsyncKernelClient, code: str, timeout_s: float = HANG_S) -> Answer:
    """Run a cell."""
    answer = Answer()

    def hear(message: dict[str, Any]) -> None:
        answer.messages.append(message)
        if message["msg_type"] == "stream":
            answer.text += message["content"]["text"]

    reply = await client.execute_interactive(
        code, timeout=timeout_s, output_hook=hear, store_history=False, allow_stdin=False
    )
    answer.error = reply["content"].get("ename", "")
    return answer


async def becomes(condition: Callable[[], Any], timeout_s: float = HANG_S) -> None:
    """Return when the condition holds; fail when it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def client_of(manager: AsyncKernelManager) -> AsyncIterator[AsyncKernelClient]:
    """A ready client of a running kernel."""
    client: AsyncKernelClient = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=HANG_S)
        yield client
    finally:
        client.stop_channels()


@contextlib.asynccontextmanager
async def running(
    name: str = "spark", factory: type[AsyncKernelManager] = AsyncKernelManager, **kwargs: Any
) -> AsyncIterator[tuple[AsyncKernelManager, AsyncKernelClient]]:
    """A running kernel and a client of it; shut down at the end."""
    manager = factory(kernel_name=name)
    await manager.start_kernel(**kwargs)
    try:
        async with client_of(manager) as client:
            yield manager, client
    finally:
        await manager.shutdown_kernel(now=True)
