"""The fault table: what is done to kernels for real, what their users read, and that nothing is left.

Every test here leaves no application, container, process, file, port or thread (the fixtures ``leaks`` and
``nothing_left``). Other rows of the table come from test_bad_luck.py and test_network.py. ``FAULT_TABLE`` in
the environment names a file that the rows are written to.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from sparkkernels.cluster.yarn import QUEUES_S
from sparkkernels.errors import ResourceManagerUnavailable, SparkKernelError, SubmitError
from tests.free_ports import free_port
from tests.leaks import Leaks

from .conftest import FINAL, LIMIT_S, Kernels, install, until
from .failed_start import failed_start
from .faults import Deaths, above, cut_off, deaths_told, memory_limit, patient, record, small_disk
from .harness import Cluster
from .server import jupyter_server
from .starts import Start, has_a_container, submitting
from .test_failover import always_alive

pytestmark = [pytest.mark.usefixtures("leaks"), pytest.mark.timeout(400)]

SMALL = {"spark.driver.memory": "512m", "spark.driver.memoryOverhead": "384m"}
EAT = "hoard = [b'x' * 2**26 for _ in range(64)]"
#: Prints for so many seconds; of each line it is known whether it is missing or comes late.
TICKS = """
import time
end = time.monotonic() + {seconds}
count = 0
while time.monotonic() < end:
    print(count, "x" * 2000, flush=True)
    count += 1
    time.sleep(0.02)
