"""One kernel on YARN: what a person does with it, from start to shutdown."""

from __future__ import annotations

import asyncio
import signal

from .conftest import FINAL, Kernels, until
from .harness import Cluster

JOB = "spark.range(100).selectExpr('sum(id)').collect()[0][0]"
ENDLESS_JOB = """
print("at work")
spark.sparkContext.parallelize(range(2), 2).map(lambda _: __import__("time").sleep(600)).count()
"""


def application(cluster: Cluster, application_id: str) -> dict[str, object]:
    return next(app for app in cluster.applications() if app["id"] == application_id)


async def test_a_notebook_computes_in_its_own_spark_application(staged: Cluster, kernels: Kernels) -> None:
    async with kernels(spark_conf={"spark.app.note": "it is mine"}) as notebook:
        first = await notebook.ok("1+1")
        assert first.value == "2"
        assert (await notebook.ok(JOB)).value == "4950"
        assert (await notebook.ok("spark.conf.get('spark.app.note')")).value == "'it is mine'"
        await notebook.ok("from pyspark.sql import SparkSession")
        identity = "isinstance(spark, SparkSession), sc is spark.sparkContext"
        assert (await notebook.ok(identity)).value == "(True, True)"
        same = "SparkSession.builder.getOrCreate() is spark"
        assert (await notebook.ok(same)).value == "True"
        assert (await notebook.ok("sc.applicationId")).value == repr(notebook.application_id)
        running = application(staged, notebook.application_id)
        assert running["state"] == "RUNNING"
        tags = str(running["applicationTags"]).split(",")
        assert {"sparkkernels", notebook.manager.kernel_id} <= set(tags)
    ended = application(staged, notebook.application_id)
    assert (ended["state"], ended["finalStatus"]) == ("FINISHED", "SUCCEEDED")


async def test_the_supervisor_tells_where_it_runs_and_secrets_stay_off_the_cluster(
    staged: Cluster, kernels: Kernels
) -> None:
    async with kernels() as notebook:
        await notebook.ok(JOB)
        key = notebook.manager.session.key.decode()
        link = notebook.provisioner._link
        secrets = (key, link.token, *link._secrets)
        assert len(secrets) == 3
        assert link.container.container_id.startswith("container_")
        for directory in staged.log_directories(notebook.application_id):
            for file in directory.iterdir():
                text = file.read_text(errors="replace")
                assert not [secret for secret in secrets if secret in text]
        await notebook.ok("import os")
        environment = await notebook.ok("sc.getConf().getAll() + list(os.environ.items())")
        assert not [secret for secret in secrets if secret in environment.value]


async def test_an_interrupt_ends_a_spark_job_and_the_kernel_goes_on(kernels: Kernels) -> None:
    async with kernels() as notebook:
        await notebook.ok("x = 1")
        await notebook.ok(JOB)
        result = await notebook.interrupted(ENDLESS_JOB, "at work")
        assert result.status == "error"
        assert result.ename in ("KeyboardInterrupt", "Py4JJavaError")
        jobs = "len(sc.statusTracker().getActiveJobsIds())"
        assert (await notebook.ok(jobs)).value == "0"
        assert (await notebook.ok(f"x, {JOB}")).value == "(1, 4950)"


async def test_spark_stop_ends_nothing_but_the_session(kernels: Kernels) -> None:
    async with kernels() as notebook:
        await notebook.ok(f"{JOB}; spark.stop()")
        again = "from pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()\n"
        assert (await notebook.ok(again + JOB)).value == "4950"


async def test_the_end_of_the_kernel_process_is_known_at_once_and_its_application_lives(
    staged: Cluster, kernels: Kernels
) -> None:
    async with kernels() as notebook:
        await notebook.ok("1")
        await notebook.manager.signal_kernel(signal.SIGKILL)

        def exit_code() -> int | None:
            return notebook.provisioner._application.kernel_alive(1)  # type: ignore[no-any-return]

        await until(lambda: exit_code() is not None, "the exit code arrives", 10)
        assert exit_code() == -signal.SIGKILL
        while (
            code := await notebook.provisioner.poll()
        ) is None:  # for a second it may be the whole container
            await asyncio.sleep(0.1)
        assert code == -signal.SIGKILL
        assert application(staged, notebook.application_id)["state"] not in FINAL


async def test_an_application_killed_in_yarn_is_a_dead_kernel(staged: Cluster, kernels: Kernels) -> None:
    async with kernels() as notebook:
        await notebook.ok("1")
        staged.kill_application(notebook.application_id)
        report = await until(lambda: notebook.provisioner._application.ended, "poll sees the end", 20)
        assert report
        assert await notebook.provisioner.poll() is not None
