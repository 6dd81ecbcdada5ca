"""Workers on hosts of their own: they may dial out, nobody may connect to them, and cables get pulled."""

from __future__ import annotations

import asyncio
import functools
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparkkernels.errors import ApplicationFailed
from tests.free_ports import free_port

from .conftest import Kernels, in_use, install, until
from .failed_start import failed_start
from .faults import deaths_told, patient
from .harness import Cluster

pytestmark = [pytest.mark.usefixtures("leaks"), pytest.mark.timeout(300)]

#: A queue takes back what others hold of its share; a worker that is silent for 15 s is lost.
PREEMPTION = "yarn.resourcemanager.monitor.capacity.preemption"
IMPATIENT = {
    "yarn.resourcemanager.scheduler.monitor.enable": "true",
    f"{PREEMPTION}.monitoring_interval": "1000",
    f"{PREEMPTION}.max_wait_before_kill": "1000",
    f"{PREEMPTION}.total_preemption_per_round": "1.0",
    f"{PREEMPTION}.natural_termination_factor": "1.0",
    f"{PREEMPTION}.max_ignored_over_capacity": "0.0",
    "yarn.nm.liveness-monitor.expiry-interval-ms": "15000",
    "yarn.am.liveness-monitor.expiry-interval-ms": "30000",
    "yarn.resourcemanager.connect.retry-interval.ms": "500",
}
#: One executor fits beside another on no worker of these.
ON_EACH_WORKER = {
    "spark.dynamicAllocation.minExecutors": "2",
    "spark.executor.memory": "1g",
    "spark.executor.memoryOverhead": "1g",
    "spark.driver.memory": "512m",
    "spark.driver.memoryOverhead": "512m",
}
ALONE_ON_A_WORKER = {"spark.driver.memory": "2g", "spark.driver.memoryOverhead": "1g"}
HOSTS = """
import socket
hosts = set()
while len(hosts) < 2:
    hosts |= set(sc.parallelize(range(8), 8).map(lambda _: socket.gethostname()).collect())
sorted(hosts)
"""
LISTENING = """
import os, psutil
ours = psutil.Process(), psutil.Process(os.getppid())
sockets = [socket for process in ours for socket in process.net_connections("tcp")]
sorted({socket.laddr.ip for socket in sockets if socket.status == "LISTEN"})
"""
CONNECTED = """
import os, psutil
[f"{c.raddr.ip}:{c.raddr.port}" for c in psutil.Process(os.getppid()).net_connections("tcp") if c.raddr]
"""
TICKS = """
import time
for number in range(200):
    print(number, flush=True)
    time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers behind firewalls, in place of the cluster of the other modules."""
    running = Cluster.up(name=f"network-{os.getpid()}", hosts=2, extra_site={"yarn-site.xml": IMPATIENT})
    try:
        with in_use(running, tmp_path_factory.mktemp("jupyter")):
            yield running
    finally:
        running.down()


@pytest.fixture(autouse=True)
def whole_network(staged: Cluster) -> Iterator[None]:
    """Every test begins and ends with the network as it was."""
    yield
    for worker in staged.workers:
        worker.unblock()
        worker.heal()


async def test_a_kernel_computes_on_every_worker_and_dials_out_from_one_whose_cable_may_be_pulled(
    staged: Cluster, kernels: Kernels
) -> None:
    port = free_port()
    addresses = [staged.host_address]
    async with kernels(spark_conf=ON_EACH_WORKER, relay_port=port, relay_addresses=addresses) as notebook:
        assert (await notebook.ok("1+1")).value == "2"
        assert (await notebook.ok(HOSTS)).value == "['w1', 'w2']"
        assert (await notebook.ok(LISTENING)).value == "['127.0.0.1']"
        assert f"'{staged.host_address}:{port}'" in (await notebook.ok(CONNECTED)).value

        name = notebook.provisioner._link.container.host
        worker = next(worker for worker in staged.workers if name in (worker.name, worker.address))
        at_work = asyncio.Event()
        cell = asyncio.ensure_future(notebook.run(TICKS, on_output=lambda _: at_work.set()))
        await at_work.wait()
        worker.cut()
        await asyncio.sleep(5)
        worker.heal()
        result = await cell
        assert result.status == "ok"
        assert result.stdout.split() == [str(number) for number in range(200)]


async def test_a_worker_that_cannot_reach_the_relay_says_which_addresses_it_tried(
    staged: Cluster, tmp_path: Path
) -> None:
    refusing, silent = staged.workers
    refusing.block_host_ports(reject=True)
    silent.block_host_ports()
    start = functools.partial(
        failed_start,
        tmp_path,
        registration_timeout_s=8,
        relay_addresses=[staged.host_address, "no-such-host.invalid"],
        spark_conf=ALONE_ON_A_WORKER,
    )
    errors = await asyncio.gather(start(), start())
    for error in errors:
        assert isinstance(error, ApplicationFailed)
        assert "could not reach the Jupyter server's relay within 8 s" in str(error).splitlines()[0]
        assert re.search(r"^Tried no-such-host\.invalid:\d+: .*name resolution$", str(error), re.M)
        assert "relay_addresses" in error.hint
    for worker, why in ((refusing, "Connection refused"), (silent, "no answer")):
        (error,) = [error for error in errors if f"the worker {worker.address} " in str(error)]
        assert re.search(rf"^Tried {staged.host_address}:\d+: {why}$", str(error), re.M)


async def test_a_kernel_that_is_preempted_and_one_whose_worker_is_lost_are_told_why(
    staged: Cluster, tmp_path: Path
) -> None:
    small = {"spark.driver.memory": "512m", "spark.driver.memoryOverhead": "512m"}
    tiny, usual = (install(tmp_path, None, {"spark_conf": small, **own}) for own in ({"queue": "tiny"}, {}))
    with deaths_told() as log:
        async with patient(tiny, log) as in_the_way, patient(usual, log) as out_of_reach:
            for each in (in_the_way, out_of_reach):
                each.manager.stop_restarter()
            done = time.time()
            claims = [staged.occupy("default", 512) for _ in range(16)]  # twelve have room
            await in_the_way.dies_of(
                "preempted for another queue", "YARN preempted the kernel's container", done
            )
            for claim in claims:
                staged.kill_application(claim)
            name = out_of_reach.provisioner._link.container.host
            worker = next(worker for worker in staged.workers if name in (worker.name, worker.address))
            worker.cut()
            done = time.time()
            await out_of_reach.dies_of(
                "worker lost (after 15 s here, 10 minutes by default)",
                "The worker that ran the kernel was lost",
                done,
            )
            worker.heal()
            for each in (in_the_way, out_of_reach):
                assert not await each.manager.is_alive()
    await until(lambda: len(staged.nodes()) == 2 and not staged.processes(), "the worker is back, and empty")


async def test_kernels_that_do_nothing_outlive_the_resourcemanagers_patience(
    staged: Cluster, kernels: Kernels
) -> None:
    half = {"spark.driver.memory": "1g"}
    async with (
        kernels(language="python", spark_conf=half) as python,
        kernels(language="scala", spark_conf=half) as scala,
    ):
        await python.ok("one = 1")
        await scala.ok("val one = 1")
        await asyncio.sleep(int(IMPATIENT["yarn.am.liveness-monitor.expiry-interval-ms"]) / 1000 + 15)
        assert (await python.ok("one")).value == (await scala.ok("one")).value == "1"
        running = {app["id"] for app in staged.applications(("RUNNING",))}
        assert running == {python.application_id, scala.application_id}
