"""A Scala kernel on YARN: closures on executors, interrupts, a restart, and the end of the application."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from .conftest import Kernels, until
from .harness import Cluster

pytestmark = [pytest.mark.usefixtures("leaks"), pytest.mark.timeout(600)]

CONF = {
    "spark.driver.memory": "1g",
    "spark.executor.memory": "512m",
    "spark.executor.cores": "2",
    "spark.dynamicAllocation.maxExecutors": "1",
}
CLASSES = "case class P(a: Int)\nval x = 40"
CLOSURES = "Seq(P(1), P(1)).toDS.map(p => p.a + x).collect().sum"
JOB = 'println("at work"); sc.parallelize(1 to 2, 2).map { x => Thread.sleep(600000); x }.count()'


async def test_a_notebook_in_scala_computes_on_the_cluster_is_interrupted_restarted_and_shut_down(
    staged: Cluster, kernels: Kernels, tmp_path: Path
) -> None:
    async with kernels(language="scala", spark_conf=CONF) as notebook:
        first = notebook.application_id
        assert (await notebook.ok("sc.applicationId")).value == first
        await notebook.ok(CLASSES)
        assert (await notebook.ok(CLOSURES)).value == "82"
        assert "|    42|" in (await notebook.ok("%%sql\nselect 6 * 7 as answer")).value
        jar = tmp_path / "of-the-kernel.jar"
        with zipfile.ZipFile(jar, "w") as file:
            file.writestr("of-the-kernel.txt", "")
        await notebook.ok(f"%AddJar file://{jar}")
        assert (await notebook.ok('sc.listJars.exists(_.contains("of-the-kernel"))')).value == "true"
        failed = await notebook.run("val n = 0\n1 / n")
        assert failed.ename == "java.lang.ArithmeticException"
        assert (await notebook.run("Array.ofDim[Long](3000, 1000000)")).ename == "java.lang.OutOfMemoryError"
        assert (await notebook.ok(CLOSURES)).value == "82"
        interrupted = await notebook.interrupted(JOB, "at work", after_s=2)
        assert interrupted.ename == "Interrupted"
        interrupted = await notebook.interrupted('println("at work"); while (true) {}', "at work")
        assert interrupted.ename == "Interrupted"
        assert (await notebook.ok(CLOSURES)).value == "82"

        await notebook.restart()
        assert (await notebook.run("x")).ename == "CompileError"
        await notebook.ok(CLASSES)
        assert (await notebook.ok(CLOSURES)).value == "82"
        assert (await notebook.ok("sc.applicationId")).value == first

    def ended() -> list[str]:
        return [app["finalStatus"] for app in staged.applications(("FINISHED",)) if app["id"] == first]

    assert await until(ended, "the application has finished") == ["SUCCEEDED"]
