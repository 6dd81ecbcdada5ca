"""Restarts on YARN: warm ones keep the executors and nothing else; what has to be cold is, and says so."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.ioloop.manager import AsyncIOLoopKernelManager
from traitlets.config import Config

from tests.leftovers import WORKS, leave_all

from .conftest import Kernels, until
from .harness import Cluster
from .notebook import LIMIT_S, Notebook

pytestmark = [pytest.mark.usefixtures("leaks"), pytest.mark.timeout(900)]

CONF = {
    "spark.driver.memory": "600m",
    "spark.executor.memory": "512m",
    "spark.executor.cores": "2",
    "spark.dynamicAllocation.maxExecutors": "2",
}
JOB = "sc.parallelize(range(8), 8).map(lambda n: __import__('time').sleep(0.3) or n).sum()"
#: More than the driver's heap holds.
TOO_MUCH = "sc._jvm.java.nio.ByteBuffer.allocate(2**30)"
EXECUTORS = "sc._jsc.sc().getExecutorIds().mkString(' ')"
SOON = {
    "spark.dynamicAllocation.executorIdleTimeout": "2s",
    "spark.dynamicAllocation.cachedExecutorIdleTimeout": "4s",
    "spark.dynamicAllocation.shuffleTracking.timeout": "4s",
}
DATA = """
kept = spark.range(1000).selectExpr("id % 7 as key", "id").repartition(4).cache()
kept.groupBy("key").count().collect()
assert sc._jsc.sc().getRDDStorageInfo()[0].numCachedPartitions() > 0
"""


FLOOD = """
import os
for _ in range(64):
    os.write(1, b"x" * 2**20)
    sc._jvm.System.out.print("y" * 2**20)
"""


class Restarting(AsyncIOLoopKernelManager):
    """A manager that soon sees that its kernel is dead."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(config=Config({"KernelRestarter": {"time_to_dead": 0.3}}), **kwargs)


@contextlib.asynccontextmanager
async def restarted(notebook: Notebook) -> AsyncIterator[None]:
    """Wait until the restarter has replaced the kernel that something happens to meanwhile."""
    before = notebook.provisioner._number
    yield
    await until(lambda: notebook.provisioner._number > before, "there is another kernel process")
    await until(lambda: notebook.provisioner.has_process, "it is up")
    await notebook.client.wait_for_ready(timeout=LIMIT_S)


def on_disk(directory: Path) -> int:
    """Bytes that the files of a directory take."""
    return sum(file.stat().st_blocks * 512 for file in directory.iterdir())


async def executors(notebook: Notebook) -> set[str]:
    """Ids of the application's executors."""
    return set(eval((await notebook.ok(EXECUTORS)).value).split())  # noqa: S307 our own kernel's text


async def test_restarts_of_one_notebook_warm_by_wish_and_because_its_spark_is_gone(
    staged: Cluster, kernels: Kernels, tmp_path: Path
) -> None:
    async with kernels(factory=Restarting, spark_conf=CONF) as notebook:

        async def value(code: str) -> str:
            return (await notebook.ok(code)).value

        ports = notebook.provisioner.connection_info
        await notebook.ok(JOB)
        first = notebook.application_id
        full = await notebook.run(TOO_MUCH)
        assert "OutOfMemoryError: Java heap space" in full.evalue
        assert await value(JOB) == "28"
        looks = await leave_all(value, tmp_path)
        kept = await executors(notebook)
        assert kept

        async with restarted(notebook):
            os.kill(notebook.provisioner._link.kernel.pid, signal.SIGKILL)
        assert notebook.application_id == first
        assert await executors(notebook) >= kept
        for what, (look, clean) in looks.items():
            deadline = time.monotonic() + LIMIT_S
            while (found := await value(look)) != clean and time.monotonic() < deadline:
                await asyncio.sleep(0.2)
            assert found == clean, what
        for code, expected in WORKS:
            assert await value(code) == expected
        kept = await executors(notebook)
        await notebook.restart()
        assert (notebook.application_id, notebook.provisioner.connection_info) == (first, ports)
        assert await executors(notebook) >= kept
        assert await value(JOB) == "28"

        refused = await notebook.run("%spark restart --conf spark.executor.memory=500g")
        assert refused.ename == "UsageError" and "the largest that this cluster allows" in refused.stderr
        wish = " ".join(f"--conf {name}={setting}" for name, setting in SOON.items())
        async with restarted(notebook):
            notebook.client.execute(f"%spark restart {wish}")
        told = await notebook.ok(EXECUTORS)
        assert (
            "%spark restart asked for it, with spark.dynamicAllocation.executorIdleTimeout=2s" in told.stderr
        )
        second = notebook.application_id
        assert second != first

        # Cached data and shuffle files do not keep executors for ever.
        await notebook.ok(DATA)
        assert await executors(notebook)

        def containers() -> list[Path]:
            return [path for own in staged.container_directories() for path in own.glob("container_*")]

        deadline = time.monotonic() + LIMIT_S
        while len(containers()) > 1 or await executors(notebook):
            assert time.monotonic() < deadline, "the executors' containers are not given back"
            await asyncio.sleep(0.5)
        assert await value("kept.count()") == "1000"

        # What is printed and logged is bounded, in the driver's container and in executors'.
        logs = staged.log_directories(second)
        assert len([directory for directory in logs if (directory / "spark.log").exists()]) > 1
        await notebook.ok(FLOOD)
        await until(lambda: max(map(on_disk, logs)) < 40 * 2**20, "large files have given up their beginning")
        assert max(file.stat().st_size for directory in logs for file in directory.iterdir()) > 60 * 2**20

        # What nobody can mend is replaced, with the settings that were wished for.
        await notebook.ok(
            "sc._jsc.sc().env().rpcEnv().stop(sc._jsc.sc().schedulerBackend().driverEndpoint())"
        )
        await notebook.restart()
        told = await notebook.ok("spark.conf.get('spark.dynamicAllocation.executorIdleTimeout')")
        assert told.value == "'2s'" and notebook.application_id not in (first, second)
        assert "in another Spark application. The SparkContext does not work any more" in told.stderr
        assert await value(JOB) == "28"
