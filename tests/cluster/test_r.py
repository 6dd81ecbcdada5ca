"""An R kernel on YARN, from SparkR's arrival in an archive to the application's end.

A small client of SparkR's protocol stands in for SparkR (tests/backend_client).
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.backend_client import BEGIN, JOB, archive

from .conftest import Kernels, until
from .harness import Cluster

pytestmark = [pytest.mark.usefixtures("leaks"), pytest.mark.timeout(600)]

CONF = {
    "spark.driver.memory": "600m",
    "spark.executor.memory": "512m",
    "spark.executor.cores": "2",
    "spark.dynamicAllocation.maxExecutors": "1",
}
ROWS = 'call(sql("select distinct id % 7 from range(0, 1000, 1, 4)"), "count")'
#: More than the driver's heap holds.
TOO_MUCH = 'sparkR.callJStatic("java.nio.ByteBuffer", "allocate", 1073741824L)'
PORT = 'cat(Sys.getenv("EXISTING_SPARKR_BACKEND_PORT"))'


async def test_a_notebook_in_r_computes_on_the_cluster_is_interrupted_restarted_and_shut_down(
    staged: Cluster, kernels: Kernels, tmp_path: Path
) -> None:
    conf = {**CONF, "spark.yarn.dist.archives": f"file://{archive(tmp_path / 'packed')}#sparkr"}
    async with kernels(language="r", spark_conf=conf) as notebook:
        assert (await notebook.ok('cat(nchar("\u00e9"), "\u00e9")')).stdout == "1 \u00e9"
        await notebook.ok(BEGIN)
        first = notebook.application_id
        assert (await notebook.ok("cat(application())")).stdout == first
        assert (await notebook.ok(ROWS)).value == "[1] 7"  # on an executor that is there from now on
        interrupted = await notebook.interrupted(JOB, "at work", after_s=2)
        assert interrupted.status != "ok"
        assert (await notebook.ok(ROWS)).value == "[1] 7"
        full = await notebook.run(TOO_MUCH)
        assert full.status != "ok" and "OutOfMemoryError: Java heap space" in full.evalue
        assert (await notebook.ok(ROWS)).value == "[1] 7"
        port = int((await notebook.ok(PORT)).stdout)
        assert listens(port)

        await notebook.restart()
        assert "could not find function" in (await notebook.run(ROWS)).evalue
        await notebook.ok(BEGIN)
        assert (await notebook.ok("cat(application())")).stdout == first
        assert (await notebook.ok(ROWS)).value == "[1] 7"
        await until(lambda: not listens(port), "the old kernel's backend is closed")

    def ended() -> list[str]:
        return [app["finalStatus"] for app in staged.applications(("FINISHED",)) if app["id"] == first]

    assert await until(ended, "the application has finished") == ["SUCCEEDED"]


def listens(port: int) -> bool:
    """Whether something listens on this port here, where all of the cluster's workers are."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
