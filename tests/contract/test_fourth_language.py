"""A language that this package has never heard of needs a kernelspec and no more: bash_kernel from PyPI."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from .kernels import HANG_S, becomes, run, running, write_kernelspec

ARGV = (sys.executable, "-m", "bash_kernel", "-f", "{connection_file}")


async def test_a_kernel_that_knows_nothing_of_spark_runs_is_interrupted_and_restarted(tmp_path: Path) -> None:
    async with running(write_kernelspec("bash", argv=ARGV)) as (manager, client):
        assert (await run(client, "x=6; echo $((x * 7))")).text == "42\n"
        waits = f"echo at work; sh -c 'touch {tmp_path}/begun; exec sleep 600'"
        cell = asyncio.ensure_future(run(client, waits))
        await becomes((tmp_path / "begun").exists)
        begun = time.monotonic()
        await manager.interrupt_kernel()
        assert "at work" in (await cell).text and time.monotonic() - begun < HANG_S
        assert (await run(client, "echo $x")).text == "6\n"
        await manager.restart_kernel(now=True)
        await client.wait_for_ready(timeout=HANG_S)
        assert (await run(client, "echo ${x:-nothing}")).text == "nothing\n"
