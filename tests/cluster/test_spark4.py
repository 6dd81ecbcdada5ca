"""Spark 4 on the same cluster, in an environment of its own: Python and R kernels, side by side.

A small client of SparkR's protocol stands in for SparkR (tests/backend_client).
"""

from __future__ import annotations

import asyncio
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sparkkernels.cli.main import main as sparkkernels_command
from tests.backend_client import BEGIN, JOB, archive
from tests.leftovers import WITHOUT_PANDAS, leave_all

from .conftest import LIMIT_S, Kernels
from .failed_start import refused_at_once
from .harness import Cluster
from .harness.environments import environment

pytestmark = [pytest.mark.usefixtures("leaks"), pytest.mark.timeout(1200)]

REQUIREMENTS = ("ipykernel==7.3.0", "pyspark==4.3.0")
CONF = {
    "spark.driver.memory": "600m",
    "spark.executor.memory": "512m",
    "spark.executor.cores": "2",
    "spark.dynamicAllocation.maxExecutors": "1",
}
ENDLESS = """
print("at work")
sc.parallelize(range(2), 2).map(lambda _: __import__("time").sleep(600)).count()
"""
ROWS = 'call(sql("select distinct id % 7 from range(0, 1000, 1, 4)"), "count")'
INSIDE = "sc._jvm.java.lang.Thread.currentThread().getContextClassLoader().getResource('of-the-kernel.txt')"


@pytest.fixture(scope="module")
def spark4(staged: Cluster) -> dict[str, str]:
    """Settings of kernels with Spark 4, which is staged."""
    home = environment("spark-4", REQUIREMENTS)
    (pyspark,) = home.glob("lib/python*/site-packages/pyspark")
    assert sparkkernels_command(["stage", "--spark-home", str(pyspark)]) == 0
    return {"python": str(home / "bin" / "python"), "spark_home": str(pyspark)}


async def in_python(kernels: Kernels, settings: dict[str, Any], directory: Path) -> None:
    """What people do in Python: jobs, an interrupt, and a restart that takes away all that they left."""
    argv = [settings["python"], "-m", "sparkkernels_python", "-f", "{connection_file}"]
    jar = directory / "of-the-kernel.jar"
    with zipfile.ZipFile(jar, "w") as file:
        file.writestr("of-the-kernel.txt", "")
    async with kernels(argv=argv, spark_conf=CONF, jars=[str(jar)], **settings) as notebook:

        async def value(code: str) -> str:
            return (await notebook.ok(code)).value

        assert await value("spark.version.split('.')[0], sc.range(100, numSlices=2).sum()") == "('4', 4950)"
        assert "of-the-kernel" in await value(f"{INSIDE}.toString()")
        assert "hdfs://" in await value("sc.getConf().get('spark.yarn.dist.jars')")
        first = notebook.application_id
        interrupted = await notebook.interrupted(ENDLESS, "at work", after_s=1)
        assert interrupted.status == "error"
        assert await value("len(sc.statusTracker().getActiveJobsIds())") == "0"
        looks = await leave_all(value, directory)

        await notebook.restart()
        assert notebook.application_id == first
        for what, (look, clean) in looks.items():
            async with asyncio.timeout(LIMIT_S):
                while (found := await value(look)) != clean:
                    print(f"{what}: {found}, not {clean}")
                    await asyncio.sleep(0.2)
        for code, expected in WITHOUT_PANDAS:
            assert await value(code) == expected
        stopped = "spark.range(3).count(); spark.stop(); type(spark).builder.getOrCreate().range(4).count()"
        assert await value(stopped) == "4"


async def in_r(kernels: Kernels, settings: dict[str, Any], directory: Path) -> None:
    """The same in R."""
    conf = {**CONF, "spark.yarn.dist.archives": f"file://{archive(directory / 'packed')}#sparkr"}
    argv = [settings["python"], "-m", "sparkkernels_r", "-f", "{connection_file}"]
    async with kernels(language="r", argv=argv, spark_conf=conf, **settings) as notebook:
        await notebook.ok(BEGIN)
        first = (await notebook.ok("cat(application())")).stdout
        assert first == notebook.application_id
        assert (await notebook.ok(ROWS)).value == "[1] 7"
        interrupted = await notebook.interrupted(JOB, "at work", after_s=2)
        assert interrupted.status != "ok"
        await notebook.restart()
        await notebook.ok(BEGIN)
        assert (await notebook.ok("cat(application())")).stdout == first
        assert (await notebook.ok(ROWS)).value == "[1] 7"


async def test_python_and_r_kernels_work_with_spark_4_and_what_is_built_for_scala_2_12_is_refused(
    staged: Cluster, spark4: dict[str, str], kernels: Kernels, tmp_path: Path
) -> None:
    refused = await refused_at_once(staged, tmp_path, scala_version="2.12", **spark4)
    assert "needs a Spark for Scala 2.12, and Spark 4." in refused.message and "2.13." in refused.message
    assert "docs/scala.md" in refused.hint
    await asyncio.gather(in_python(kernels, spark4, tmp_path), in_r(kernels, spark4, tmp_path))
