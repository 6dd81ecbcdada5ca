"""One kernel on YARN: what a person does with it, from start to shutdown."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from .conftest import Kernels, until
from .harness import Cluster
from .notebook import Notebook

JOB = "spark.range(100).selectExpr('sum(id)').collect()[0][0]"
ENDLESS_JOB = """
print("at work")
spark.sparkContext.parallelize(range(2), 2).map(lambda _: __import__("time").sleep(600)).count()
"""


@pytest.mark.timeout(300)
async def test_a_notebook_from_its_first_cell_to_the_end_of_its_application(
    staged: Cluster, kernels: Kernels
) -> None:
    async with kernels(spark_conf={"spark.app.note": "it is mine"}) as notebook:
        await computes_in_its_own_application(staged, notebook)
        await keeps_its_secrets_off_the_cluster(staged, notebook)
        await interrupts_a_spark_job(notebook)
        await stops_its_session(notebook)
        await loses_its_kernel_process(staged, notebook)
        await until(lambda: unpacked(staged, notebook), "Spark's packages are unpacked")
        await notebook.restart()
        assert (await notebook.ok(JOB)).value == "4950"
        assert "/.sparkkernels/pyspark.zip/" in (await notebook.ok("import pyspark; pyspark.__file__")).value
    ended = application(staged, notebook.application_id)
    assert (ended["state"], ended["finalStatus"]) == ("FINISHED", "SUCCEEDED")


def application(cluster: Cluster, application_id: str) -> dict[str, object]:
    """What YARN says of an application."""
    return next(app for app in cluster.applications() if app["id"] == application_id)


def unpacked(cluster: Cluster, notebook: Notebook) -> list[Path]:
    """Where its processes import pyspark from, once it is there."""
    directories = [path for path in cluster.container_directories() if path.name == notebook.application_id]
    return [found for own in directories for found in own.glob("container_*/.sparkkernels/pyspark.zip")]


async def computes_in_its_own_application(cluster: Cluster, notebook: Notebook) -> None:
    """The notebook's names are Spark's, and Spark is the application's that YARN tells of."""
    assert (await notebook.ok("1+1")).value == "2"
    assert (await notebook.ok(JOB)).value == "4950"
    assert (await notebook.ok("spark.conf.get('spark.app.note')")).value == "'it is mine'"
    await notebook.ok("from pyspark.sql import SparkSession")
    identity = "isinstance(spark, SparkSession), sc is spark.sparkContext"
    assert (await notebook.ok(identity)).value == "(True, True)"
    assert (await notebook.ok("SparkSession.builder.getOrCreate() is spark")).value == "True"
    assert (await notebook.ok("sc.applicationId")).value == repr(notebook.application_id)
    running = application(cluster, notebook.application_id)
    assert running["state"] == "RUNNING"
    tags = str(running["applicationTags"]).split(",")
    assert {"sparkkernels", notebook.manager.kernel_id} <= set(tags)
    assert notebook.provisioner._link.container.container_id.startswith("container_")


async def keeps_its_secrets_off_the_cluster(cluster: Cluster, notebook: Notebook) -> None:
    """Keys and tokens are in no log, no Spark setting and not in the kernel's own environment."""
    link = notebook.provisioner._link
    secrets = (notebook.manager.session.key.decode(), link.token, *link._secrets)
    assert len(secrets) == 3
    for directory in cluster.log_directories(notebook.application_id):
        for file in directory.iterdir():
            text = file.read_text(errors="replace")
            assert not [secret for secret in secrets if secret in text]
    await notebook.ok("import os")
    environment = await notebook.ok("sc.getConf().getAll() + list(os.environ.items())")
    assert not [secret for secret in secrets if secret in environment.value]


async def interrupts_a_spark_job(notebook: Notebook) -> None:
    """The job is gone, and the kernel goes on with what it had."""
    await notebook.ok("x = 1")
    result = await notebook.interrupted(ENDLESS_JOB, "at work")
    assert result.status == "error"
    assert result.ename in ("KeyboardInterrupt", "Py4JJavaError")
    assert (await notebook.ok("len(sc.statusTracker().getActiveJobsIds())")).value == "0"
    assert (await notebook.ok(f"x, {JOB}")).value == "(1, 4950)"


async def stops_its_session(notebook: Notebook) -> None:
    """``spark.stop()`` ends nothing but the session."""
    await notebook.ok(f"{JOB}; spark.stop()")
    again = "from pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()\n"
    assert (await notebook.ok(again + JOB)).value == "4950"


async def loses_its_kernel_process(cluster: Cluster, notebook: Notebook) -> None:
    """Its end is known at once, and its application lives."""
    await notebook.manager.signal_kernel(signal.SIGKILL)

    def exit_code() -> int | None:
        return notebook.provisioner._application.kernel_alive(1)  # type: ignore[no-any-return]

    await until(lambda: exit_code() is not None, "the exit code arrives", 10)
    assert exit_code() == -signal.SIGKILL
    while (code := await notebook.provisioner.poll()) is None:  # for a second it may be the whole container
        await asyncio.sleep(0.1)
    assert code == -signal.SIGKILL
    assert application(cluster, notebook.application_id)["state"] == "RUNNING"
