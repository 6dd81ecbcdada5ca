"""``python -m tests.bench``: our figures and those of a bare spark-submit and a local kernel, in one run."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from sparkkernels.cli.main import main as sparkkernels_command
from tests.cluster.harness import Cluster

from .crowd import simulated, thirty
from .kernels import Kernel, kernel
from .report import Figures

LIMIT_S = 180.0
#: Per cent of the processors in use when nothing is under way, and seconds to wait for that.
QUIET, QUIET_S = 20.0, 30.0
ONE_LINE = "import sys, time; open(sys.argv[1], 'w').write(repr(time.time()))\n"
SPARK_JOB = "spark.range(1000).count()"
LONG_JOB = """
import time
print("at work")
spark.sparkContext.parallelize(range(2), 2).map(lambda _: __import__("time").sleep(600)).count()
"""


def write_kernelspecs(directory: Path) -> None:
    """Kernelspecs on YARN through the command line, and one of a local kernel, for the same Python."""
    arguments = ["install", "--language", "python", "--master", "yarn", "--prefix", str(directory)]
    for name in ("bench-yarn", "bench-yarn-plain", "bench-yarn-small"):
        if sparkkernels_command([*arguments, "--name", name]) != 0:
            raise SystemExit("The kernelspec could not be installed.")
    kernels = directory / "share" / "jupyter" / "kernels"
    plain = kernels / "bench-yarn-plain" / "kernel.json"
    spec = json.loads(plain.read_text())
    spec["metadata"]["kernel_provisioner"]["config"]["curve"] = "disabled"
    plain.write_text(json.dumps(spec))
    small = kernels / "bench-yarn-small" / "kernel.json"
    spec = json.loads(small.read_text())
    # As many as can be at the same time; YARN's queue is for the others.
    conf = {"spark.driver.memory": "512m", "spark.driver.memoryOverhead": "512m"}
    spec["metadata"]["kernel_provisioner"]["config"] |= {"spark_conf": conf, "launch_timeout_s": 600.0}
    small.write_text(json.dumps(spec))
    (kernels / "bench-local").mkdir()
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    metadata = {"supported_encryption": ["curve"]}
    spec = {"argv": argv, "display_name": "local", "language": "python", "metadata": metadata}
    (kernels / "bench-local" / "kernel.json").write_text(json.dumps(spec))


def bare_submit(spark_home: str, directory: Path, archive: str | None) -> float:
    """Seconds from the start of a bare spark-submit to the first line of its Python application."""
    script = directory / "one_line.py"
    script.write_text(ONE_LINE)
    mark = directory / "mark"
    mark.unlink(missing_ok=True)
    conf = ["--conf", f"spark.pyspark.python={sys.executable}", "--conf", "spark.yarn.maxAppAttempts=1"]
    if archive:
        conf += ["--conf", f"spark.yarn.archive={archive}"]
    command = [f"{spark_home}/bin/spark-submit", "--master", "yarn", "--deploy-mode", "cluster", *conf]
    quiet()
    begun = time.time()
    # the application makes no SparkContext, so the submit ends with an error; what counts is its first line
    submit = subprocess.Popen(
        [*command, str(script), str(mark)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not (mark.exists() and mark.read_text()):
            if time.time() - begun > LIMIT_S:
                raise SystemExit("The bare spark-submit did not come up.")
            time.sleep(0.02)
        return float(mark.read_text()) - begun
    finally:
        submit.wait(LIMIT_S)


async def ours(figures: Figures, cluster: Cluster) -> None:
    """One kernel on YARN from its start to its end."""
    await asyncio.to_thread(quiet)
    begun = time.perf_counter()
    async with kernel("bench-yarn") as (running, first):
        figures.add("start to first result of 1+1", first)
        await running.run(SPARK_JOB)
        figures.add("start to first Spark result", time.perf_counter() - begun)
        figures.add("interrupt of a running Spark job, to idle", await running.interrupt(LONG_JOB, "at work"))
        await restart(figures, running, "warm")
        figures.add("resident memory of the supervisor, MiB", supervisor_mib(cluster))
        cluster.kill_application(running.application_id)
        await all_ended(cluster)
        await restart(figures, running, "cold")
        begun = time.perf_counter()
    await all_ended(cluster)
    figures.add("shutdown to a finished application", time.perf_counter() - begun)


async def restart(figures: Figures, running: Kernel, kind: str) -> None:
    """A restart that keeps the application, or takes a new one because it is gone."""
    application_id = running.application_id
    await asyncio.to_thread(quiet)
    begun = time.perf_counter()
    figures.add(f"{kind} restart to first result of 1+1", await running.restart())
    await running.run(SPARK_JOB)
    figures.add(f"{kind} restart to first Spark result", time.perf_counter() - begun)
    if (running.application_id == application_id) is not (kind == "warm"):
        raise SystemExit(f"That was no {kind} restart.")


def quiet() -> None:
    """Wait until nothing that was begun before is still at work: an executor that starts, a JVM that ends."""
    begun = time.perf_counter()
    while psutil.cpu_percent(1) > QUIET and time.perf_counter() - begun < QUIET_S:
        continue


async def all_ended(cluster: Cluster) -> None:
    """Return when no application is left."""
    begun = time.perf_counter()
    while any(app["state"] not in ("FINISHED", "FAILED", "KILLED") for app in cluster.applications()):
        if time.perf_counter() - begun > LIMIT_S:
            raise SystemExit("The application did not end.")
        await asyncio.sleep(0.05)


async def idle(figures: Figures, cluster: Cluster) -> None:
    """Containers that a kernel holds whose Spark is ready and has nothing to do."""
    async with kernel("bench-yarn") as (running, _):
        await running.run("spark.version")
        figures.add("containers of an idle kernel", held_containers(cluster))


def held_containers(cluster: Cluster) -> float:
    """Containers of the applications that run."""
    return float(sum(app.get("runningContainers", 0) for app in cluster.applications(["RUNNING"])))


def supervisor_mib(cluster: Cluster) -> float:
    """Resident memory of the supervisor's process, in MiB."""
    for pid in cluster.processes():
        command = psutil.Process(pid).cmdline()
        if len(command) > 1 and "sparkkernels-launchers" in " ".join(command[:3]) and "python" in command[0]:
            return float(psutil.Process(pid).memory_info().rss) / 2**20
    raise SystemExit("There is no supervisor on the cluster.")