"""


@pytest.fixture
def log(staged: Cluster) -> Iterator[Deaths]:
    """The deaths that the log tells of."""
    with deaths_told() as told:
        yield told


async def printing_goes_on(kernels: Kernels, seconds: float, *, reset: bool) -> None:
    """A cell prints while the connection is away for so long: nothing of it is lost."""
    port = free_port()
    async with kernels(spark_conf=SMALL, relay_port=port) as notebook:
        at_work = asyncio.Event()
        code = TICKS.format(seconds=seconds + 4)
        cell = asyncio.ensure_future(notebook.run(code, on_output=lambda _: at_work.set()))
        await at_work.wait()
        link = notebook.provisioner._link
        with cut_off(port, reset=reset):
            await asyncio.sleep(seconds)
            assert await notebook.manager.is_alive()
            assert not cell.done()
        healed = time.monotonic()
        await until(lambda: link.connected, "the supervisor is back")
        back = time.monotonic() - healed
        result = await cell
        assert result.status == "ok"
        lines = result.stdout.splitlines()
        assert [int(line.split()[0]) for line in lines] == list(range(len(lines))) and len(lines) > 5
        assert (await notebook.ok("count")).value == str(len(lines))
        record(
            f"connection cut for {seconds:g} s, {'with resets' if reset else 'silently'}",
            f"nothing: the cell goes on, all {len(lines)} lines of it arrive in order",
            connected_again_after=back,
        )


async def cut_for_good(log: Deaths, directory: Path) -> None:
    """The application ends by itself, and the kernel is dead with the reason."""
    port = free_port()
    conf = {"spark_conf": SMALL, "relay_port": port, "orphan_timeout_s": 12}
    async with patient(install(directory, None, conf), log) as kernel:
        kernel.manager.stop_restarter()  # no new application could reach this server
        await kernel.notebook.ok("1")
        with cut_off(port, reset=True):
            done = time.time()
            await kernel.dies_of(
                "connection cut for good (orphan_timeout_s=12)",
                "The connection between this server and the worker ",
                done,
            )
            assert not await kernel.manager.is_alive()


async def processes_killed(log: Deaths, directory: Path) -> None:
    """One kernel whose processes are killed one after another; its restarter brings it back."""
    conf = {"spark_conf": SMALL, "relay_port": free_port()}  # not the one that is cut beside this
    async with patient(install(directory, None, conf), log) as kernel:
        notebook = kernel.notebook

        async def process() -> int:
            return int((await notebook.ok("import os; os.getpid()")).value)

        first = notebook.application_id
        pid = await process()
        done = time.time()
        os.kill(pid, signal.SIGKILL)
        await kernel.dies_of("kill -9 of the kernel", "was killed (signal 9)", done)
        await kernel.is_up_again(2, "kill -9 of the kernel", done)
        assert notebook.application_id == first

        with memory_limit(await process(), 2**28):
            done = time.time()
            notebook.client.execute(EAT)
            told = "Linux killed the kernel process because memory"
            await kernel.dies_of("kernel out of memory", told, done)
        await kernel.is_up_again(3, "kernel out of memory", done)
        assert notebook.application_id == first

        supervisor = above(await process())[0]
        done = time.time()
        supervisor.kill()
        await kernel.dies_of("kill -9 of the supervisor", "The kernel's supervisor ended", done)
        await kernel.is_up_again(4, "kill -9 of the supervisor", done)
        second = notebook.application_id
        assert second != first

        master = above(await process())[1]
        done = time.time()
        master.kill()
        await kernel.dies_of("kill -9 of the AM's JVM", "container was killed (signal 9)", done)
        await kernel.is_up_again(5, "kill -9 of the AM's JVM", done)
        assert notebook.application_id not in (first, second)
        assert kernel.restarts == 4 and not kernel.dead.is_set()


async def hopeless(staged: Cluster, log: Deaths, directory: Path) -> None:
    """Killed by somebody, then for its memory at every start: at the third time nobody restarts it."""
    conf = {"spark_conf": SMALL, "relay_port": free_port()}  # not the one that is cut beside this
    async with patient(install(directory, None, conf), log) as kernel:
        notebook = kernel.notebook
        await notebook.ok("1")
        done = time.time()
        staged.kill_application(notebook.application_id)
        by = f"killed by {staged.submitter}"
        await kernel.dies_of("application killed in YARN's UI", by, done)
        await kernel.is_up_again(2, "application killed in YARN's UI", done)
        for number in (3, 4):
            done = time.time()
            notebook.client.execute(EAT)
            memory = "YARN killed the kernel's container for using more memory"
            await kernel.dies_of("container killed for physical memory", memory, done)
            if number == 3:
                await kernel.is_up_again(3, "container killed for physical memory", done)
        await asyncio.wait_for(kernel.dead.wait(), 60)
        assert kernel.restarts == 2
        gave_up = next((at, text) for at, text in log.told if "not started again by itself" in text)
        assert "3 times in a row" in gave_up[1]
        record("an application that ends at every start", "the kernel is dead", dead_after=gave_up[0] - done)
        await until(lambda: kernel.provisioner.application_id is None, "all of it has ended")
        assert not await kernel.manager.is_alive()


async def test_kernels_whose_connection_is_cut_and_kernels_that_die(
    staged: Cluster, kernels: Kernels, log: Deaths, tmp_path: Path
) -> None:
    outcomes = await asyncio.gather(
        printing_goes_on(kernels, 60, reset=False),
        printing_goes_on(kernels, 5, reset=True),
        cut_for_good(log, tmp_path),
        processes_killed(log, tmp_path),
        hopeless(staged, log, tmp_path),
        return_exceptions=True,
    )
    for outcome in outcomes:
        if outcome is not None:
            raise outcome
    assert [app["id"] for app in staged.applications() if app["state"] not in FINAL] == []


async def test_servers_that_end_while_a_kernel_starts_and_servers_that_are_killed(
    staged: Cluster, tmp_path: Path, leaks: Leaks
) -> None:
    """Each at its moment: while spark-submit is at work, while the application waits, and with a cell."""
    leaks.excused += ["sparkkernels-*", "sparkkernels-*/*"]  # of a killed server: the next one sweeps them
    conf = {"spark_conf": SMALL, "registration_timeout_s": 10, "orphan_timeout_s": 10}
    name = install(tmp_path, None, conf)
    phases = {
        "submitting": "before its id is known",
        "accepted": "while ACCEPTED",
        "running": "while running",
    }

    async def ended(signum: signal.Signals, phase: str) -> None:
        runtime = tmp_path / f"{signum.name}-{phase}"
        async with jupyter_server(tmp_path / f"{runtime.name}.log", runtime) as (server, ask):
            asked = asyncio.ensure_future(asyncio.to_thread(ask, "api/kernels", {"name": name}))
            moment = {
                "submitting": lambda: any(map(submitting, psutil.Process(server.pid).children(True))),
                "accepted": lambda: applications_of(staged, runtime),
                "running": asked.done,
            }[phase]
            await until(moment, f"the server is {phase}")
            [kernel_id] = [path.name for path in (runtime / "sparkkernels").iterdir()]
            submits = [p for p in psutil.Process(server.pid).children(True) if kernel_id in command_of(p)]
            done = time.time()
            server.send_signal(signum)
            await asyncio.to_thread(server.wait, LIMIT_S)
            over = time.time()
            await asyncio.wait([asked])
        if signum is signal.SIGKILL:
            await until(lambda: not any(process.is_running() for process in submits), "spark-submit ended")
            await until(lambda: all_ended(staged, kernel_id), "the application ended by itself")
            over = time.time()
        else:
            assert all_ended(staged, kernel_id)
            assert not list(runtime.glob("sparkkernels/*")) and not list(runtime.glob("kernel-*"))
        what = "kill -9 of" if signum is signal.SIGKILL else f"{signum.name} to"
        record(
            f"{what} the Jupyter server, {phases[phase]}", "the server is gone", all_ended_after=over - done
        )

    await asyncio.gather(
        *(ended(signum, "submitting") for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)),
        *(ended(signum, "accepted") for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)),
        ended(signal.SIGKILL, "running"),
    )


def command_of(process: psutil.Process) -> str:
    """A process's command line, "" when it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def applications_of(cluster: Cluster, runtime: Path) -> list[dict[str, Any]]:
    """The applications of the kernels of the server with this runtime directory."""
    kernel_ids = {path.name for path in runtime.glob("sparkkernels/*")}
    return [app for app in cluster.applications() if kernel_ids & set(app["applicationTags"].split(","))]


