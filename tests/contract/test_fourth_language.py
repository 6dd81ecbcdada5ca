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
        cell = asyncio.ensure_future(run(client, f"echo at work; touch '{tmp_path}/begun'; sleep 600"))
        await becomes((tmp_path / "begun").exists)
        begun = time.monotonic()
        await manager.interrupt_kernel()
        assert "at work" in (await cell).text and time.monotonic() - begun < HANG_S
        # Its terminal's ^C may be taken for the answer of the next cell, and so on: what bash has done tells.
        await run(client, f"echo $x > '{tmp_path}/kept'; touch '{tmp_path}/written'")
        await becomes((tmp_path / "written").exists)
        assert (tmp_path / "kept").read_text() == "6\n"
        await manager.restart_kernel(now=True)
        await client.wait_for_ready(timeout=HANG_S)
        assert (await run(client, "echo ${x:-nothing}")).text == "nothing\n"