async def transport(figures: Figures, name: str, label: str, encryption: str = "disabled") -> None:
    """What the relay costs, or a local kernel without it."""
    async with kernel(name, encryption) as (running, _):
        await running.empty_cells(50)
        cells = [1000 * seconds for seconds in await running.empty_cells(300)]
        figures.add(f"empty cell, ms, {label}", statistics.median(cells))
        beats = [1000 * seconds for seconds in await running.heartbeats(500)]
        figures.add(f"heartbeat round trip, ms, {label}", statistics.median(beats))
        for _ in range(3):
            figures.add(f"100 MB of output, {label}", await running.big_output())


async def several(count: int, measure: Callable[[], Awaitable[None]]) -> None:
    """The same measure several times, one after the other."""
    for _ in range(count):
        await measure()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="starts to measure of each kind")
    runs = parser.parse_args().runs
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="sparkkernels-bench-") as scratch:
        directory = Path(scratch)
        os.environ["JUPYTER_PATH"] = str(directory / "share" / "jupyter")
        os.environ["JUPYTER_RUNTIME_DIR"] = str(directory / "runtime")
        os.environ["JUPYTER_DATA_DIR"] = str(directory / "share" / "jupyter")
        cluster = Cluster.up(name="bench")
        try:
            os.environ.update(cluster.environment())
            measure(figures, cluster, directory, runs)
        finally:
            cluster.down()
    print(figures.table())
    return 0


def measure(figures: Figures, cluster: Cluster, directory: Path, runs: int) -> None:
    """All measures, each of ours beside what it is compared with."""
    import findspark

    spark_home = os.environ.get("SPARK_HOME") or findspark.find()
    write_kernelspecs(directory)
    if sparkkernels_command(["stage"]) != 0:
        raise SystemExit("Spark could not be staged.")
    archive = next(
        (
            f"{cluster.default_fs}/user/{cluster.submitter}/.sparkkernels/{name}"
            for name in cluster.hdfs_list(f"/user/{cluster.submitter}/.sparkkernels")
            if name.endswith(".zip")
        ),
        None,
    )
    bare_submit(spark_home, directory, archive)  # localises Spark's jars; not counted
    for _ in range(runs):
        figures.add("bare spark-submit to its first line", bare_submit(spark_home, directory, archive))
        asyncio.run(ours(figures, cluster))
    asyncio.run(idle(figures, cluster))
    thirty(figures, directory, "bench-yarn-small")
    for count in (30, 200):
        simulated(figures, directory, count)
    asyncio.run(transport(figures, "bench-local", "local kernel, CURVE", "required"))
    asyncio.run(transport(figures, "bench-yarn", "through the relay, CURVE"))
    asyncio.run(transport(figures, "bench-local", "local kernel, plain"))
    asyncio.run(transport(figures, "bench-yarn-plain", "through the relay, plain"))


if __name__ == "__main__":
    sys.exit(main())