def all_ended(cluster: Cluster, kernel_id: str) -> bool:
    """Whether no application of this kernel lives."""
    found = [app for app in cluster.applications() if kernel_id in app["applicationTags"]]
    return all(app["state"] in FINAL for app in found)


async def test_daemons_that_go_and_come_back_end_no_kernel(
    staged: Cluster, kernels: Kernels, tmp_path: Path
) -> None:
    async def seconds(work: Any) -> float:
        begun = time.monotonic()
        await work
        return time.monotonic() - begun

    async with kernels(spark_conf=SMALL) as notebook:
        assert (await notebook.ok("spark.range(100).count()")).value == "100"
        async with always_alive(notebook.manager):
            await asyncio.to_thread(staged.safe_mode, True)
            try:
                begun = time.monotonic()
                error = await failed_start(tmp_path, spark_conf=SMALL)
                record("NameNode in safe mode, a start", quoted(error), told_after=time.monotonic() - begun)
                assert isinstance(error, SubmitError) and "HDFS is in safe mode" in error.message
                result = await notebook.run("spark.range(3).write.parquet('/user/root/no')")
                assert "safe mode" in result.evalue
                assert (await notebook.ok("spark.range(100).count()")).value == "100"
                record("NameNode in safe mode, a cell that writes", "the cell's error names safe mode")
            finally:
                await asyncio.to_thread(staged.safe_mode, False)

            manager = staged.daemon("resourcemanager")
            await asyncio.to_thread(manager.kill)
            await asyncio.sleep(QUEUES_S)  # what it said last is believed for so long
            begun = time.monotonic()
            error = await failed_start(tmp_path, spark_conf=SMALL)
            assert isinstance(error, ResourceManagerUnavailable)
            record("ResourceManager down, a start", quoted(error), told_after=time.monotonic() - begun)
            assert (await notebook.ok("spark.range(100).count()")).value == "100"
            await asyncio.to_thread(manager.start)
            record("ResourceManager down and back, a running kernel", "nothing: cells and Spark jobs go on")

            start = Start(install(tmp_path, None, {"spark_conf": SMALL}))
            await start.reaches(has_a_container)
            down = await seconds(asyncio.to_thread(manager.restart))
            started = await seconds(start.task)
            record(
                "ResourceManager restarted in the middle of a start",
                "the start takes longer",
                started_after=down + started,
            )
            await start.manager.shutdown_kernel()

            worker = staged.daemon("nodemanager")
            await asyncio.to_thread(worker.kill)
            assert (await notebook.ok("6 * 7")).value == "42"
            await asyncio.to_thread(worker.start)
            assert (await notebook.ok("spark.range(100).count()")).value == "100"
            record("NodeManager killed and back", "nothing: cells and Spark jobs go on")


def quoted(error: SparkKernelError) -> str:
    """The sentence that a person reads first."""
    return f"“{error.message}”"


async def test_a_full_disk_ends_no_kernel(staged: Cluster, kernels: Kernels, tmp_path: Path) -> None:
    local = staged.directory / "workers" / "localhost"
    containers = local / "local" / "usercache" / staged.submitter / "appcache"
    logs = local / "logs"
    with small_disk(containers, 64), small_disk(logs, 8):
        fill(containers / "hoard")
        error = await failed_start(tmp_path, spark_conf=SMALL)
        assert "disk for containers is full" in error.message
        record("disk full on the worker, a start", quoted(error))
        (containers / "hoard").unlink()
        async with kernels(spark_conf=SMALL) as notebook:
            full = await notebook.run("open('hoard', 'wb').write(b'x' * 2**27)")
            assert "No space left on device" in full.evalue
            record("disk full in the container", f"the cell's error: {full.ename}: {full.evalue}")
            await notebook.ok("import os; [os.write(2, b'x' * 2**16) for _ in range(200)]; None")
            assert (await notebook.ok("6 * 7")).value == "42"
            record("disk of the container's logs full", "nothing: cells go on")
            empty(logs)  # no executor starts without
            await notebook.ok("os.remove('hoard')")
            assert (await notebook.ok("spark.range(100).count()")).value == "100"
        await until(lambda: not list(containers.iterdir()), "the containers' directories are gone")


def fill(path: Path) -> None:
    """Let a file take all that is left of its disk."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2**20))


def empty(directory: Path) -> None:
    """Cut all files below to nothing."""
    for path in directory.rglob("*"):
        if path.is_file():
            os.truncate(path, 0)
